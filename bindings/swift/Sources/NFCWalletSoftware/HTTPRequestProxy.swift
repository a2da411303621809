import Foundation
import NFCWallet

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The proxy that an app writes: one HTTP call to its own server, in the logged-in user's name. This one
/// speaks to the server of the sandbox. No retries: the wallet repeats requests itself.
public final class HTTPRequestProxy: NFCRequestProxy {
    private let server: URL
    private let loginToken: String
    private let session: URLSession

    /// The server's sign that the simulated phone has no network.
    private static let offlineHeader = "x-sandbox-link"

    private init(server: URL, loginToken: String, session: URLSession) {
        (self.server, self.loginToken, self.session) = (server, loginToken, session)
    }

    deinit { session.invalidateAndCancel() }

    /// Logs `user` in at `server`. Throws ``HostError`` `.offline` if the server cannot be reached,
    /// `.failed` if it says no.
    public static func logIn(server: URL, user: String) async throws -> HTTPRequestProxy {
        let session = URLSession(configuration: .ephemeral)
        let guest = HTTPRequestProxy(server: server, loginToken: "", session: session)
        let answer = try await guest.post("login", JSONEncoder().encode(["user": user]))
        guard let token = try? JSONDecoder().decode([String: String].self, from: answer)["token"] else {
            throw HostError.Failed(reason: "the login answer has no token")
        }
        return HTTPRequestProxy(server: server, loginToken: token, session: URLSession(configuration: .ephemeral))
    }

    /// Sends `body` through the server to the service, and brings the answer's body back unchanged.
    public func sendRequest(kind: RequestType, body: Data) async throws -> Reply {
        guard let text = String(data: body, encoding: .utf8) else {
            throw HostError.Failed(reason: "the body is not UTF-8")
        }
        let content = try JSONEncoder().encode(["type": kind.wireName(), "body": text])
        return Reply(body: try await post("wallet/relay", content))
    }

    private func post(_ path: String, _ content: Data) async throws -> Data {
        var request = URLRequest(url: server.appendingPathComponent(path))
        request.httpMethod = "POST"
        request.httpBody = content
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.setValue("Bearer \(loginToken)", forHTTPHeaderField: "Authorization")
        // A connection that is used again may break unseen, and is then tried anew by itself.
        request.setValue("close", forHTTPHeaderField: "Connection")
        let (answer, response) = try await answer(to: request)
        guard let response = response as? HTTPURLResponse else {
            throw HostError.Failed(reason: "the answer is not HTTP")
        }
        if response.value(forHTTPHeaderField: Self.offlineHeader) == "offline" {
            throw HostError.Offline
        }
        guard (200..<300).contains(response.statusCode) else {
            throw HostError.Failed(reason: "the server answered \(response.statusCode)")
        }
        return answer
    }

    private func answer(to request: URLRequest) async throws -> (Data, URLResponse) {
        do {
            return try await session.data(for: request)
        } catch let error as URLError {
            switch error.code {
            case .cannotConnectToHost, .cannotFindHost, .dnsLookupFailed, .notConnectedToInternet:
                throw HostError.Offline
            case .timedOut: throw HostError.Failed(reason: "the server did not answer in time")
            case .cancelled: throw CancellationError()
            default: throw HostError.Failed(reason: "the answer broke off")
            }
        }
    }
}
