package org.nfcwallet

import java.io.File
import java.io.PrintWriter
import java.io.StringWriter
import java.nio.file.Files
import java.nio.file.Path
import java.util.spi.ToolProvider
import kotlin.io.path.extension
import kotlin.metadata.Visibility
import kotlin.metadata.jvm.KotlinClassMetadata
import kotlin.metadata.visibility
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

/**
 * What programs compiled against this package rely on: the public classes and members of the facade, as
 * `javap` tells them. `api.txt` is reviewed as a diff; a change that is meant is written there with
 * `-Dapi.write=true`.
 */
class ApiTest {
    @Test
    fun `the facade's public classes are those of api_txt`() {
        val dump = dump()
        val file = Path.of("api.txt")
        if (System.getProperty("api.write") == "true") Files.writeString(file, dump)
        assertEquals(Files.readString(file), dump)
    }

    private fun dump(): String {
        val classes = Path.of("target/classes")
        val names = Files.walk(classes).use { files ->
            files.filter { it.extension == "class" }
                .map { "${classes.relativize(it)}".removeSuffix(".class").replace(File.separatorChar, '.') }
                .filter(::isPublic)
                .sorted()
                .toList()
        }
        val output = StringWriter()
        val javap = ToolProvider.findFirst("javap").orElseThrow()
        val writer = PrintWriter(output)
        javap.run(writer, writer, "-public", "-classpath", "$classes", *names.toTypedArray())
        // What the compiler makes for itself differs between its versions, and nobody calls it.
        return output.toString().lineSequence()
            .filter { line -> listOf("Compiled from", "access\$", "DefaultConstructorMarker").none { it in line } }
            .joinToString("\n")
    }

    /** As Kotlin sees it: what is internal is public for the JVM. */
    private fun isPublic(name: String): Boolean {
        val annotation = Class.forName(name, false, javaClass.classLoader).getAnnotation(Metadata::class.java)
        return when (val metadata = annotation?.let(KotlinClassMetadata::readLenient)) {
            is KotlinClassMetadata.Class -> {
                val outer = name.substringBeforeLast('$', "")
                metadata.kmClass.visibility == Visibility.PUBLIC && (outer.isEmpty() || isPublic(outer))
            }
            is KotlinClassMetadata.FileFacade -> {
                val facade = metadata.kmPackage
                val visibilities = facade.functions.map { it.visibility } + facade.properties.map { it.visibility }
                Visibility.PUBLIC in visibilities
            }
            else -> false
        }
    }
}
