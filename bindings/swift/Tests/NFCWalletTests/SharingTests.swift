import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// One wallet, many tasks; wallets that end while somebody uses them.
@Suite(.timeLimit(.minutes(5)))
struct SharingTests {
    @Test func eightTasksAtOnceGetTypedAnswers() async throws {
        let desk = try await Desk()
        let wallet = try await desk.ready(try await desk.host())
        let results = await withTaskGroup(of: [TapResult].self, returning: [TapResult].self) { group in
            for number in 0..<8 {
                group.addTask { await use(wallet, as: number) }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(results.count == 5)
        // Only one tap can be in the field; the others were told so, and nothing was spent twice.
        let paid = results.compactMap { if case .online(let atc) = $0 { atc } else { nil } }
        #expect(Set(paid).count == paid.count)
        let history = try wallet.transactions(before: nil, limit: 100).transactions
        #expect(history.filter { if case .complete = $0.outcome { true } else { false } }.count == paid.count)
        try await wallet.replenish()
        #expect(try wallet.credentials().usable == 20)
        #expect(wallet.tokenStatus() == .ready)
    }

    @Test func eightReplenishmentsShareOneRequest() async throws {
        let desk = try await Desk()
        let wallet = try await desk.ready(try await desk.host())
        for _ in 0..<3 { _ = await blocking { Reader(wallet: wallet).pay(100) } }
        try await withThrowingTaskGroup(of: UInt32.self) { group in
            for _ in 0..<8 { group.addTask { try await wallet.replenish() } }
            try await group.waitForAll()
        }
        #expect(try wallet.credentials().usable == 20)
        #expect(try await desk.sandbox.tokens(of: desk.user).map(\.issued) == [23])
    }

    @Test func aSecondActivationIsToldOfTheFirst() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        _ = try await wallet.connect(user: desk.user)
        let outcomes = await withTaskGroup(of: Result<Void, any Error>.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    await Task { try await wallet.activate(mode: .manual, progress: Silence()) }.result
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for case .failure(let error) in outcomes {
            guard case .ActivationInProgress? = error as? WalletError else {
                Issue.record("another error: \(error)")
                continue
            }
        }
        #expect(wallet.tokenStatus() == .ready)
        #expect(try await desk.sandbox.tokens(of: desk.user).map(\.issued) == [20])
    }

    @Test func afterShutdownEveryCallIsRefused() async throws {
        let desk = try await Desk()
        let wallet = try await desk.ready(try await desk.host())
        wallet.shutdown()
        wallet.shutdown()
        let calls: [@Sendable () async throws -> Void] = [
            { _ = try await wallet.connect(user: desk.user) }, { try await wallet.disconnect() },
            { try await wallet.syncToken() }, { try await wallet.activate(mode: .silent, progress: Silence()) },
            { try await wallet.confirmActivation(progress: Silence()) }, { try await wallet.replenish() },
            { try await wallet.lock() }, { try await wallet.unlock() }, { try await wallet.deleteToken() },
            { _ = try wallet.credentials() }, { _ = try wallet.authenticate(method: .fingerprint) },
            { _ = try wallet.transactions(before: nil, limit: 1) },
        ]
        for call in calls {
            let error = try await walletError(call)
            guard case .ShutDown = error else {
                Issue.record("another error: \(error)")
                continue
            }
        }
        #expect(wallet.processApdu(apdu: Data([0x00, 0xA4, 0x04, 0x00])).count == 2)
        wallet.fieldLost(reason: .linkLost)
        wallet.networkAvailable()
        wallet.prewarm()
        _ = wallet.readiness()
    }

    @Test func aWalletThatIsShutDownDuringATapLosesItsTap() async throws {
        let desk = try await Desk()
        let box = Locked(Weak())
        let permit = Permit {
            box.withLock { $0.wallet }?.shutdown()
            return .proceed
        }
        let wallet = try await desk.ready(try await desk.host(permit: permit))
        box.withLock { $0.wallet = wallet }
        let result = await blocking { Reader(wallet: wallet).pay(100) }
        if case .online = result { Issue.record("a tap was paid by a wallet that was shut down") }
        let again = try await eventually { try desk.open(try await desk.host()) }
        #expect(try again.credentials().usable == 20)
    }

    @Test func aWalletThatIsReleasedDuringATapAnswersItsTerminal() async throws {
        let desk = try await Desk()
        let (asked, released) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let permit = Permit {
            asked.signal()
            return released.wait(timeout: .now() + 10) == .success ? .proceed : .decline
        }
        let kept = Locked<Wallet?>(try await desk.ready(try await desk.host(permit: permit)))
        let tap = Task {
            await blocking { kept.withLock { $0 }.map { Reader(wallet: $0).pay(100) } }
        }
        await blocking { asked.wait() }
        kept.withLock { $0 = nil }
        released.signal()
        #expect(await tap.value == .online(atc: 1))
        let again = try await eventually { try desk.open(try await desk.host()) }
        #expect(try again.credentials().usable == 19)
    }

    @Test func aThreadThatIsEndingMayUseAndReleaseTheWallet() async throws {
        let desk = try await Desk()
        let late = Late(try await desk.ready(try await desk.host()))
        let result = await blocking { () -> TapResult? in
            late.isKeptByThisThread()
            return late.wallet.withLock { $0 }.map { Reader(wallet: $0).pay(100) }
        }
        #expect(result == .online(atc: 1))
        await blocking { late.isGone.wait() }
        #expect(late.answer.withLock { $0 } == Data([0x6D, 0x00]))
        let again = try await eventually { try desk.open(try await desk.host()) }
        #expect(try again.credentials().usable == 19)
    }

    @Test func oneDirectoryIsOneWallet() async throws {
        let desk = try await Desk()
        let wallet = try await desk.ready(try await desk.host())
        let same = try desk.open(try await desk.host())
        #expect(same.tokenStatus() == .ready)
        wallet.shutdown()
        #expect(same.tokenStatus() != .ready)
    }
}

/// What a thread keeps: it goes when everything that the library kept of the thread is gone.
private final class Late: Sendable {
    let wallet: Locked<Wallet?>
    let answer = Locked<Data?>(nil)
    let isGone = DispatchSemaphore(value: 0)

    init(_ wallet: Wallet) { self.wallet = Locked(wallet) }

    func isKeptByThisThread() {
        var key = pthread_key_t()
        #if canImport(Darwin)
            pthread_key_create(&key) { Unmanaged<Late>.fromOpaque($0).takeRetainedValue().end() }
        #else
            pthread_key_create(&key) { if let kept = $0 { Unmanaged<Late>.fromOpaque(kept).takeRetainedValue().end() } }
        #endif
        pthread_setspecific(key, Unmanaged.passRetained(self).toOpaque())
    }

    private func end() {
        let unknown = Data([0x00, 0xFE, 0x00, 0x00])
        answer.withLock { $0 = wallet.withLock { $0?.processApdu(apdu: unknown) } }
        wallet.withLock { $0 = nil }
        isGone.signal()
    }
}

/// Three tasks manage the token, five pay.
private func use(_ wallet: Wallet, as number: Int) async -> [TapResult] {
    switch number {
    case 0: _ = try? await wallet.syncToken()
    case 1: _ = try? await wallet.replenish()
    case 2:
        for _ in 0..<50 {
            _ = wallet.tokenStatus()
            _ = try? wallet.credentials()
            _ = wallet.readiness()
        }
    default: return [await blocking { Reader(wallet: wallet).pay(100) }]
    }
    return []
}
