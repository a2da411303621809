package org.nfcwallet.sample

import java.io.IOException
import java.net.ConnectException
import java.net.HttpURLConnection
import java.net.NoRouteToHostException
import java.net.URL
import java.net.UnknownHostException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import kotlinx.coroutines.suspendCancellableCoroutine
import org.json.JSONObject
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
            val login = token ?: throw HostException.Failed("logged out")
            val request = JSONObject().put("type", kind.wireName()).put("body", body.decodeToString())
            connection.requestMethod = "POST"
            connection.doOutput = true
            connection.setRequestProperty("Authorization", "Bearer $login")
            connection.setRequestProperty("Content-Type", "application/json")
            connection.outputStream.use { it.write(request.toString().encodeToByteArray()) }
            val status = connection.responseCode
            if (status != HttpURLConnection.HTTP_OK) throw HostException.Failed("the server answered $status")
            Reply(connection.inputStream.use { it.readBytes() })
        } catch (_: UnknownHostException) {
            throw HostException.Offline()
        } catch (_: ConnectException) {
            throw HostException.Offline()
        } catch (_: NoRouteToHostException) {
            throw HostException.Offline()
        } catch (error: IOException) {
            throw HostException.Failed(error.javaClass.simpleName)
        }
}
