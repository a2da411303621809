//  What Swift adds to the wallet: a task that is cancelled gives its call up. Everything else is the
//  library's.

@_exported import NFCWalletBindings

/// The long calls. Each runs on threads of the library and may be awaited anywhere. When the task that
/// awaits it is cancelled, the call is given up and throws ``WalletError`` `.Cancelled`; when it has thrown, no
/// part of it runs any more.
extension Wallet {
    /// Binds `user` (1 to 64 characters, the customer's id at the payment provider) and catches up with the
    /// service: keys, inbox, state; an unfinished activation and a low stock are dealt with in the
    /// background. Another connected user is disconnected first. Being offline is no error: see
    /// `Connection.service`.
    ///
    /// Throws ``WalletError``: `InvalidInput`, or a failure of the store. Cancelled, the user may be connected:
    /// ``tokenStatus()`` says.
    public func connect(user: String) async throws -> Connection {
        try await cancellable { try await self.connect(user: user, cancellation: $0) }
    }

    /// Refuses taps from the call on. The token stays, sealed, for the same user's next `connect`. Throws
    /// ``WalletError``: a failure of the store.
    public func disconnect() async throws {
        try await cancellable { try await self.disconnect(cancellation: $0) }
    }

    /// Asks the service for the token's state, finishes a change of unknown outcome, drains the inbox. Throws
    /// ``WalletError``: `NotConnected`, network and service failures.
    @discardableResult
    public func syncToken() async throws -> TokenStatus {
        try await cancellable { try await self.syncToken(cancellation: $0) }
    }

    /// Activates a token, or goes on with an unfinished activation. Manual ends in status 2, silent in 21.
    /// Takes 20 to 30 s in the field; `progress` hears of every step. ``activation(_:)`` is the same as a
    /// stream.
    ///
    /// Throws ``WalletError``: `ActivationInProgress` while one runs, `ActivationFailed` and `DeviceUnsafe` with
    /// the reason, network failures. Then, and cancelled, its journal stays: the next `activate` or `connect`
    /// goes on where it stopped, and never applies twice.
    public func activate(mode: ActivationMode, progress: any ActivationListener) async throws {
        try await cancellable { try await self.activate(mode: mode, progress: progress, cancellation: $0) }
    }

    /// The user confirms a silently prepared token. Waits for a silent run that is unfinished. Throws
    /// ``WalletError``: `NoToken` if nothing was prepared; otherwise as ``activate(mode:progress:)``.
    /// ``confirmation()`` is the same as a stream.
    public func confirmActivation(progress: any ActivationListener) async throws {
        try await cancellable { try await self.confirmActivation(progress: progress, cancellation: $0) }
    }

    /// Fills the stock of credentials up now, and says how many came (0 if the stock was full). Concurrent
    /// calls share one request. Throws ``WalletError``: `NoToken`, `TokenUnavailable`, network and service
    /// failures. Cancelled, the next one asks for the same batch.
    @discardableResult
    public func replenish() async throws -> UInt32 {
        try await cancellable { try await self.replenish(cancellation: $0) }
    }

    /// Locks the token: taps stop at the call. Says who suspends it. A refusal of the service rolls back.
    /// After a network failure, or cancelled, the token stays locked until ``syncToken()`` or another `lock`
    /// has an answer.
    @discardableResult
    public func lock() async throws -> [Suspender] {
        try await cancellable { try await self.lock(cancellation: $0) }
    }

    /// Lifts the user's lock, at the service first. Says who still suspends the token. After a refusal or a
    /// network failure, or cancelled, the token stays locked until an `unlock` or ``syncToken()`` has an
    /// answer.
    @discardableResult
    public func unlock() async throws -> [Suspender] {
        try await cancellable { try await self.unlock(cancellation: $0) }
    }

    /// Deletes the token for ever: keys first, then at the service. Throws ``WalletError``: `NoToken`,
    /// `ActivationInProgress`, `TokenUnavailable`; after a network failure, or cancelled, ``syncToken()``
    /// finishes it.
    public func deleteToken() async throws {
        try await cancellable { try await self.deleteToken(cancellation: $0) }
    }
}

/// A cancelled Swift task tells the library nothing by itself.
private func cancellable<Answer: Sendable>(
    _ call: @Sendable (Cancellation) async throws -> Answer
) async throws -> Answer {
    let cancellation = Cancellation()
    return try await withTaskCancellationHandler {
        try await call(cancellation)
    } onCancel: {
        cancellation.cancel()
    }
}
