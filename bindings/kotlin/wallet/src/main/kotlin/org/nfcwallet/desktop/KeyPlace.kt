package org.nfcwallet.desktop

import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardOpenOption.CREATE
import java.nio.file.StandardOpenOption.READ
import java.nio.file.StandardOpenOption.TRUNCATE_EXISTING
import java.nio.file.StandardOpenOption.WRITE
import java.util.concurrent.ConcurrentHashMap

/** Where a [SoftwareKeyStore] keeps its few small secrets. */
internal interface KeyPlace {
    fun read(name: String): ByteArray?

    /** Replaces the whole content, durably, before it returns. */
    fun replace(name: String, content: ByteArray)

    fun remove(name: String)
}

/** Gone with the process. */
internal class MemoryPlace : KeyPlace {
    private val contents = ConcurrentHashMap<String, ByteArray>()

    override fun read(name: String): ByteArray? = contents[name]?.clone()

    override fun replace(name: String, content: ByteArray) {
        contents[name] = content.clone()
    }

    override fun remove(name: String) {
        contents.remove(name)
    }
}

/** One file each in a folder that belongs to this user alone as far as the file system allows. */
internal class FolderPlace(private val folder: Path) : KeyPlace {
    init {
        Files.createDirectories(folder)
    }

    override fun read(name: String): ByteArray? =
        try {
            Files.readAllBytes(folder.resolve(name))
        } catch (_: NoSuchFileException) {
            null
        }

    /** Written aside, synced, renamed, and the folder synced: after a crash there is the old or the new one. */
    override fun replace(name: String, content: ByteArray) {
        val aside = folder.resolve("$name.new")
        FileChannel.open(aside, CREATE, WRITE, TRUNCATE_EXISTING).use { file ->
            val bytes = ByteBuffer.wrap(content)
            while (bytes.hasRemaining()) file.write(bytes)
            file.force(true)
        }
        Files.move(aside, folder.resolve(name), ATOMIC_MOVE)
        syncFolder()
    }

    override fun remove(name: String) {
        Files.deleteIfExists(folder.resolve(name))
        syncFolder()
    }

    private fun syncFolder() {
        // Windows opens no folder; its renames are journalled.
        val isWindows = System.getProperty("os.name").startsWith("Windows")
        if (!isWindows) FileChannel.open(folder, READ).use { it.force(true) }
    }
}
