package org.nfcwallet.phone

import java.net.URI
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.delay
import org.nfcwallet.*
import org.nfcwallet.desktop.HttpRequestProxy

/** The proxy of a phone: logged in or not, offline, faulty, or stopped on demand. */
class PhoneProxy(mpp: String, private val behaviour: Behaviour, private val lines: Lines) : NFCRequestProxy {
    private val server = URI("http://$mpp")

    /** Of the user who is logged in at the app's server. */
    @Volatile
    private var session: HttpRequestProxy? = null

    suspend fun logIn(user: String) {
        session = null
        if (!behaviour.isOnline()) throw HostException.Offline()
        session = HttpRequestProxy.logIn(server, user)
    }

    fun logOut() {
        session = null
    }

    override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply {
        if (!behaviour.isOnline()) throw HostException.Offline()
        val fault = behaviour.proxyFault()
        if (fault == Fault.HANG) awaitCancellation() else fault.act()
        val hold = behaviour.held(kind.name)
        if (hold?.isBefore == true) stop(hold)
        val reply = runCatching {
            (session ?: throw HostException.Failed("not logged in at the app's server")).sendRequest(kind, body)
        }
        if (hold?.isBefore == false) stop(hold)
        return reply.getOrThrow()
    }

    private suspend fun stop(hold: Hold) {
        lines.event("held", "request_type" to hold.requestType)
        hold.forMs?.let { delay(it) } ?: awaitCancellation()
    }
}

/** The key store of a phone, with faults on demand. */
class PhoneKeyStore(private val inner: DeviceKeyStore, private val behaviour: Behaviour) : DeviceKeyStore {
    private fun check() {
        when (val fault = behaviour.keyStoreFault()) {
            Fault.LOCKED -> throw KeyStoreException.Locked()
            Fault.INVALIDATED -> throw KeyStoreException.Invalidated()
            Fault.FAIL -> throw KeyStoreException.Failed("as told")
            else -> fault.act()
        }
    }

    override fun publicKey(): DevicePublicKey = check().let { inner.publicKey() }

    override fun sign(message: ByteArray): Signature = check().let { inner.sign(message) }

    override fun wrap(key: ByteArray): Wrapped = check().let { inner.wrap(key) }

    override fun unwrap(wrapped: Wrapped): Unwrapped = check().let { inner.unwrap(wrapped) }

    override fun renew(): Stored {
        behaviour.keysAreRenewed()
        check()
        return inner.renew()
    }

    override fun anchor(): Anchor = check().let { inner.anchor() }

    override fun setAnchor(bytes: ByteArray): Stored = check().let { inner.setAnchor(bytes) }
}

/** The device's own word. */
class PhoneDevice(private val behaviour: Behaviour) : DeviceInfo {
    override fun fingerprint(): DeviceFingerprint {
        behaviour.fingerprintFault().act()
        return DeviceFingerprint("sandbox-phone")
    }

    override fun state(): DeviceState = behaviour.deviceState()
}

/** Decides as it is told, or calls back into the wallet. */
class PhonePermit(private val behaviour: Behaviour) : TransactionPermit {
    @Volatile
    var wallet: NFCWallet? = null

    override fun isAllowed(
        authBefore: Boolean,
        transaction: TransactionInformation,
        risk: RiskControl,
    ): PermitDecision =
        when (val permit = behaviour.permit()) {
            "proceed" -> PermitDecision.Proceed
            "decline" -> PermitDecision.Decline
            "need_auth" -> PermitDecision.NeedAuth
            "obey_risk" -> if (risk.proceed) PermitDecision.Proceed else PermitDecision.CustomDecline(4u)
            "hang" -> PermitDecision.Proceed.also { Fault.HANG.act() }
            "panic" -> PermitDecision.Proceed.also { Fault.PANIC.act() }
            "re_enter" -> PermitDecision.Proceed.also { wallet?.let(::reEnter) }
            else -> {
                val number = permit.removePrefix("custom_").toUByteOrNull() ?: throw HostException.Failed("as told")
                PermitDecision.CustomDecline(number)
            }
        }

    /** Everything is answered, and the inner APDU declines the tap. */
    private fun reEnter(wallet: NFCWallet) {
        val inner = wallet.processApdu("80CA9F3600".hexToByteArray())
        wallet.tokenStatus()
        runCatching { wallet.setTransactionReference(inner) }
        runCatching { wallet.authenticate(CdcvmMethod.PASSWORD) }
        wallet.readiness()
    }
}

/** Tells the driver what the wallet tells its listeners. */
class PhoneListener(
    private val behaviour: Behaviour,
    private val lines: Lines,
) : TransactionListener, ActivationListener, Monitor {
    override fun onStart(tap: ULong): Delivered {
        behaviour.listen(startOf = tap)
        return tell("start", "tap" to tap)
    }

    override fun onComplete(tap: ULong, record: TransactionRecord): Delivered {
        behaviour.listen(endOf = tap)
        val outcome = record.outcome as? TransactionOutcome.Complete
            ?: throw HostException.Failed("a completed tap with another outcome")
        return tell(
            "complete",
            "tap" to tap,
            "amount_minor" to record.transaction.amountMinor,
            "currency" to record.transaction.currency,
            "atc" to outcome.atc,
            "reference" to outcome.reference.toHexString(),
        )
    }

    override fun onFailed(tap: ULong, failure: TapFailure, transaction: TransactionInformation?): Delivered {
        behaviour.listen(endOf = tap)
        val advice = failure.advice()?.let { camelCase(it.name) }
        return tell("failed", "tap" to tap, "code" to failure.code(), "advice" to advice)
    }

    override fun onAuthRequired(tap: ULong, transaction: TransactionInformation): Delivered {
        behaviour.listen()
        return tell("auth_required", "tap" to tap)
    }

    override fun onProgress(progress: ActivationProgress): Delivered {
        behaviour.listen()
        return tell(
            "progress",
            "mode" to progress.mode.name.lowercase(),
            "phase" to progress.phase.name.lowercase(),
            "step" to progress.step,
            "total" to progress.total,
            "percent" to progress.percent,
            "step_up_required" to progress.stepUpRequired,
            "elapsed_ms" to progress.elapsedMs,
            "remaining_ms" to progress.remainingMs,
        )
    }

    override fun onActivated(): Delivered {
        behaviour.listen()
        return tell("activated")
    }

    override fun track(event: MonitorEvent): Delivered {
        behaviour.listen()
        return tell("monitor", "id" to event.id, "fields" to event.fields)
    }

    private fun tell(name: String, vararg fields: Pair<String, Any?>): Delivered {
        lines.event(name, *fields)
        return Delivered.DONE
    }
}
