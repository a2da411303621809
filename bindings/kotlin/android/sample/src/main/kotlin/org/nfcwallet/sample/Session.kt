package org.nfcwallet.sample

import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.net.UnknownHostException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import kotlinx.coroutines.suspendCancellableCoroutine
import org.nfcwallet.HostException
import org.nfcwallet.NFCRequestProxy
import org.nfcwallet.Reply
import org.nfcwallet.RequestType

/** The logged-in user's session at the app's own server, and the wallet's way out through it. */
class Session(private val server: String) : NFCRequestProxy {
    /** Of the user who is logged in. */
    @Volatile
    var token: String? = null

    override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply {
        val connection = URL("$server/wallet/relay").openConnection() as HttpURLConnection
        return suspendCancellableCoroutine { caller ->
            // The wallet gives a request up by cancelling it; nobody reads what comes of it then.
            caller.invokeOnCancellation { connection.disconnect() }
            Dispatchers.IO.asExecutor().execute { caller.resumeWith(runCatching { post(connection, kind, body) }) }
        }
    }

    private fun post(connection: HttpURLConnection, kind: RequestType, body: ByteArray): Reply =
        try {
            connection.requestMethod = "POST"
            connection.doOutput = true
            connection.setRequestProperty("Authorization", "Bearer ${token ?: throw HostException.Failed("logged out")}")
            connection.setRequestProperty("Wallet-Request", kind.wireName())
            connection.outputStream.use { it.write(body) }
            val status = connection.responseCode
            if (status != HttpURLConnection.HTTP_OK) throw HostException.Failed("the server says $status")
            Reply(connection.inputStream.use { it.readBytes() })
        } catch (_: UnknownHostException) {
            throw HostException.Offline()
        } catch (error: IOException) {
            throw HostException.Failed(error.javaClass.simpleName)
        }
}
