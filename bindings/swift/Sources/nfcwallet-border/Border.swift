//  The measured phone in Swift: does what each line of standard input says, and answers how long the wallet's
//  calls took. Driven by `cargo xtask bench ffi`, whose Rust side (`bench/src/border`) knows the terminal.

import Foundation
import NFCWallet
import NFCWalletSoftware

/// What a line asks for; which fields there are goes by `call`.
private struct Request: Decodable {
    let call: String
    let apdus: [String]?
    let rounds: Int?
    let apartMs: UInt64?
}

/// What an answer says; what is absent has no line in it.
private struct Answer: Encodable {
    var loadNs: UInt64?
    var openNs: UInt64?
    var nanos: [UInt64]?
    var ends: [String]?
    var requests: Int?

    func write() throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        try FileHandle.standardOutput.write(contentsOf: encoder.encode(self) + [0x0A])
    }
}

/// A mistake of whoever started this.
private struct Misuse: Error {
    let text: String
}

/// A healthy phone without a network, which says so at once and counts who asks.
private final class App: NFCRequestProxy, DeviceInfo, TransactionPermit, TransactionListener, ActivationListener,
    Monitor
{
    let requests = Locked(0)

    func sendRequest(kind: RequestType, body: Data) async throws -> Reply {
        requests.withLock { $0 += 1 }
        throw HostError.Offline
    }

    func fingerprint() throws -> DeviceFingerprint { DeviceFingerprint(text: "border") }

    func state() throws -> DeviceState {
        DeviceState(nfcOn: true, defaultPaymentApp: true, screenOn: true, unlocked: true, integrity: .safe)
    }

    func isAllowed(authBefore: Bool, transaction: TransactionInformation, risk: RiskControl) throws
        -> PermitDecision
    {
        .proceed
    }

    func onStart(tap: UInt64) throws -> Delivered { .done }
    func onComplete(tap: UInt64, record: TransactionRecord) throws -> Delivered { .done }
    func onFailed(tap: UInt64, failure: TapFailure, transaction: TransactionInformation?) throws -> Delivered { .done }
    func onAuthRequired(tap: UInt64, transaction: TransactionInformation) throws -> Delivered { .done }
    func onProgress(progress: ActivationProgress) throws -> Delivered { .done }
    func onActivated() throws -> Delivered { .done }
    func track(event: MonitorEvent) throws -> Delivered { .done }
}

@main
struct Border {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst().map { $0 }
        guard arguments.count == 3, let trustKey = bytes(arguments[2]) else {
            throw Misuse(text: "expected: data folder, keys folder, trust key")
        }
        let load = nanos { _ = buildInfo() }
        let app = App()
        let keys = try SoftwareKeyStore(folder: URL(fileURLWithPath: arguments[1]))
        let host = WalletHost(
            proxy: app, keyStore: keys, device: app, permit: app, transactions: app, activation: app, monitor: app)
        // No tap is declined because the machine is busy.
        let deadlines = Deadlines(deviceStateMs: 1_000, permitMs: 1_000)
        let config = WalletConfig(
            dataDirectory: arguments[0], mppId: "bench-mpp", serviceTrustKey: trustKey, deadlines: deadlines)
        let start = ContinuousClock.now
        let wallet = try Wallet(config: config, host: host)
        try Answer(loadNs: load, openNs: since(start)).write()
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        while let line = readLine() {
            let request = try decoder.decode(Request.self, from: Data(line.utf8))
            switch request.call {
            case "prewarm": try Answer(nanos: [nanos { wallet.prewarm() }]).write()
            case "apdus": try answer(wallet, request).write()
            case "sync": try await sync(wallet, app, request.rounds ?? 0).write()
            default: throw Misuse(text: "no call of a measured phone: \(request.call)")
            }
        }
        // As a platform ends a process: without farewell.
        exit(0)
    }

    private static func answer(_ wallet: Wallet, _ request: Request) throws -> Answer {
        let apdus = try (request.apdus ?? []).map { text in
            guard let apdu = bytes(text) else { throw Misuse(text: "\(text) is not hex") }
            return apdu
        }
        var answer = Answer(nanos: [], ends: [])
        for _ in 0..<(request.rounds ?? 0) {
            var end = Data()
            for apdu in apdus {
                if let apart = request.apartMs, apart > 0 { Thread.sleep(forTimeInterval: Double(apart) / 1_000) }
                answer.nanos?.append(nanos { end = wallet.processApdu(apdu: apdu) })
            }
            answer.ends?.append(end.map { String(format: "%02x", $0) }.joined())
        }
        return answer
    }

    private static func sync(_ wallet: Wallet, _ app: App, _ rounds: Int) async throws -> Answer {
        let before = app.requests.withLock { $0 }
        var times: [UInt64] = []
        for _ in 0..<rounds {
            let start = ContinuousClock.now
            let status = try? await wallet.syncToken()
            times.append(since(start))
            guard status == nil else { throw Misuse(text: "a sync without a network succeeded") }
        }
        return Answer(nanos: times, requests: app.requests.withLock { $0 } - before)
    }

    private static func nanos(_ call: () -> Void) -> UInt64 {
        let start = ContinuousClock.now
        call()
        return since(start)
    }

    private static func since(_ start: ContinuousClock.Instant) -> UInt64 {
        UInt64((ContinuousClock.now - start) / .nanoseconds(1))
    }

    /// Two digits a byte.
    private static func bytes(_ text: String) -> Data? {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, digits.count.isMultiple(of: 2) else { return nil }
        return Data(stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
    }
}
