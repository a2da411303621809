import Foundation
import NFCWallet

/// The arguments of a phone: docs/phone-protocol.md, "Start".
struct Options {
    var directory = ""
    var server = ""
    var trustKey = Data()
    var user: String?
    var testClock = false
    var proxyDeadlineMs: UInt64 = 15_000
    var keyStoreDeadlineMs: UInt64 = 5_000
    var tapDeadlineMs: UInt64 = 100
    var keyStore: Fault?
    var logFile: String?
    var transit = false
    var lockedTransit = false
    var historyLimit: UInt32 = 1_000
    var passwordFree: [CvmLimit] = []

    /// What is wrong with an argument.
    struct Misuse: Error, CustomStringConvertible {
        let description: String
    }

    init(_ arguments: [String]) throws {
        var rest = arguments.makeIterator()
        while let name = rest.next() {
            switch name {
            case "--test-clock": testClock = true
            case "--transit": transit = true
            case "--locked-transit": lockedTransit = true
            default:
                guard let value = rest.next() else { throw Misuse(description: "\(name) has no value") }
                guard try take(name, value) else { throw Misuse(description: "\(name) is unknown") }
            }
        }
        if directory.isEmpty || server.isEmpty || trustKey.isEmpty {
            throw Misuse(description: "--directory, --mpp and --trust-key are needed")
        }
    }

    private mutating func take(_ name: String, _ value: String) throws -> Bool {
        func checked<Value>(_ read: Value?) throws -> Value {
            guard let read else { throw Misuse(description: "\(name) \(value) cannot be read") }
            return read
        }
        switch name {
        case "--directory": directory = value
        case "--mpp": server = value
        case "--trust-key": trustKey = try checked(Data(hex: value))
        case "--user": user = value
        case "--proxy-deadline-ms": proxyDeadlineMs = try checked(UInt64(value))
        case "--key-store-deadline-ms": keyStoreDeadlineMs = try checked(UInt64(value))
        case "--tap-deadline-ms": tapDeadlineMs = try checked(UInt64(value))
        case "--key-store": keyStore = try checked(Fault(rawValue: value))
        case "--log-file": logFile = value
        case "--history-limit": historyLimit = try checked(UInt32(value))
        case "--password-free": passwordFree.append(try checked(Self.limit(value)))
        default: return false
        }
        return true
    }

    /// Currency by number, colon, minor units.
    private static func limit(_ text: String) -> CvmLimit? {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2, let currency = UInt16(parts[0]), let amount = UInt64(parts[1]) else { return nil }
        return CvmLimit(currency: currency, amountMinor: amount)
    }
}
