package org.nfcwallet.sample

import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.KeyProperties
import android.security.keystore.StrongBoxUnavailableException
import android.security.keystore.UserNotAuthenticatedException
import android.system.ErrnoException
import android.system.Os
import android.system.OsConstants
import java.io.File
import java.io.FileNotFoundException
import java.io.FileOutputStream
import java.io.IOException
import java.security.GeneralSecurityException
import java.security.KeyPairGenerator
import java.security.KeyStore
import java.security.PrivateKey
import java.security.spec.AlgorithmParameterSpec
import java.security.spec.ECGenParameterSpec
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import org.nfcwallet.Anchor
import org.nfcwallet.DeviceKeyStore
import org.nfcwallet.DevicePublicKey
import org.nfcwallet.KeyStoreException
import org.nfcwallet.Signature
import org.nfcwallet.Stored
import org.nfcwallet.Unwrapped
import org.nfcwallet.Wrapped

/**
 * Keys of the Android Keystore, in StrongBox where the phone has one; the anchor in [anchorFile].
 *
 * No key asks for the user: a tap happens with the phone in a hand, not under a prompt. The wallet's own proof of
 * presence is `authenticate`.
 */
class HardwareKeys(private val anchorFile: File) : DeviceKeyStore {
    private val keys = KeyStore.getInstance(KEYSTORE).apply { load(null) }

    override fun publicKey(): DevicePublicKey = typed {
        if (!keys.containsAlias(DEVICE)) make(DEVICE, ::makeDeviceKey)
        // X.509 ends with the point: SEC1 uncompressed, 65 bytes (RFC 5480, 2.2).
        DevicePublicKey(keys.getCertificate(DEVICE).publicKey.encoded.takeLast(65).toByteArray())
    }

    override fun sign(message: ByteArray): Signature = typed {
        val signer = java.security.Signature.getInstance("SHA256withECDSA")
        signer.initSign(key(DEVICE) as PrivateKey)
        signer.update(message)
        Signature(signer.sign())
    }

    override fun wrap(key: ByteArray): Wrapped = typed {
        if (!keys.containsAlias(WRAPPING)) make(WRAPPING, ::makeWrappingKey)
        val cipher = Cipher.getInstance(AES_GCM)
        // The Keystore chooses the nonce.
        cipher.init(Cipher.ENCRYPT_MODE, key(WRAPPING) as SecretKey)
        Wrapped(cipher.iv + cipher.doFinal(key))
    }

    override fun unwrap(wrapped: Wrapped): Unwrapped = typed {
        val cipher = Cipher.getInstance(AES_GCM)
        val nonce = GCMParameterSpec(128, wrapped.bytes, 0, NONCE_BYTES)
        cipher.init(Cipher.DECRYPT_MODE, key(WRAPPING) as SecretKey, nonce)
        Unwrapped(cipher.doFinal(wrapped.bytes, NONCE_BYTES, wrapped.bytes.size - NONCE_BYTES))
    }

    override fun renew(): Stored = typed {
        listOf(DEVICE, WRAPPING).forEach(keys::deleteEntry)
        anchorFile.delete()
        Stored.DURABLY
    }

    override fun anchor(): Anchor = typed {
        try {
            Anchor(anchorFile.readBytes())
        } catch (_: FileNotFoundException) {
            Anchor(null)
        }
    }

    override fun setAnchor(bytes: ByteArray): Stored = typed {
        // Android's AtomicFile logs a write that failed; here it must throw.
        val aside = anchorFile.resolveSibling("${anchorFile.name}.new")
        FileOutputStream(aside).use { output ->
            output.write(bytes)
            output.fd.sync()
        }
        Os.rename(aside.path, anchorFile.path)
        val folder = Os.open(anchorFile.parent, OsConstants.O_RDONLY, 0)
        try {
            Os.fsync(folder)
        } finally {
            Os.close(folder)
        }
        Stored.DURABLY
    }

    private fun key(alias: String) = keys.getKey(alias, null) ?: throw KeyStoreException.NotFound()

    private fun make(alias: String, generate: (alias: String, strongBox: Boolean) -> Unit) {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.P) return generate(alias, false)
        try {
            generate(alias, true)
        } catch (_: StrongBoxUnavailableException) {
            generate(alias, false)
        }
    }

    private fun makeDeviceKey(alias: String, strongBox: Boolean) {
        val purpose = KeyProperties.PURPOSE_SIGN or KeyProperties.PURPOSE_VERIFY
        val generator = KeyPairGenerator.getInstance(KeyProperties.KEY_ALGORITHM_EC, KEYSTORE)
        val curve = ECGenParameterSpec("secp256r1")
        generator.initialize(spec(alias, purpose, strongBox) {
            setAlgorithmParameterSpec(curve).setDigests(KeyProperties.DIGEST_SHA256)
        })
        generator.generateKeyPair()
    }

    private fun makeWrappingKey(alias: String, strongBox: Boolean) {
        val purpose = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, KEYSTORE)
        generator.init(spec(alias, purpose, strongBox) {
            setKeySize(256)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
        })
        generator.generateKey()
    }

    private fun spec(
        alias: String,
        purposes: Int,
        strongBox: Boolean,
        more: KeyGenParameterSpec.Builder.() -> KeyGenParameterSpec.Builder,
    ): AlgorithmParameterSpec {
        val builder = KeyGenParameterSpec.Builder(alias, purposes).more()
        // Exists from Android 9 on.
        return (if (strongBox) builder.setIsStrongBoxBacked(true) else builder).build()
    }

    /** The Keystore's failures, by what the wallet does about them. */
    private inline fun <T> typed(act: () -> T): T =
        try {
            act()
        } catch (_: KeyPermanentlyInvalidatedException) {
            throw KeyStoreException.Invalidated()
        } catch (_: UserNotAuthenticatedException) {
            throw KeyStoreException.Locked()
        } catch (error: GeneralSecurityException) {
            throw failed(error)
        } catch (error: IOException) {
            throw failed(error)
        } catch (error: ErrnoException) {
            throw failed(error)
        }

    private fun failed(error: Exception) = KeyStoreException.Failed(error.javaClass.simpleName)

    private companion object {
        const val KEYSTORE = "AndroidKeyStore"
        const val DEVICE = "nfcwallet.device"
        const val WRAPPING = "nfcwallet.wrapping"
        const val AES_GCM = "AES/GCM/NoPadding"
        const val NONCE_BYTES = 12
    }
}
