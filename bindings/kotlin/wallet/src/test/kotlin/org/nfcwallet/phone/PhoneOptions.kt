package org.nfcwallet.phone

import java.nio.file.Path
import org.nfcwallet.CvmLimit

/** How a phone process starts: the arguments of `docs/phone-protocol.md`. */
class PhoneOptions(arguments: Array<String>) {
    private val values = mutableMapOf<String, MutableList<String>>()

    init {
        var at = 0
        while (at < arguments.size) {
            val name = arguments[at++]
            require(name in FLAGS || name in VALUED) { "unknown argument $name" }
            val value = if (name in FLAGS) "" else requireNotNull(arguments.getOrNull(at++)) { "$name needs a value" }
            values.getOrPut(name, ::mutableListOf).add(value)
        }
    }

    val directory: Path = Path.of(needed("--directory"))

    /** `host:port`. */
    val mpp: String = needed("--mpp")
    val trustKey: ByteArray = needed("--trust-key").hexToByteArray()
    val user: String? = last("--user")
    val hasTestClock: Boolean = "--test-clock" in values
    val proxyDeadlineMs: ULong = last("--proxy-deadline-ms")?.toULong() ?: 15_000u
    val keyStoreDeadlineMs: ULong = last("--key-store-deadline-ms")?.toULong() ?: 5_000u

    /** Ten times the field's: each story starts a JVM anew, which loads its classes within the first calls. */
    val tapDeadlineMs: ULong = last("--tap-deadline-ms")?.toULong() ?: 1_000u
    val keyStore: Fault = last("--key-store")?.let(Fault::read) ?: Fault.NONE
    val logFile: Path? = last("--log-file")?.let { Path.of(it) }
    val transit: Boolean = "--transit" in values
    val lockedTransit: Boolean = "--locked-transit" in values
    val historyLimit: UInt = last("--history-limit")?.toUInt() ?: 1_000u
    val passwordFree: List<CvmLimit> = values["--password-free"].orEmpty().map { text ->
        val (currency, amount) = text.split(':', limit = 2)
        CvmLimit(currency.toUShort(), amount.toULong())
    }

    private fun last(name: String): String? = values[name]?.last()

    private fun needed(name: String): String = requireNotNull(last(name)) { "$name is missing" }

    private companion object {
        val FLAGS = setOf("--test-clock", "--transit", "--locked-transit")
        val VALUED = setOf(
            "--directory", "--mpp", "--trust-key", "--user", "--proxy-deadline-ms", "--key-store-deadline-ms",
            "--tap-deadline-ms", "--key-store", "--log-file", "--history-limit", "--password-free",
        )
    }
}
