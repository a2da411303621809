package org.nfcwallet.desktop

import com.eclipsesource.json.Json
import com.eclipsesource.json.JsonObject
import com.eclipsesource.json.ParseException
import java.io.IOException
import java.net.ConnectException
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.net.http.HttpTimeoutException
import kotlinx.coroutines.future.await
import org.nfcwallet.HostException
import org.nfcwallet.NFCRequestProxy
import org.nfcwallet.Reply
import org.nfcwallet.RequestType

/**
 * Carries the wallet's requests to the payment provider's server, in the logged-in user's name:
 * `POST /wallet/relay`, as the sandbox's server takes it. An app of a payment provider writes its own.
 *
 * A cancelled call breaks its HTTP exchange off. It never retries: the wallet repeats requests itself.
 */
public class HttpRequestProxy private constructor(
    private val server: URI,
    private val loginToken: String,
) : NFCRequestProxy {
    override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply {
        val content = Json.`object`().add("type", kind.wireName()).add("body", body.decodeToString())
        return Reply(post(server.resolve("/wallet/relay"), loginToken, content))
    }

    public companion object {
        /** One client, and with it one set of threads, for all proxies of this process. */
        private val client: HttpClient by lazy {
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()
        }

        /**
         * Logs [user] in at [server] (`http://host:port`).
         *
         * @throws HostException.Offline if the server cannot be reached.
         * @throws HostException.Failed if it says no.
         */
        public suspend fun logIn(server: URI, user: String): HttpRequestProxy {
            val answer = post(server.resolve("/login"), null, Json.`object`().add("user", user))
            val token = try {
                Json.parse(answer.decodeToString()).asObject().getString("token", null)
            } catch (_: ParseException) {
                null
            } catch (_: UnsupportedOperationException) {
                null
            }
            return HttpRequestProxy(server, token ?: throw HostException.Failed("the login answer has no token"))
        }

        private suspend fun post(uri: URI, loginToken: String?, content: JsonObject): ByteArray {
            val request = HttpRequest.newBuilder(uri)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(content.toString()))
            loginToken?.let { request.header("Authorization", "Bearer $it") }
            val response = exchange(request.build())
            if (response.headers().firstValue("x-sandbox-link").orElse("") == "offline") {
                throw HostException.Offline()
            }
            if (response.statusCode() !in SUCCESS) {
                throw HostException.Failed("the server answered ${response.statusCode()}")
            }
            return response.body()
        }

        private suspend fun exchange(request: HttpRequest): HttpResponse<ByteArray> =
            try {
                client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()).await()
            } catch (_: ConnectException) {
                throw HostException.Offline()
            } catch (_: HttpTimeoutException) {
                throw HostException.Failed("the server did not answer in time")
            } catch (_: IOException) {
                throw HostException.Failed("the answer broke off")
            }

        private val SUCCESS = 200..299
    }
}
