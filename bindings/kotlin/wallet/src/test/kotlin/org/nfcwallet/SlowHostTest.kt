package org.nfcwallet

import java.util.concurrent.CountDownLatch
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout
import org.nfcwallet.desk.Desk
import org.nfcwallet.desk.Till

/** Hosts that never answer: each costs its deadline, and nothing else. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class SlowHostTest {
    private val till = Till()

    @AfterAll
    fun closeTill(): Unit = till.close()

    /** A host call that hangs until the test lets go. */
    private class Hanging : AutoCloseable {
        private val end = CountDownLatch(1)

        fun hang() {
            end.await()
        }

        override fun close(): Unit = end.countDown()
    }

    private val short = Deadlines(
        proxyMs = 1_500u,
        keyStoreMs = 1_500u,
        fingerprintMs = 1_500u,
        deviceStateMs = 1_500u,
        permitMs = 1_500u,
    )

    private fun <T> within(limit: Duration, call: () -> T): T {
        val start = TimeSource.Monotonic.markNow()
        return call().also { assertTrue(start.elapsedNow() < limit, "took ${start.elapsedNow()}, limit $limit") }
    }

    /** A ready wallet, opened again with other deadlines. */
    private fun reopened(desk: Desk, deadlines: Deadlines): NFCWallet {
        desk.ready().close()
        return NFCWallet.openWithTestClock(desk.config.copy(deadlines = deadlines), desk.host.host, desk.clock)
    }

    @Test
    fun `a proxy that suspends for ever costs its deadline and is cancelled`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            reopened(desk, Desk.PATIENT.copy(proxyMs = 300u)).use { wallet ->
                val cancelled = CompletableDeferred<Unit>()
                desk.host.onRequest = { _, _ ->
                    try {
                        awaitCancellation()
                    } finally {
                        cancelled.complete(Unit)
                    }
                }
                val error = within(15.seconds) {
                    assertThrows(WalletException.Network::class.java) { runBlocking { wallet.syncToken() } }
                }
                assertEquals(NetworkProblem.TimedOut(300u), error.reason)
                withTimeout(15.seconds) { cancelled.await() }
                desk.host.mend()
            }
            desk.assertPays(desk.open())
        }
    }

    @Test
    fun `a proxy that blocks its thread costs its deadline`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            Hanging().use { hanging ->
                reopened(desk, Desk.PATIENT.copy(proxyMs = 300u)).use { wallet ->
                    desk.host.onRequest = { _, _ -> hanging.hang().let { Reply(ByteArray(0)) } }
                    val error = within(15.seconds) {
                        assertThrows(WalletException.Network::class.java) { runBlocking { wallet.syncToken() } }
                    }
                    assertInstanceOf(NetworkProblem.TimedOut::class.java, error.reason)
                    desk.host.mend()
                }
            }
            desk.assertPays(desk.open())
        }
    }

    @Test
    fun `a permit that hangs declines the tap and its late yes pays nothing`(): Unit = Desk(till).use { desk ->
        Hanging().use { hanging ->
            reopened(desk, Desk.PATIENT.copy(permitMs = 100u)).use { wallet ->
                desk.host.onPermit = { hanging.hang().let { PermitDecision.Proceed } }
                assertEquals("declined", within(15.seconds) { till.pay(wallet) }.outcome)
                assertEquals(19_003u, desk.host.nextEnd())
                hanging.close()
                assertEquals(20u, wallet.credentials().usable)
                desk.host.mend()
            }
        }
        desk.assertPays(desk.open())
    }

    @Test
    fun `a device that hangs declines the tap`(): Unit = Desk(till).use { desk ->
        Hanging().use { hanging ->
            reopened(desk, Desk.PATIENT.copy(deviceStateMs = 100u)).use { wallet ->
                desk.host.onDevice = hanging::hang
                assertEquals("declined", within(15.seconds) { till.pay(wallet) }.outcome)
                assertEquals(19_008u, desk.host.nextEnd())
                assertEquals(20u, wallet.credentials().usable)
                desk.host.mend()
            }
        }
        desk.assertPays(desk.open())
    }

    @Test
    fun `a key store that hangs costs its deadline and refuses the tap`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            Hanging().use { hanging ->
                reopened(desk, Desk.PATIENT.copy(keyStoreMs = 300u)).use { wallet ->
                    desk.host.onKeys = hanging::hang
                    val error = within(15.seconds) {
                        assertThrows(WalletException.KeyStore::class.java) { runBlocking { wallet.syncToken() } }
                    }
                    assertEquals(KeyStoreProblem.TimedOut, error.reason)
                    assertTrue(!within(15.seconds) { till.pay(wallet) }.isApproved)
                    desk.host.mend()
                }
            }
            // A write of the anchor that was under way counts as a crash does: one credential may be given up.
            val wallet = desk.open()
            assertTrue(wallet.credentials().usable in 19u..20u)
            desk.assertPays(wallet)
        }
    }

    @Test
    fun `listeners that hang delay neither taps nor calls`(): Unit = Desk(till).use { desk ->
        Hanging().use { hanging ->
            desk.host.onTap = hanging::hang
            desk.host.onActivation = hanging::hang
            desk.host.onMonitor = hanging::hang
            val wallet = desk.ready()
            repeat(3) { within(30.seconds) { desk.assertPays(wallet) } }
        }
        repeat(3) { assertEquals(10_000u, desk.host.nextEnd()) }
    }

    @Test
    fun `a wallet closes while every interface hangs`(): Unit = Desk(till, short).use { desk ->
        Hanging().use { hanging ->
            NFCWallet.openWithTestClock(desk.config, desk.host.host, desk.clock).use { wallet ->
                runBlocking { wallet.connect(desk.user) }
                desk.host.onKeys = hanging::hang
                desk.host.onDevice = hanging::hang
                desk.host.onRequest = { _, _ -> awaitCancellation() }
                assertThrows(WalletException::class.java) { runBlocking { wallet.activate(ActivationMode.MANUAL) } }
                within(15.seconds, wallet::close)
            }
        }
    }
}
