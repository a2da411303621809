//! Who calls.

use bytes::Bytes;

use crate::signature::ClientId;

/// What a handler may know of a request beside its fields. All of it is covered by a signature that was
/// verified.
#[derive(Clone)]
pub struct Caller {
    /// The partner.
    pub client_id: ClientId,
    /// The version of the partner's key.
    pub key_version: u32,
    /// `Request-Time` as it was sent.
    pub request_time: String,
    /// The path with its query, as it was received.
    pub uri: String,
    /// The body, byte for byte.
    pub body: Bytes,
    /// When the request was verified: milliseconds since 1970, by our clock.
    pub received_ms: i64,
}

impl std::fmt::Debug for Caller {
    /// Without the body, which is somebody's payment.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("client_id", &self.client_id)
            .field("key_version", &self.key_version)
            .field("request_time", &self.request_time)
            .field("uri", &self.uri)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("received_ms", &self.received_ms)
            .finish()
    }
}
