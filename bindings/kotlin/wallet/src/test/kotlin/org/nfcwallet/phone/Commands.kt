package org.nfcwallet.phone

import com.eclipsesource.json.JsonObject
import org.nfcwallet.*

/** What a phone does with each call of `docs/phone-protocol.md`. */
class Commands(
    val wallet: NFCWallet,
    private val behaviour: Behaviour,
    private val proxy: PhoneProxy,
    private val listener: PhoneListener,
    private val clock: TestClock?,
) {
    /** The line that answers [request]. */
    suspend fun answer(request: Request): JsonObject {
        val id = request.id
        return try {
            jsonOf("id" to id, "ok" to run(request))
        } catch (error: WalletException) {
            jsonOf("id" to id, "error" to errorLine(error))
        } catch (error: Misuse) {
            jsonOf("id" to id, "error" to jsonOf("code" to 10_011, "text" to error.text, "advice" to "ReportBug"))
        }
    }

    private suspend fun run(request: Request): JsonObject =
        when (val name = request.call) {
            "connect" -> connect(request.text("user"))
            "disconnect" -> done { wallet.disconnect().also { proxy.logOut() } }
            "status" -> status(wallet.tokenStatus())
            "sync" -> status(wallet.syncToken())
            "activate" -> {
                val isSilent = request.optionalFlag("silent") ?: false
                wallet.activate(if (isSilent) ActivationMode.SILENT else ActivationMode.MANUAL, listener)
                status(wallet.tokenStatus())
            }
            "confirm" -> {
                wallet.confirmActivation(listener)
                status(wallet.tokenStatus())
            }
            "replenish" -> jsonOf("count" to wallet.replenish())
            "credentials" -> credentials(wallet.credentials())
            "lock" -> suspenders(wallet.lock())
            "unlock" -> suspenders(wallet.unlock())
            "delete" -> done { wallet.deleteToken() }
            "authenticate" -> jsonOf("window_ms" to wallet.authenticate(CdcvmMethod.FINGERPRINT))
            "cancel_authentication" -> done { wallet.cancelAuthentication() }
            "apdu" -> apdu(request.bytes("hex"))
            "field_lost" -> done { wallet.fieldLost(FieldLoss.LINK_LOST) }
            "reference" -> done { wallet.setTransactionReference(request.bytes("hex")) }
            "transactions" -> transactions(request.number("limit").toUInt())
            "readiness" -> readiness(wallet.readiness())
            "network_available" -> done { wallet.networkAvailable() }
            "prewarm" -> done { wallet.prewarm() }
            "suspend" -> done { wallet.suspend() }
            "shutdown" -> done { wallet.close() }
            "host" -> done { behaviour.change(request) }
            "clock" -> done { move(request) }
            "hold" -> done { behaviour.hold(hold(request)) }
            else -> throw Misuse("no call is named $name")
        }

    private suspend fun connect(user: String): JsonObject {
        // Being offline is no obstacle: the wallet connects locally and catches up later.
        try {
            proxy.logIn(user)
        } catch (error: HostException) {
            System.err.println("not logged in at the app's server: $error")
        }
        val connection = wallet.connect(user)
        return status(connection.status)
            .add("service", jsonOrNull(connection.service))
            .add("recovered_from", jsonOrNull(connection.recoveredFrom))
    }

    private fun apdu(command: ByteArray): JsonObject {
        val started = System.nanoTime()
        val answer = wallet.processApdu(command)
        val micros = (System.nanoTime() - started) / 1_000
        return jsonOf("hex" to answer.toHexString(HexFormat.UpperCase), "micros" to micros)
    }

    private fun transactions(limit: UInt): JsonObject =
        jsonOf("transactions" to wallet.transactions(limit = limit).transactions.map(::transaction))

    private fun move(request: Request) {
        val clock = clock ?: throw Misuse("this phone has the real clock")
        clock.advance((request.optionalNumber("advance_ms") ?: 0).toULong())
        request.optionalNumber("wall_offset_ms", least = Long.MIN_VALUE)?.let(clock::setWallOffset)
    }
}

private inline fun done(act: () -> Unit): JsonObject {
    act()
    return JsonObject()
}

private fun hold(request: Request): Hold = Hold(
    requestType = request.text("request_type"),
    nth = request.number("nth"),
    isBefore = when (val side = request.text("when")) {
        "before" -> true
        "after" -> false
        else -> throw Misuse("when cannot be $side")
    },
    forMs = request.optionalNumber("for_ms"),
)

private fun jsonOrNull(error: WalletException?) = jsonOf("code" to error?.code()).get("code")

private fun status(status: TokenStatus): JsonObject =
    jsonOf("status" to status.code(), "page" to camelCase(status.page().name))

private fun suspenders(by: List<Suspender>): JsonObject = jsonOf("suspended_by" to by.map { it.name.lowercase() })

private fun credentials(stock: CredentialStock): JsonObject = jsonOf(
    "usable" to stock.usable,
    "threshold" to stock.threshold,
    "target" to stock.target,
    "next_expiry_ms" to stock.nextExpiryMs,
    "retry_in_ms" to stock.retryInMs,
)

private fun readiness(report: Readiness): JsonObject = jsonOf(
    "ready" to report.isReady,
    "blocking" to report.blocking.map { it.condition.javaClass.simpleName },
)

private fun transaction(record: TransactionRecord): JsonObject {
    val outcome = record.outcome
    val complete = outcome as? TransactionOutcome.Complete
    return jsonOf(
        "amount" to record.transaction.amount,
        "amount_minor" to record.transaction.amountMinor,
        "currency" to record.transaction.currency,
        "kind" to snakeCase(record.transaction.kind.javaClass.simpleName).uppercase(),
        "outcome" to if (complete != null) "complete" else "failed",
        "code" to if (outcome is TransactionOutcome.Failed) outcome.code else 10_000u,
        "atc" to complete?.atc,
    )
}

/** An error as a line. */
fun errorLine(error: WalletException): JsonObject =
    jsonOf("code" to error.code(), "text" to error.text(), "advice" to camelCase(error.advice().name))
