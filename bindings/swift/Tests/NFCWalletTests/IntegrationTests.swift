//  The code of the package's articles and of docs/integrate-ios.md, as it runs. `cargo xtask test swift`
//  compares.

import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// What the system tells an app, and what the app does then.
final class CardApp: Sendable {
    let wallet: Wallet
    /// Everything that a reader asks, in its order.
    private let reader = DispatchQueue(label: "reader")

    init(wallet: Wallet) { self.wallet = wallet }

    /// At the launch, so that the first tap loads nothing.
    func launched() {
        reader.async { self.wallet.prewarm() }
    }

    /// Each APDU of the card session.
    func answer(_ apdu: Data) async -> Data {
        await withCheckedContinuation { session in
            reader.async { session.resume(returning: self.wallet.processApdu(apdu: apdu)) }
        }
    }

    /// The reader is gone, or the session ends.
    func readerIsGone() {
        reader.async { self.wallet.fieldLost(reason: .linkLost) }
    }

    /// The network path is satisfied again.
    func networkIsBack() {
        wallet.networkAvailable()
    }

    /// The scene is in the background; within a background task.
    func wentToTheBackground() throws {
        try wallet.suspend()
    }
}

/// The name of a tap at the app's server: 16 hex digits. Nil of a tap that ended without a cryptogram.
func reference(of record: TransactionRecord) -> String? {
    guard case .complete(_, let reference, _) = record.outcome else { return nil }
    return reference.map { String(format: "%02x", $0) }.joined()
}

/// What the user is offered after a failure, of a call or of a tap.
func offer(after advice: Advice?) -> String {
    switch advice {
    case .retry: "Try again"
    case .reconnect: "Log in"
    case .authenticate: "Show that it is you"
    case .replenish, .sync: "Refresh the card"
    case .unlock: "Unlock the card"
    case .confirm: "Confirm the card"
    case .reactivate: "Set the card up anew"
    case .freeSpace: "Free storage"
    case .updateApp: "Update"
    case .reportBug: "Contact support"
    case nil: ""  // the app's own decision, or a payment that this card does not make
    }
}

func fillUp(_ wallet: Wallet) async throws -> String {
    do {
        return "\(try await wallet.replenish()) new credentials"
    } catch let error as WalletError {
        return offer(after: error.advice())
    }
}

@Suite(.timeLimit(.minutes(5)))
struct IntegrationTests {
    @Test func aReaderThatLeavesIsToldAndTheAdviceIsToTryAgain() async throws {
        let desk = try await Desk()
        let taps = TransactionEvents()
        let app = CardApp(wallet: try await desk.ready(try await desk.host(transactions: taps)))
        app.launched()
        let stream = taps.stream()
        let select = Data([0x00, 0xA4, 0x04, 0x00, 0x0E]) + Data("2PAY.SYS.DDF01".utf8) + Data([0])
        #expect(await app.answer(select).suffix(2) == Data([0x90, 0x00]))
        app.readerIsGone()
        let end = try await first(of: stream) { if case .failed = $0 { true } else { false } }
        guard case .failed(_, let failure, _) = end else { throw Trouble("another end: \(end)") }
        #expect(failure == .linkLost)
        #expect(offer(after: failure.advice()) == "Try again")
    }

    @Test func aTapIsAskedForUnderItsReference() async throws {
        let desk = try await Desk()
        let wallet = try await desk.ready(try await desk.host())
        let stream = desk.transactions.stream()
        try wallet.setTransactionReference(reference: Data("ORDER-01".utf8))
        #expect(await blocking { Reader(wallet: wallet).pay(100) } == .online(atc: 1))
        let end = try await first(of: stream) { if case .completed = $0 { true } else { false } }
        guard case .completed(_, let record) = end else { throw Trouble("another end: \(end)") }
        #expect(reference(of: record) == "4f524445522d3031")
        let failed = TransactionRecord(
            timeMs: 0, transaction: record.transaction, outcome: .failed(code: TapFailure.cdcvmRequired.code()))
        #expect(reference(of: failed) == nil)
    }

    @Test func theWalletPaysAfterTheBackground() async throws {
        let desk = try await Desk()
        let app = CardApp(wallet: try await desk.ready(try await desk.host()))
        try app.wentToTheBackground()
        app.networkIsBack()
        #expect(await blocking { Reader(wallet: app.wallet).pay(100) } == .online(atc: 1))
    }

    @Test func aFailureSaysWhatToOffer() async throws {
        let desk = try await Desk()
        let wallet = try desk.open(try await desk.host())
        #expect(try await fillUp(wallet) == "Log in")
        _ = try await wallet.connect(user: desk.user)
        for try await _ in wallet.activation(.manual) {}
        try await wallet.lock()
        #expect(try await fillUp(wallet) == "Unlock the card")
    }

    @Test func theAppsOwnDecisionHasNoAdvice() {
        #expect(TapFailure.declinedByApp.advice() == nil)
        #expect(TapFailure.customDecline(number: 1).advice() == nil)
        #expect(TapFailure.cdcvmRequired.advice() == .authenticate)
        #expect(offer(after: TapFailure.tokenUnavailable.advice()) == "Refresh the card")
    }
}
