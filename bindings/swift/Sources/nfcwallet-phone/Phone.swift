//  A wallet in a process of its own, driven line by line: docs/phone-protocol.md.

import Foundation
import NFCWallet
import NFCWalletSoftware

@main
struct Phone {
    static func main() {
        let started = ContinuousClock.now
        do {
            let options = try Options(Array(CommandLine.arguments.dropFirst()))
            let lines = Lines()
            guard let commands = try open(options, lines) else { exit(1) }
            let millis = (ContinuousClock.now - started) / .milliseconds(1)
            lines.event("ready", ["status": JSON(commands.wallet.tokenStatus().code()), "millis": .double(millis)])
            obey(commands, lines)
        } catch {
            log("\(error)")
            exit(1)
        }
        // Calls that hang on purpose must not keep the process.
        exit(0)
    }

    /// The opened phone; nil, after saying why, where the wallet does not open.
    private static func open(_ options: Options, _ lines: Lines) throws -> Commands? {
        guard let server = URL(string: "http://\(options.server)") else {
            throw Options.Misuse(description: "--mpp \(options.server) is no address")
        }
        let behaviour = Behaviour(lines: lines)
        behaviour.change(HostChange(keyStore: options.keyStore))
        let proxy = PhoneProxy(server: server, behaviour: behaviour)
        if let user = options.user { logIn(user, proxy) }
        if let path = options.logFile { setLogSink(level: .trace, sink: try LogFile(path)) }
        let directory = URL(fileURLWithPath: options.directory)
        let keys = try SoftwareKeyStore(folder: directory.appendingPathComponent("hardware"))
        let permit = PhonePermit(behaviour: behaviour)
        let host = WalletHost(
            proxy: proxy, keyStore: PhoneKeyStore(keys: keys, behaviour: behaviour), device: behaviour,
            permit: permit, transactions: behaviour, activation: behaviour, monitor: behaviour)
        let clock = options.testClock ? TestClock() : nil
        do {
            let config = config(options, in: directory.appendingPathComponent("wallet"))
            let wallet =
                try clock.map { try Wallet.withTestClock(config: config, host: host, clock: $0) }
                ?? Wallet(config: config, host: host)
            permit.callsBack(into: wallet)
            return Commands(wallet: wallet, behaviour: behaviour, proxy: proxy, clock: clock)
        } catch let error as WalletError {
            lines.event("not_opened", ["error": failure(error).json])
            return nil
        }
    }

    private static func config(_ options: Options, in folder: URL) -> WalletConfig {
        let deadlines = Deadlines(
            proxyMs: options.proxyDeadlineMs, keyStoreMs: options.keyStoreDeadlineMs,
            deviceStateMs: options.tapDeadlineMs, permitMs: options.tapDeadlineMs)
        return WalletConfig(
            dataDirectory: folder.path, mppId: "sandbox-mpp", serviceTrustKey: options.trustKey,
            supportTransit: options.transit, supportLockScreenPay: options.lockedTransit,
            passwordFreeLimits: options.passwordFree, historyLimit: options.historyLimit, deadlines: deadlines)
    }

    /// As an app that kept its session. Being offline is no obstacle.
    private static func logIn(_ user: String, _ proxy: PhoneProxy) {
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            try? await proxy.logIn(user)
            done.signal()
        }
        done.wait()
    }

    /// APDUs and other short calls are answered in order; long ones run beside each other.
    private static func obey(_ commands: Commands, _ lines: Lines) {
        forEachLine(of: FileHandle.standardInput) { line in
            switch Request.read(line) {
            case .understood(let request, let change, let hold):
                if Commands.long.contains(request.call) {
                    Task.detached { lines.answer(request.id, await commands.run(request)) }
                } else {
                    lines.answer(request.id, commands.answer(request, change, hold))
                }
            case .misuse(let id, let text): lines.answer(id, .failure(.misuse(text)))
            case .notUnderstood(let reason): lines.event("not_understood", ["reason": JSON(reason)])
            }
        }
    }

    /// Lines as bytes, since not every line is text.
    private static func forEachLine(of file: FileHandle, _ act: (Data) -> Void) {
        var rest = Data()
        while true {
            let chunk = file.availableData
            if chunk.isEmpty { break }
            rest.append(chunk)
            while let end = rest.firstIndex(of: 0x0A) {
                act(Data(rest[..<end]))
                rest = Data(rest[rest.index(after: end)...])
            }
        }
        if !rest.isEmpty { act(rest) }
    }

    private static func log(_ text: String) {
        FileHandle.standardError.write(Data("\(text)\n".utf8))
    }
}

/// Everything that the wallet logs, as lines of a file.
private final class LogFile: LogSink {
    private let file: FileHandle

    init(_ path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil) else {
            throw Options.Misuse(description: "--log-file \(path) cannot be written")
        }
        file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    func onLogs(batch: LogBatch) throws -> Delivered {
        let lines = batch.records.map { "\($0.timeMs) \($0.level) \($0.target) \($0.text)\n" }
        try file.write(contentsOf: Data(lines.joined().utf8))
        return .done
    }
}
