//! The text that is signed.

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// What a signature covers, part by part. A request and its answer differ in time and body only.
#[derive(Clone, Copy)]
pub struct SignedContent<'a> {
    /// The path with its query, without scheme and host, as it is on the wire.
    pub uri: &'a str,
    /// The value of `Client-Id` of the request, also for its answer.
    pub client_id: &'a str,
    /// The value of `Request-Time` or `Response-Time`, as it stands.
    pub time: &'a str,
    /// The body, byte for byte: white space and the order of fields count.
    pub body: &'a [u8],
}

impl SignedContent<'_> {
    /// `POST <uri>\n<client id>.<time>.<body>`: the method is always `POST`, and nothing follows the body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.parts().concat()
    }

    /// SHA-256 of [`Self::to_bytes`], without a copy of the body.
    pub(crate) fn digest(&self) -> Digest {
        let mut hash = Context::new(&SHA256);
        for part in self.parts() {
            hash.update(part);
        }
        hash.finish()
    }

    /// The same, as bytes.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // SHA-256 has as many.
        bytes.iter_mut().zip(self.digest().as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }

    fn parts(&self) -> [&[u8]; 8] {
        let (uri, client_id, time) = (self.uri.as_bytes(), self.client_id.as_bytes(), self.time.as_bytes());
        [b"POST ", uri, b"\n", client_id, b".", time, b".", self.body]
    }
}

impl std::fmt::Debug for SignedContent<'_> {
    /// Without the body, which is somebody's payment.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedContent")
            .field("uri", &self.uri)
            .field("client_id", &self.client_id)
            .field("time", &self.time)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}
