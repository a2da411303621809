/** A wallet in a process of its own, driven by JSON lines (`docs/phone-protocol.md`). */
@file:JvmName("PhoneMain")

package org.nfcwallet.phone

import java.lang.management.ManagementFactory
import java.nio.file.Files
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import org.nfcwallet.*
import org.nfcwallet.desktop.SoftwareKeyStore

/** These run beside each other; all others are done in order. */
private val LONG_CALLS =
    setOf("connect", "disconnect", "sync", "activate", "confirm", "replenish", "lock", "unlock", "delete")

fun main(arguments: Array<String>) {
    val lines = Lines()
    try {
        val commands = open(PhoneOptions(arguments), lines)
        val millis = System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().startTime
        lines.event("ready", "status" to commands.wallet.tokenStatus().code(), "millis" to millis.toDouble())
        obey(commands, lines)
    } catch (error: WalletException) {
        lines.event("not_opened", "error" to errorLine(error))
        exitProcess(1)
    }
    // Hosts that hang must not keep the process.
    exitProcess(0)
}

private fun open(options: PhoneOptions, lines: Lines): Commands {
    options.logFile?.let(::logTo)
    val behaviour = Behaviour()
    behaviour.startWithKeyStore(options.keyStore)
    val proxy = PhoneProxy(options.mpp, behaviour, lines)
    options.user?.let { user ->
        runBlocking {
            try {
                proxy.logIn(user)
            } catch (error: HostException) {
                System.err.println("not logged in at the app's server: $error")
            }
        }
    }
    val keys = SoftwareKeyStore.inFolder(options.directory.resolve("hardware"))
    val permit = PhonePermit(behaviour)
    val listener = PhoneListener(behaviour, lines)
    val host = Host(
        proxy = proxy,
        keyStore = PhoneKeyStore(keys, behaviour),
        device = PhoneDevice(behaviour),
        permit = permit,
        transactions = listener,
        activation = listener,
        monitor = listener,
    )
    val clock = if (options.hasTestClock) TestClock() else null
    val config = config(options)
    val wallet = clock?.let { NFCWallet.openWithTestClock(config, host, it) } ?: NFCWallet.open(config, host)
    permit.wallet = wallet
    return Commands(wallet, behaviour, proxy, listener, clock)
}

private fun config(options: PhoneOptions) = WalletConfig(
    dataDirectory = options.directory.resolve("wallet").toString(),
    mppId = "sandbox-mpp",
    serviceTrustKey = options.trustKey,
    supportTransit = options.transit,
    supportLockScreenPay = options.lockedTransit,
    passwordFreeLimits = options.passwordFree,
    historyLimit = options.historyLimit,
    deadlines = Deadlines(
        proxyMs = options.proxyDeadlineMs,
        keyStoreMs = options.keyStoreDeadlineMs,
        permitMs = options.tapDeadlineMs,
        deviceStateMs = options.tapDeadlineMs,
    ),
)

private fun logTo(file: java.nio.file.Path) {
    val output = Files.newBufferedWriter(file)
    setLogSink(LogLevel.TRACE, object : LogSink {
        override fun onLogs(batch: LogBatch): Delivered {
            for (record in batch.records) output.append("${record.level} ${record.target}: ${record.text}\n")
            output.flush()
            return Delivered.DONE
        }
    })
}

private fun obey(commands: Commands, lines: Lines) {
    val beside = CoroutineScope(Dispatchers.Default)
    for (line in linesOf(System.`in`)) {
        val request = try {
            Request.read(line)
        } catch (error: Misuse) {
            lines.event("not_understood", "reason" to error.text)
            continue
        }
        if (request.call in LONG_CALLS) {
            beside.launch { lines.write(commands.answer(request)) }
        } else {
            runBlocking { lines.write(commands.answer(request)) }
        }
    }
}
