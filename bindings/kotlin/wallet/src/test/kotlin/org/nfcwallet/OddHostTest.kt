package org.nfcwallet

import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicReference
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout
import org.nfcwallet.desk.Desk
import org.nfcwallet.desk.Till
import org.nfcwallet.desktop.SoftwareKeyStore

/** Hosts that answer nonsense, or call the wallet back from within. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class OddHostTest {
    private val till = Till()

    @AfterAll
    fun closeTill(): Unit = till.close()

    private fun Desk.failureWith(body: ByteArray, wallet: NFCWallet): WalletException {
        host.onRequest = { _, _ -> Reply(body) }
        val error = assertThrows(WalletException::class.java) { runBlocking { wallet.syncToken() } }
        host.mend()
        return error
    }

    @Test
    fun `garbage, nothing and too much from the proxy are told apart, and change nothing`(): Unit =
        Desk(till).use { desk ->
            val wallet = desk.ready()
            assertInstanceOf(WalletException.ProtocolViolation::class.java, desk.failureWith(byteArrayOf(1, 2, 3), wallet))
            assertInstanceOf(WalletException.ProtocolViolation::class.java, desk.failureWith("{}".encodeToByteArray(), wallet))
            val empty = desk.failureWith(ByteArray(0), wallet) as WalletException.Network
            assertEquals(NetworkProblem.Empty, empty.reason)
            val tooMuch = desk.failureWith(ByteArray(4 shl 20) { '{'.code.toByte() }, wallet)
            assertInstanceOf(NetworkProblem.TooLarge::class.java, (tooMuch as WalletException.Network).reason)
            assertEquals(20u, wallet.credentials().usable)
            desk.assertPays(wallet)
        }

    @Test
    fun `a proxy that changes one byte of an answer is found out`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        val network = desk.host.onRequest
        desk.host.onRequest = { kind, body ->
            val reply = network(kind, body).body
            reply[reply.size / 2] = (reply[reply.size / 2].toInt() xor 1).toByte()
            Reply(reply)
        }
        val error = assertThrows(WalletException::class.java) { runBlocking { wallet.replenish(); wallet.syncToken() } }
        assertInstanceOf(WalletException.ProtocolViolation::class.java, error)
        desk.host.mend()
        desk.assertPays(wallet)
    }

    /** Honest keys with some answers replaced. */
    private open class Keys(private val honest: DeviceKeyStore) : DeviceKeyStore by honest

    private fun refusedWith(make: (DeviceKeyStore) -> DeviceKeyStore): Unit = Desk(till).use { desk ->
        val honest = SoftwareKeyStore.inMemory()
        desk.host.keys = make(honest)
        val error = assertThrows(WalletException::class.java) {
            runBlocking {
                val wallet = desk.open()
                wallet.connect(desk.user).service?.let { throw it }
                wallet.activate(ActivationMode.MANUAL)
            }
        }
        assertTrue(error.code() >= 10_000u, "$error")
        assertEquals(null, till.state().get("service").asObject().get("tokens").asArray()
            .find { it.asObject().getString("user", "") == desk.user })
    }

    @Test
    fun `keys that are none activate nothing`() {
        refusedWith { object : Keys(it) { override fun publicKey() = DevicePublicKey(byteArrayOf(4, 5, 6)) } }
        refusedWith { object : Keys(it) { override fun publicKey() = DevicePublicKey(ByteArray(65) { 4 }) } }
        refusedWith { object : Keys(it) { override fun publicKey() = DevicePublicKey(ByteArray(1 shl 20)) } }
        refusedWith { object : Keys(it) { override fun sign(message: ByteArray) = Signature(ByteArray(64)) } }
        refusedWith { object : Keys(it) { override fun sign(message: ByteArray) = Signature(ByteArray(1 shl 20)) } }
    }

    @Test
    fun `a storage key that comes back changed opens nothing and loses nothing`(): Unit = Desk(till).use { desk ->
        desk.ready().close()
        val honest = desk.host.keys
        val lies = listOf(
            object : Keys(honest) { override fun unwrap(wrapped: Wrapped) = Unwrapped(ByteArray(5)) },
            object : Keys(honest) { override fun unwrap(wrapped: Wrapped) = Unwrapped(ByteArray(32)) },
            object : Keys(honest) { override fun unwrap(wrapped: Wrapped) = Unwrapped(ByteArray(1 shl 20)) },
        )
        for (lie in lies) {
            desk.host.keys = lie
            try {
                desk.open().use { assertTrue(!till.pay(it).isApproved) }
            } catch (error: WalletException) {
                assertTrue(error.code() >= 19_000u, "$error")
            }
        }
        desk.host.keys = honest
        assertTrue(till.pay(desk.open()).violations.isEmpty())
    }

    @Test
    fun `an anchor that is forgotten or made up never pays from an old store`(): Unit = Desk(till).use { desk ->
        desk.ready().use(desk::assertPays)
        val honest = desk.host.keys
        desk.host.keys = object : Keys(honest) { override fun anchor() = Anchor(ByteArray(10_000) { 7 }) }
        try {
            desk.open().use { assertTrue(!till.pay(it).isApproved) }
        } catch (error: WalletException) {
            assertTrue(error.code() >= 19_000u, "$error")
        }
    }

    @Test
    fun `a fingerprint without end is refused by name`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            desk.host.fingerprint = "x".repeat(100_000)
            val wallet = desk.open()
            wallet.connect(desk.user)
            val error = assertThrows(WalletException.InvalidInput::class.java) {
                runBlocking { wallet.activate(ActivationMode.MANUAL) }
            }
            assertEquals("fingerprint", error.field)
        }
    }

    @Test
    fun `a custom decline out of range is a plain decline`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        desk.host.onPermit = { PermitDecision.CustomDecline(200u) }
        assertEquals("declined", till.pay(wallet).outcome)
        assertEquals(19_001u, desk.host.nextEnd())
        desk.host.onPermit = { PermitDecision.CustomDecline(2u) }
        till.pay(wallet)
        assertEquals(19_012u, desk.host.nextEnd())
        assertEquals(20u, wallet.credentials().usable)
    }

    @Test
    fun `a failure's words without end are cut`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        desk.host.onRequest = { _, _ -> throw IllegalStateException("words\n".repeat(100_000)) }
        val error = assertThrows(WalletException.Host::class.java) { runBlocking { wallet.syncToken() } }
        assertTrue(error.text().length < 500 && '\n' !in error.text(), error.text())
    }

    @Test
    fun `every interface may call the wallet back`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            val trouble = AtomicReference<Throwable>()
            val callBack = {
                runCatching {
                    wallet.tokenStatus()
                    wallet.credentials()
                    wallet.authenticationRemaining()
                    wallet.transactions()
                    wallet.cancelAuthentication()
                }.onFailure(trouble::set)
                Unit
            }
            val network = desk.host.onRequest
            desk.host.onRequest = { kind, body ->
                callBack()
                network(kind, body)
            }
            desk.host.onKeys = callBack
            desk.host.onDevice = callBack
            desk.host.onMonitor = callBack
            desk.host.onActivation = callBack
            desk.host.onTap = callBack
            desk.host.onPermit = { callBack().let { PermitDecision.Proceed } }
            desk.assertPays(wallet)
            wallet.lock()
            wallet.unlock()
            assertEquals(null, trouble.get())
        }
    }

    @Test
    fun `an APDU from within the permit declines its own tap`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        desk.host.onPermit = {
            assertArrayEquals("6985".hexToByteArray(), wallet.processApdu("80CA9F3600".hexToByteArray()))
            PermitDecision.Proceed
        }
        assertEquals("declined", till.pay(wallet).outcome)
        assertEquals(19_001u, desk.host.nextEnd())
        desk.host.mend()
        desk.assertPays(wallet)
    }

    @Test
    fun `a listener may lock the token that has just paid`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        val events = AtomicInteger()
        val locked = CompletableFuture<List<Suspender>>()
        // The first event is the tap's start, the second its end.
        desk.host.onTap = { if (events.incrementAndGet() == 2) locked.complete(runBlocking { wallet.lock() }) }
        assertTrue(till.pay(wallet).isApproved)
        assertEquals(listOf(Suspender.USER), locked.get(20, TimeUnit.SECONDS))
        desk.host.mend()
        runBlocking { wallet.unlock() }
        desk.assertPays(wallet)
    }
}
