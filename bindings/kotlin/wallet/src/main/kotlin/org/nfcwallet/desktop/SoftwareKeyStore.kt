package org.nfcwallet.desktop

import java.math.BigInteger
import java.nio.file.Path
import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.KeyPairGenerator
import java.security.PrivateKey
import java.security.SecureRandom
import java.security.interfaces.ECPublicKey
import java.security.spec.ECGenParameterSpec
import java.security.spec.PKCS8EncodedKeySpec
import javax.crypto.Cipher
import javax.crypto.spec.GCMParameterSpec
import javax.crypto.spec.SecretKeySpec
import org.nfcwallet.Anchor
import org.nfcwallet.DeviceKeyStore
import org.nfcwallet.DevicePublicKey
import org.nfcwallet.KeyStoreException
import org.nfcwallet.Signature
import org.nfcwallet.Stored
import org.nfcwallet.Unwrapped
import org.nfcwallet.Wrapped

/**
 * A [DeviceKeyStore] in software, for tests and for a desktop: the keys are files or memory, so whoever
 * reads the disk or the process has them. A phone keeps them in its hardware instead (Android Keystore).
 *
 * May be called from any thread; one call at a time is served.
 */
public class SoftwareKeyStore private constructor(private val place: KeyPlace) : DeviceKeyStore {
    private val random = SecureRandom()

    public companion object {
        private const val PRIVATE_KEY = "device.pk8"
        private const val PUBLIC_KEY = "device.pub"
        private const val WRAPPING_KEY = "wrapping.key"
        private const val ANCHOR = "anchor.bin"
        private const val ANCHOR_LIMIT = 64
        private const val NONCE_LENGTH = 12
        private const val TAG_BITS = 128
        private const val COORDINATE_LENGTH = 32

        /** Keys that end with the process. */
        public fun inMemory(): SoftwareKeyStore = SoftwareKeyStore(MemoryPlace())

        /** Keys in [folder], which is made if it is not there. A process that was killed finds them again. */
        public fun inFolder(folder: Path): SoftwareKeyStore = SoftwareKeyStore(FolderPlace(folder))
    }

    override fun publicKey(): DevicePublicKey = serve {
        DevicePublicKey(place.read(PUBLIC_KEY) ?: makeDeviceKey())
    }

    /** In DER, as Android's key store signs. */
    override fun sign(message: ByteArray): Signature = serve {
        val signer = java.security.Signature.getInstance("SHA256withECDSA")
        signer.initSign(deviceKey())
        signer.update(message)
        Signature(signer.sign())
    }

    override fun wrap(key: ByteArray): Wrapped = serve {
        val wrapping = place.read(WRAPPING_KEY) ?: makeWrappingKey()
        val nonce = randomBytes(NONCE_LENGTH)
        Wrapped(nonce + cipher(Cipher.ENCRYPT_MODE, wrapping, nonce).doFinal(key))
    }

    override fun unwrap(wrapped: Wrapped): Unwrapped = serve {
        val wrapping = place.read(WRAPPING_KEY) ?: throw KeyStoreException.NotFound()
        if (wrapped.bytes.size <= NONCE_LENGTH) throw KeyStoreException.Failed("the wrapped key is too short")
        val nonce = wrapped.bytes.copyOf(NONCE_LENGTH)
        val sealed = wrapped.bytes.copyOfRange(NONCE_LENGTH, wrapped.bytes.size)
        Unwrapped(cipher(Cipher.DECRYPT_MODE, wrapping, nonce).doFinal(sealed))
    }

    override fun renew(): Stored = serve {
        listOf(PRIVATE_KEY, PUBLIC_KEY, WRAPPING_KEY, ANCHOR).forEach(place::remove)
        Stored.DURABLY
    }

    override fun anchor(): Anchor = serve { Anchor(place.read(ANCHOR)) }

    override fun setAnchor(bytes: ByteArray): Stored = serve {
        if (bytes.size > ANCHOR_LIMIT) {
            throw KeyStoreException.Failed("the anchor is ${bytes.size} bytes, limit $ANCHOR_LIMIT")
        }
        place.replace(ANCHOR, bytes)
        Stored.DURABLY
    }

    @Synchronized
    private fun <T> serve(call: () -> T): T =
        try {
            call()
        } catch (error: GeneralSecurityException) {
            throw KeyStoreException.Failed(error.javaClass.simpleName)
        } catch (error: java.io.IOException) {
            throw KeyStoreException.Failed(error.javaClass.simpleName)
        }

    private fun deviceKey(): PrivateKey {
        val encoded = place.read(PRIVATE_KEY) ?: throw KeyStoreException.NotFound()
        return KeyFactory.getInstance("EC").generatePrivate(PKCS8EncodedKeySpec(encoded))
    }

    /** The public half is written last: a key without it was never shown to anybody. */
    private fun makeDeviceKey(): ByteArray {
        val generator = KeyPairGenerator.getInstance("EC")
        generator.initialize(ECGenParameterSpec("secp256r1"), random)
        val pair = generator.generateKeyPair()
        val point = (pair.public as ECPublicKey).w
        val public = byteArrayOf(0x04) + coordinate(point.affineX) + coordinate(point.affineY)
        place.replace(PRIVATE_KEY, pair.private.encoded)
        place.replace(PUBLIC_KEY, public)
        return public
    }

    /** 32 bytes, big endian. */
    private fun coordinate(number: BigInteger): ByteArray {
        val bytes = number.toByteArray().dropWhile { it == 0.toByte() }.toByteArray()
        return ByteArray(COORDINATE_LENGTH - bytes.size) + bytes
    }

    private fun makeWrappingKey(): ByteArray =
        randomBytes(COORDINATE_LENGTH).also { place.replace(WRAPPING_KEY, it) }

    private fun cipher(mode: Int, key: ByteArray, nonce: ByteArray): Cipher {
        val cipher = Cipher.getInstance("AES/GCM/NoPadding")
        cipher.init(mode, SecretKeySpec(key, "AES"), GCMParameterSpec(TAG_BITS, nonce))
        return cipher
    }

    private fun randomBytes(length: Int): ByteArray = ByteArray(length).also(random::nextBytes)
}
