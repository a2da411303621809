import Foundation
import NFCWallet

/// A key store in software that behaves like hardware: for tests and desktops.
///
/// Its keys are as safe as the memory or the folder that holds them. An app that pays keeps its keys in the
/// Secure Enclave.
public final class SoftwareKeyStore: DeviceKeyStore {
    private let state: Locked<State>

    fileprivate struct State {
        let storage: any KeyStorage
        var isLocked = false
    }

    /// The most that the anchor may hold, in bytes.
    private static let anchorLimit = 64
    fileprivate static let (deviceKey, wrappingKey, anchorName) = ("device.der", "wrapping.key", "anchor.bin")
    /// Present while the keys are invalidated.
    fileprivate static let invalidated = "invalidated"

    /// A key store whose keys are gone with the process.
    public init() { state = Locked(State(storage: KeyMemory())) }

    /// A key store in `folder`, which is made if it is not there. A process that was killed finds its keys
    /// again.
    public init(folder: URL) throws { state = Locked(State(storage: try KeyFiles(folder: folder))) }

    /// Locks or unlocks the device: signing, wrapping and unwrapping throw `Locked` while it is locked.
    public func setLocked(_ isLocked: Bool) { state.withLock { $0.isLocked = isLocked } }

    /// Destroys the keys, as a new fingerprint or a removed screen lock does; only `renew` ends it.
    public func invalidate() throws {
        try use { state in
            try state.storage.remove(Self.deviceKey)
            try state.storage.remove(Self.wrappingKey)
            try state.storage.replace(Self.invalidated, with: Data())
        }
    }

    public func publicKey() throws -> DevicePublicKey {
        DevicePublicKey(bytes: try use { try $0.device(makes: true).publicKey() })
    }

    /// Signs as the Secure Enclave does: in DER.
    public func sign(message: Data) throws -> Signature {
        Signature(bytes: try useUnlocked { try $0.device(makes: false).sign(message) })
    }

    public func wrap(key: Data) throws -> Wrapped {
        Wrapped(bytes: try useUnlocked { try Sealing.seal(key, under: $0.wrapping(makes: true)) })
    }

    public func unwrap(wrapped: Wrapped) throws -> Unwrapped {
        Unwrapped(bytes: try useUnlocked { try Sealing.open(wrapped.bytes, under: $0.wrapping(makes: false)) })
    }

    public func renew() throws -> Stored {
        try use { state in
            for name in [Self.deviceKey, Self.wrappingKey, Self.anchorName, Self.invalidated] {
                try state.storage.remove(name)
            }
            return .durably
        }
    }

    public func anchor() throws -> RollbackAnchor {
        RollbackAnchor(bytes: try use { try $0.storage.read(Self.anchorName) })
    }

    public func setAnchor(bytes: Data) throws -> Stored {
        guard bytes.count <= Self.anchorLimit else {
            throw KeyStoreError.Failed(reason: "the anchor is \(bytes.count) bytes, limit \(Self.anchorLimit)")
        }
        try use { try $0.storage.replace(Self.anchorName, with: bytes) }
        return .durably
    }

    /// Every failure leaves as a ``KeyStoreError``.
    private func use<Result>(_ body: (inout State) throws -> Result) throws -> Result {
        do {
            return try state.withLock(body)
        } catch let error as KeyStoreError {
            throw error
        } catch {
            throw KeyStoreError.Failed(reason: "\(error)")
        }
    }

    private func useUnlocked<Result>(_ body: (inout State) throws -> Result) throws -> Result {
        try use { state in
            if state.isLocked { throw KeyStoreError.Locked }
            return try body(&state)
        }
    }
}

extension SoftwareKeyStore.State {
    fileprivate func device(makes: Bool) throws -> SigningKey {
        if let stored = try key(SoftwareKeyStore.deviceKey) { return try SigningKey(stored: stored) }
        guard makes else { throw KeyStoreError.NotFound }
        let key = try SigningKey()
        try storage.replace(SoftwareKeyStore.deviceKey, with: key.stored())
        return key
    }

    fileprivate func wrapping(makes: Bool) throws -> Data {
        if let stored = try key(SoftwareKeyStore.wrappingKey) { return stored }
        guard makes else { throw KeyStoreError.NotFound }
        let key = randomBytes(32)
        try storage.replace(SoftwareKeyStore.wrappingKey, with: key)
        return key
    }

    private func key(_ name: String) throws -> Data? {
        if try storage.read(SoftwareKeyStore.invalidated) != nil { throw KeyStoreError.Invalidated }
        return try storage.read(name)
    }
}
