package org.nfcwallet.sample

import android.util.Log
import org.nfcwallet.ActivationListener
import org.nfcwallet.ActivationProgress
import org.nfcwallet.Delivered
import org.nfcwallet.Monitor
import org.nfcwallet.MonitorEvent
import org.nfcwallet.PermitDecision
import org.nfcwallet.RiskControl
import org.nfcwallet.TapFailure
import org.nfcwallet.TransactionInformation
import org.nfcwallet.TransactionListener
import org.nfcwallet.TransactionPermit
import org.nfcwallet.TransactionRecord

/** The app's own rules, from what it knows already: 100 ms, no network. */
class Permit : TransactionPermit {
    override fun isAllowed(
        authBefore: Boolean,
        transaction: TransactionInformation,
        risk: RiskControl,
    ): PermitDecision = if (risk.proceed || authBefore) PermitDecision.Proceed else PermitDecision.NeedAuth
}

/** For screens there are flows (`NFCWallet.taps`); this is for what must be heard without one. */
object TapNotes : TransactionListener {
    override fun onStart(tap: ULong): Delivered = Delivered.DONE

    override fun onComplete(tap: ULong, record: TransactionRecord): Delivered = Delivered.DONE

    override fun onFailed(tap: ULong, failure: TapFailure, transaction: TransactionInformation?): Delivered {
        Log.i("Pay", "tap failed: ${failure.text()} (${failure.code()}), ${failure.advice()}")
        return Delivered.DONE
    }

    override fun onAuthRequired(tap: ULong, transaction: TransactionInformation): Delivered = Delivered.DONE
}

object ActivationNotes : ActivationListener {
    override fun onProgress(progress: ActivationProgress): Delivered = Delivered.DONE

    override fun onActivated(): Delivered = Delivered.DONE
}

/** The app's analytics. */
object Figures : Monitor {
    override fun track(event: MonitorEvent): Delivered {
        Log.i("Pay", "${event.id} ${event.fields}")
        return Delivered.DONE
    }
}
