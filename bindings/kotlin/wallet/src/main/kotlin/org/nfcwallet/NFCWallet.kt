package org.nfcwallet

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asSharedFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.withTimeoutOrNull

/**
 * The wallet of one app: a phone that pays as a contactless card.
 *
 * Open one when the process starts and keep it. Its suspending calls may be made on any dispatcher, the main
 * one too: they hold no thread while they wait. A coroutine that is cancelled gives its call up, and ends when
 * no part of the call runs any more; what the service had learnt by then stands, and the same call goes on
 * where this one stopped. The other calls answer from the phone and never wait for the network.
 *
 * Calls throw [WalletException], which says by `code()` and `advice()` what the app can do. After [close] they
 * throw [WalletException.ShutDown].
 *
 * @sample org.nfcwallet.samples.payForTheFirstTime
 */
public class NFCWallet private constructor(
    private val wallet: Wallet,
    private val events: Events,
    private val scope: CoroutineScope,
) : AutoCloseable {
    public companion object {
        /** How long a flow of progress waits for its last value where the app's own listener blocks. */
        private const val LAST_WORD_MS = 1_000L

        /**
         * Opens the wallet of `config.dataDirectory`: restores a persisted connection, needs no network,
         * returns in milliseconds; reads the disk and asks the key store.
         *
         * [host]'s suspending calls run on [dispatcher], and are cancelled by [close]. Whatever its interfaces
         * throw counts as their failure. It must not hold this wallet strongly, since the wallet holds it.
         *
         * Opened again on the same directory with an equal configuration it is the same wallet, which goes on
         * telling the first [host] and the first one's flows.
         *
         * @throws WalletException.InvalidInput for a value out of range, or another configuration on a
         *   directory that is open; `StoreBusy`, `StoreFull`, `StoreUnusable`, `StoreCorrupt`, `StoreTooNew`.
         * @sample org.nfcwallet.samples.payForTheFirstTime
         */
        @Throws(WalletException::class)
        public fun open(
            config: WalletConfig,
            host: Host,
            dispatcher: CoroutineDispatcher = Dispatchers.Default,
        ): NFCWallet = open(host, dispatcher) { Wallet(config, it) }

        /** As [open], with a clock that a test of the app moves. Not for an app that ships. */
        @Throws(WalletException::class)
        public fun openWithTestClock(config: WalletConfig, host: Host, clock: TestClock): NFCWallet =
            open(host, Dispatchers.Default) { Wallet.withTestClock(config, it, clock) }

        private fun open(host: Host, dispatcher: CoroutineDispatcher, make: (Host) -> Wallet): NFCWallet {
            val scope = CoroutineScope(SupervisorJob() + dispatcher)
            val events = Events(host)
            val wallet = make(host.guarded(scope, events))
            events.begin(wallet)
            return NFCWallet(wallet, events, scope)
        }
    }

    /**
     * The token status, from which the app chooses its screen: `status.value.page()`. Read anew after each
     * call and each event of this wallet; what the service changes by itself shows after the next of either.
     *
     * @sample org.nfcwallet.samples.chooseTheScreen
     */
    public val status: StateFlow<TokenStatus> = events.status.asStateFlow()

    /**
     * What happens at terminals, from the time of collecting. A collector that lags 64 events behind loses the
     * oldest ones; the history has them.
     *
     * @sample org.nfcwallet.samples.watchTaps
     */
    public val taps: SharedFlow<TapEvent> = events.taps.asSharedFlow()

    /** Progress of activations that the wallet resumes by itself; the newest one at once. */
    public val resumedActivation: SharedFlow<ActivationProgress> = events.resumedActivation.asSharedFlow()

    /**
     * Binds [user] (1 to 64 characters, the customer's id at the payment provider) and catches up with the
     * service. Being offline is no error: see [Connection.service]. Another connected user is disconnected
     * first.
     */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun connect(user: String): Connection = call { wallet.connect(user, it) }

    /** Refuses taps from the call on. The token stays, sealed, for the same user's next [connect]. */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun disconnect(): Unit = call { wallet.disconnect(it) }

    /** The token status at this moment. Reads the disk at most. */
    public fun tokenStatus(): TokenStatus = wallet.tokenStatus()

    /** The screen that the status asks for. Reads the disk at most. */
    public fun page(): Page = wallet.page()

    /** Asks the service for the token's state, finishes a change of unknown outcome, drains the inbox. */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun syncToken(): TokenStatus = call { wallet.syncToken(it) }

    /**
     * Activates a token, or goes on with an unfinished activation: manual ends ready to pay, silent awaits
     * [confirmActivation]. Takes 20 to 30 s in the field. [progress] hears of every step, on a thread of the
     * wallet; [activation] is the same as a flow.
     */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun activate(mode: ActivationMode, progress: ActivationListener = Unheard): Unit =
        call { wallet.activate(mode, events.ofCall(progress), it) }

    /** The user confirms a silently prepared token. Waits for a silent run that is unfinished. */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun confirmActivation(progress: ActivationListener = Unheard): Unit =
        call { wallet.confirmActivation(events.ofCall(progress), it) }

    /**
     * [activate] as a flow of its progress: collecting runs it, and ends with it; cancelling the collector
     * gives it up. It fails with what [activate] throws. A slow collector does not slow the activation down.
     *
     * @sample org.nfcwallet.samples.showProgress
     */
    public fun activation(mode: ActivationMode): Flow<ActivationProgress> = progressOf { activate(mode, it) }

    /** [confirmActivation] as a flow of its progress; see [activation]. */
    public fun confirmation(): Flow<ActivationProgress> = progressOf { confirmActivation(it) }

    /** Fills the stock of credentials up now. Returns how many came (0 if the stock was full). */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun replenish(): UInt = call { wallet.replenish(it) }

    /** How many credentials are left, when they expire, when the wallet replenishes. Reads the disk. */
    @Throws(WalletException::class)
    public fun credentials(): CredentialStock = wallet.credentials()

    /**
     * Locks the token: taps stop at the call. Returns who suspends it. A refusal of the service rolls back;
     * after a network failure, or cancelled, the token stays locked until [syncToken] or another [lock] has an
     * answer.
     *
     * @sample org.nfcwallet.samples.lockAndUnlock
     */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun lock(): List<Suspender> = call { wallet.lock(it) }

    /** Lifts the user's lock, at the service first. Returns who still suspends the token. */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun unlock(): List<Suspender> = call { wallet.unlock(it) }

    /** Deletes the token for ever: keys first, then at the service. */
    @Throws(WalletException::class, kotlin.coroutines.cancellation.CancellationException::class)
    public suspend fun deleteToken(): Unit = call { wallet.deleteToken(it) }

    /** The user proved presence: opens the window for one payment. Returns its length in milliseconds. */
    @Throws(WalletException::class)
    public fun authenticate(method: CdcvmMethod): ULong = wallet.authenticate(method)

    /** Closes that window, and forgets what a failed tap asked for. */
    public fun cancelAuthentication(): Unit = wallet.cancelAuthentication()

    /** What is left of that window in milliseconds; `null` when it is closed. */
    public fun authenticationRemaining(): ULong? = wallet.authenticationRemaining()

    /**
     * Answers one APDU of the terminal: data and a status word, or a status word. Total: never throws, never
     * waits for the network; asks the permit, so it takes up to 100 ms more where the app's permit does. At
     * most 261 bytes in, 256 out. Call it from `HostApduService.processCommandApdu`.
     *
     * @sample org.nfcwallet.samples.payForTheFirstTime
     */
    public fun processApdu(apdu: ByteArray): ByteArray = wallet.processApdu(apdu)

    /** The platform says that the field is gone. Call it from `HostApduService.onDeactivated`. */
    public fun fieldLost(reason: FieldLoss): Unit = wallet.fieldLost(reason)

    /** Sets the reference of the next tap, 1 to 8 bytes, which reaches the payment provider's server. */
    @Throws(WalletException::class)
    public fun setTransactionReference(reference: ByteArray): Unit = wallet.setTransactionReference(reference)

    /** The history kept on the phone, newest first: at most [limit] before [before] (the last page's `next`). */
    @Throws(WalletException::class)
    public fun transactions(before: Long? = null, limit: UInt = 100u): TransactionPage =
        wallet.transactions(before, limit)

    /** Everything that decides whether a tap would work now, each with what to do. Up to 100 ms. */
    public fun readiness(): Readiness = wallet.readiness()

    /** The network is back: catches up with the service in the background. */
    public fun networkAvailable(): Unit = wallet.networkAvailable()

    /**
     * Reads and compiles what the first tap needs, and asks the device once, so that its classes are loaded.
     * Call it when the process starts, off the main thread: up to 100 ms and the disk.
     */
    public fun prewarm() {
        wallet.prewarm()
        wallet.readiness()
    }

    /** Before the platform freezes the process: finishes writes, holds no lock of the database. */
    @Throws(WalletException::class)
    public fun suspend(): Unit = wallet.suspend()

    /**
     * Ends the wallet, from any thread, also during a tap: the unfinished tap is lost, calls that run fail, the
     * host's pending requests are cancelled, and the data directory is free for another wallet. Blocks for the
     * disk. Again it does nothing.
     */
    override fun close() {
        wallet.shutdown()
        scope.cancel()
        events.refresh()
    }

    private suspend fun <T> call(call: suspend (Cancellation) -> T): T =
        try {
            cancellable(call)
        } finally {
            events.refresh()
        }

    private fun progressOf(run: suspend (ActivationListener) -> Unit): Flow<ActivationProgress> =
        channelFlow {
            val done = CompletableDeferred<Unit>()
            val listener = object : ActivationListener {
                override fun onProgress(progress: ActivationProgress): Delivered {
                    trySend(progress)
                    if (progress.phase == ActivationPhase.DONE) done.complete(Unit)
                    return Delivered.DONE
                }

                override fun onActivated(): Delivered = Delivered.DONE
            }
            run(listener)
            // The last values are told on a thread of the wallet, beside the call's return.
            withTimeoutOrNull(LAST_WORD_MS) { done.await() }
        }.buffer(Channel.UNLIMITED)
}

/** Hears nothing. */
private object Unheard : ActivationListener {
    override fun onProgress(progress: ActivationProgress): Delivered = Delivered.DONE

    override fun onActivated(): Delivered = Delivered.DONE
}
