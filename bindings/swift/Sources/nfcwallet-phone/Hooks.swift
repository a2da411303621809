import Foundation
import NFCWallet
import NFCWalletSoftware

/// The proxy of a phone: logged in or not, offline, faulty, or stopped on demand.
final class PhoneProxy: NFCRequestProxy {
    private let server: URL
    private let behaviour: Behaviour
    /// Of the user who is logged in at the app's server.
    private let session = Locked<HTTPRequestProxy?>(nil)

    init(server: URL, behaviour: Behaviour) { (self.server, self.behaviour) = (server, behaviour) }

    func logIn(_ user: String) async throws {
        logOut()
        guard behaviour.isOnline else { throw HostError.Offline }
        let proxy = try await HTTPRequestProxy.logIn(server: server, user: user)
        session.withLock { $0 = proxy }
    }

    func logOut() { session.withLock { $0 = nil } }

    func sendRequest(kind: RequestType, body: Data) async throws -> Reply {
        guard behaviour.isOnline else { throw HostError.Offline }
        let fault = behaviour.proxyFault
        if fault == .hang { try await Task.sleep(for: .seconds(3_600)) }
        try behaviour.misbehave(fault)
        let name = kind.wireName()
        let held = behaviour.held(name)
        if let held, held.when == .before { try await stop(held, name) }
        guard let session = session.withLock({ $0 }) else {
            throw HostError.Failed(reason: "not logged in at the app's server")
        }
        let reply = try await session.sendRequest(kind: kind, body: body)
        if let held, held.when == .after { try await stop(held, name) }
        return reply
    }

    /// The request stays here until its time is over, or until the wallet gives it up.
    private func stop(_ hold: HoldAt, _ name: String) async throws {
        behaviour.lines.event("held", ["request_type": JSON(name)])
        try await Task.sleep(for: hold.forMs.map { .milliseconds(Int64(clamping: $0)) } ?? .seconds(3_600))
    }
}

/// The key store of a phone, with faults on demand.
final class PhoneKeyStore: DeviceKeyStore {
    private let keys: SoftwareKeyStore
    private let behaviour: Behaviour

    init(keys: SoftwareKeyStore, behaviour: Behaviour) { (self.keys, self.behaviour) = (keys, behaviour) }

    private func checked() throws -> SoftwareKeyStore {
        switch behaviour.keyStoreFault {
        case .locked: throw KeyStoreError.Locked
        case .invalidated: throw KeyStoreError.Invalidated
        case .fail: throw KeyStoreError.Failed(reason: "as told")
        case let fault: try behaviour.misbehave(fault)
        }
        return keys
    }

    func publicKey() throws -> DevicePublicKey { try checked().publicKey() }
    func sign(message: Data) throws -> Signature { try checked().sign(message: message) }
    func wrap(key: Data) throws -> Wrapped { try checked().wrap(key: key) }
    func unwrap(wrapped: Wrapped) throws -> Unwrapped { try checked().unwrap(wrapped: wrapped) }
    func anchor() throws -> RollbackAnchor { try checked().anchor() }
    func setAnchor(bytes: Data) throws -> Stored { try checked().setAnchor(bytes: bytes) }

    func renew() throws -> Stored {
        behaviour.renewKeys()
        return try checked().renew()
    }
}

/// The permit of a phone: the driver's word.
final class PhonePermit: TransactionPermit {
    private let behaviour: Behaviour
    /// For a permit that calls back. Weak: the wallet holds its permit.
    private let wallet = Locked<WeakWallet>(WeakWallet())

    private struct WeakWallet {
        weak var wallet: Wallet?
    }

    init(behaviour: Behaviour) { self.behaviour = behaviour }

    func callsBack(into wallet: Wallet) { self.wallet.withLock { $0.wallet = wallet } }

    func isAllowed(authBefore: Bool, transaction: TransactionInformation, risk: RiskControl) throws
        -> PermitDecision
    {
        let permit = behaviour.permit
        switch permit {
        case "proceed": return .proceed
        case "decline": return .decline
        case "need_auth": return .needAuth
        case "obey_risk": return risk.proceed ? .proceed : .customDecline(number: 4)
        case "hang": try behaviour.misbehave(.hang)
        case "panic": try behaviour.misbehave(.panic)
        case "re_enter": reEnter()
        default:
            guard let number = permit.split(separator: "_").last.flatMap({ UInt8($0) }) else {
                throw HostError.Failed(reason: "as told")
            }
            return .customDecline(number: number)
        }
        return .proceed
    }

    /// Everything is answered, and the inner APDU declines the tap.
    private func reEnter() {
        guard let wallet = wallet.withLock({ $0.wallet }) else { return }
        let inner = wallet.processApdu(apdu: Data([0x80, 0xCA, 0x9F, 0x36, 0x00]))
        _ = wallet.tokenStatus()
        _ = try? wallet.setTransactionReference(reference: inner)
        _ = try? wallet.authenticate(method: .password)
        _ = wallet.readiness()
    }
}
