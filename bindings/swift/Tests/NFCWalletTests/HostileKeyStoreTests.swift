import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// Key stores that fail, hang, or answer nonsense.
@Suite(.timeLimit(.minutes(5)))
struct HostileKeyStoreTests {
    @Test(arguments: [
        KeyStoreError.Locked, .NotFound, .UserCancelled, .Failed(reason: "no such alias"),
        .Unexpected(reason: "thrown by an app"),
    ])
    func aKeyStoreThatFailsRefusesTheTapAndSpendsNothing(error: KeyStoreError) async throws {
        try await expectRefusedTap { throw error }
    }

    @Test func anErrorThatNobodyKnowsRefusesTheTap() async throws {
        try await expectRefusedTap { throw AppBug() }
    }

    @Test func aKeyStoreThatHangsRefusesTheTapAfterItsDeadline() async throws {
        try await expectRefusedTap(limit: .seconds(1)) { Thread.sleep(forTimeInterval: 4) }
    }

    @Test func aLockedKeyStoreIsTypedAndRecovers() async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        let wallet = try await desk.readyThenReopened(try await desk.host(keyStore: keys))
        keys.before.withLock { $0 = { throw KeyStoreError.Locked } }
        let error = try await walletError { try await wallet.syncToken() }
        guard case .KeyStore(_, .locked) = error else {
            Issue.record("another error: \(String(describing: error))")
            return
        }
        keys.before.withLock { $0 = {} }
        #expect(try await wallet.syncToken() == .ready)
    }

    @Test(arguments: [Data(), Data([0x04]), Data(repeating: 0x04, count: 65), Data(count: 100_000)])
    func aPublicKeyThatIsNoneStopsTheActivation(key: Data) async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        keys.publicKeyAnswer.withLock { $0 = key }
        let wallet = try desk.open(try await desk.host(keyStore: keys))
        _ = try? await wallet.connect(user: desk.user)
        await #expect(throws: WalletError.self) {
            try await wallet.activate(mode: .manual, progress: Silence())
        }
        #expect(try await desk.sandbox.tokens(of: desk.user).isEmpty)
    }

    @Test(arguments: [Data(), Data([0x30, 0x00]), Data(count: 64), Data(count: 100_000)])
    func aSignatureThatIsNoneIsRefused(signature: Data) async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        let wallet = try await desk.readyThenReopened(try await desk.host(keyStore: keys))
        keys.signatureAnswer.withLock { $0 = signature }
        await #expect(throws: WalletError.self) { try await wallet.syncToken() }
        keys.signatureAnswer.withLock { $0 = nil }
        #expect(try await wallet.syncToken() == .ready)
    }

    @Test func aWrappedKeyThatDoesNotFitIsRefused() async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        keys.wrappedAnswer.withLock { $0 = Data(count: 5 * 1_024) }
        let wallet = try? desk.open(try await desk.host(keyStore: keys))
        if let wallet {
            _ = try? await wallet.connect(user: desk.user)
            await #expect(throws: WalletError.self) {
                try await wallet.activate(mode: .manual, progress: Silence())
            }
        }
        #expect(try await desk.sandbox.tokens(of: desk.user).allSatisfy { $0.issued == 0 })
    }

    @Test(arguments: [Data(), Data([1]), Data(count: 31), Data(count: 100_000)])
    func anUnwrappedKeyThatIsAnotherNeverPays(key: Data) async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        keys.unwrappedAnswer.withLock { $0 = key }
        let wallet = try await desk.readyThenReopened(try await desk.host(keyStore: keys))
        #expect(wallet.tokenStatus() == .keyStoreUnusable)
        if case .online = await blocking({ Reader(wallet: wallet).pay(100) }) { Issue.record("a tap was paid") }
    }

    @Test(arguments: [Data?.none, Data(), Data([1, 2, 3]), Data(count: 64), Data(count: 100_000)])
    func anAnchorThatIsAnotherNeverPays(anchor: Data?) async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        keys.anchorAnswer.withLock { $0 = .some(anchor) }
        let wallet = try await desk.readyThenReopened(try await desk.host(keyStore: keys))
        #expect(wallet.tokenStatus() == .keyStoreUnusable)
        if case .online = await blocking({ Reader(wallet: wallet).pay(100) }) { Issue.record("a tap was paid") }
    }

    @Test func aKeyStoreMayCallTheWallet() async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        let box = Locked(Weak())
        let wallet = try await desk.readyThenReopened(try await desk.host(keyStore: keys))
        box.withLock { $0.wallet = wallet }
        let calls = Locked(0)
        keys.before.withLock {
            $0 = {
                guard let wallet = box.withLock({ $0.wallet }) else { return }
                _ = wallet.tokenStatus()
                _ = try? wallet.credentials()
                calls.withLock { $0 += 1 }
            }
        }
        #expect(await blocking { Reader(wallet: wallet).pay(100) } == .online(atc: 1))
        #expect(try await wallet.syncToken() == .ready)
        #expect(calls.withLock { $0 } > 0)
    }

    private func expectRefusedTap(
        limit: Duration = .seconds(20), _ fault: @escaping @Sendable () throws -> Void
    ) async throws {
        let desk = try await Desk()
        let keys = KeyStore(desk.keys)
        let wallet = try await desk.readyThenReopened(
            try await desk.host(keyStore: keys), limits: Limits(keyStore: limit))
        #expect(await blocking { Reader(wallet: wallet).pay(100) } == .online(atc: 1))
        keys.before.withLock { $0 = fault }
        let started = ContinuousClock.now
        let result = await blocking { Reader(wallet: wallet).pay(100) }
        #expect(ContinuousClock.now - started < limit + .seconds(5))
        if case .online = result { Issue.record("a tap was paid without its anchor") }
        keys.before.withLock { $0 = {} }
        #expect(try wallet.credentials().usable == 19)
        try await eventually {
            let result = await blocking { Reader(wallet: wallet).pay(100) }
            guard case .online(let atc) = result, atc > 1 else { throw Trouble("not mended yet: \(result)") }
        }
        #expect(try wallet.credentials().usable == 18)
    }
}

/// A good key store, with something that happens before each call, and answers of a test's own.
private final class KeyStore: DeviceKeyStore {
    let before = Locked<@Sendable () throws -> Void>({})
    let publicKeyAnswer = Locked<Data?>(nil)
    let signatureAnswer = Locked<Data?>(nil)
    let wrappedAnswer = Locked<Data?>(nil)
    let unwrappedAnswer = Locked<Data?>(nil)
    /// The inner nil: no anchor was ever stored.
    let anchorAnswer = Locked<Data??>(nil)
    private let keys: SoftwareKeyStore

    init(_ keys: SoftwareKeyStore) { self.keys = keys }

    private func checked() throws -> SoftwareKeyStore {
        try before.withLock { $0 }()
        return keys
    }

    func publicKey() throws -> DevicePublicKey {
        try publicKeyAnswer.withLock { $0 }.map { DevicePublicKey(bytes: $0) } ?? checked().publicKey()
    }

    func sign(message: Data) throws -> Signature {
        try signatureAnswer.withLock { $0 }.map { Signature(bytes: $0) } ?? checked().sign(message: message)
    }

    func wrap(key: Data) throws -> Wrapped {
        try wrappedAnswer.withLock { $0 }.map { Wrapped(bytes: $0) } ?? checked().wrap(key: key)
    }

    func unwrap(wrapped: Wrapped) throws -> Unwrapped {
        try unwrappedAnswer.withLock { $0 }.map { Unwrapped(bytes: $0) } ?? checked().unwrap(wrapped: wrapped)
    }

    func renew() throws -> Stored { try checked().renew() }
    func anchor() throws -> RollbackAnchor {
        try anchorAnswer.withLock { $0 }.map { RollbackAnchor(bytes: $0) } ?? checked().anchor()
    }

    func setAnchor(bytes: Data) throws -> Stored { try checked().setAnchor(bytes: bytes) }
}
