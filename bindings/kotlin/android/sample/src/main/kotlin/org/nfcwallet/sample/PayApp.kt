package org.nfcwallet.sample

import android.app.Application
import android.net.ConnectivityManager
import android.net.Network
import android.util.Log
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import org.nfcwallet.Host
import org.nfcwallet.NFCWallet
import org.nfcwallet.WalletConfig
import org.nfcwallet.WalletException

/** One process, one wallet: opened when the process starts, also when a tap starts it. */
class PayApp : Application() {
    /** Everything that a reader asks, in its order: one thread. */
    val taps: ExecutorService = Executors.newSingleThreadExecutor()

    /** Calls of the wallet that outlive a screen, such as an activation. */
    val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    val session by lazy { Session(SERVER, getSharedPreferences("session", MODE_PRIVATE)) }
    val integrity by lazy { Integrity(getSharedPreferences("integrity", MODE_PRIVATE), scope, LocalChecks) }
    val phone by lazy { PhoneFacts(this, integrity) }
    val setup by lazy { CardSetup(this) }

    /** Opened at the first use, on whichever thread needs it first. Throws [WalletException], then tries anew. */
    val wallet: NFCWallet by lazy { NFCWallet.open(config(), host()) }

    override fun onCreate() {
        super.onCreate()
        integrity.renewIfOld()
        taps.execute { walletOrNull()?.prewarm() }
        val connectivity = getSystemService(ConnectivityManager::class.java)
        connectivity.registerDefaultNetworkCallback(object : ConnectivityManager.NetworkCallback() {
            override fun onAvailable(network: Network) {
                taps.execute { walletOrNull()?.networkAvailable() }
            }
        })
    }

    /** `null` where it does not open: the start screen calls [wallet], and shows what it throws. */
    fun walletOrNull(): NFCWallet? =
        try {
            wallet
        } catch (error: WalletException) {
            Log.w("PayApp", "the wallet does not open: ${error.text()} (${error.code()})")
            null
        }

    private fun config() = WalletConfig(
        // No backup copies this folder, and the credential-encrypted storage keeps it until the first unlock.
        dataDirectory = noBackupFilesDir.resolve("wallet").path,
        mppId = "sandbox-mpp",
        serviceTrustKey = TRUST_KEY.hexToByteArray(),
    )

    private fun host() = Host(
        proxy = session,
        keyStore = HardwareKeys(noBackupFilesDir.resolve("anchor")),
        device = phone,
        permit = Permit(),
        transactions = TapNotes,
        activation = ActivationNotes,
        monitor = Figures,
    )

    private companion object {
        const val SERVER = "https://pay.example"

        /** Of the token service: pinned in the app, never fetched. */
        const val TRUST_KEY = "04"
    }
}
