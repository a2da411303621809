import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// Tasks that are cancelled while the wallet works for them.
@Suite(.timeLimit(.minutes(5)))
struct CancellationTests {
    @Test(arguments: RequestType.allCases)
    func aCancelledActivationGoesOnWhereItStopped(at kind: RequestType) async throws {
        let desk = try await Desk()
        let gate = Gate(try await desk.proxy())
        let wallet = try desk.open(try await desk.host(proxy: gate))
        _ = try await wallet.connect(user: desk.user)
        gate.stop(at: kind)
        let activating = Task { try await wallet.activate(mode: .manual, progress: Silence()) }
        let isStopped = try await gate.isStopped(within: .seconds(2))
        activating.cancel()
        if isStopped {
            #expect(isCancelled(try await walletError { try await activating.value }))
        } else {
            _ = await activating.result
        }
        gate.open()
        if wallet.tokenStatus() != .ready {
            try await wallet.activate(mode: .manual, progress: Silence())
        }
        #expect(wallet.tokenStatus() == .ready)
        #expect(try wallet.credentials().usable == 20)
        #expect(try await desk.sandbox.tokens(of: desk.user).map(\.issued) == [20])
    }

    @Test func aCancelledReplenishmentLosesNoCredential() async throws {
        let desk = try await Desk()
        let gate = Gate(try await desk.proxy())
        let wallet = try await desk.ready(try await desk.host(proxy: gate))
        #expect(await blocking { Reader(wallet: wallet).pay(100) } == .online(atc: 1))
        gate.stop(at: .transfer)
        let replenishing = Task { try await wallet.replenish() }
        #expect(try await gate.isStopped(within: .seconds(10)))
        replenishing.cancel()
        #expect(isCancelled(try await walletError { try await replenishing.value }))
        gate.open()
        #expect(try wallet.credentials().usable == 19)
        // The request may have gone on for nobody; the batch is the same.
        #expect(try await wallet.replenish() <= 1)
        #expect(try wallet.credentials().usable == 20)
        #expect(try await desk.sandbox.tokens(of: desk.user).map(\.issued) == [21])
    }

    @Test func aCancelledLockStaysLockedUntilTheServiceHasSpoken() async throws {
        let desk = try await Desk()
        let gate = Gate(try await desk.proxy())
        let wallet = try await desk.ready(try await desk.host(proxy: gate))
        for kind in RequestType.allCases { gate.stop(at: kind) }
        let locking = Task { try await wallet.lock() }
        #expect(try await gate.isStopped(within: .seconds(10)))
        locking.cancel()
        #expect(isCancelled(try await walletError { try await locking.value }))
        let refused = await blocking { Reader(wallet: wallet).pay(100) }
        #expect(refused == .refused(status: 0x6A82))
        gate.open()
        #expect(try await wallet.lock() == [.user])
        #expect(try await wallet.unlock() == [])
        #expect(await blocking { Reader(wallet: wallet).pay(100) } == .online(atc: 1))
    }

    @Test func aTaskThatWasCancelledBeforeDoesNothing() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        let connecting = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await wallet.connect(user: desk.user)
        }
        #expect(isCancelled(try await walletError { try await connecting.value }))
        #expect(wallet.tokenStatus() == .disconnected)
    }

    @Test func leavingTheLoopGivesTheActivationUp() async throws {
        let desk = try await Desk()
        let gate = Gate(try await desk.proxy())
        let wallet = try desk.open(try await desk.host(proxy: gate))
        _ = try await wallet.connect(user: desk.user)
        gate.stop(at: .transfer)
        for try await progress in wallet.activation(.manual) where progress.step > 1 { break }
        gate.open()
        try await eventually {
            for try await _ in wallet.activation(.manual) {}
        }
        #expect(wallet.tokenStatus() == .ready)
        #expect(try await desk.sandbox.tokens(of: desk.user).map(\.issued) == [20])
    }

    @Test func oneCancellationServesSeveralCalls() async throws {
        let desk = try await Desk()
        let wallet = try await desk.ready(try await desk.host())
        let cancellation = Cancellation()
        cancellation.cancel()
        #expect(isCancelled(try await walletError { try await wallet.lock(cancellation: cancellation) }))
        #expect(isCancelled(try await walletError { try await wallet.replenish(cancellation: cancellation) }))
        #expect(wallet.tokenStatus() == .ready)
    }
}

/// A proxy that stops requests of some types before they reach the server.
private final class Gate: NFCRequestProxy {
    private let inner: HTTPRequestProxy
    private let state = Locked((closed: Set<RequestType>(), stopped: false))

    init(_ inner: HTTPRequestProxy) { self.inner = inner }

    func stop(at kind: RequestType) { state.withLock { _ = $0.closed.insert(kind) } }

    func open() { state.withLock { $0 = (closed: [], stopped: false) } }

    /// Has a request come to the closed gate?
    func isStopped(within limit: Duration) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            if state.withLock({ $0.stopped }) { return true }
            try await Task.sleep(for: .milliseconds(2))
        }
        return false
    }

    func sendRequest(kind: RequestType, body: Data) async throws -> Reply {
        while state.withLock({ $0.closed.contains(kind) }) {
            state.withLock { $0.stopped = true }
            try await Task.sleep(for: .milliseconds(2))
        }
        return try await inner.sendRequest(kind: kind, body: body)
    }
}
