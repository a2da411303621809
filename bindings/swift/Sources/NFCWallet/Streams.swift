import Foundation

/// One event of a tap.
public enum TransactionEvent: Sendable {
    /// The terminal selected the wallet and the tap may go on.
    case started(tap: UInt64)
    /// The cryptogram was made for the terminal. This is not "paid": ask the app's own server, under the
    /// reference in the record.
    case completed(tap: UInt64, TransactionRecord)
    /// The tap ended without a cryptogram.
    case failed(tap: UInt64, TapFailure, TransactionInformation?)
    /// The user must prove presence and tap again; `.failed` follows.
    case authenticationRequired(tap: UInt64, TransactionInformation)
}

/// Taps as streams: give it to the wallet as `WalletHost.transactions`.
///
/// Every stream hears of everything from its beginning on, in order. A stream whose reader is slow keeps the
/// newest 1,024 events.
public final class TransactionEvents: TransactionListener {
    private let listeners = Listeners<TransactionEvent>()

    /// Without a stream yet.
    public init() {}

    /// A new stream; it ends when its task is cancelled, or when this object goes.
    public func stream() -> AsyncStream<TransactionEvent> { listeners.stream() }

    /// For the wallet.
    public func onStart(tap: UInt64) -> Delivered { listeners.tell(.started(tap: tap)) }

    /// For the wallet.
    public func onComplete(tap: UInt64, record: TransactionRecord) -> Delivered {
        listeners.tell(.completed(tap: tap, record))
    }

    /// For the wallet.
    public func onFailed(tap: UInt64, failure: TapFailure, transaction: TransactionInformation?) -> Delivered {
        listeners.tell(.failed(tap: tap, failure, transaction))
    }

    /// For the wallet.
    public func onAuthRequired(tap: UInt64, transaction: TransactionInformation) -> Delivered {
        listeners.tell(.authenticationRequired(tap: tap, transaction))
    }
}

/// One event of an activation.
public enum ActivationEvent: Sendable {
    /// A step forward.
    case progress(ActivationProgress)
    /// The local token is active: show the payment page.
    case activated
}

/// Activations that the wallet resumes by itself, as streams: give it to the wallet as `WalletHost.activation`.
///
/// Every stream hears of everything from its beginning on, in order. A stream whose reader is slow keeps the
/// newest 1,024 events.
public final class ActivationEvents: ActivationListener {
    private let listeners = Listeners<ActivationEvent>()

    /// Without a stream yet.
    public init() {}

    /// A new stream; it ends when its task is cancelled, or when this object goes.
    public func stream() -> AsyncStream<ActivationEvent> { listeners.stream() }

    /// For the wallet.
    public func onProgress(progress: ActivationProgress) -> Delivered { listeners.tell(.progress(progress)) }

    /// For the wallet.
    public func onActivated() -> Delivered { listeners.tell(.activated) }
}

extension Wallet {
    /// ``activate(mode:progress:)`` as a stream of its steps. It begins at the call, ends when the activation
    /// has, and throws what the activation throws. Leaving the loop gives the activation up.
    ///
    /// ```swift
    /// for try await progress in wallet.activation(.manual) {
    ///     bar.value = Double(progress.percent) / 100
    /// }
    /// ```
    public func activation(_ mode: ActivationMode) -> AsyncThrowingStream<ActivationProgress, any Error> {
        steps { try await self.activate(mode: mode, progress: $0) }
    }

    /// ``confirmActivation(progress:)`` as a stream of its steps; see ``activation(_:)``.
    public func confirmation() -> AsyncThrowingStream<ActivationProgress, any Error> {
        steps { try await self.confirmActivation(progress: $0) }
    }

    /// The token status now, and whenever it is another one. Read from the phone at every `interval`, for as
    /// long as somebody listens; it holds the wallet no longer than that.
    public func statuses(every interval: Duration = .milliseconds(500)) -> AsyncStream<TokenStatus> {
        AsyncStream { continuation in
            let reading = Task { [weak self] in
                var last: TokenStatus?
                while !Task.isCancelled, let status = self?.tokenStatus() {
                    if status != last { continuation.yield(status) }
                    last = status
                    try? await Task.sleep(for: interval)
                }
                continuation.finish()
            }
            continuation.onTermination = { _ in reading.cancel() }
        }
    }

    private func steps(
        _ run: @escaping @Sendable (any ActivationListener) async throws -> Void
    ) -> AsyncThrowingStream<ActivationProgress, any Error> {
        AsyncThrowingStream { continuation in
            let running = Task {
                do {
                    try await run(Steps(continuation))
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in running.cancel() }
        }
    }
}

private final class Steps: ActivationListener {
    private let continuation: AsyncThrowingStream<ActivationProgress, any Error>.Continuation

    init(_ continuation: AsyncThrowingStream<ActivationProgress, any Error>.Continuation) {
        self.continuation = continuation
    }

    func onProgress(progress: ActivationProgress) -> Delivered {
        continuation.yield(progress)
        return .done
    }

    func onActivated() -> Delivered { .done }
}

/// Hands events on to any number of streams.
private final class Listeners<Event: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var continuations: [UUID: AsyncStream<Event>.Continuation] = [:]

    deinit { for continuation in continuations.values { continuation.finish() } }

    func stream() -> AsyncStream<Event> {
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingNewest(1_024))
        let name = UUID()
        continuation.onTermination = { [weak self] _ in self?.forget(name) }
        lock.withLock { continuations[name] = continuation }
        return stream
    }

    func tell(_ event: Event) -> Delivered {
        let all = lock.withLock { Array(continuations.values) }
        for continuation in all { continuation.yield(event) }
        return .done
    }

    private func forget(_ name: UUID) {
        lock.withLock { continuations[name] = nil }
    }
}
