//  The lines between a driver and a phone: docs/phone-protocol.md.

import Foundation
import NFCWalletSoftware

/// One call of the driver; which fields there are goes by `call`.
struct Request: Decodable, Sendable {
    let id: UInt64
    let call: String
    let user: String?
    let silent: Bool?
    let hex: String?
    let limit: UInt32?
    let advanceMs: UInt64?
    let wallOffsetMs: Int64?

    /// What a line of the driver is.
    enum Reading {
        case understood(Request, HostChange, HoldAt?)
        /// With an id, and something that is wrong.
        case misuse(id: UInt64, String)
        /// Without an id to answer under.
        case notUnderstood(String)
    }

    private struct Id: Decodable {
        let id: UInt64
    }

    static func read(_ line: Data) -> Reading {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard String(bytes: line, encoding: .utf8) != nil else { return .notUnderstood("no UTF-8") }
        let id: UInt64
        do {
            id = try decoder.decode(Id.self, from: line).id
        } catch {
            return .notUnderstood("\(error)")
        }
        do {
            let request = try decoder.decode(Request.self, from: line)
            let change = request.call == "host" ? try decoder.decode(HostChange.self, from: line) : HostChange()
            let hold = request.call == "hold" ? try decoder.decode(HoldAt.self, from: line) : nil
            return .understood(request, change, hold)
        } catch {
            return .misuse(id: id, "\(error)")
        }
    }
}

/// How the host behaves from now on; what is absent stays as it is.
struct HostChange: Decodable, Sendable {
    var permit: String?
    var nfcOn: Bool?
    var defaultPaymentApp: Bool?
    var screenOn: Bool?
    var unlocked: Bool?
    var safe: Bool?
    var online: Bool?
    var device: Fault?
    var keyStore: Fault?
    var proxy: Fault?
    var listener: Fault?
}

/// How an interface misbehaves.
enum Fault: String, Decodable, Sendable {
    case none, fail, hang, panic, locked, invalidated
}

/// Where a request is stopped.
struct HoldAt: Decodable, Sendable {
    enum When: String, Decodable, Sendable {
        case before, after
    }

    let requestType: String
    var nth: UInt32
    let when: When
    let forMs: UInt64?
}

/// A failed call.
struct CallFailure: Error {
    let code: UInt32
    let text: String
    let advice: String

    /// The driver's own mistake.
    static func misuse(_ text: String) -> CallFailure { CallFailure(code: 10_011, text: text, advice: "ReportBug") }

    var json: JSON { ["code": JSON(code), "text": JSON(text), "advice": JSON(advice)] }
}

/// Writes lines to standard output, each whole.
final class Lines: Sendable {
    private let turn = Locked(())

    func answer(_ id: UInt64, _ outcome: Result<JSON, CallFailure>) {
        switch outcome {
        case .success(let value): write(["id": JSON(id), "ok": value])
        case .failure(let failure): write(["id": JSON(id), "error": failure.json])
        }
    }

    func event(_ name: String, _ fields: [String: JSON] = [:]) {
        write(.object(fields.merging(["event": JSON(name)]) { $1 }))
    }

    private func write(_ line: JSON) {
        guard var bytes = try? JSONEncoder().encode(line) else { return }
        bytes.append(0x0A)
        // A driver that is gone ends this process through its standard input.
        turn.withLock { _ in try? FileHandle.standardOutput.write(contentsOf: bytes) }
    }
}
