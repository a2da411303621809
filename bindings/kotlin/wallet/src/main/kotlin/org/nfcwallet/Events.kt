package org.nfcwallet

import java.lang.ref.WeakReference
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow

/** What the wallet tells, for the app's own listeners and for flows. */
internal class Events(private val host: Host) {
    val status = MutableStateFlow<TokenStatus>(TokenStatus.Disconnected)
    val taps = MutableSharedFlow<TapEvent>(extraBufferCapacity = CAPACITY, onBufferOverflow = BufferOverflow.DROP_OLDEST)
    val resumedActivation =
        MutableSharedFlow<ActivationProgress>(replay = 1, onBufferOverflow = BufferOverflow.DROP_OLDEST)

    /** Weak, because the wallet holds its listeners. */
    @Volatile
    private var wallet = WeakReference<Wallet>(null)

    fun begin(wallet: Wallet) {
        this.wallet = WeakReference(wallet)
        refresh()
    }

    /** Reads the status anew. Whoever reads last, shows last. */
    @Synchronized
    fun refresh() {
        wallet.get()?.let { status.value = it.tokenStatus() }
    }

    /** The app's listener hears of a tap after the flow, so that one that blocks keeps nothing from the others. */
    val transactions = object : TransactionListener {
        private val app = host.transactions

        override fun onStart(tap: ULong): Delivered = tell(TapEvent.Started(tap)) { app.onStart(tap) }

        override fun onComplete(tap: ULong, record: TransactionRecord): Delivered =
            tell(TapEvent.Completed(tap, record)) { app.onComplete(tap, record) }

        override fun onFailed(tap: ULong, failure: TapFailure, transaction: TransactionInformation?): Delivered =
            tell(TapEvent.Failed(tap, failure, transaction)) { app.onFailed(tap, failure, transaction) }

        override fun onAuthRequired(tap: ULong, transaction: TransactionInformation): Delivered =
            tell(TapEvent.AuthRequired(tap, transaction)) { app.onAuthRequired(tap, transaction) }

        private inline fun tell(event: TapEvent, call: () -> Delivered): Delivered = guarded {
            taps.tryEmit(event)
            refresh()
            call()
        }
    }

    val activation = object : ActivationListener {
        private val app = host.activation

        override fun onProgress(progress: ActivationProgress): Delivered = guarded {
            resumedActivation.tryEmit(progress)
            refresh()
            app.onProgress(progress)
        }

        override fun onActivated(): Delivered = guarded {
            refresh()
            app.onActivated()
        }
    }

    /** Background work (a replenishment, a resumed activation) is heard of by its measurement. */
    val monitor = object : Monitor {
        private val app = host.monitor

        override fun track(event: MonitorEvent): Delivered = guarded {
            refresh()
            app.track(event)
        }
    }

    /** The listener of one call of [NFCWallet.activate]. */
    fun ofCall(listener: ActivationListener): ActivationListener = object : ActivationListener {
        override fun onProgress(progress: ActivationProgress): Delivered = guarded {
            refresh()
            listener.onProgress(progress)
        }

        override fun onActivated(): Delivered = guarded { listener.onActivated() }
    }

    private companion object {
        /** Taps are seconds apart: a collector that lags behind this many events has stopped collecting. */
        const val CAPACITY = 64
    }
}
