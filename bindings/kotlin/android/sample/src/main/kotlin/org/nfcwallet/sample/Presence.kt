package org.nfcwallet.sample

import android.app.Activity
import android.hardware.biometrics.BiometricPrompt
import android.os.Build
import android.os.CancellationSignal
import android.util.Log
import org.nfcwallet.CdcvmMethod
import org.nfcwallet.NFCWallet
import org.nfcwallet.WalletException

/** After 10003: the user proves presence, and has 30 s for the second tap. `androidx.biometric` knows Android 7 too. */
fun proveUser(screen: Activity, wallet: NFCWallet, tapAgain: () -> Unit) {
    if (Build.VERSION.SDK_INT < Build.VERSION_CODES.P) return
    val proof = object : BiometricPrompt.AuthenticationCallback() {
        override fun onAuthenticationSucceeded(result: BiometricPrompt.AuthenticationResult) {
            try {
                wallet.authenticate(CdcvmMethod.FINGERPRINT) // Android does not say which biometric it was
                tapAgain()
            } catch (error: WalletException) {
                Log.w("Pay", "no window: ${error.text()} (${error.code()})")
            }
        }
    }
    BiometricPrompt.Builder(screen)
        .setTitle("Pay")
        .setNegativeButton("Cancel", screen.mainExecutor) { _, _ -> wallet.cancelAuthentication() }
        .build()
        .authenticate(CancellationSignal(), screen.mainExecutor, proof)
}
