package org.nfcwallet

import java.nio.file.Files
import java.nio.file.Path
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import org.nfcwallet.desk.Desk
import org.nfcwallet.desk.Payment
import org.nfcwallet.desk.Till
import org.nfcwallet.samples.chooseTheScreen
import org.nfcwallet.samples.configOf
import org.nfcwallet.samples.lockAndUnlock
import org.nfcwallet.samples.payForTheFirstTime
import org.nfcwallet.samples.showProgress
import org.nfcwallet.samples.watchTaps

/** What the documentation shows does what it says. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class SamplesTest {
    private val till = Till()

    @AfterAll
    fun closeTill(): Unit = till.close()

    @Test
    fun `the quick start pays, on the real clock`(@TempDir folder: Path) = runBlocking<Unit> {
        Desk(till).use { desk ->
            var payment: Payment? = null
            val config = configOf(folder, till.trustKey).copy(deadlines = Desk.PATIENT)
            payForTheFirstTime(config, desk.host.host, desk.user) { answer ->
                payment = till.tap("12.50", answer)
            }
            assertEquals(true, payment?.isApproved, "$payment")
        }
    }

    @Test
    fun `the README shows the quick start`() {
        val sample = Files.readString(Path.of("src/test/kotlin/org/nfcwallet/samples/Samples.kt"))
        val code = sample.split("// [quick-start]\n")[1].trim()
        val readme = Files.readString(Path.of("../README.md"))
        assertTrue(code in readme, "README.md has another quick start than Samples.kt")
    }

    @Test
    fun `the progress of an activation only rises, and ends at 100`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            assertTrue("10006" in showProgress(wallet) {}.orEmpty())
            wallet.connect(desk.user)
            val shown = mutableListOf<Int>()
            assertEquals(null, showProgress(wallet, shown::add))
            assertEquals(shown.sorted(), shown)
            assertEquals(100, shown.last())
        }
    }

    @Test
    fun `the screen follows the token`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            val pages = chooseTheScreen(wallet)
            assertEquals(Page.LOG_IN, pages.first())
            wallet.connect(desk.user)
            assertEquals(Page.ACTIVATION, pages.first())
            wallet.activation(ActivationMode.SILENT).collect {}
            assertEquals(Page.CONFIRM, pages.first())
            wallet.confirmation().collect {}
            assertEquals(Page.PAYMENT, pages.first())
            wallet.lock()
            assertEquals(Page.UNLOCK, pages.first())
            assertEquals(emptyList<Suspender>(), lockAndUnlock(wallet))
            assertEquals(Page.PAYMENT, pages.first())
        }
    }

    @Test
    fun `a tap is told as a flow`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            // Undispatched, it collects before the tap begins.
            val told = async(start = CoroutineStart.UNDISPATCHED) { watchTaps(wallet) }
            assertTrue(till.pay(wallet).isApproved)
            assertEquals("ask the server about 1.00 EUR", told.await())
        }
    }
}
