import Foundation
import NFCWallet

/// What a terminal got from a tap.
enum TapResult: Equatable {
    /// A cryptogram to go online with, and the counter of its credential.
    case online(atc: UInt16)
    /// The card declined (AAC).
    case declined
    /// The card refused a command.
    case refused(status: UInt16)
}

/// A terminal that buys something: just enough of EMV to get to GENERATE AC. It verifies nothing; the
/// terminals that do are among the tests in Rust.
struct Reader {
    let wallet: Wallet

    private struct Refusal: Error { let status: UInt16 }

    /// One tap of an amount in euro cents.
    func pay(_ cents: UInt64) -> TapResult {
        do {
            return try tap(cents)
        } catch let refusal as Refusal {
            return .refused(status: refusal.status)
        } catch {
            return .refused(status: 0)
        }
    }

    private func tap(_ cents: UInt64) throws -> TapResult {
        _ = try send([0x00, 0xA4, 0x04, 0x00], Data("2PAY.SYS.DDF01".utf8))
        let application = try send([0x00, 0xA4, 0x04, 0x00], Data([0xA0, 0x00, 0x00, 0x00, 0x04, 0x10, 0x10]))
        let wanted = values(for: find(0x9F38, in: application) ?? Data(), cents)
        let options = try send([0x80, 0xA8, 0x00, 0x00], Data([0x83, UInt8(wanted.count)]) + wanted)
        var dataObjects: Data?
        for (file, record) in records(find(0x94, in: options) ?? Data()) {
            let answer = try send([0x00, 0xB2, record, file << 3 | 0b100], nil)
            dataObjects = dataObjects ?? find(0x8C, in: answer)
        }
        // ARQC, with CDA (EMV Book 3, 6.5.5).
        let cryptogram = try send([0x80, 0xAE, 0x90, 0x00], values(for: dataObjects ?? Data(), cents))
        guard let kind = find(0x9F27, in: cryptogram)?.first, let atc = find(0x9F36, in: cryptogram), atc.count == 2
        else { throw Trouble("an answer without cryptogram or counter") }
        let counter = atc.reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        return kind & 0xC0 == 0x80 ? .online(atc: counter) : .declined
    }

    private func send(_ header: [UInt8], _ data: Data?) throws -> Data {
        let body = data.map { Data([UInt8($0.count)]) + $0 } ?? Data()
        let answer = wallet.processApdu(apdu: Data(header) + body + [0])
        let status = answer.suffix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        guard status == 0x9000 else { throw Refusal(status: status) }
        return Data(answer.dropLast(2))
    }

    /// The records that an AFL names: file and number (EMV Book 3, 10.2).
    private func records(_ locator: Data) -> [(UInt8, UInt8)] {
        stride(from: 0, to: locator.count - 3, by: 4).flatMap { at -> [(UInt8, UInt8)] in
            let entry = Array(locator.dropFirst(at).prefix(4))
            return (entry[1]...entry[2]).map { (entry[0] >> 3, $0) }
        }
    }

    /// What a data object list asks for; zeros for what this terminal does not know.
    private func values(for list: Data, _ cents: UInt64) -> Data {
        var bytes = Array(list)[...]
        var values = Data()
        while let tag = takeTag(&bytes), let length = bytes.popFirst() {
            let value = known(tag, cents)
            values += value.count == Int(length) ? value : Data(count: Int(length))
        }
        return values
    }

    private func known(_ tag: UInt32, _ cents: UInt64) -> Data {
        switch tag {
        case 0x9F02: Data(hexDigits: String(format: "%012llu", cents)) ?? Data()
        case 0x9F1A: Data([0x02, 0x76])
        case 0x5F2A: Data([0x09, 0x78])
        case 0x9A: Data([0x26, 0x11, 0x22])
        case 0x9F37: Data((0..<4).map { _ in UInt8.random(in: .min ... .max) })
        case 0x9F35: Data([0x21])
        case 0x9F34: Data([0x3F, 0x00, 0x02])
        case 0x9F15: Data([0x54, 0x11])
        case 0x9F1D: Data([0xCC, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00])
        default: Data()
        }
    }

    /// The first object of this tag, wherever it is nested.
    private func find(_ wanted: UInt32, in bytes: Data) -> Data? {
        var rest = Array(bytes)[...]
        while let tag = takeTag(&rest), let length = takeLength(&rest), rest.count >= length {
            let value = Data(rest.prefix(length))
            rest = rest.dropFirst(length)
            if tag == wanted { return value }
            let isConstructed = (tag > 0xFF ? tag >> 8 : tag) & 0x20 != 0
            if isConstructed, let found = find(wanted, in: value) { return found }
        }
        return nil
    }

    private func takeTag(_ bytes: inout ArraySlice<UInt8>) -> UInt32? {
        guard let first = bytes.popFirst() else { return nil }
        guard first & 0x1F == 0x1F else { return UInt32(first) }
        return bytes.popFirst().map { UInt32(first) << 8 | UInt32($0) }
    }

    private func takeLength(_ bytes: inout ArraySlice<UInt8>) -> Int? {
        guard let first = bytes.popFirst() else { return nil }
        guard first > 0x80 else { return Int(first) }
        return (0..<(first & 0x7F)).reduce(Optional(0)) { length, _ in
            bytes.popFirst().flatMap { byte in length.map { $0 << 8 | Int(byte) } }
        }
    }
}
