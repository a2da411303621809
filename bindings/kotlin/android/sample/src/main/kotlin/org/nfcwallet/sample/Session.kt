package org.nfcwallet.sample

import android.content.SharedPreferences
import java.io.IOException
import java.net.ConnectException
import java.net.HttpURLConnection
import java.net.NoRouteToHostException
import java.net.URL
import java.net.UnknownHostException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.suspendCancellableCoroutine
import org.json.JSONException
import org.json.JSONObject
import org.nfcwallet.HostException
import org.nfcwallet.NFCRequestProxy
import org.nfcwallet.Reply
import org.nfcwallet.RequestType

/** The logged-in user's session at the app's own server, and the wallet's way out through it. */
class Session(private val server: String, private val kept: SharedPreferences) : NFCRequestProxy {
    /** Of the user who is logged in; kept, for a tap may start the process. */
    private val token = MutableStateFlow(kept.getString(TOKEN, null))

    /** False before a login, and from the server's 401 on: then the app shows its login. */
    val isLoggedIn: Flow<Boolean> = token.map { it != null }

    /**
     * Logs in. Returns the customer's id, for the wallet's `connect`; `null` where user and password do not fit.
     * Throws [HostException].
     */
    suspend fun logIn(user: String, password: String): String? {
        val answer = post("/login", JSONObject().put("user", user).put("password", password), login = null)
        if (answer.status == HttpURLConnection.HTTP_UNAUTHORIZED) return null
        try {
            val session = JSONObject(answer.body().decodeToString())
            val customer = session.getString("customer_id")
            begin(session.getString("token"))
            return customer
        } catch (_: JSONException) {
            throw HostException.Failed("the server's answer is no session")
        }
    }

    override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply {
        val login = token.value ?: throw HostException.Failed("logged out")
        val request = JSONObject().put("type", kind.wireName()).put("body", body.decodeToString())
        val answer = post("/wallet/relay", request, login)
        if (answer.status == HttpURLConnection.HTTP_UNAUTHORIZED) end(login)
        return Reply(answer.body())
    }

    private fun begin(login: String) {
        kept.edit().putString(TOKEN, login).apply()
        token.value = login
    }

    /** A late answer to an old login ends no new one. */
    private fun end(login: String) {
        if (token.compareAndSet(login, null)) kept.edit().remove(TOKEN).apply()
    }

    private suspend fun post(path: String, request: JSONObject, login: String?): Answer {
        val connection = URL(server + path).openConnection() as HttpURLConnection
        return suspendCancellableCoroutine { caller ->
            // The wallet gives a request up by cancelling it; nobody reads what comes of it then.
            caller.invokeOnCancellation { connection.disconnect() }
            Dispatchers.IO.asExecutor().execute {
                caller.resumeWith(runCatching { exchange(connection, request, login) })
            }
        }
    }

    private fun exchange(connection: HttpURLConnection, request: JSONObject, login: String?): Answer =
        try {
            connection.requestMethod = "POST"
            connection.doOutput = true
            if (login != null) connection.setRequestProperty("Authorization", "Bearer $login")
            connection.setRequestProperty("Content-Type", "application/json")
            connection.outputStream.use { it.write(request.toString().encodeToByteArray()) }
            val status = connection.responseCode
            val isOk = status == HttpURLConnection.HTTP_OK
            Answer(status, if (isOk) connection.inputStream.use { it.readBytes() } else null)
        } catch (_: UnknownHostException) {
            throw HostException.Offline()
        } catch (_: ConnectException) {
            throw HostException.Offline()
        } catch (_: NoRouteToHostException) {
            throw HostException.Offline()
        } catch (error: IOException) {
            throw HostException.Failed(error.javaClass.simpleName)
        }

    private class Answer(val status: Int, private val bytes: ByteArray?) {
        fun body(): ByteArray = bytes ?: throw HostException.Failed("the server answered $status")
    }

    private companion object {
        const val TOKEN = "token"
    }
}
