//  The code of README.md, as it runs. `cargo xtask test swift` compares.

import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

@Suite(.timeLimit(.minutes(5)))
struct QuickStartTests {
    @Test func theQuickStartPays() async throws {
        let desk = try await Desk()
        let (server, trustKey, user) = (desk.sandbox.server, desk.sandbox.trustKey, desk.user)
        let folder = desk.folder.appendingPathComponent("wallet")
        let keys = desk.keys

        let taps = TransactionEvents()
        let proxy = try await HTTPRequestProxy.logIn(server: server, user: user)
        let app = App()
        let host = WalletHost(
            proxy: proxy, keyStore: keys, device: app, permit: app,
            transactions: taps, activation: ActivationEvents(), monitor: app)
        let config = WalletConfig(
            dataDirectory: folder.path, mppId: "sandbox-mpp", serviceTrustKey: trustKey)
        let wallet = try Wallet(config: config, host: host)

        _ = try await wallet.connect(user: user)
        if wallet.page() == .activation {
            for try await progress in wallet.activation(.manual) {
                print("\(progress.percent) % \(progress.phase)")
            }
        }

        let stream = taps.stream()
        let result = await blocking { Reader(wallet: wallet).pay(1_250) }
        #expect(result == .online(atc: 1))
        let event = try await first(of: stream) { if case .completed = $0 { true } else { false } }
        show(event)
    }

    private func show(_ event: TransactionEvent) {
        switch event {
        case .started: print("hold the phone still")
        case .completed(_, let record): print("sent: \(record.transaction.amount ?? "")")
        case .failed(_, let failure, _): print(failure.text())
        case .authenticationRequired: print("show your face, then tap again")
        }
    }
}

/// What the wallet asks of the app itself.
final class App: DeviceInfo, TransactionPermit, Monitor {
    func fingerprint() throws -> DeviceFingerprint { DeviceFingerprint(text: "a name of this installation") }

    func state() throws -> DeviceState {
        DeviceState(nfcOn: true, defaultPaymentApp: true, screenOn: true, unlocked: true, integrity: .safe)
    }

    func isAllowed(authBefore: Bool, transaction: TransactionInformation, risk: RiskControl) throws
        -> PermitDecision
    {
        risk.proceed ? .proceed : .needAuth
    }

    func track(event: MonitorEvent) throws -> Delivered { .done }
}
