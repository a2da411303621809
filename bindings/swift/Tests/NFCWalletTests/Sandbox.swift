import Foundation
import NFCWallet
import NFCWalletSoftware

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The servers of `nfcwallet-sandbox serve`, in a process of their own: one for all tests.
///
/// The program is the one that NFCWALLET_SANDBOX names.
struct Sandbox: Sendable {
    let server: URL
    let control: URL
    let trustKey: Data

    private struct Served: Decodable {
        let mpp: String
        let control: String
        let trustKey: String
    }

    /// Started by the first test that asks.
    static let shared = Result { try start() }

    private static func start() throws -> Sandbox {
        guard let program = ProcessInfo.processInfo.environment["NFCWALLET_SANDBOX"] else {
            throw Trouble("NFCWALLET_SANDBOX names no program; run `cargo xtask test swift`")
        }
        let folder = try temporaryFolder()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["serve", "--data", folder.path]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        // A pipe that outlives the tests would keep who reads it.
        process.standardError = FileHandle.nullDevice
        try process.run()
        stopAtExit(process)
        let file = folder.appendingPathComponent("serve.json")
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if let sandbox = try? read(file) { return sandbox }
            Thread.sleep(forTimeInterval: 0.02)
        }
        throw Trouble("the servers did not start within a minute")
    }

    private static func read(_ file: URL) throws -> Sandbox {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let served = try decoder.decode(Served.self, from: Data(contentsOf: file))
        guard let server = URL(string: "http://\(served.mpp)"), let control = URL(string: "http://\(served.control)"),
            let key = Data(hexDigits: served.trustKey)
        else { throw Trouble("serve.json has another form") }
        return Sandbox(server: server, control: control, trustKey: key)
    }

    /// A token at the service.
    struct Token: Decodable, Sendable {
        let user: String
        let state: String
        /// Credentials handed out.
        let issued: UInt32
    }

    /// The tokens of `user` that are not deleted.
    func tokens(of user: String) async throws -> [Token] {
        struct State: Decodable {
            struct Service: Decodable { let tokens: [Token] }
            let service: Service
        }
        let (data, _) = try await URLSession.shared.data(from: control.appendingPathComponent("control/state"))
        let tokens = try JSONDecoder().decode(State.self, from: data).service.tokens
        return tokens.filter { $0.user == user && $0.state != "deleted" }
    }
}

/// Why a test cannot go on.
struct Trouble: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The servers end with the tests.
private func stopAtExit(_ process: Process) {
    servers.withLock { $0.append(process) }
    atexit { servers.withLock { for server in $0 { server.terminate() } } }
}

private let servers = Locked<[Process]>([])

func temporaryFolder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("nfcwallet-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

extension Data {
    init?(hexDigits text: String) {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, digits.count.isMultiple(of: 2) else { return nil }
        self.init(stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
    }
}
