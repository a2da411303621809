package org.nfcwallet.desk

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.nfcwallet.*
import org.nfcwallet.desktop.HttpRequestProxy

/** A customer with a phone, before the [till]: a wallet on a folder of its own, and its host. */
class Desk(val till: Till, private val deadlines: Deadlines = PATIENT) : AutoCloseable {
    val user: String = "customer-${COUNTER.incrementAndGet()}"
    val host: TestHost = TestHost(runBlocking { HttpRequestProxy.logIn(till.server, user) })
    val clock: TestClock = TestClock()
    private val folder: Path = Files.createTempDirectory("nfcwallet")
    private var opened: NFCWallet? = null

    val config: WalletConfig
        get() = WalletConfig(
            dataDirectory = folder.resolve("wallet").toString(),
            mppId = "sandbox-mpp",
            serviceTrustKey = till.trustKey,
            deadlines = deadlines,
        )

    fun open(): NFCWallet = NFCWallet.openWithTestClock(config, host.host, clock).also { opened = it }

    /** A wallet that can pay. */
    fun ready(): NFCWallet = runBlocking {
        val wallet = open()
        assertEquals(null, wallet.connect(user).service)
        wallet.activate(ActivationMode.MANUAL)
        assertEquals(TokenStatus.Ready, wallet.tokenStatus())
        wallet
    }

    /** The wallet is in order: it syncs, pays, and has lost no more than the payment's credential. */
    fun assertPays(wallet: NFCWallet): Unit = runBlocking {
        wallet.syncToken()
        val before = wallet.credentials().usable
        val payment = till.pay(wallet)
        assertEquals(Payment("approved", "approved by the issuer", emptyList()), payment)
        assertEquals(before - 1u, wallet.credentials().usable)
    }

    override fun close() {
        host.mend()
        opened?.close()
        folder.toFile().deleteRecursively()
    }

    companion object {
        private val COUNTER = AtomicInteger()

        /** What counts is what happens, not how fast a busy machine is. */
        val PATIENT = Deadlines(
            proxyMs = 20_000u,
            keyStoreMs = 20_000u,
            fingerprintMs = 20_000u,
            deviceStateMs = 20_000u,
            permitMs = 20_000u,
        )
    }
}
