package org.nfcwallet.sample

import android.nfc.cardemulation.HostApduService
import android.os.Bundle
import org.nfcwallet.FieldLoss

/** The card, as Android's NFC service knows it. Android calls it on the main thread. */
class PayService : HostApduService() {
    private val app get() = application as PayApp

    override fun processCommandApdu(apdu: ByteArray, extras: Bundle?): ByteArray? {
        app.taps.execute { sendResponseApdu(app.walletOrNull()?.processApdu(apdu) ?: NOT_FOUND) }
        return null // `sendResponseApdu` answers
    }

    override fun onDeactivated(reason: Int) {
        val isOtherCard = reason == DEACTIVATION_DESELECTED
        val loss = if (isOtherCard) FieldLoss.OTHER_APPLICATION_SELECTED else FieldLoss.LINK_LOST
        app.taps.execute { app.walletOrNull()?.fieldLost(loss) }
    }

    private companion object {
        /** ISO 7816-4: no such application. What a wallet that is not there says. */
        val NOT_FOUND = byteArrayOf(0x6A, 0x82.toByte())
    }
}
