package org.nfcwallet

import com.eclipsesource.json.Json
import java.nio.file.Files
import java.nio.file.Path
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
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
import org.nfcwallet.samples.afterTheNextTap
import org.nfcwallet.samples.chooseTheScreen
import org.nfcwallet.samples.configOf
import org.nfcwallet.samples.fillUp
import org.nfcwallet.samples.lockAndUnlock
import org.nfcwallet.samples.payForTheFirstTime
import org.nfcwallet.samples.referenceOf
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

    /** Line for line, however deep. Android's part is compiled against Android's classes, and run by nobody here. */
    @Test
    fun `the pages show code that is compiled and run`() {
        val sources = listOf("src/test/kotlin/org/nfcwallet/samples", "../android/sample/src/main/kotlin")
            .flatMap { folder -> Path.of(folder).toFile().walk().filter { it.extension == "kt" } }
            .map { lines(it.readText()) }
        for (page in listOf("../README.md", "../../../README.md", "../../../docs/integrate-android.md")) {
            val blocks = Files.readString(Path.of(page)).split("```kotlin\n").drop(1).map { it.substringBefore("```") }
            assertTrue(blocks.isNotEmpty(), "$page shows no Kotlin")
            for (block in blocks.map(::lines)) {
                val isThere = sources.any { source -> source.windowed(block.size).any { it == block } }
                assertTrue(isThere, "$page shows other code than the samples: ${block.first()}")
            }
        }
    }

    private fun lines(code: String): List<String> = code.trim().lines().map(String::trim)

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

    @Test
    fun `the app's server knows a tap by its reference`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            val told = async(start = CoroutineStart.UNDISPATCHED) {
                wallet.taps.filterIsInstance<TapEvent.Completed>().take(2).map { it.record }.toList()
            }
            assertTrue(till.pay(wallet).isApproved)
            wallet.setTransactionReference("ORDER-01".encodeToByteArray())
            val payment = "/payments/by-reference/4f524445522d3031"
            assertEquals(404, till.askApp(desk.user, payment).statusCode())
            assertTrue(till.pay(wallet).isApproved)

            val (drawn, named) = told.await().map(::referenceOf)
            assertEquals("4f524445522d3031", named)
            for (reference in listOf(drawn, named)) {
                val answer = till.askApp(desk.user, "/payments/by-reference/$reference").body()
                assertEquals("success", Json.parse(answer).asObject().getString("status", null), answer)
            }
        }
    }

    @Test
    fun `a failure says what to offer, of a call and of a tap`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            assertEquals("Log in", fillUp(wallet))
            wallet.connect(desk.user)
            wallet.activate(ActivationMode.MANUAL)
            wallet.lock()
            assertEquals("Unlock the card", fillUp(wallet))
            val offered = async(start = CoroutineStart.UNDISPATCHED) { afterTheNextTap(wallet) }
            till.pay(wallet)
            assertEquals("Refresh the card", offered.await())
        }
    }

    @Test
    fun `every failure of a tap has its advice, or none`() {
        val none = listOf(TapFailure.DeclinedByApp, TapFailure.NotAllowed, TapFailure.CustomDecline(1u))
        assertTrue(none.all { it.advice() == null })
        assertEquals(Advice.AUTHENTICATE, TapFailure.CdcvmRequired.advice())
        assertEquals(Advice.RETRY, TapFailure.LinkLost.advice())
    }
}
