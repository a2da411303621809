package org.nfcwallet.desk

import com.eclipsesource.json.Json
import com.eclipsesource.json.JsonObject
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import org.nfcwallet.NFCWallet

/** What became of a payment. [violations] is everything that the issuer's ledger holds against wallets. */
data class Payment(val outcome: String, val reason: String, val violations: List<String>) {
    val isApproved: Boolean get() = outcome == "approved"
}

/**
 * The sandbox's servers, its issuer and a third-party terminal, in a process of their own: the program `till`
 * of the Rust tests. One payment at a time.
 */
class Till : AutoCloseable {
    private val process =
        ProcessBuilder(System.getProperty("till.program")).redirectError(ProcessBuilder.Redirect.INHERIT).start()
    private val input = process.outputStream.bufferedWriter()
    private val output = process.inputStream.bufferedReader()
    private val first = line()

    /** The app's server. */
    val server: URI = URI("http://" + first.getString("mpp", ""))
    val trustKey: ByteArray = first.getString("trust_key", "").hexToByteArray()
    private val control = URI("http://" + first.getString("control", ""))

    /** One tap of [wallet], in EUR. */
    fun pay(wallet: NFCWallet, amount: String = "1.00"): Payment = tap(amount, wallet::processApdu)

    /** One tap; [answer] says `null` where the phone has left the field. */
    @Synchronized
    fun tap(amount: String, answer: (ByteArray) -> ByteArray?): Payment {
        write(JsonObject().add("amount", amount))
        while (true) {
            val line = line()
            line.get("payment")?.asObject()?.let { return payment(it) }
            val command = requireNotNull(line.getString("apdu", null)) { "the till says $line" }
            write(JsonObject().add("answer", answer(command.hexToByteArray())?.toHexString()))
        }
    }

    /** What the sandbox's servers know (`docs/sandbox.md`). */
    fun state(): JsonObject = request("GET", "/control/state", "")

    /** A request to the sandbox's control API. */
    fun request(method: String, path: String, body: String): JsonObject {
        val request = HttpRequest.newBuilder(control.resolve(path))
            .header("Content-Type", "application/json")
            .method(method, HttpRequest.BodyPublishers.ofString(body))
            .build()
        val answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString())
        check(answer.statusCode() == 200) { "$path: ${answer.body()}" }
        return Json.parse(answer.body()).takeIf { it.isObject }?.asObject() ?: JsonObject()
    }

    /** What the app's server answers to an app in which [user] is logged in. */
    fun askApp(user: String, path: String): HttpResponse<String> {
        val login = HttpRequest.newBuilder(server.resolve("/login"))
            .POST(HttpRequest.BodyPublishers.ofString(JsonObject().add("user", user).toString()))
            .build()
        val session = Json.parse(CLIENT.send(login, HttpResponse.BodyHandlers.ofString()).body()).asObject()
        val question = HttpRequest.newBuilder(server.resolve(path))
            .header("Authorization", "Bearer ${session.getString("token", "")}")
            .build()
        return CLIENT.send(question, HttpResponse.BodyHandlers.ofString())
    }

    override fun close() {
        input.close()
        process.waitFor()
    }

    private fun payment(told: JsonObject) = Payment(
        outcome = told.getString("outcome", ""),
        reason = told.getString("reason", ""),
        violations = told.get("violations").asArray().map { it.asString() },
    )

    private fun write(line: JsonObject) {
        input.write("$line\n")
        input.flush()
    }

    private fun line(): JsonObject = Json.parse(checkNotNull(output.readLine()) { "the till is gone" }).asObject()

    private companion object {
        val CLIENT: HttpClient = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()
    }
}
