//! The name of a request, under which the service answers it once.

use sha2::{Digest, Sha256};

use crate::host::Entropy;

/// Names a request. The service answers a repeated id with the same logical answer, so a step of a
/// journal is sent again under the id that it was first sent under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// A new request.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// The request of the step `label` in the run `run`: the same again after a restart.
    #[must_use]
    pub fn derive(run: &[u8; 16], label: &str) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"nfcwallet/1 request id\0")
            .chain_update(run)
            .chain_update(label)
            .finalize()
            .into();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::OsEntropy;

    #[test]
    fn a_derived_id_is_the_same_again_and_differs_by_run_and_label() {
        let apply = RequestId::derive(&[1; 16], "apply");
        assert_eq!(apply, RequestId::derive(&[1; 16], "apply"));
        assert_ne!(apply, RequestId::derive(&[2; 16], "apply"));
        assert_ne!(apply, RequestId::derive(&[1; 16], "activate"));
        // Journals outlive releases: SHA-256("nfcwallet/1 request id" 00 01*16 "apply"), 16 bytes.
        assert_eq!(hex::encode(apply.0), "e1ab0f0d601d183a58ccddd12ed7f4f7");
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(RequestId::random(&OsEntropy), RequestId::random(&OsEntropy));
    }
}
