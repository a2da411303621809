package org.nfcwallet.phone

import com.eclipsesource.json.Json
import com.eclipsesource.json.JsonObject
import com.eclipsesource.json.JsonValue
import java.io.FileDescriptor
import java.io.FileOutputStream

/** Writes lines to standard output, each whole. What others print does not get between them. */
class Lines {
    private val output = FileOutputStream(FileDescriptor.out)

    @Synchronized
    fun write(line: JsonObject) {
        output.write((line.toString() + "\n").encodeToByteArray())
    }

    fun event(name: String, vararg fields: Pair<String, Any?>): Unit = write(jsonOf("event" to name, *fields))
}

/** An object of the protocol. */
fun jsonOf(vararg fields: Pair<String, Any?>): JsonObject {
    val line = JsonObject()
    for ((name, value) in fields) line.add(name, jsonValue(value))
    return line
}

private fun jsonValue(value: Any?): JsonValue =
    when (value) {
        null -> Json.NULL
        is JsonValue -> value
        is Boolean -> Json.value(value)
        is String -> Json.value(value)
        is Double -> Json.value(value)
        is Int -> Json.value(value)
        is Long -> Json.value(value)
        is UByte -> Json.value(value.toInt())
        is UShort -> Json.value(value.toInt())
        is UInt -> Json.value(value.toLong())
        is ULong -> Json.value(value.toLong())
        is List<*> -> value.fold(com.eclipsesource.json.JsonArray()) { list, item -> list.add(jsonValue(item)) }
        is Map<*, *> -> value.entries.fold(JsonObject()) { map, (key, item) -> map.add("$key", jsonValue(item)) }
        else -> error("no value of the protocol: ${value.javaClass}")
    }

/** `LOG_IN` as Rust writes it: `LogIn`. */
fun camelCase(constant: String): String =
    constant.split('_').joinToString("") { word -> word.lowercase().replaceFirstChar(Char::uppercase) }

/** `PurchaseWithCashback` as the protocol writes it: `purchase_with_cashback`. */
fun snakeCase(name: String): String = name.replace(Regex("(?<=[a-z])(?=[A-Z])"), "_").lowercase()
