package org.nfcwallet.sample

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.nfcwallet.ActivationMode
import org.nfcwallet.HostException
import org.nfcwallet.NFCWallet
import org.nfcwallet.Page
import org.nfcwallet.WalletException

/** Opens the wallet off the main thread. Throws [WalletException]. */
suspend fun PayApp.opened(): NFCWallet = withContext(Dispatchers.IO) { wallet }

/**
 * What the login screen calls. Returns the screen that comes next; `null` where user and password do not fit.
 * Throws [HostException] of the login, [WalletException] of the wallet.
 */
suspend fun PayApp.logIn(user: String, password: String): Page? {
    val customer = session.logIn(user, password) ?: return null
    val wallet = opened()
    // Without the service this succeeds too: the user pays with what is in stock.
    wallet.connect(customer)
    return wallet.page()
}

/** What the activation screen shows. */
sealed interface Setup {
    data object Idle : Setup

    /** 0 to 100; at 100 the wallet's `status` names the next screen. */
    data class Running(val percent: Int) : Setup

    /** Nobody could say whether the phone is safe. The user tries again. */
    data object Unchecked : Setup

    data class Failed(val error: WalletException) : Setup
}

/** The activation. It outlives the screen, and a screen that comes back finds it where it is. */
class CardSetup(private val app: PayApp) {
    private val told = MutableStateFlow<Setup>(Setup.Idle)
    private var running: Job? = null

    val state: StateFlow<Setup> = told.asStateFlow()

    /** Begins, or goes on where an unfinished activation stopped; changes nothing while one runs. Main thread. */
    fun start() {
        if (running?.isActive == true) return
        told.value = Setup.Running(0)
        running = app.scope.launch {
            try {
                activate()
            } catch (error: WalletException) {
                told.value = Setup.Failed(error)
            }
        }
    }

    private suspend fun activate() {
        // The wallet asks for the verdict too, and takes a phone that cannot tell for a bug (19022).
        if (!app.integrity.isKnown()) {
            told.value = Setup.Unchecked
            return
        }
        app.opened().activation(ActivationMode.MANUAL).collect { told.value = Setup.Running(it.percent.toInt()) }
    }
}
