package org.nfcwallet.phone

import org.nfcwallet.HostException

/** How an interface misbehaves. */
enum class Fault {
    NONE,
    FAIL,
    HANG,

    /** Throws an `Error`, which the generated bindings do not catch. */
    PANIC,
    LOCKED,
    INVALIDATED,
    ;

    /** Does what the fault is; the two of key stores are failures everywhere else. */
    fun act() {
        when (this) {
            NONE -> Unit
            FAIL, LOCKED, INVALIDATED -> throw HostException.Failed("as told")
            HANG -> Thread.sleep(HOUR_MS)
            PANIC -> throw NoClassDefFoundError("as told")
        }
    }

    companion object {
        private const val HOUR_MS = 3_600_000L

        fun read(name: String): Fault =
            requireNotNull(entries.find { it.name.lowercase() == name }) { "unknown fault $name" }
    }
}
