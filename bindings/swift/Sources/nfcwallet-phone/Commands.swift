import Foundation
import NFCWallet
import NFCWalletSoftware

/// What a phone does with each call.
struct Commands: Sendable {
    let wallet: Wallet
    let behaviour: Behaviour
    let proxy: PhoneProxy
    let clock: TestClock?

    /// Calls that run beside each other; all others are done in order.
    static let long: Set = [
        "connect", "disconnect", "sync", "activate", "confirm", "replenish", "lock", "unlock", "delete",
    ]

    /// One of the ``long`` calls.
    func run(_ request: Request) async -> Result<JSON, CallFailure> {
        do {
            return .success(try await long(request))
        } catch {
            return .failure(failure(error))
        }
    }

    /// Any other call.
    func answer(_ request: Request, _ change: HostChange, _ hold: HoldAt?) -> Result<JSON, CallFailure> {
        do {
            return .success(try short(request, change, hold))
        } catch {
            return .failure(failure(error))
        }
    }

    private func long(_ request: Request) async throws -> JSON {
        switch request.call {
        case "connect":
            let user = try request.user.orMisuse("connect needs user")
            // Being offline is no obstacle: the wallet connects locally and catches up later.
            try? await proxy.logIn(user)
            return json(of: try await wallet.connect(user: user))
        case "disconnect":
            try await wallet.disconnect()
            proxy.logOut()
        case "sync": return json(of: try await wallet.syncToken())
        case "activate":
            try await wallet.activate(mode: request.silent == true ? .silent : .manual, progress: behaviour)
            return json(of: wallet.tokenStatus())
        case "confirm":
            try await wallet.confirmActivation(progress: behaviour)
            return json(of: wallet.tokenStatus())
        case "replenish": return ["count": JSON(try await wallet.replenish())]
        case "lock": return json(of: try await wallet.lock())
        case "unlock": return json(of: try await wallet.unlock())
        case "delete": try await wallet.deleteToken()
        default: throw CallFailure.misuse("there is no call \(request.call)")
        }
        return [:]
    }

    private func short(_ request: Request, _ change: HostChange, _ hold: HoldAt?) throws -> JSON {
        switch request.call {
        case "apdu": return try apdu(request)
        case "status": return json(of: wallet.tokenStatus())
        case "credentials": return json(of: try wallet.credentials())
        case "authenticate": return ["window_ms": JSON(try wallet.authenticate(method: .fingerprint))]
        case "transactions":
            let limit = try request.limit.orMisuse("transactions needs limit")
            let page = try wallet.transactions(before: nil, limit: limit)
            return ["transactions": .array(page.transactions.map(json(of:)))]
        case "readiness":
            let report = wallet.readiness()
            return [
                "ready": .bool(report.isReady), "blocking": .array(report.blocking.map { JSON(name($0.condition)) }),
            ]
        case "reference":
            let reference = try request.hex.flatMap(Data.init(hex:)).orMisuse("reference is not hex")
            try wallet.setTransactionReference(reference: reference)
        case "host": behaviour.change(change)
        case "hold": behaviour.hold(try hold.orMisuse("hold needs its fields"))
        case "clock":
            let clock = try clock.orMisuse("this phone has the real clock")
            clock.advance(byMs: request.advanceMs ?? 0)
            if let offset = request.wallOffsetMs { clock.setWallOffset(offsetMs: offset) }
        case "cancel_authentication": wallet.cancelAuthentication()
        case "field_lost": wallet.fieldLost(reason: .linkLost)
        case "network_available": wallet.networkAvailable()
        case "prewarm": wallet.prewarm()
        case "suspend": try wallet.suspend()
        case "shutdown": wallet.shutdown()
        default: throw CallFailure.misuse("there is no call \(request.call)")
        }
        return [:]
    }

    private func apdu(_ request: Request) throws -> JSON {
        let command = try request.hex.flatMap(Data.init(hex:)).orMisuse("apdu is not hex")
        let started = ContinuousClock.now
        let answer = wallet.processApdu(apdu: command)
        let micros = (ContinuousClock.now - started) / .microseconds(1)
        return ["hex": JSON(answer.hex), "micros": .int(Int64(micros))]
    }
}

extension Optional {
    /// The value, or the driver's own mistake.
    fileprivate func orMisuse(_ text: String) throws -> Wrapped {
        guard let self else { throw CallFailure.misuse(text) }
        return self
    }
}

/// Any error as a line.
func failure(_ error: any Error) -> CallFailure {
    switch error {
    case let error as CallFailure: return error
    case let error as WalletError:
        return CallFailure(code: error.code(), text: error.text(), advice: name(error.advice()))
    default: return .misuse("\(error)")
    }
}

/// A case as Rust spells it, without what it holds.
func name<Value>(_ value: Value) -> String {
    let name = "\(value)".prefix { $0 != "(" }
    return name.prefix(1).uppercased() + name.dropFirst()
}

private func json(of status: TokenStatus) -> JSON {
    ["status": JSON(status.code()), "page": JSON(name(status.page()))]
}

private func json(of connection: Connection) -> JSON {
    [
        "status": JSON(connection.status.code()), "page": JSON(name(connection.status.page())),
        "service": JSON(connection.service?.code()), "recovered_from": JSON(connection.recoveredFrom?.code()),
    ]
}

private func json(of stock: CredentialStock) -> JSON {
    [
        "usable": JSON(stock.usable), "threshold": JSON(stock.threshold), "target": JSON(stock.target),
        "next_expiry_ms": JSON(stock.nextExpiryMs), "retry_in_ms": JSON(stock.retryInMs),
    ]
}

private func json(of suspenders: [Suspender]) -> JSON {
    ["suspended_by": .array(suspenders.map { JSON("\($0)") })]
}

private func json(of record: TransactionRecord) -> JSON {
    let transaction = record.transaction
    var outcome: (name: String, code: UInt32, atc: UInt16?)
    switch record.outcome {
    case .complete(let atc, _, _): outcome = ("complete", 10_000, atc)
    case .failed(let code): outcome = ("failed", code, nil)
    }
    return [
        "amount": JSON(transaction.amount), "amount_minor": JSON(transaction.amountMinor),
        "currency": JSON(transaction.currency), "kind": kind(of: transaction.kind), "outcome": JSON(outcome.name),
        "code": JSON(outcome.code), "atc": JSON(outcome.atc),
    ]
}

private func kind(of kind: TransactionKind) -> JSON {
    if case .other = kind { return "" }
    return JSON(snakeCase("\(kind)").uppercased())
}
