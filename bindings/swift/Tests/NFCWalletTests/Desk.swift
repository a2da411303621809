import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// A phone of its own for one test: a folder, hardware keys, a user, and interfaces that can be exchanged.
final class Desk: Sendable {
    let sandbox: Sandbox
    let folder: URL
    let user = "swift-\(UUID().uuidString)"
    let keys: SoftwareKeyStore
    let clock = TestClock()
    let transactions = TransactionEvents()
    let activations = ActivationEvents()

    private let turn: Turn

    init() async throws {
        turn = await Turn.take()
        sandbox = try Sandbox.shared.get()
        folder = try temporaryFolder()
        keys = try SoftwareKeyStore(folder: folder.appendingPathComponent("hardware"))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// The proxy of an app whose user is logged in.
    func proxy() async throws -> HTTPRequestProxy {
        try await HTTPRequestProxy.logIn(server: sandbox.server, user: user)
    }

    /// The host of a well-behaved app, except for what is named.
    func host(
        proxy: (any NFCRequestProxy)? = nil, keyStore: (any DeviceKeyStore)? = nil,
        device: (any DeviceInfo)? = nil, permit: (any TransactionPermit)? = nil,
        transactions: (any TransactionListener)? = nil, activation: (any ActivationListener)? = nil,
        monitor: (any Monitor)? = nil
    ) async throws -> WalletHost {
        let ownProxy: any NFCRequestProxy
        if let proxy { ownProxy = proxy } else { ownProxy = try await self.proxy() }
        return WalletHost(
            proxy: ownProxy, keyStore: keyStore ?? keys, device: device ?? GoodDevice(),
            permit: permit ?? Permit { .proceed }, transactions: transactions ?? self.transactions,
            activation: activation ?? activations, monitor: monitor ?? Silence())
    }

    /// The limit of an interface where a test waits for it.
    static let limit = Duration.milliseconds(300)

    /// A wallet on this desk's folder.
    func open(_ host: WalletHost, limits: Limits = Limits()) throws -> Wallet {
        let config = WalletConfig(
            dataDirectory: folder.appendingPathComponent("wallet").path, mppId: "sandbox-mpp",
            serviceTrustKey: sandbox.trustKey, deadlines: limits.deadlines)
        return try Wallet.withTestClock(config: config, host: host, clock: clock)
    }

    /// Connected and activated, with 20 credentials.
    func ready(_ host: WalletHost) async throws -> Wallet {
        let wallet = try open(host)
        _ = try await wallet.connect(user: user)
        try await wallet.activate(mode: .manual, progress: Silence())
        try #require(wallet.tokenStatus() == .ready)
        return wallet
    }

    /// Activates with good interfaces, ends that wallet, and opens another one with `host`.
    func readyThenReopened(_ host: WalletHost, limits: Limits = Limits()) async throws -> Wallet {
        try await ready(self.host()).shutdown()
        return try await eventually { try self.open(host, limits: limits) }
    }
}

/// How long each interface may take: long enough on a busy machine, where a test does not say otherwise.
struct Limits: Sendable {
    var proxy = Duration.seconds(20)
    var keyStore = Duration.seconds(20)
    var device = Duration.seconds(20)
    var permit = Duration.seconds(20)

    var deadlines: Deadlines {
        let millis = { (limit: Duration) in UInt64(limit / .milliseconds(1)) }
        return Deadlines(
            proxyMs: millis(proxy), keyStoreMs: millis(keyStore), fingerprintMs: millis(device),
            deviceStateMs: millis(device), permitMs: millis(permit))
    }
}

/// One of a few desks: the servers' own deadlines are short, and a busy machine has other work too.
private final class Turn: Sendable {
    private static let state = Locked((free: 4, waiting: [CheckedContinuation<Void, Never>]()))

    /// Waits for a free one. Given back when it goes.
    static func take() async -> Turn {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state -> Bool in
                if state.free > 0 {
                    state.free -= 1
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
        return Turn()
    }

    deinit {
        let next = Self.state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}

/// A device on which everything is as it should be.
final class GoodDevice: DeviceInfo {
    func fingerprint() -> DeviceFingerprint { DeviceFingerprint(text: "swift-tests") }

    func state() -> DeviceState {
        DeviceState(nfcOn: true, defaultPaymentApp: true, screenOn: true, unlocked: true, integrity: .safe)
    }
}

/// Decides by a closure.
final class Permit: TransactionPermit {
    private let decide: @Sendable () throws -> PermitDecision

    init(_ decide: @escaping @Sendable () throws -> PermitDecision) { self.decide = decide }

    func isAllowed(authBefore: Bool, transaction: TransactionInformation, risk: RiskControl) throws
        -> PermitDecision
    {
        try decide()
    }
}

/// Sends by a closure.
final class Proxy: NFCRequestProxy {
    private let send: @Sendable (RequestType, Data) async throws -> Data

    init(_ send: @escaping @Sendable (RequestType, Data) async throws -> Data) { self.send = send }

    func sendRequest(kind: RequestType, body: Data) async throws -> Reply {
        Reply(body: try await send(kind, body))
    }
}

/// Hears of nothing.
final class Silence: ActivationListener, Monitor, TransactionListener {
    func onProgress(progress: ActivationProgress) -> Delivered { .done }
    func onActivated() -> Delivered { .done }
    func track(event: MonitorEvent) -> Delivered { .done }
    func onStart(tap: UInt64) -> Delivered { .done }
    func onComplete(tap: UInt64, record: TransactionRecord) -> Delivered { .done }
    func onFailed(tap: UInt64, failure: TapFailure, transaction: TransactionInformation?) -> Delivered { .done }
    func onAuthRequired(tap: UInt64, transaction: TransactionInformation) -> Delivered { .done }
}

/// An error that the library does not know.
struct AppBug: Error {}

/// Tries until it succeeds, for ten seconds.
func eventually<Value>(_ body: () async throws -> Value) async throws -> Value {
    let end = ContinuousClock.now + .seconds(10)
    while true {
        do {
            return try await body()
        } catch  where ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

/// The first event of a stream that is wanted, within ten seconds.
func first<Event: Sendable>(of stream: AsyncStream<Event>, where isWanted: @escaping @Sendable (Event) -> Bool)
    async throws -> Event
{
    try await withThrowingTaskGroup(of: Event?.self) { group in
        group.addTask {
            for await event in stream where isWanted(event) { return event }
            return nil
        }
        group.addTask {
            try await Task.sleep(for: .seconds(10))
            throw Trouble("the event never came")
        }
        defer { group.cancelAll() }
        guard let event = try await group.next() ?? nil else { throw Trouble("the stream ended without the event") }
        return event
    }
}

/// Runs what blocks its thread on a thread of its own.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: body()) }
    }
}

/// The wallet's error of a call that must fail.
func walletError<Value>(_ call: () async throws -> Value) async throws -> WalletError {
    do {
        let value = try await call()
        throw Trouble("the call succeeded: \(value)")
    } catch let error as WalletError {
        return error
    }
}

/// True for a call that was given up.
func isCancelled(_ error: WalletError) -> Bool {
    if case .Cancelled = error { true } else { false }
}
