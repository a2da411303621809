package org.nfcwallet.desk

import java.util.concurrent.BlockingQueue
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import org.nfcwallet.*
import org.nfcwallet.desktop.SoftwareKeyStore

/** A host in good order, each of whose interfaces a test can replace or disturb. */
class TestHost(private val network: NFCRequestProxy) {
    /** Called in the place of the way to the server. */
    @Volatile
    var onRequest: suspend (RequestType, ByteArray) -> Reply = network::sendRequest

    /** The keys; a test may put others in their place. */
    @Volatile
    var keys: DeviceKeyStore = SoftwareKeyStore.inMemory()

    /** Called before each method of its interface. */
    @Volatile
    var onKeys: () -> Unit = {}

    @Volatile
    var onDevice: () -> Unit = {}

    @Volatile
    var onTap: () -> Unit = {}

    @Volatile
    var onActivation: () -> Unit = {}

    @Volatile
    var onMonitor: () -> Unit = {}

    @Volatile
    var onPermit: () -> PermitDecision = { PermitDecision.Proceed }

    @Volatile
    var fingerprint: String = "test-phone"

    /** How taps ended, in order: 10000, or the failure's code. */
    private val ends: BlockingQueue<UInt> = LinkedBlockingQueue()

    /** The end of the next tap that was told. */
    fun nextEnd(): UInt = checkNotNull(ends.poll(PATIENCE_S, TimeUnit.SECONDS)) { "no tap's end was told" }

    /** Mends everything. */
    fun mend() {
        onRequest = network::sendRequest
        onKeys = {}
        onDevice = {}
        onTap = {}
        onActivation = {}
        onMonitor = {}
        onPermit = { PermitDecision.Proceed }
    }

    val host: Host = Host(
        proxy = object : NFCRequestProxy {
            override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply = onRequest(kind, body)
        },
        keyStore = Keys(),
        device = Device(),
        permit = object : TransactionPermit {
            override fun isAllowed(
                authBefore: Boolean,
                transaction: TransactionInformation,
                risk: RiskControl,
            ): PermitDecision = onPermit()
        },
        transactions = Taps(),
        activation = object : ActivationListener {
            override fun onProgress(progress: ActivationProgress): Delivered = done(onActivation)

            override fun onActivated(): Delivered = done(onActivation)
        },
        monitor = object : Monitor {
            override fun track(event: MonitorEvent): Delivered = done(onMonitor)
        },
    )

    private fun done(act: () -> Unit): Delivered {
        act()
        return Delivered.DONE
    }

    private inner class Keys : DeviceKeyStore {
        private fun keys(): DeviceKeyStore {
            onKeys()
            return keys
        }

        override fun publicKey(): DevicePublicKey = keys().publicKey()

        override fun sign(message: ByteArray): Signature = keys().sign(message)

        override fun wrap(key: ByteArray): Wrapped = keys().wrap(key)

        override fun unwrap(wrapped: Wrapped): Unwrapped = keys().unwrap(wrapped)

        override fun renew(): Stored = keys().renew()

        override fun anchor(): Anchor = keys().anchor()

        override fun setAnchor(bytes: ByteArray): Stored = keys().setAnchor(bytes)
    }

    private inner class Device : DeviceInfo {
        override fun fingerprint(): DeviceFingerprint {
            onDevice()
            return DeviceFingerprint(this@TestHost.fingerprint)
        }

        override fun state(): DeviceState {
            onDevice()
            return DeviceState(
                nfcOn = true,
                defaultPaymentApp = true,
                screenOn = true,
                unlocked = true,
                integrity = IntegrityVerdict.Safe,
            )
        }
    }

    private inner class Taps : TransactionListener {
        override fun onStart(tap: ULong): Delivered = done(onTap)

        override fun onComplete(tap: ULong, record: TransactionRecord): Delivered {
            ends.add(10_000u)
            return done(onTap)
        }

        override fun onFailed(tap: ULong, failure: TapFailure, transaction: TransactionInformation?): Delivered {
            ends.add(failure.code())
            return done(onTap)
        }

        override fun onAuthRequired(tap: ULong, transaction: TransactionInformation): Delivered = done(onTap)
    }

    private companion object {
        const val PATIENCE_S = 20L
    }
}
