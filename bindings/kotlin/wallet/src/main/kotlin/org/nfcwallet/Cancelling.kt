package org.nfcwallet

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.async
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.withContext

/**
 * Runs one long call of the wallet. When the caller's coroutine is cancelled, the call is given up, and this
 * returns only when no part of it runs any more: what the caller does next meets a wallet at rest.
 *
 * The wallet's journals make that safe wherever it falls. A step that nothing interrupts (a commit, the key
 * store) is waited for.
 */
internal suspend fun <T> cancellable(call: suspend (Cancellation) -> T): T {
    currentCoroutineContext().ensureActive()
    return Cancellation().use { cancellation ->
        val running = CoroutineScope(currentCoroutineContext() + NonCancellable).async { call(cancellation) }
        try {
            running.await()
        } catch (error: CancellationException) {
            cancellation.cancel()
            withContext(NonCancellable) { running.join() }
            throw error
        }
    }
}
