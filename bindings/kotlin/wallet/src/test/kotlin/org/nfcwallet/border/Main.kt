/**
 * The measured phone in Kotlin: does what each line of standard input says, and answers how long the wallet's
 * calls took. Driven by `cargo xtask bench ffi`, whose Rust side (`bench/src/border`) knows the terminal.
 */
@file:JvmName("BorderMain")

package org.nfcwallet.border

import com.eclipsesource.json.Json
import com.eclipsesource.json.JsonObject
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicInteger
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import org.nfcwallet.*
import org.nfcwallet.desk.TestHost
import org.nfcwallet.desktop.SoftwareKeyStore
import org.nfcwallet.phone.Lines
import org.nfcwallet.phone.jsonOf

/** No tap is declined because the machine is busy. */
private const val PATIENCE_MS: ULong = 1_000u

/** Counts who asks. */
private class NoNetwork : NFCRequestProxy {
    val requests = AtomicInteger()

    override suspend fun sendRequest(kind: RequestType, body: ByteArray): Reply {
        requests.incrementAndGet()
        throw HostException.Offline()
    }
}

fun main(arguments: Array<String>) {
    val (data, keys, trustKey) = arguments
    val lines = Lines()
    val load = nanos { buildInfo() }
    val network = NoNetwork()
    val host = TestHost(network).also { it.keys = SoftwareKeyStore.inFolder(Path.of(keys)) }
    val config = WalletConfig(
        dataDirectory = data,
        mppId = "bench-mpp",
        serviceTrustKey = trustKey.hexToByteArray(),
        deadlines = Deadlines(deviceStateMs = PATIENCE_MS, permitMs = PATIENCE_MS),
    )
    val start = System.nanoTime()
    val wallet = NFCWallet.open(config, host.host)
    val open = System.nanoTime() - start
    lines.write(jsonOf("load_ns" to load, "open_ns" to open))
    for (line in System.`in`.bufferedReader().lineSequence()) {
        val request = Json.parse(line).asObject()
        lines.write(
            when (val call = request.getString("call", "")) {
                "prewarm" -> jsonOf("nanos" to listOf(nanos { wallet.prewarm() }))
                "apdus" -> answer(wallet, request)
                "sync" -> sync(wallet, network, request.getInt("rounds", 0))
                else -> error("no call of a measured phone: $call")
            },
        )
    }
    // As a platform ends a process: without farewell.
    exitProcess(0)
}

private fun answer(wallet: NFCWallet, request: JsonObject): JsonObject {
    val apdus = request.get("apdus").asArray().map { it.asString().hexToByteArray() }
    val apart = request.getLong("apart_ms", 0)
    val times = mutableListOf<Long>()
    val ends = List(request.getInt("rounds", 0)) {
        var end = ByteArray(0)
        for (apdu in apdus) {
            if (apart > 0) Thread.sleep(apart)
            times += nanos { end = wallet.processApdu(apdu) }
        }
        end.toHexString()
    }
    return jsonOf("nanos" to times, "ends" to ends)
}

private fun sync(wallet: NFCWallet, network: NoNetwork, rounds: Int): JsonObject = runBlocking {
    val before = network.requests.get()
    val times = List(rounds) {
        nanos { check(runCatching { wallet.syncToken() }.isFailure) { "a sync without a network succeeded" } }
    }
    jsonOf("nanos" to times, "requests" to network.requests.get() - before)
}

private inline fun nanos(call: () -> Unit): Long {
    val start = System.nanoTime()
    call()
    return System.nanoTime() - start
}
