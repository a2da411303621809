package org.nfcwallet.sample

import android.content.SharedPreferences
import android.os.Build
import java.io.File
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.launch
import org.nfcwallet.HostException
import org.nfcwallet.IntegrityVerdict

/** Where the app's own checks of the phone go in. */
fun interface IntegrityCheck {
    /** May take seconds and ask the network. `null` (no exception) where it cannot tell: the last verdict stands. */
    suspend fun check(): IntegrityVerdict?
}

/** The last verdict on the phone, kept for the process that the next tap starts. */
class Integrity(
    private val kept: SharedPreferences,
    private val scope: CoroutineScope,
    private val checks: IntegrityCheck,
) {
    private class Found(val verdict: IntegrityVerdict, val at: Long)

    @Volatile
    private var last: Found? = read()
    private var running: Job? = null

    /** For a tap, from memory. Without a verdict it throws: the tap is 19008, "try again", and not 10002. */
    fun verdict(): IntegrityVerdict {
        renewIfOld()
        return known() ?: throw HostException.Failed("no recent verdict on the phone")
    }

    /** Whether there is a verdict, after a check where one is due. */
    suspend fun isKnown(): Boolean {
        renewIfOld()?.join()
        return known() != null
    }

    /** Checks in the background where the last verdict is no longer new. The check that runs, if any. */
    @Synchronized
    fun renewIfOld(): Job? {
        running?.takeIf { it.isActive }?.let { return it }
        if (age() in 0 until RENEW_MS) return null
        return scope.launch { checks.check()?.let(::found) }.also { running = it }
    }

    /** What a check says that is not asked, such as a push message of the app's server. */
    fun found(verdict: IntegrityVerdict) {
        val now = System.currentTimeMillis()
        last = Found(verdict, now)
        kept.edit()
            .putString(REASON, (verdict as? IntegrityVerdict.Unsafe)?.reason)
            .putLong(FOUND_AT, now)
            .apply()
    }

    /** "Safe" holds for a day, "unsafe" until a check says otherwise. */
    private fun known(): IntegrityVerdict? =
        last?.verdict?.takeIf { it is IntegrityVerdict.Unsafe || age() in 0 until VALID_MS }

    /** In milliseconds; negative where there is none, or the clock was set back. */
    private fun age(): Long = last?.let { System.currentTimeMillis() - it.at } ?: -1

    private fun read(): Found? {
        if (!kept.contains(FOUND_AT)) return null
        val reason = kept.getString(REASON, null)
        val verdict = reason?.let { IntegrityVerdict.Unsafe(it) } ?: IntegrityVerdict.Safe
        return Found(verdict, kept.getLong(FOUND_AT, 0))
    }

    private companion object {
        const val REASON = "unsafe_reason"
        const val FOUND_AT = "found_at"
        const val RENEW_MS = 60 * 60 * 1_000L
        const val VALID_MS = 24 * RENEW_MS
    }
}

/** The least there is. An app that ships asks more: Play Integrity, through its own server. */
object LocalChecks : IntegrityCheck {
    override suspend fun check(): IntegrityVerdict =
        when {
            Build.TAGS.orEmpty().contains("test-keys") -> IntegrityVerdict.Unsafe("a system with test keys")
            listOf("/system/bin/su", "/system/xbin/su").any { File(it).exists() } -> IntegrityVerdict.Unsafe("rooted")
            else -> IntegrityVerdict.Safe
        }
}
