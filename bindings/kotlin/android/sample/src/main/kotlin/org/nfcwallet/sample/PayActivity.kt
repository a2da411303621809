package org.nfcwallet.sample

import android.app.Activity
import android.app.role.RoleManager
import android.content.ComponentName
import android.content.Intent
import android.nfc.NfcAdapter
import android.nfc.cardemulation.CardEmulation
import android.os.Build
import android.provider.Settings
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import org.nfcwallet.Advice
import org.nfcwallet.Condition
import org.nfcwallet.NFCWallet
import org.nfcwallet.TapEvent
import org.nfcwallet.TapFailure
import org.nfcwallet.TransactionRecord
import org.nfcwallet.WalletException

/** The payment screen: in the foreground, this app takes the taps, whichever app is the default. */
abstract class PayActivity : Activity() {
    private val app get() = application as PayApp
    private val service get() = ComponentName(this, PayService::class.java)
    private val cards get() = NfcAdapter.getDefaultAdapter(this)?.let(CardEmulation::getInstance)

    /** Of the screen while it is seen. */
    private var seen: CoroutineScope? = null

    abstract fun showLogin()

    /** "Hold the phone to the reader again." */
    abstract fun showTapAgain()

    /** Not "paid" yet: the app's server knows that. */
    abstract fun showDone(record: TransactionRecord)

    /** This phone does not pay as it is, and why: the app's own verdict knows. */
    abstract fun showUnsafe()

    abstract fun showFailure(advice: Advice?)

    override fun onStart() {
        super.onStart()
        val scope = MainScope().also { seen = it }
        scope.launch {
            app.session.isLoggedIn.first { !it }
            showLogin()
        }
        scope.launch {
            try {
                val wallet = app.opened()
                wallet.taps.collect { onTap(wallet, it) }
            } catch (error: WalletException) {
                showFailure(error.advice())
            }
        }
    }

    override fun onStop() {
        seen?.cancel()
        super.onStop()
    }

    private fun onTap(wallet: NFCWallet, event: TapEvent) {
        when (event) {
            is TapEvent.Started -> {}
            is TapEvent.AuthRequired -> proveUser(this, wallet, ::showTapAgain)
            is TapEvent.Completed -> showDone(event.record)
            is TapEvent.Failed -> when (val failure = event.failure) {
                TapFailure.CdcvmRequired -> {} // 10003: `AuthRequired` came just before
                TapFailure.DeviceUnsafe -> showUnsafe() // 10002: an update helps an old system only
                else -> showFailure(failure.advice())
            }
        }
    }

    override fun onResume() {
        super.onResume()
        if (cards?.categoryAllowsForegroundPreference(CardEmulation.CATEGORY_PAYMENT) == true) {
            app.phone.isPreferred = cards?.setPreferredService(this, service) == true
        }
    }

    override fun onPause() {
        cards?.unsetPreferredService(this)
        app.phone.isPreferred = false
        super.onPause()
    }

    /** What the user can do about the first thing in the way of a tap; `null` where nothing is. */
    fun nextSetting(wallet: NFCWallet): Intent? =
        when (wallet.readiness().blocking.firstOrNull()?.condition) {
            Condition.NfcOff -> Intent(Settings.ACTION_NFC_SETTINGS)
            Condition.NotDefaultPaymentApp -> askToBeDefault()
            else -> null
        }

    /** For `startActivityForResult`: started otherwise, the question for a role is not shown. */
    private fun askToBeDefault(): Intent {
        if (Build.VERSION.SDK_INT >= ANDROID_15) {
            return getSystemService(RoleManager::class.java).createRequestRoleIntent(WALLET_ROLE)
        }
        return Intent(CardEmulation.ACTION_CHANGE_DEFAULT)
            .putExtra(CardEmulation.EXTRA_CATEGORY, CardEmulation.CATEGORY_PAYMENT)
            .putExtra(CardEmulation.EXTRA_SERVICE_COMPONENT, service)
    }

    private companion object {
        const val ANDROID_15 = 35

        /** `RoleManager.ROLE_WALLET`, by its value: it is newer than the classes that this is compiled against. */
        const val WALLET_ROLE = "android.app.role.WALLET"
    }
}
