package org.nfcwallet.sample

import android.app.KeyguardManager
import android.content.ComponentName
import android.content.Context
import android.nfc.NfcAdapter
import android.nfc.cardemulation.CardEmulation
import android.os.PowerManager
import android.provider.Settings
import org.nfcwallet.DeviceFingerprint
import org.nfcwallet.DeviceInfo
import org.nfcwallet.DeviceState

/** What the phone says of itself. Each tap asks, and waits 100 ms: system services answer within a few. */
class PhoneFacts(private val context: Context, private val integrity: Integrity) : DeviceInfo {
    private val power = context.getSystemService(PowerManager::class.java)
    private val keyguard = context.getSystemService(KeyguardManager::class.java)
    private val service = ComponentName(context, PayService::class.java)

    /** The payment screen is in the foreground, and takes the taps whichever app is the default. */
    @Volatile
    var isPreferred = false

    override fun fingerprint(): DeviceFingerprint =
        DeviceFingerprint(Settings.Secure.getString(context.contentResolver, Settings.Secure.ANDROID_ID))

    override fun state(): DeviceState {
        val nfc = NfcAdapter.getDefaultAdapter(context)
        val cards = nfc?.let(CardEmulation::getInstance)
        return DeviceState(
            nfcOn = nfc?.isEnabled == true,
            defaultPaymentApp =
                isPreferred || cards?.isDefaultServiceForCategory(service, CardEmulation.CATEGORY_PAYMENT) == true,
            screenOn = power.isInteractive,
            unlocked = !keyguard.isDeviceLocked,
            integrity = integrity.verdict(),
        )
    }
}
