package org.nfcwallet.phone

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import org.nfcwallet.DeviceState
import org.nfcwallet.IntegrityVerdict

/** Where a request is stopped on its way. */
data class Hold(val requestType: String, val nth: Long, val isBefore: Boolean, val forMs: Long?)

/** How the host behaves; one for all its interfaces. */
class Behaviour {
    private val lock = ReentrantLock()

    /** For listeners that hang until the driver mends them. */
    private val changed = lock.newCondition()
    private var device = DeviceState(
        nfcOn = true,
        defaultPaymentApp = true,
        screenOn = true,
        unlocked = true,
        integrity = IntegrityVerdict.Safe,
    )
    private var permit = "proceed"
    private var online = true
    private var deviceFault = Fault.NONE
    private var keyStoreFault = Fault.NONE
    private var proxyFault = Fault.NONE
    private var listenerFault = Fault.NONE
    private var hold: Hold? = null

    /**
     * The tap whose start a faulty listener did not tell: its end, which may come after the mending, is not
     * told either.
     */
    private var untold: ULong? = null

    fun change(change: Request): Unit = lock.withLock {
        fun flag(name: String, now: Boolean) = change.optionalFlag(name) ?: now
        fun fault(name: String, now: Fault) = change.optionalFault(name) ?: now
        device = device.copy(
            nfcOn = flag("nfc_on", device.nfcOn),
            defaultPaymentApp = flag("default_payment_app", device.defaultPaymentApp),
            screenOn = flag("screen_on", device.screenOn),
            unlocked = flag("unlocked", device.unlocked),
            integrity = change.optionalFlag("safe")?.let(::verdict) ?: device.integrity,
        )
        online = flag("online", online)
        permit = change.optionalText("permit") ?: permit
        deviceFault = fault("device", deviceFault)
        keyStoreFault = fault("key_store", keyStoreFault)
        proxyFault = fault("proxy", proxyFault)
        listenerFault = fault("listener", listenerFault)
        changed.signalAll()
    }

    private fun verdict(safe: Boolean): IntegrityVerdict =
        if (safe) IntegrityVerdict.Safe else IntegrityVerdict.Unsafe("rooted")

    fun permit(): String = lock.withLock { permit }

    fun isOnline(): Boolean = lock.withLock { online }

    fun proxyFault(): Fault = lock.withLock { proxyFault }

    fun keyStoreFault(): Fault = lock.withLock { keyStoreFault }

    fun startWithKeyStore(fault: Fault): Unit = lock.withLock { keyStoreFault = fault }

    /** New keys end the invalidation, as they do on a phone. */
    fun keysAreRenewed(): Unit = lock.withLock {
        if (keyStoreFault == Fault.INVALIDATED) keyStoreFault = Fault.NONE
    }

    fun fingerprintFault(): Fault = lock.withLock { deviceFault }

    fun deviceState(): DeviceState {
        fingerprintFault().act()
        return lock.withLock { device }
    }

    fun hold(at: Hold): Unit = lock.withLock { hold = at }

    /** Is this the request to stop? */
    fun held(requestType: String): Hold? = lock.withLock {
        val due = hold?.takeIf { it.requestType == requestType } ?: return null
        hold = if (due.nth > 1) due.copy(nth = due.nth - 1) else null
        return due.takeIf { it.nth <= 1 }
    }

    /**
     * What a listener does before it tells an event; [startOf] or [endOf] is the event's tap, where it is one
     * of a tap's two ends.
     */
    fun listen(startOf: ULong? = null, endOf: ULong? = null) {
        val fault = lock.withLock {
            while (listenerFault == Fault.HANG) changed.await()
            var fault = listenerFault
            if (startOf != null) untold = startOf.takeIf { fault != Fault.NONE }
            if (endOf != null && endOf == untold) fault = Fault.FAIL
            fault
        }
        fault.act()
    }
}
