import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// Interfaces that misbehave while a terminal waits. No tap is paid that should not be, none costs a
/// credential without a cryptogram, and afterwards everything works.
@Suite(.timeLimit(.minutes(5)))
struct HostileTapTests {
    @Test(arguments: [
        (PermitDecision?.some(.decline), UInt32(19_001)), (.customDecline(number: 3), 19_013),
        (.customDecline(number: 200), 19_001), (.needAuth, 10_003), (nil, 19_001),
    ])
    func whatThePermitRefusesIsNotPaid(decision: PermitDecision?, code: UInt32) async throws {
        let permit = Permit {
            guard let decision else { throw HostError.Failed(reason: "no decision") }
            return decision
        }
        try await expectRefusal(code: code) { try await $0.host(permit: permit) }
    }

    @Test func aPermitThatThrowsSomethingElseDeclines() async throws {
        try await expectRefusal(code: 19_001) { try await $0.host(permit: Permit { throw AppBug() }) }
    }

    @Test func aPermitThatHangsDeclinesAfterItsDeadline() async throws {
        let hangs = Locked(true)
        let permit = Permit {
            if hangs.withLock({ $0 }) { Thread.sleep(forTimeInterval: 20) }
            return .proceed
        }
        try await expectRefusal(code: 19_003, limits: Limits(permit: Desk.limit)) { try await $0.host(permit: permit) }
    }

    @Test func aPermitThatPlaysTheTerminalDeclines() async throws {
        let desk = try await Desk()
        let box = Locked(Weak())
        let permit = Permit {
            guard let wallet = box.withLock({ $0.wallet }) else { return .proceed }
            #expect(wallet.processApdu(apdu: Data([0x80, 0xCA, 0x9F, 0x36, 0x00])) == Data([0x69, 0x85]))
            _ = wallet.tokenStatus()
            _ = wallet.readiness()
            return .proceed
        }
        let wallet = try await desk.ready(try await desk.host(permit: permit))
        box.withLock { $0.wallet = wallet }
        #expect(try await pay(wallet) != .online(atc: 1))
        #expect(try wallet.credentials().usable == 20)
    }

    @Test func aPermitThatLocksTheWalletEndsTheTap() async throws {
        let desk = try await Desk()
        let box = Locked(Weak())
        let permit = Permit {
            box.withLock { $0.wallet }?.fieldLost(reason: .linkLost)
            return .proceed
        }
        let wallet = try await desk.ready(try await desk.host(permit: permit))
        box.withLock { $0.wallet = wallet }
        let result = try await pay(wallet)
        if case .online = result { Issue.record("a lost tap was paid") }
        #expect(try wallet.credentials().usable == 20)
    }

    @Test func aDeviceThatCannotSayHowItIsDoesNotPay() async throws {
        let device = Device { throw HostError.Failed(reason: "no such service") }
        try await expectRefusal(code: 19_008) { try await $0.host(device: device) }
        let broken = Device { throw AppBug() }
        try await expectRefusal(code: 19_008) { try await $0.host(device: broken) }
    }

    @Test func aDeviceThatHangsDoesNotPay() async throws {
        let device = Device {
            Thread.sleep(forTimeInterval: 20)
            return GoodDevice().state()
        }
        try await expectRefusal(code: 19_008, limits: Limits(device: Desk.limit)) { try await $0.host(device: device) }
    }

    @Test func aDeviceMayCallTheWallet() async throws {
        let desk = try await Desk()
        let box = Locked(Weak())
        let device = Device {
            _ = box.withLock { $0.wallet }?.tokenStatus()
            _ = try box.withLock { $0.wallet }?.credentials()
            return GoodDevice().state()
        }
        let wallet = try await desk.ready(try await desk.host(device: device))
        box.withLock { $0.wallet = wallet }
        #expect(try await pay(wallet) == .online(atc: 1))
    }

    @Test(arguments: [String(repeating: "é", count: 100_000)])
    func aFingerprintThatIsTooLongStopsTheActivation(text: String) async throws {
        let desk = try await Desk()
        let device = Device(fingerprint: text) { GoodDevice().state() }
        let wallet = try desk.open(try await desk.host(device: device))
        _ = try await wallet.connect(user: desk.user)
        await #expect(throws: WalletError.self) {
            try await wallet.activate(mode: .manual, progress: Silence())
        }
        #expect(try await desk.sandbox.tokens(of: desk.user).isEmpty)
    }

    @Test func anUnsafeDeviceDoesNotPay() async throws {
        let device = Device {
            DeviceState(
                nfcOn: true, defaultPaymentApp: true, screenOn: true, unlocked: true,
                integrity: .unsafe(reason: String(repeating: "é", count: 100_000)))
        }
        try await expectRefusal(code: 10_002) { try await $0.host(device: device) }
    }

    @Test func listenersThatThrowOrHangCostNoTap() async throws {
        let desk = try await Desk()
        let bad = BadListener()
        let wallet = try desk.open(try await desk.host(transactions: bad, activation: bad, monitor: bad))
        _ = try await wallet.connect(user: desk.user)
        try await wallet.activate(mode: .manual, progress: bad)
        for atc in UInt16(1)...3 {
            #expect(try await pay(wallet) == .online(atc: atc))
        }
        #expect(try wallet.credentials().usable == 17)
        try await eventually { if bad.calls.withLock({ $0 }) == 0 { throw Trouble("no listener was called") } }
        bad.isOver.withLock { $0 = true }
    }

    @Test func aListenerMayCallTheWallet() async throws {
        let desk = try await Desk()
        let listener = CallingListener()
        let wallet = try await desk.ready(try await desk.host(transactions: listener))
        listener.box.withLock { $0.wallet = wallet }
        #expect(try await pay(wallet) == .online(atc: 1))
        try await eventually { if listener.usable.withLock({ $0 }) != 19 { throw Trouble("not told yet") } }
    }

    /// A tap is refused with `code` and spends nothing.
    private func expectRefusal(
        code: UInt32, limits: Limits = Limits(), _ host: (Desk) async throws -> WalletHost
    ) async throws {
        let desk = try await Desk()
        let events = desk.transactions.stream()
        let wallet = try await desk.readyThenReopened(try await host(desk), limits: limits)
        let started = ContinuousClock.now
        let result = try await pay(wallet)
        #expect(ContinuousClock.now - started < .seconds(15))
        if case .online = result { Issue.record("a tap was paid") }
        let failed = try await first(of: events) { if case .failed = $0 { true } else { false } }
        guard case .failed(_, let failure, _) = failed else { return }
        #expect(failure.code() == code)
        #expect(try wallet.credentials().usable == 20)
    }

    private func pay(_ wallet: Wallet) async throws -> TapResult {
        await blocking { Reader(wallet: wallet).pay(100) }
    }
}

/// Tells its state by a closure.
private final class Device: DeviceInfo {
    private let text: String
    private let tell: @Sendable () throws -> DeviceState

    init(fingerprint: String = "swift-tests", _ tell: @escaping @Sendable () throws -> DeviceState) {
        (text, self.tell) = (fingerprint, tell)
    }

    func fingerprint() -> DeviceFingerprint { DeviceFingerprint(text: text) }
    func state() throws -> DeviceState { try tell() }
}

/// Throws what nobody knows, or hangs.
private final class BadListener: TransactionListener, ActivationListener, Monitor {
    let calls = Locked(0)
    let isOver = Locked(false)

    private func misbehave() throws -> Delivered {
        let call = calls.withLock { calls -> Int in
            calls += 1
            return calls
        }
        if call.isMultiple(of: 2) { throw AppBug() }
        while call == 3 && !isOver.withLock({ $0 }) { Thread.sleep(forTimeInterval: 0.01) }
        throw HostError.Failed(reason: "as told")
    }

    func onStart(tap: UInt64) throws -> Delivered { try misbehave() }
    func onComplete(tap: UInt64, record: TransactionRecord) throws -> Delivered { try misbehave() }
    func onFailed(tap: UInt64, failure: TapFailure, transaction: TransactionInformation?) throws -> Delivered {
        try misbehave()
    }
    func onAuthRequired(tap: UInt64, transaction: TransactionInformation) throws -> Delivered { try misbehave() }
    func onProgress(progress: ActivationProgress) throws -> Delivered { try misbehave() }
    func onActivated() throws -> Delivered { try misbehave() }
    func track(event: MonitorEvent) throws -> Delivered { try misbehave() }
}

/// Asks the wallet for its stock at the end of a tap.
private final class CallingListener: TransactionListener {
    let box = Locked(Weak())
    let usable = Locked<UInt32?>(nil)

    func onStart(tap: UInt64) -> Delivered { .done }
    func onComplete(tap: UInt64, record: TransactionRecord) throws -> Delivered {
        let count = try box.withLock { $0.wallet }?.credentials().usable
        usable.withLock { $0 = count }
        return .done
    }
    func onFailed(tap: UInt64, failure: TapFailure, transaction: TransactionInformation?) -> Delivered { .done }
    func onAuthRequired(tap: UInt64, transaction: TransactionInformation) -> Delivered { .done }
}
