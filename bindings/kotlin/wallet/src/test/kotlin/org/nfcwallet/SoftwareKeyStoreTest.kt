package org.nfcwallet

import java.math.BigInteger
import java.nio.file.Path
import java.security.AlgorithmParameters
import java.security.KeyFactory
import java.security.spec.ECGenParameterSpec
import java.security.spec.ECParameterSpec
import java.security.spec.ECPoint
import java.security.spec.ECPublicKeySpec
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import org.nfcwallet.desktop.SoftwareKeyStore

class SoftwareKeyStoreTest {
    private val storageKey = ByteArray(32) { 7 }

    private fun isSignedBy(publicKey: ByteArray, message: ByteArray, signature: ByteArray): Boolean {
        val parameters = AlgorithmParameters.getInstance("EC").apply { init(ECGenParameterSpec("secp256r1")) }
        val point = ECPoint(BigInteger(1, publicKey.copyOfRange(1, 33)), BigInteger(1, publicKey.copyOfRange(33, 65)))
        val spec = ECPublicKeySpec(point, parameters.getParameterSpec(ECParameterSpec::class.java))
        val verifier = java.security.Signature.getInstance("SHA256withECDSA")
        verifier.initVerify(KeyFactory.getInstance("EC").generatePublic(spec))
        verifier.update(message)
        return verifier.verify(signature)
    }

    @Test
    fun `a signature verifies under the public key`() {
        repeat(20) {
            val keys = SoftwareKeyStore.inMemory()
            assertThrows(KeyStoreException.NotFound::class.java) { keys.sign(byteArrayOf(1)) }
            val publicKey = keys.publicKey().bytes
            assertEquals(65, publicKey.size)
            assertTrue(isSignedBy(publicKey, byteArrayOf(1), keys.sign(byteArrayOf(1)).bytes))
        }
    }

    @Test
    fun `a restarted process finds keys and anchor again`(@TempDir folder: Path) {
        val first = SoftwareKeyStore.inFolder(folder)
        val publicKey = first.publicKey().bytes
        val wrapped = first.wrap(storageKey)
        first.setAnchor(byteArrayOf(1, 2, 3))
        val second = SoftwareKeyStore.inFolder(folder)
        assertArrayEquals(publicKey, second.publicKey().bytes)
        assertArrayEquals(storageKey, second.unwrap(wrapped).bytes)
        assertArrayEquals(byteArrayOf(1, 2, 3), second.anchor().bytes)
    }

    @Test
    fun `another device does not open a wrapped key`() {
        val wrapped = SoftwareKeyStore.inMemory().wrap(storageKey)
        val there = SoftwareKeyStore.inMemory()
        assertThrows(KeyStoreException.NotFound::class.java) { there.unwrap(wrapped) }
        there.wrap(storageKey)
        assertThrows(KeyStoreException.Failed::class.java) { there.unwrap(wrapped) }
        assertThrows(KeyStoreException.Failed::class.java) { there.unwrap(Wrapped(ByteArray(3))) }
    }

    @Test
    fun `renewed keys are others, and the anchor is gone`(@TempDir folder: Path) {
        val keys = SoftwareKeyStore.inFolder(folder)
        val old = keys.publicKey().bytes
        val wrapped = keys.wrap(storageKey)
        keys.setAnchor(byteArrayOf(1))
        assertEquals(Stored.DURABLY, keys.renew())
        assertTrue(!old.contentEquals(keys.publicKey().bytes))
        assertEquals(null, keys.anchor().bytes)
        assertThrows(KeyStoreException.NotFound::class.java) { keys.unwrap(wrapped) }
    }

    @Test
    fun `an anchor over its limit is refused with the limit`() {
        val error = assertThrows(KeyStoreException.Failed::class.java) {
            SoftwareKeyStore.inMemory().setAnchor(ByteArray(65))
        }
        assertEquals("the anchor is 65 bytes, limit 64", error.reason)
    }
}
