/** What KDoc and the pages show; `SamplesTest` runs it. */
package org.nfcwallet.samples

import java.nio.file.Path
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import org.nfcwallet.*

fun configOf(folder: Path, trustKey: ByteArray): WalletConfig = WalletConfig(
    dataDirectory = folder.toString(),
    mppId = "sandbox-mpp",
    serviceTrustKey = trustKey,
)

suspend fun payForTheFirstTime(
    config: WalletConfig,
    host: Host,
    user: String,
    holdToTerminal: (answer: (ByteArray) -> ByteArray) -> Unit,
) {
    NFCWallet.open(config, host).use { wallet ->
        wallet.connect(user)
        if (wallet.page() == Page.ACTIVATION) wallet.activate(ActivationMode.MANUAL)
        holdToTerminal { apdu -> wallet.processApdu(apdu) }
    }
}

fun chooseTheScreen(wallet: NFCWallet): Flow<Page> = wallet.status.map { it.page() }

suspend fun watchTaps(wallet: NFCWallet): String =
    when (val end = wallet.taps.first { it is TapEvent.Completed || it is TapEvent.Failed }) {
        is TapEvent.Completed -> "ask the server about ${end.record.transaction.amount}"
        is TapEvent.Failed -> "failed: ${end.failure.text()}"
        else -> error("not the end of a tap")
    }

/** The name of a tap at the app's server: 16 hex digits. `null` of a tap that ended without a cryptogram. */
fun referenceOf(record: TransactionRecord): String? =
    (record.outcome as? TransactionOutcome.Complete)?.reference?.toHexString()

suspend fun showProgress(wallet: NFCWallet, bar: (percent: Int) -> Unit): String? =
    try {
        wallet.activation(ActivationMode.MANUAL).collect { bar(it.percent.toInt()) }
        null
    } catch (error: WalletException) {
        "${error.text()} (${error.code()}): ${error.advice()}"
    }

suspend fun lockAndUnlock(wallet: NFCWallet): List<Suspender> {
    wallet.lock()
    return wallet.unlock()
}

/** What the user is offered after a failure, of a call or of a tap. */
fun offerAfter(advice: Advice?): String =
    when (advice) {
        Advice.RETRY -> "Try again"
        Advice.RECONNECT -> "Log in"
        Advice.AUTHENTICATE -> "Show that it is you"
        Advice.REPLENISH, Advice.SYNC -> "Refresh the card"
        Advice.UNLOCK -> "Unlock the card"
        Advice.CONFIRM -> "Confirm the card"
        Advice.REACTIVATE -> "Set the card up anew"
        Advice.FREE_SPACE -> "Free storage"
        Advice.UPDATE_APP -> "Update"
        Advice.REPORT_BUG -> "Contact support"
        null -> "" // the app's own decision, or a payment that this card does not make
    }

suspend fun fillUp(wallet: NFCWallet): String =
    try {
        "${wallet.replenish()} new credentials"
    } catch (error: WalletException) {
        offerAfter(error.advice())
    }

suspend fun afterTheNextTap(wallet: NFCWallet): String =
    wallet.taps.filterIsInstance<TapEvent.Failed>().map { offerAfter(it.failure.advice()) }.first()
