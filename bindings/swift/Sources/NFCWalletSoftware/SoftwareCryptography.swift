//  P-256 signatures and AES-256-GCM: CryptoKit on Apple's systems, OpenSSL elsewhere.

import Foundation

#if canImport(CryptoKit)
    import CryptoKit
#else
    import COpenSSL
#endif

/// What the cryptography could not do; names the operation.
struct CryptographyFailure: Error, Equatable {
    let operation: String
}

/// Bytes of the system's generator.
func randomBytes(_ count: Int) -> Data {
    var generator = SystemRandomNumberGenerator()
    return Data((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
}

#if canImport(CryptoKit)
    /// A P-256 key that signs.
    struct SigningKey {
        private let key: P256.Signing.PrivateKey

        /// A new key.
        init() throws { key = P256.Signing.PrivateKey() }

        /// The key that `stored` gave.
        init(stored: Data) throws { key = try P256.Signing.PrivateKey(derRepresentation: stored) }

        /// The private key, to keep.
        func stored() throws -> Data { key.derRepresentation }

        /// 65 bytes: 04, X, Y.
        func publicKey() throws -> Data { key.publicKey.x963Representation }

        /// ECDSA over SHA-256 of `message`, in DER.
        func sign(_ message: Data) throws -> Data { try key.signature(for: message).derRepresentation }
    }

    /// AES-256-GCM: nonce, ciphertext, tag.
    enum Sealing {
        static func seal(_ plain: Data, under key: Data) throws -> Data {
            let sealed = try AES.GCM.seal(plain, using: SymmetricKey(data: key))
            guard let combined = sealed.combined else { throw CryptographyFailure(operation: "sealing") }
            return combined
        }

        static func open(_ sealed: Data, under key: Data) throws -> Data {
            try AES.GCM.open(AES.GCM.SealedBox(combined: sealed), using: SymmetricKey(data: key))
        }
    }
#else
    /// A P-256 key that signs.
    final class SigningKey {
        private let key: OpaquePointer

        /// A new key.
        init() throws {
            guard let key = nfcwallet_new_p256_key() else { throw CryptographyFailure(operation: "key generation") }
            self.key = key
        }

        /// The key that `stored` gave.
        init(stored: Data) throws {
            let key = stored.withUnsafeBytes { bytes -> OpaquePointer? in
                var next = bytes.bindMemory(to: UInt8.self).baseAddress
                return d2i_AutoPrivateKey(nil, &next, bytes.count)
            }
            guard let key else { throw CryptographyFailure(operation: "reading the key") }
            self.key = key
        }

        deinit { EVP_PKEY_free(key) }

        /// The private key, to keep.
        func stored() throws -> Data {
            var bytes: UnsafeMutablePointer<UInt8>?
            let count = i2d_PrivateKey(key, &bytes)
            guard count > 0, let bytes else { throw CryptographyFailure(operation: "writing the key") }
            defer { CRYPTO_clear_free(bytes, Int(count), #file, #line) }
            return Data(bytes: bytes, count: Int(count))
        }

        /// 65 bytes: 04, X, Y.
        func publicKey() throws -> Data {
            var bytes = Data(count: 65)
            let count = bytes.withUnsafeMutableBytes { room in
                nfcwallet_public_key(key, room.bindMemory(to: UInt8.self).baseAddress, room.count)
            }
            guard count == bytes.count else { throw CryptographyFailure(operation: "the public key") }
            return bytes
        }

        /// ECDSA over SHA-256 of `message`, in DER.
        func sign(_ message: Data) throws -> Data {
            let failure = CryptographyFailure(operation: "signing")
            guard let context = EVP_MD_CTX_new() else { throw failure }
            defer { EVP_MD_CTX_free(context) }
            guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key) == 1 else { throw failure }
            var signature = Data(count: Int(EVP_PKEY_get_size(key)))
            var count = signature.count
            let isSigned = signature.withUnsafeMutableBytes { room in
                message.withUnsafeBytes { bytes in
                    EVP_DigestSign(context, room.start, &count, bytes.start, bytes.count) == 1
                }
            }
            guard isSigned else { throw failure }
            return signature.prefix(count)
        }
    }

    /// AES-256-GCM: nonce, ciphertext, tag.
    enum Sealing {
        private static let nonceLength = 12
        private static let tagLength = 16
        private static let failure = CryptographyFailure(operation: "AES-GCM")

        static func seal(_ plain: Data, under key: Data) throws -> Data {
            let nonce = randomBytes(nonceLength)
            let context = try context(key: key, nonce: nonce, encrypts: 1)
            defer { EVP_CIPHER_CTX_free(context) }
            let sealed = try update(context, with: plain)
            var tag = Data(count: tagLength)
            let isDone = tag.withUnsafeMutableBytes { room in
                var count: Int32 = 0
                return EVP_CipherFinal_ex(context, room.start, &count) == 1
                    && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagLength), room.baseAddress) == 1
            }
            guard isDone else { throw failure }
            return nonce + sealed + tag
        }

        static func open(_ sealed: Data, under key: Data) throws -> Data {
            guard sealed.count >= nonceLength + tagLength else { throw failure }
            let context = try context(key: key, nonce: Data(sealed.prefix(nonceLength)), encrypts: 0)
            defer { EVP_CIPHER_CTX_free(context) }
            let plain = try update(context, with: Data(sealed.dropFirst(nonceLength).dropLast(tagLength)))
            var tag = Data(sealed.suffix(tagLength))
            let isGenuine = tag.withUnsafeMutableBytes { room in
                var count: Int32 = 0
                let set = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagLength), room.baseAddress)
                return set == 1 && EVP_CipherFinal_ex(context, room.start, &count) == 1
            }
            guard isGenuine else { throw failure }
            return plain
        }

        private static func context(key: Data, nonce: Data, encrypts: Int32) throws -> OpaquePointer {
            guard key.count == 32, let context = EVP_CIPHER_CTX_new() else { throw failure }
            let isReady = key.withUnsafeBytes { key in
                nonce.withUnsafeBytes { nonce in
                    EVP_CipherInit_ex(context, EVP_aes_256_gcm(), nil, key.start, nonce.start, encrypts) == 1
                }
            }
            if !isReady {
                EVP_CIPHER_CTX_free(context)
                throw failure
            }
            return context
        }

        private static func update(_ context: OpaquePointer, with input: Data) throws -> Data {
            var output = Data(count: input.count)
            var count: Int32 = 0
            let isDone = output.withUnsafeMutableBytes { room in
                input.withUnsafeBytes { bytes in
                    EVP_CipherUpdate(context, room.start, &count, bytes.start, Int32(bytes.count)) == 1
                }
            }
            guard isDone, count == input.count else { throw failure }
            return output
        }
    }

    extension UnsafeRawBufferPointer {
        fileprivate var start: UnsafePointer<UInt8>? { bindMemory(to: UInt8.self).baseAddress }
    }

    extension UnsafeMutableRawBufferPointer {
        fileprivate var start: UnsafeMutablePointer<UInt8>? { bindMemory(to: UInt8.self).baseAddress }
    }
#endif
