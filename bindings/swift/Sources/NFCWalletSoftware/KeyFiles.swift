import Foundation

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Where a software key store keeps its bytes, by name.
protocol KeyStorage {
    func read(_ name: String) throws -> Data?
    /// Durably, and whole or not at all.
    func replace(_ name: String, with bytes: Data) throws
    /// Durably. A name that is not there stays so.
    func remove(_ name: String) throws
}

/// Gone with the process.
final class KeyMemory: KeyStorage {
    private var kept: [String: Data] = [:]

    func read(_ name: String) -> Data? { kept[name] }
    func replace(_ name: String, with bytes: Data) { kept[name] = bytes }
    func remove(_ name: String) { kept[name] = nil }
}

/// A folder, one file a name.
struct KeyFiles: KeyStorage {
    let folder: URL

    init(folder: URL) throws {
        self.folder = folder
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func read(_ name: String) throws -> Data? {
        let file = folder.appendingPathComponent(name)
        return FileManager.default.fileExists(atPath: file.path) ? try Data(contentsOf: file) : nil
    }

    /// Write aside, fsync, rename, fsync the folder: after a crash there is the old or the new file.
    func replace(_ name: String, with bytes: Data) throws {
        let file = folder.appendingPathComponent(name)
        let aside = folder.appendingPathComponent("\(name).new")
        let isMade = FileManager.default.createFile(
            atPath: aside.path, contents: nil, attributes: [.posixPermissions: 0o600])
        guard isMade else { throw POSIXFailure(operation: "create") }
        let handle = try FileHandle(forWritingTo: aside)
        try handle.write(contentsOf: bytes)
        try handle.synchronize()
        try handle.close()
        guard rename(aside.path, file.path) == 0 else { throw POSIXFailure(operation: "rename") }
        try synchronizeFolder()
    }

    func remove(_ name: String) throws {
        let file = folder.appendingPathComponent(name)
        guard unlink(file.path) == 0 || errno == ENOENT else { throw POSIXFailure(operation: "remove") }
        try synchronizeFolder()
    }

    private func synchronizeFolder() throws {
        let descriptor = open(folder.path, O_RDONLY)
        guard descriptor >= 0 else { throw POSIXFailure(operation: "open") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw POSIXFailure(operation: "fsync") }
    }
}

/// What the operating system refused.
struct POSIXFailure: Error, CustomStringConvertible {
    let description: String

    init(operation: String) { description = "\(operation): \(String(cString: strerror(errno)))" }
}
