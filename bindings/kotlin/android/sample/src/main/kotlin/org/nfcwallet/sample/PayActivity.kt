package org.nfcwallet.sample

import android.app.Activity
import android.content.ComponentName
import android.content.Intent
import android.nfc.NfcAdapter
import android.nfc.cardemulation.CardEmulation
import android.provider.Settings
import org.nfcwallet.Condition
import org.nfcwallet.NFCWallet

/** The payment screen: in the foreground, this app takes the taps, whichever app is the default. */
abstract class PayActivity : Activity() {
    private val app get() = application as PayApp
    private val service get() = ComponentName(this, PayService::class.java)
    private val cards get() = NfcAdapter.getDefaultAdapter(this)?.let(CardEmulation::getInstance)

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

    /** From Android 15 on, `RoleManager.ROLE_WALLET` is asked for instead. */
    private fun askToBeDefault(): Intent =
        Intent(CardEmulation.ACTION_CHANGE_DEFAULT)
            .putExtra(CardEmulation.EXTRA_CATEGORY, CardEmulation.CATEGORY_PAYMENT)
            .putExtra(CardEmulation.EXTRA_SERVICE_COMPONENT, service)
}
