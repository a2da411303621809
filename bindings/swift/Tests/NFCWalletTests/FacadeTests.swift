import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// What Swift adds: streams and the software hosts.
@Suite(.timeLimit(.minutes(5)))
struct FacadeTests {
    @Test func theStepsOfAnActivationComeAsAStream() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        _ = try await wallet.connect(user: desk.user)
        var percents: [UInt8] = []
        for try await progress in wallet.activation(.manual) { percents.append(progress.percent) }
        #expect(percents == percents.sorted())
        #expect(percents.last == 100)
        #expect(wallet.page() == .payment)
    }

    @Test func aSilentActivationIsConfirmed() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        _ = try await wallet.connect(user: desk.user)
        for try await _ in wallet.activation(.silent) {}
        #expect(wallet.tokenStatus() == .prepared)
        for try await _ in wallet.confirmation() {}
        #expect(wallet.tokenStatus() == .ready)
    }

    @Test func aStreamOfAnActivationThatFailsThrowsItsError() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        let error = try await walletError { for try await _ in wallet.activation(.manual) {} }
        guard case .NotConnected = error else {
            Issue.record("another error: \(error)")
            return
        }
        #expect(error.code() == 10_006)
        #expect(error.advice() == .reconnect)
    }

    @Test func tapsComeAsAStream() async throws {
        let desk = try await Desk()
        let (one, other) = (desk.transactions.stream(), desk.transactions.stream())
        let wallet = try await desk.ready(try await desk.host())
        try wallet.setTransactionReference(reference: Data([1, 2, 3, 4]))
        #expect(await blocking { Reader(wallet: wallet).pay(1_250) } == .online(atc: 1))
        for stream in [one, other] {
            let event = try await first(of: stream) { if case .completed = $0 { true } else { false } }
            guard case .completed(_, let record) = event else { continue }
            #expect(record.transaction.amount == "12.50 EUR")
            guard case .complete(let atc, let reference, _) = record.outcome else { continue }
            #expect(atc == 1)
            #expect(reference == Data([1, 2, 3, 4, 0, 0, 0, 0]))
        }
    }

    @Test func aStreamTellsEachNewStatusOnce() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        var statuses = wallet.statuses(every: .milliseconds(5)).makeAsyncIterator()
        #expect(await statuses.next() == .disconnected)
        _ = try await wallet.connect(user: desk.user)
        #expect(await statuses.next() == .noToken)
        for try await _ in wallet.activation(.manual) {}
        var last = await statuses.next()
        while last == .activating || last == .noCredentials { last = await statuses.next() }
        #expect(last == .ready)
    }

    @Test func theStatusStreamKeepsNoWallet() async throws {
        let desk = try await Desk()
        let box = Locked(Weak())
        let stream = try await { () async throws -> AsyncStream<TokenStatus> in
            let wallet = try desk.open(try await desk.host())
            box.withLock { $0.wallet = wallet }
            return wallet.statuses(every: .milliseconds(5))
        }()
        for await _ in stream {}
        #expect(box.withLock { $0.wallet } == nil)
    }

    @Test func aNewTapWithProofOfPresencePaysAHighAmount() async throws {
        let desk = try await Desk()
        let events = desk.transactions.stream()
        let wallet = try await desk.ready(try await desk.host())
        #expect(await blocking { Reader(wallet: wallet).pay(8_000) } == .declined)
        _ = try await first(of: events) { if case .authenticationRequired = $0 { true } else { false } }
        #expect(try wallet.authenticate(method: .facialBiometric) == 30_000)
        #expect(await blocking { Reader(wallet: wallet).pay(8_000) } == .online(atc: 1))
    }

    @Test func badArgumentsAreNamed() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        let error = try await walletError { try await wallet.connect(user: "") }
        guard case .InvalidInput(_, let field) = error else {
            Issue.record("another error: \(error)")
            return
        }
        #expect(field == "user")
        #expect("\(error.text())" == "user: is 0 characters, limit 1 to 64")
    }

    @Test func logsComeInBatches() async throws {
        let sink = Sink()
        setLogSink(level: .trace, sink: sink)
        let desk = try await Desk()
        let proxy = Proxy { _, _ in throw HostError.Failed(reason: "as told") }
        _ = try await desk.open(try await desk.host(proxy: proxy)).connect(user: desk.user)
        try await eventually { if sink.lines.withLock({ $0.isEmpty }) { throw Trouble("no log yet") } }
        setLogSink(level: .error, sink: nil)
        #expect(!sink.lines.withLock { $0.contains { $0.contains(desk.user) } })
    }

    @Test func theLibraryIsTheOneThatTheCodeWasGeneratedFrom() {
        let info = buildInfo()
        #expect(info.version.split(separator: ".").count == 3)
        #expect(info.features.isEmpty)
    }
}

/// Keeps every line, and throws all the same.
private final class Sink: LogSink {
    let lines = Locked<[String]>([])

    func onLogs(batch: LogBatch) throws -> Delivered {
        lines.withLock { $0 += batch.records.map(\.text) }
        throw AppBug()
    }
}
