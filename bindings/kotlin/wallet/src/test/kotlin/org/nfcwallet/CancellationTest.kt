package org.nfcwallet

import com.eclipsesource.json.JsonObject
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import org.nfcwallet.desk.Desk
import org.nfcwallet.desk.Till

/** A cancelled coroutine gives its call up; the journals go on where it stopped. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class CancellationTest {
    private val till = Till()

    @AfterAll
    fun closeTill(): Unit = till.close()

    /**
     * Stops the [nth] request from now on, [before] or after the service has seen it, until it is cancelled.
     */
    private inner class Stop(desk: Desk, private val nth: Int, private val before: Boolean) {
        val reached = CompletableDeferred<Unit>()
        val cancelled = CompletableDeferred<Unit>()
        private val network = desk.host.onRequest
        private val requests = AtomicInteger()

        init {
            desk.host.onRequest = { kind, body ->
                val isDue = requests.incrementAndGet() == nth
                if (isDue && before) stop()
                network(kind, body).also { if (isDue) stop() }
            }
        }

        private suspend fun stop() {
            reached.complete(Unit)
            try {
                awaitCancellation()
            } finally {
                cancelled.complete(Unit)
            }
        }
    }

    /** Cancels [call] when [stop] is reached: its coroutine ends, and so does the host's. */
    private fun cancelAt(stop: Stop, call: suspend () -> Unit): Unit = runBlocking {
        val running = launch(Dispatchers.Default) { call() }
        withTimeout(PATIENCE_MS) { stop.reached.await() }
        withTimeout(PATIENCE_MS) { running.cancelAndJoin() }
        withTimeout(PATIENCE_MS) { stop.cancelled.await() }
        assertTrue(running.isCancelled)
    }

    private fun tokensOf(desk: Desk): List<JsonObject> =
        till.state().get("service").asObject().get("tokens").asArray().map { it.asObject() }
            .filter { it.getString("user", "") == desk.user }

    @ParameterizedTest
    @ValueSource(ints = [1, 2, 3, 4, 5, 6])
    fun `an activation that is cancelled at any request goes on and applies once`(nth: Int): Unit =
        Desk(till).use { desk ->
            val wallet = desk.open()
            runBlocking { wallet.connect(desk.user) }
            cancelAt(Stop(desk, nth, before = nth % 2 == 0)) { wallet.activate(ActivationMode.MANUAL) }
            desk.host.mend()
            runBlocking { wallet.activate(ActivationMode.MANUAL) }
            assertEquals(TokenStatus.Ready, wallet.tokenStatus())
            assertEquals(20u, wallet.credentials().usable)
            assertEquals(1, tokensOf(desk).size)
            desk.assertPays(wallet)
        }

    @Test
    fun `a collector that has seen enough cancels its activation`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            wallet.connect(desk.user)
            desk.host.onRequest = { _, _ -> awaitCancellation() }
            assertEquals(2, withTimeout(PATIENCE_MS) { wallet.activation(ActivationMode.MANUAL).take(2).toList() }.size)
            desk.host.mend()
            assertEquals(100u.toUByte(), wallet.activation(ActivationMode.MANUAL).toList().last().percent)
            desk.assertPays(wallet)
        }
    }

    @Test
    fun `a replenishment that is cancelled loses no batch and fetches none twice`() {
        for (before in listOf(true, false)) {
            Desk(till).use { desk ->
                val wallet = desk.ready()
                repeat(3) { desk.assertPays(wallet) }
                cancelAt(Stop(desk, 1, before)) { wallet.replenish() }
                desk.host.mend()
                // What a tap left to do may have fetched the batch by now; then this finds the stock full.
                runBlocking { wallet.replenish() }
                assertEquals(20u, wallet.credentials().usable)
                assertEquals(23, tokensOf(desk).single().getInt("issued", 0))
                desk.assertPays(wallet)
            }
        }
    }

    @Test
    fun `a lock that is cancelled holds until the service has been asked`() {
        for (before in listOf(true, false)) {
            Desk(till).use { desk ->
                val wallet = desk.ready()
                cancelAt(Stop(desk, 1, before)) { wallet.lock() }
                desk.host.mend()
                assertTrue(!till.pay(wallet).isApproved, "paid while its lock is open, before=$before")
                runBlocking { wallet.syncToken() }
                assertEquals(TokenStatus.Locked(listOf(Suspender.USER)), wallet.tokenStatus())
                assertEquals(emptyList<Suspender>(), runBlocking { wallet.unlock() })
                assertEquals(20u, wallet.credentials().usable)
                desk.assertPays(wallet)
            }
        }
    }

    @Test
    fun `a call of a coroutine that is cancelled already does nothing`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            val late = launch(Dispatchers.Default) {
                coroutineContext.cancel()
                wallet.lock()
            }
            late.join()
            assertTrue(late.isCancelled)
            assertEquals(TokenStatus.Ready, wallet.tokenStatus())
            desk.assertPays(wallet)
        }
    }

    private companion object {
        const val PATIENCE_MS = 30_000L
    }
}
