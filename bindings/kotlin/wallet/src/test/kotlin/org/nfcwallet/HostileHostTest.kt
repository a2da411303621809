package org.nfcwallet

import java.util.stream.Stream
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
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource
import org.nfcwallet.desk.Desk
import org.nfcwallet.desk.Till
import org.nfcwallet.desktop.SoftwareKeyStore

/** Hosts that throw: each interface its own error, an exception nobody expects, an `Error`. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class HostileHostTest {
    private val till = Till()

    @AfterAll
    fun closeTill(): Unit = till.close()

    /** What a host throws. */
    class Thrown(val make: () -> Throwable) {
        override fun toString(): String = make().javaClass.simpleName
    }

    fun unexpected(): Stream<Thrown> = Stream.of(
        Thrown { IllegalStateException("the app's bug") },
        Thrown { NoClassDefFoundError("org/app/Gone") },
        Thrown { StackOverflowError() },
        Thrown { InterruptedException() },
        Thrown { java.util.concurrent.CancellationException("the app's scope has ended") },
        Thrown { Unspeakable() },
    )

    fun anything(): Stream<Thrown> =
        Stream.concat(unexpected(), Stream.of(Thrown { PlainHostFailure.make() }))

    private object PlainHostFailure {
        fun make(): Throwable = HostException.Failed("as told")
    }

    /** Cannot even be told. */
    private class Unspeakable : Error() {
        override fun toString(): String = throw IllegalStateException("no words")
    }

    @ParameterizedTest
    @MethodSource("unexpected")
    fun `a proxy that throws is a typed failure of a connection that stands`(thrown: Thrown) = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            desk.host.onRequest = { _, _ -> throw thrown.make() }
            val error = assertInstanceOf(WalletException.Host::class.java, wallet.connect(desk.user).service)
            assertEquals("NFCRequestProxy", error.interfaceName)
            assertThrows(WalletException.Host::class.java) { runBlocking { wallet.lock() } }
            desk.host.mend()
            assertEquals(listOf(Suspender.USER), wallet.lock())
            assertEquals(emptyList<Suspender>(), wallet.unlock())
            desk.assertPays(wallet)
        }
    }

    @Test
    fun `a proxy that says failed or offline is a failure of the network`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            desk.host.onRequest = { _, _ -> throw HostException.Offline() }
            val offline = assertInstanceOf(WalletException.Network::class.java, wallet.connect(desk.user).service)
            assertEquals(NetworkProblem.Offline, offline.reason)
            desk.host.onRequest = { _, _ -> throw HostException.Failed("503") }
            val failed = assertInstanceOf(WalletException.Network::class.java, wallet.connect(desk.user).service)
            assertEquals(10_005u, failed.code())
        }
    }

    @Test
    fun `a proxy whose own time ran out is a failure and not a cancelled call`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            desk.host.onRequest = { _, _ -> withTimeout(1) { kotlinx.coroutines.awaitCancellation() } }
            assertInstanceOf(WalletException.Host::class.java, wallet.connect(desk.user).service)
        }
    }

    @ParameterizedTest
    @MethodSource("anything")
    fun `a device that throws declines the tap and spends nothing`(thrown: Thrown): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        desk.host.onDevice = { throw thrown.make() }
        assertEquals("declined", till.pay(wallet).outcome)
        assertEquals(19_008u, desk.host.nextEnd())
        assertEquals(listOf<Condition>(Condition.DeviceUnknown), wallet.readiness().blocking.map { it.condition })
        assertEquals(20u, wallet.credentials().usable)
        desk.host.mend()
        desk.assertPays(wallet)
    }

    @ParameterizedTest
    @MethodSource("anything")
    fun `a device that throws ends an activation with its name`(thrown: Thrown) = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.open()
            wallet.connect(desk.user)
            desk.host.onDevice = { throw thrown.make() }
            val error = assertThrows(WalletException.Host::class.java) {
                runBlocking { wallet.activate(ActivationMode.MANUAL) }
            }
            assertEquals("DeviceInfo", error.interfaceName)
            desk.host.mend()
            wallet.activate(ActivationMode.MANUAL)
            desk.assertPays(wallet)
        }
    }

    @ParameterizedTest
    @MethodSource("anything")
    fun `a permit that throws declines the tap and spends nothing`(thrown: Thrown): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        desk.host.onPermit = { throw thrown.make() }
        assertEquals("declined", till.pay(wallet).outcome)
        assertEquals(19_001u, desk.host.nextEnd())
        assertEquals(20u, wallet.credentials().usable)
        desk.host.mend()
        desk.assertPays(wallet)
    }

    @ParameterizedTest
    @MethodSource("anything")
    fun `listeners that throw change nothing`(thrown: Thrown): Unit = Desk(till).use { desk ->
        val act = { throw thrown.make() }
        desk.host.onTap = act
        desk.host.onActivation = act
        desk.host.onMonitor = act
        val wallet = desk.ready()
        desk.assertPays(wallet)
        assertEquals(10_000u, desk.host.nextEnd())
        desk.assertPays(wallet)
        assertEquals(10_000u, desk.host.nextEnd())
    }

    @ParameterizedTest
    @MethodSource("anything")
    fun `a key store that throws fails the call and refuses the tap`(thrown: Thrown) = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            desk.host.onKeys = { throw thrown.make() }
            val error = assertThrows(WalletException.KeyStore::class.java) { runBlocking { wallet.syncToken() } }
            assertInstanceOf(KeyStoreProblem.Failed::class.java, error.reason)
            val refused = till.pay(wallet)
            assertTrue(!refused.isApproved, "$refused")
            assertEquals(19_005u, desk.host.nextEnd())
            desk.host.mend()
            assertEquals(20u, wallet.credentials().usable)
            desk.assertPays(wallet)
        }
    }

    @ParameterizedTest
    @MethodSource("anything")
    fun `a wallet whose key store throws from the start opens and does not pay`(thrown: Thrown) = runBlocking<Unit> {
        Desk(till).use { desk ->
            desk.ready().close()
            desk.host.onKeys = { throw thrown.make() }
            val wallet = desk.open()
            assertEquals(TokenStatus.KeyStoreUnusable, wallet.tokenStatus())
            assertEquals("not_accepted", till.pay(wallet).outcome)
            wallet.close()
            desk.host.mend()
            val mended = desk.open()
            mended.connect(desk.user)
            desk.assertPays(mended)
        }
    }

    @Test
    fun `the typed words of a key store keep their meaning`() = runBlocking<Unit> {
        Desk(till).use { desk ->
            val wallet = desk.ready()
            desk.host.onKeys = { throw KeyStoreException.Locked() }
            val locked = assertThrows(WalletException.KeyStore::class.java) { runBlocking { wallet.syncToken() } }
            assertEquals(KeyStoreProblem.Locked to Advice.AUTHENTICATE, locked.reason to locked.advice())
            desk.host.onKeys = { throw KeyStoreException.UserCancelled() }
            val cancelled = assertThrows(WalletException.KeyStore::class.java) { runBlocking { wallet.syncToken() } }
            assertEquals(KeyStoreProblem.UserCancelled, cancelled.reason)
            desk.host.mend()
            desk.assertPays(wallet)
        }
    }

    @Test
    fun `a log sink that throws is ignored`(): Unit = Desk(till).use { desk ->
        setLogSink(LogLevel.TRACE, object : LogSink {
            override fun onLogs(batch: LogBatch): Delivered = throw NoClassDefFoundError("gone")
        })
        try {
            desk.assertPays(desk.ready())
        } finally {
            setLogSink(LogLevel.INFO, null)
        }
    }

    @Test
    fun `two hosts on one device each have their keys`(): Unit = Desk(till).use { desk ->
        val wallet = desk.ready()
        wallet.close()
        desk.host.keys = SoftwareKeyStore.inMemory()
        assertEquals(TokenStatus.KeyStoreUnusable, desk.open().tokenStatus())
    }
}
