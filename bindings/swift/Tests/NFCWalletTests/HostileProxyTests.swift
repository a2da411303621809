import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// Proxies that fail, hang, answer nonsense, or call back.
@Suite(.timeLimit(.minutes(5)))
struct HostileProxyTests {
    @Test func aProxyThatIsOfflineConnectsLocally() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host(proxy: Proxy { _, _ in throw HostError.Offline }))
        let connection = try await wallet.connect(user: desk.user)
        #expect(reason(connection.service) == .offline)
        #expect(wallet.tokenStatus() == .noToken)
    }

    @Test func aProxyThatReportsItsFailureIsQuoted() async throws {
        let desk = try await Desk()
        let proxy = Proxy { _, _ in throw HostError.Failed(reason: "the server answered 502") }
        let wallet = try desk.open(try await desk.host(proxy: proxy))
        let connection = try await wallet.connect(user: desk.user)
        #expect(reason(connection.service) == .failed(reason: "the server answered 502"))
    }

    @Test func anErrorThatNobodyKnowsIsATypedFailure() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host(proxy: Proxy { _, _ in throw AppBug() }))
        let connection = try await wallet.connect(user: desk.user)
        #expect(connection.service?.code() == 19_022)
        await #expect(throws: WalletError.self) { try await wallet.syncToken() }
    }

    @Test func aProxyThatHangsCostsItsDeadlineAndIsCancelled() async throws {
        let desk = try await Desk()
        let ended = Locked(false)
        let proxy = Proxy { _, _ in
            defer { ended.withLock { $0 = true } }
            try await Task.sleep(for: .seconds(3_600))
            return Data()
        }
        let wallet = try desk.open(try await desk.host(proxy: proxy), limits: Limits(proxy: Desk.limit))
        let started = ContinuousClock.now
        let connection = try await wallet.connect(user: desk.user)
        #expect(ContinuousClock.now - started < .seconds(10))
        #expect(reason(connection.service) == .timedOut(limitMs: 300))
        try await eventually { if !ended.withLock({ $0 }) { throw Trouble("the host's task still runs") } }
    }

    @Test(arguments: [
        Data(), Data("<html>503</html>".utf8), Data([0xFF, 0xFE, 0x00]), Data(count: 300 * 1_024),
        Data(repeating: 0x5B, count: 100_000),
    ])
    func anAnswerThatTheServiceDidNotGiveChangesNothing(answer: Data) async throws {
        let desk = try await Desk()
        let good = try await desk.proxy()
        let spoils = Locked(false)
        let proxy = Proxy { kind, body in
            if spoils.withLock({ $0 }) { return answer }
            return try await good.sendRequest(kind: kind, body: body).body
        }
        let wallet = try await desk.ready(try await desk.host(proxy: proxy))
        spoils.withLock { $0 = true }
        let error = try await walletError { try await wallet.syncToken() }
        switch error {
        case .Network(_, let reason):
            #expect(answer.isEmpty ? reason == .empty : answer.count > 256 * 1_024)
        case .ProtocolViolation: #expect(!answer.isEmpty)
        default: Issue.record("another error: \(String(describing: error))")
        }
        spoils.withLock { $0 = false }
        #expect(try await wallet.syncToken() == .ready)
        #expect(try wallet.credentials().usable == 20)
    }

    @Test func aProxyThatCallsBackIsAnswered() async throws {
        let desk = try await Desk()
        let good = try await desk.proxy()
        let box = Locked(Weak())
        let seen = Locked(0)
        let proxy = Proxy { kind, body in
            if let wallet = box.withLock({ $0.wallet }) {
                _ = wallet.tokenStatus()
                _ = try? wallet.credentials()
                _ = wallet.readiness()
                #expect(wallet.processApdu(apdu: Data([0x00])).count >= 2)
                wallet.networkAvailable()
                seen.withLock { $0 += 1 }
            }
            return try await good.sendRequest(kind: kind, body: body).body
        }
        let wallet = try desk.open(try await desk.host(proxy: proxy))
        box.withLock { $0.wallet = wallet }
        _ = try await wallet.connect(user: desk.user)
        try await wallet.activate(mode: .manual, progress: Silence())
        #expect(wallet.tokenStatus() == .ready)
        #expect(seen.withLock { $0 } > 3)
    }

    private func reason(_ error: WalletError?) -> NetworkProblem? {
        if case .Network(_, let reason) = error { return reason }
        return nil
    }
}

struct Weak {
    weak var wallet: Wallet?
}
