package org.nfcwallet

import java.util.concurrent.CyclicBarrier
import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.supervisorScope
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import org.nfcwallet.desk.Desk
import org.nfcwallet.desk.Till

/** The end of a wallet, and many threads at once. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ClosingTest {
    private val till = Till()

    @AfterAll
    fun closeTill(): Unit = till.close()

    @Test
    fun `after its end a wallet says so, and pays nothing`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        wallet.close()
        wallet.close()
        val calls = listOf<suspend () -> Any>(
            { wallet.connect(desk.user) },
            { wallet.disconnect() },
            { wallet.syncToken() },
            { wallet.activate(ActivationMode.MANUAL) },
            { wallet.confirmActivation() },
            { wallet.replenish() },
            { wallet.credentials() },
            { wallet.lock() },
            { wallet.unlock() },
            { wallet.deleteToken() },
            { wallet.authenticate(CdcvmMethod.FINGERPRINT) },
            { wallet.transactions() },
            { wallet.suspend() },
        )
        for (call in calls) assertThrows(WalletException.ShutDown::class.java) { runBlocking { call() } }
        assertArrayEquals("6985".hexToByteArray(), wallet.processApdu(SELECT_PPSE))
        assertEquals(TokenStatus.QueryFailed, wallet.tokenStatus())
        assertEquals(TokenStatus.QueryFailed, wallet.status.value)
        wallet.fieldLost(FieldLoss.LINK_LOST)
        wallet.networkAvailable()
        wallet.prewarm()
        wallet.cancelAuthentication()
        assertTrue(!wallet.readiness().isReady)
        desk.assertPays(desk.open())
    }

    @Test
    fun `a close ends what runs, and its host hears of it`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            val asked = CompletableDeferred<Unit>()
            val cancelled = CompletableDeferred<Unit>()
            desk.host.onRequest = { _, _ ->
                asked.complete(Unit)
                try {
                    awaitCancellation()
                } finally {
                    cancelled.complete(Unit)
                }
            }
            supervisorScope {
                val lock = async(Dispatchers.Default) { wallet.lock() }
                asked.await()
                wallet.close()
                withTimeout(20_000) { cancelled.await() }
                assertThrows(WalletException::class.java) { runBlocking { withTimeout(20_000) { lock.await() } } }
            }
            desk.host.mend()
            val again = desk.open()
            again.connect(desk.user)
            assertEquals(TokenStatus.Locked(listOf(Suspender.USER)), again.tokenStatus())
            again.unlock()
            desk.assertPays(again)
        }
    }

    /** At each APDU of a tap: the wallet is closed before it, and the tap goes on with what is there. */
    @ParameterizedTest
    @ValueSource(ints = [1, 2, 3, 4, 5, 6, 7, 8])
    fun `a wallet that is closed during a tap pays once or not at all`(closedAt: Int): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        var apdus = 0
        val payment = till.tap("1.00") { apdu ->
            if (++apdus == closedAt) wallet.close()
            wallet.processApdu(apdu)
        }
        wallet.close()
        val again = desk.open()
        val spent = if (payment.isApproved) 1u else 0u
        assertEquals(20u - spent, again.credentials().usable)
        assertEquals(emptyList<String>(), payment.violations)
        desk.assertPays(again)
    }

    @Test
    fun `a wallet that is closed by its own permit pays nothing`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        desk.host.onPermit = {
            wallet.close()
            PermitDecision.Proceed
        }
        assertTrue(!till.pay(wallet).isApproved)
        desk.host.mend()
        val again = desk.open()
        assertEquals(20u, again.credentials().usable)
        desk.assertPays(again)
    }

    @Test
    fun `eight threads at once spend one credential a payment`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        val trouble = AtomicReference<Throwable>()
        val start = CyclicBarrier(THREADS)
        val work = listOf<(NFCWallet) -> Unit>(
            { it.credentials() },
            { it.readiness() },
            { it.transactions() },
            { runBlocking { it.syncToken() } },
            { runBlocking { it.replenish() } },
            { it.authenticate(CdcvmMethod.PASSWORD); it.cancelAuthentication() },
            { it.tokenStatus(); it.prewarm() },
        )
        val others = work.map { act ->
            thread {
                runCatching {
                    start.await()
                    repeat(ROUNDS) { act(wallet) }
                }.onFailure(trouble::set)
            }
        }
        start.await()
        val payments = List(ROUNDS) { till.pay(wallet) }
        others.forEach(Thread::join)
        assertEquals(null, trouble.get())
        assertTrue(payments.all { it.isApproved && it.violations.isEmpty() }, "$payments")
        runBlocking { wallet.replenish() }
        assertEquals(20u, wallet.credentials().usable)
        desk.assertPays(wallet)
    }

    @Test
    fun `eight threads that all are terminals get one cryptogram at most`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        val start = CyclicBarrier(THREADS)
        val others = List(THREADS - 1) {
            thread {
                start.await()
                repeat(ROUNDS * 10) { wallet.processApdu(SELECT_PPSE) }
            }
        }
        start.await()
        val payments = List(ROUNDS) { till.pay(wallet) }
        others.forEach(Thread::join)
        val approved = payments.count { it.isApproved }
        assertTrue(payments.all { it.violations.isEmpty() }, "$payments")
        runBlocking { wallet.syncToken() }
        // A tap that another terminal ends while the card signs has spent its credential.
        assertTrue(wallet.credentials().usable.toInt() in 20 - ROUNDS..20 - approved)
        desk.assertPays(wallet)
    }

    @Test
    fun `opened twice it is one wallet`(): Unit = Desk(till).use { desk ->
        val first = desk.ready()
        val second = desk.open()
        assertTrue(till.pay(second).isApproved)
        assertEquals(19u, first.credentials().usable)
        second.close()
        assertThrows(WalletException.ShutDown::class.java) { first.credentials() }
    }

    @Test
    fun `a configuration out of range is refused by name`(): Unit = Desk(till).use { desk ->
        val error = assertThrows(WalletException.InvalidInput::class.java) {
            NFCWallet.open(desk.config.copy(mppId = ""), desk.host.host)
        }
        assertEquals("mpp_id" to Advice.REPORT_BUG, error.field to error.advice())
    }

    private companion object {
        const val THREADS = 8
        const val ROUNDS = 8
        val SELECT_PPSE = "00A404000E325041592E5359532E444446303100".hexToByteArray()
    }
}
