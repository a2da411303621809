package org.nfcwallet

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.async
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive

/*
 * Whatever a host throws becomes an error of its interface here, an `Error` too: the generated bindings
 * catch exceptions only, so that a missing class would otherwise read as a zeroed answer, or keep a call
 * waiting for ever.
 */

/** The same host, none of whose failures gets lost. Its suspending calls run in [scope]. */
internal fun Host.guarded(scope: CoroutineScope, events: Events): Host =
    Host(
        proxy = GuardedProxy(proxy, scope),
        keyStore = GuardedKeyStore(keyStore),
        device = GuardedDevice(device),
        permit = GuardedPermit(permit),
        transactions = events.transactions,
        activation = events.activation,
        monitor = events.monitor,
    )

/** Runs a host's method; lets its typed errors through, and gives every other [Throwable] a type. */
internal inline fun <T> guarded(call: () -> T): T =
    try {
        call()
    } catch (error: HostException) {
        throw error
    } catch (thrown: Throwable) {
        throw HostException.Unexpected(wordsOf(thrown))
    }

private inline fun <T> guardedKeys(call: () -> T): T =
    try {
        call()
    } catch (error: KeyStoreException) {
        throw error
    } catch (thrown: Throwable) {
        throw KeyStoreException.Unexpected(wordsOf(thrown))
    }

/** The first line of what [thrown] says of itself, where it can. */
internal fun wordsOf(thrown: Throwable): String =
    try {
        thrown.toString().lineSequence().first().take(REASON_LIMIT)
    } catch (_: Throwable) {
        thrown.javaClass.name
    }

private const val REASON_LIMIT = 200

private class GuardedProxy(private val inner: NFCRequestProxy, private val scope: CoroutineScope) : NFCRequestProxy {
    /**
     * A cancelled call cancels the host's. The host's own cancellation (its scope has ended, a `withTimeout`
     * of its own ran out) is a failure like any other.
     */
    override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply {
        val running = scope.async { guarded { inner.sendRequest(kind, body) } }
        try {
            return running.await()
        } catch (error: CancellationException) {
            running.cancel()
            currentCoroutineContext().ensureActive()
            throw HostException.Failed("the wallet was closed")
        }
    }
}

private class GuardedKeyStore(private val inner: DeviceKeyStore) : DeviceKeyStore {
    override fun publicKey(): DevicePublicKey = guardedKeys { inner.publicKey() }

    override fun sign(message: ByteArray): Signature = guardedKeys { inner.sign(message) }

    override fun wrap(key: ByteArray): Wrapped = guardedKeys { inner.wrap(key) }

    override fun unwrap(wrapped: Wrapped): Unwrapped = guardedKeys { inner.unwrap(wrapped) }

    override fun renew(): Stored = guardedKeys { inner.renew() }

    override fun anchor(): Anchor = guardedKeys { inner.anchor() }

    override fun setAnchor(bytes: ByteArray): Stored = guardedKeys { inner.setAnchor(bytes) }
}

private class GuardedDevice(private val inner: DeviceInfo) : DeviceInfo {
    override fun fingerprint(): DeviceFingerprint = guarded { inner.fingerprint() }

    override fun state(): DeviceState = guarded { inner.state() }
}

private class GuardedPermit(private val inner: TransactionPermit) : TransactionPermit {
    override fun isAllowed(
        authBefore: Boolean,
        transaction: TransactionInformation,
        risk: RiskControl,
    ): PermitDecision = guarded { inner.isAllowed(authBefore, transaction, risk) }
}
