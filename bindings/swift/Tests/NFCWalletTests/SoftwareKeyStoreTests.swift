import Foundation
import NFCWallet
import NFCWalletSoftware
import Testing

/// The key store in software behaves as hardware does.
struct SoftwareKeyStoreTests {
    private let storageKey = Data(repeating: 7, count: 32)

    @Test func aRestartedProcessFindsKeysAndAnchorAgain() throws {
        let folder = try temporaryFolder()
        let first = try SoftwareKeyStore(folder: folder)
        let publicKey = try first.publicKey()
        let wrapped = try first.wrap(key: storageKey)
        #expect(try first.setAnchor(bytes: Data([1, 2, 3])) == .durably)
        let second = try SoftwareKeyStore(folder: folder)
        #expect(try second.publicKey() == publicKey)
        #expect(try second.unwrap(wrapped: wrapped).bytes == storageKey)
        #expect(try second.anchor().bytes == Data([1, 2, 3]))
        try FileManager.default.removeItem(at: folder)
    }

    @Test func aPublicKeyIsAnUncompressedPoint() throws {
        let store = SoftwareKeyStore()
        #expect(throws: KeyStoreError.NotFound) { try store.sign(message: Data("early".utf8)) }
        let key = try store.publicKey().bytes
        #expect(key.count == 65)
        #expect(key.first == 0x04)
        // DER: a sequence of two integers.
        let signature = try store.sign(message: Data("message".utf8)).bytes
        #expect(signature.first == 0x30)
        #expect(signature.count == Int(signature[1]) + 2)
    }

    @Test func aWrappedKeyOpensOnItsOwnDeviceOnly() throws {
        let (here, there) = (SoftwareKeyStore(), SoftwareKeyStore())
        let wrapped = try here.wrap(key: storageKey)
        #expect(throws: KeyStoreError.NotFound) { try there.unwrap(wrapped: wrapped) }
        _ = try there.wrap(key: storageKey)
        #expect(throws: KeyStoreError.self) { try there.unwrap(wrapped: wrapped) }
        #expect(throws: KeyStoreError.self) { try here.unwrap(wrapped: Wrapped(bytes: Data([1]))) }
        for at in [0, wrapped.bytes.count / 2, wrapped.bytes.count - 1] {
            var changed = wrapped.bytes
            changed[at] ^= 1
            #expect(throws: KeyStoreError.self) { try here.unwrap(wrapped: Wrapped(bytes: changed)) }
        }
        #expect(try here.unwrap(wrapped: wrapped).bytes == storageKey)
    }

    @Test func invalidatedKeysStaySoUntilTheyAreRenewed() throws {
        let folder = try temporaryFolder()
        let store = try SoftwareKeyStore(folder: folder)
        let old = try store.publicKey()
        _ = try store.setAnchor(bytes: Data([1]))
        try store.invalidate()
        let reopened = try SoftwareKeyStore(folder: folder)
        #expect(throws: KeyStoreError.Invalidated) { try reopened.publicKey() }
        #expect(throws: KeyStoreError.Invalidated) { try reopened.wrap(key: storageKey) }
        _ = try reopened.renew()
        #expect(try reopened.publicKey() != old)
        #expect(try reopened.anchor().bytes == nil)
        try FileManager.default.removeItem(at: folder)
    }

    @Test func aLockedDeviceNeitherSignsNorUnwraps() throws {
        let store = SoftwareKeyStore()
        let wrapped = try store.wrap(key: storageKey)
        store.setLocked(true)
        #expect(throws: KeyStoreError.Locked) { try store.unwrap(wrapped: wrapped) }
        #expect(throws: KeyStoreError.Locked) { try store.sign(message: Data()) }
        store.setLocked(false)
        #expect(try store.unwrap(wrapped: wrapped).bytes == storageKey)
    }

    @Test func anAnchorHasItsLimit() throws {
        let store = SoftwareKeyStore()
        #expect(throws: KeyStoreError.self) { try store.setAnchor(bytes: Data(count: 65)) }
        _ = try store.setAnchor(bytes: Data(count: 64))
        #expect(try store.anchor().bytes == Data(count: 64))
    }

    @Test func aStoreWithoutAFolderSaysSo() throws {
        let folder = try temporaryFolder()
        let file = folder.appendingPathComponent("file")
        try Data().write(to: file)
        #expect(throws: (any Error).self) { try SoftwareKeyStore(folder: file.appendingPathComponent("below")) }
        try FileManager.default.removeItem(at: folder)
    }
}
