package org.nfcwallet.phone

import com.eclipsesource.json.Json
import com.eclipsesource.json.JsonObject
import com.eclipsesource.json.JsonValue
import com.eclipsesource.json.ParseException
import java.io.ByteArrayOutputStream
import java.io.InputStream
import java.nio.charset.CharacterCodingException

/** The driver's own mistake. */
class Misuse(val text: String) : Exception(text)

/** One call of the driver. A field that is missing, or that holds what it cannot, is [Misuse]. */
class Request private constructor(private val line: JsonObject, val id: Long) {
    /** `null` where the line names no call. */
    val call: String? = line.get("call")?.takeIf { it.isString }?.asString()

    fun text(name: String): String = optionalText(name) ?: missing(name)

    fun bytes(name: String): ByteArray = read(name, text(name)) { it.hexToByteArray() }

    fun number(name: String): Long = optionalNumber(name) ?: missing(name)

    fun optionalText(name: String): String? = optional(name)?.let { value -> read(name, value) { it.asString() } }

    fun optionalFlag(name: String): Boolean? = optional(name)?.let { value -> read(name, value) { it.asBoolean() } }

    fun optionalNumber(name: String, least: Long = 0): Long? = optional(name)?.let { value ->
        read(name, value) { it.asLong().also { number -> require(number >= least) } }
    }

    fun optionalFault(name: String): Fault? = optionalText(name)?.let { read(name, it, Fault::read) }

    private fun optional(name: String): JsonValue? = line.get(name)?.takeUnless { it.isNull }

    private fun missing(name: String): Nothing = throw Misuse("no field $name")

    private fun <From, To> read(name: String, value: From, reading: (From) -> To): To =
        try {
            reading(value)
        } catch (_: UnsupportedOperationException) {
            throw Misuse("$name cannot be $value")
        } catch (_: IllegalArgumentException) {
            throw Misuse("$name cannot be $value")
        }

    companion object {
        /** Fails for a line that has no id to answer under. */
        fun read(line: ByteArray): Request {
            val json = try {
                Json.parse(line.decodeToString(throwOnInvalidSequence = true))
            } catch (error: CharacterCodingException) {
                throw Misuse("no UTF-8: $error")
            } catch (error: ParseException) {
                throw Misuse("no JSON: $error")
            }
            if (!json.isObject) throw Misuse("no object")
            val id = json.asObject().get("id")?.takeIf { it.isNumber }?.toString()?.toLongOrNull()
            return Request(json.asObject(), id?.takeIf { it >= 0 } ?: throw Misuse("the id is no number from 0 on"))
        }
    }
}

/** The lines of [input] as bytes, since not every line is text. */
fun linesOf(input: InputStream): Sequence<ByteArray> = sequence {
    val buffered = input.buffered()
    val line = ByteArrayOutputStream()
    while (true) {
        val byte = buffered.read()
        if (byte >= 0 && byte != '\n'.code) {
            line.write(byte)
            continue
        }
        if (byte >= 0 || line.size() > 0) yield(line.toByteArray())
        if (byte < 0) return@sequence
        line.reset()
    }
}
