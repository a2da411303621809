import Foundation
import NFCWallet
import NFCWalletSoftware

/// How the host behaves; one for all its interfaces.
final class Behaviour: Sendable {
    let lines: Lines
    private let now = Locked(State())

    private struct State {
        var permit = "proceed"
        var device = DeviceState(
            nfcOn: true, defaultPaymentApp: true, screenOn: true, unlocked: true, integrity: .safe)
        var online = true
        var deviceFault = Fault.none
        var keyStoreFault = Fault.none
        var proxyFault = Fault.none
        var listenerFault = Fault.none
        /// The tap whose start a faulty listener did not tell: its end, which may come after the mending,
        /// is not told either.
        var untold: UInt64?
        var hold: HoldAt?
    }

    init(lines: Lines) { self.lines = lines }

    func change(_ change: HostChange) {
        now.withLock { state in
            let device = state.device
            let integrity = change.safe.map { $0 ? IntegrityVerdict.safe : .unsafe(reason: "rooted") }
            state.device = DeviceState(
                nfcOn: change.nfcOn ?? device.nfcOn,
                defaultPaymentApp: change.defaultPaymentApp ?? device.defaultPaymentApp,
                screenOn: change.screenOn ?? device.screenOn,
                unlocked: change.unlocked ?? device.unlocked,
                integrity: integrity ?? device.integrity)
            state.online = change.online ?? state.online
            state.permit = change.permit ?? state.permit
            state.deviceFault = change.device ?? state.deviceFault
            state.keyStoreFault = change.keyStore ?? state.keyStoreFault
            state.proxyFault = change.proxy ?? state.proxyFault
            state.listenerFault = change.listener ?? state.listenerFault
        }
    }

    func hold(_ at: HoldAt) { now.withLock { $0.hold = at } }

    /// Where this request is to be stopped, if it is the one.
    func held(_ kind: String) -> HoldAt? {
        now.withLock { state in
            guard var hold = state.hold, hold.requestType == kind else { return nil }
            hold.nth = hold.nth > 0 ? hold.nth - 1 : 0
            state.hold = hold.nth > 0 ? hold : nil
            return hold.nth > 0 ? nil : hold
        }
    }

    var permit: String { now.withLock { $0.permit } }
    var isOnline: Bool { now.withLock { $0.online } }
    var proxyFault: Fault { now.withLock { $0.proxyFault } }
    var keyStoreFault: Fault { now.withLock { $0.keyStoreFault } }

    /// New keys end an invalidation, as they do on a phone.
    func renewKeys() { now.withLock { if $0.keyStoreFault == .invalidated { $0.keyStoreFault = .none } } }

    /// An event of the wallet, told unless the listener is to misbehave.
    func tell(_ name: String, _ fields: [String: JSON] = [:], starts: UInt64? = nil, ends: UInt64? = nil) throws
        -> Delivered
    {
        // A listener that hangs goes on when its fault is taken away.
        while now.withLock({ $0.listenerFault == .hang }) { Thread.sleep(forTimeInterval: 0.002) }
        let fault = now.withLock { state -> Fault in
            let fault = state.listenerFault
            if let starts { state.untold = fault == .none ? nil : starts }
            let isUntold = ends != nil && ends == state.untold
            return isUntold ? .fail : fault
        }
        try misbehave(fault)
        lines.event(name, fields)
        return .done
    }

    /// A host's bug: Swift's own unexpected errors are errors of a type that the wallet does not know.
    struct Bug: Error {}

    func misbehave(_ fault: Fault) throws {
        switch fault {
        case .none: break
        case .fail, .locked, .invalidated: throw HostError.Failed(reason: "as told")
        case .hang: Thread.sleep(forTimeInterval: 3_600)
        case .panic: throw Bug()
        }
    }
}

extension Behaviour: DeviceInfo {
    func fingerprint() throws -> DeviceFingerprint {
        try misbehave(now.withLock { $0.deviceFault })
        return DeviceFingerprint(text: "sandbox-phone")
    }

    func state() throws -> DeviceState {
        try misbehave(now.withLock { $0.deviceFault })
        return now.withLock { $0.device }
    }
}

extension Behaviour: TransactionListener {
    func onStart(tap: UInt64) throws -> Delivered { try tell("start", ["tap": JSON(tap)], starts: tap) }

    func onComplete(tap: UInt64, record: TransactionRecord) throws -> Delivered {
        guard case .complete(let atc, let reference, _) = record.outcome else {
            throw HostError.Failed(reason: "a completed tap with another outcome")
        }
        let transaction = record.transaction
        let fields: [String: JSON] = [
            "tap": JSON(tap), "amount_minor": JSON(transaction.amountMinor), "currency": JSON(transaction.currency),
            "atc": JSON(atc), "reference": JSON(reference.hex.lowercased()),
        ]
        return try tell("complete", fields, ends: tap)
    }

    func onFailed(tap: UInt64, failure: TapFailure, transaction: TransactionInformation?) throws -> Delivered {
        let advice = failure.advice().map { name($0) }
        return try tell(
            "failed", ["tap": JSON(tap), "code": JSON(failure.code()), "advice": JSON(advice)], ends: tap)
    }

    func onAuthRequired(tap: UInt64, transaction: TransactionInformation) throws -> Delivered {
        try tell("auth_required", ["tap": JSON(tap)])
    }
}

extension Behaviour: ActivationListener {
    func onProgress(progress: ActivationProgress) throws -> Delivered {
        let fields: [String: JSON] = [
            "mode": JSON("\(progress.mode)"), "phase": JSON(snakeCase("\(progress.phase)")),
            "step": JSON(progress.step), "total": JSON(progress.total), "percent": JSON(progress.percent),
            "step_up_required": .bool(progress.stepUpRequired), "elapsed_ms": JSON(progress.elapsedMs),
            "remaining_ms": JSON(progress.remainingMs),
        ]
        return try tell("progress", fields)
    }

    func onActivated() throws -> Delivered { try tell("activated") }
}

extension Behaviour: Monitor {
    func track(event: MonitorEvent) throws -> Delivered {
        try tell("monitor", ["id": JSON(event.id), "fields": .object(event.fields.mapValues { JSON($0) })])
    }
}

/// The words of a name that Swift writes together.
func snakeCase(_ name: String) -> String {
    name.map { $0.isUppercase ? "_\($0.lowercased())" : "\($0)" }.joined()
}
