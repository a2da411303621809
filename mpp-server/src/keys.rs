//! A new RSA key: two texts, or two files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use alipayplus::signature::{KeyError, SigningKey};
use zeroize::Zeroizing;

/// A fresh RSA-2048 key, as PEM.
pub struct NewKey {
    /// PKCS#8: `PRIVATE KEY`. For this server only.
    pub private_pem: Zeroizing<String>,
    /// X.509 SubjectPublicKeyInfo: `PUBLIC KEY`. For the gateway.
    pub public_pem: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewKey(redacted)")
    }
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum NewKeyError {
    /// The cryptographic library cannot make one.
    #[error("no key can be made")]
    Make,
    /// A file is there already. It may hold the key that is in use.
    #[error("{path} is there already; name another file, or move it away")]
    Exists {
        /// Which.
        path: String,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written: {reason}")]
    Write {
        /// Which.
        path: String,
        /// What the system says.
        reason: String,
    },
}

impl NewKey {
    /// Makes one. Takes up to a second.
    ///
    /// # Errors
    /// [`NewKeyError::Make`].
    pub fn generate() -> Result<Self, NewKeyError> {
        let make = |_: KeyError| NewKeyError::Make;
        let key = SigningKey::generate().map_err(make)?;
        let private_pem = key.to_pkcs8_pem().map_err(make)?;
        Ok(Self { private_pem, public_pem: key.verifying_key().to_pem() })
    }

    /// Writes both halves to files that are not there yet; only the owner may read the private one.
    ///
    /// # Errors
    /// [`NewKeyError`]; a private file may be there already then, whose public half is missing.
    pub fn write(&self, private: &Path, public: &Path) -> Result<(), NewKeyError> {
        if public.exists() {
            return Err(NewKeyError::Exists { path: public.display().to_string() });
        }
        write_new(private, self.private_pem.as_bytes(), Readers::Owner)?;
        write_new(public, self.public_pem.as_bytes(), Readers::Everybody)
    }
}

enum Readers {
    Owner,
    Everybody,
}

fn write_new(path: &Path, content: &[u8], readers: Readers) -> Result<(), NewKeyError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => NewKeyError::Exists { path: path.display().to_string() },
        _ => NewKeyError::Write { path: path.display().to_string(), reason: error.to_string() },
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(match readers {
            Readers::Owner => 0o600,
            Readers::Everybody => 0o644,
        });
    }
    let mut file: File = options.open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use alipayplus::signature::VerifyingKey;

    use super::*;

    #[test]
    fn both_halves_of_a_new_key_are_read_and_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("mpp.key"), folder.path().join("mpp.pub"));
        NewKey::generate().unwrap().write(&private, &public).unwrap();
        let (signs, verifies) = (SigningKey::from_file(&private).unwrap(), VerifyingKey::from_file(&public).unwrap());
        assert_eq!(signs.fingerprint(), verifies.fingerprint());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_that_may_be_in_use_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("mpp.key"), folder.path().join("mpp.pub"));
        std::fs::write(&private, "in use").unwrap();
        let key = NewKey::generate().unwrap();
        assert!(matches!(key.write(&private, &public), Err(NewKeyError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&private).unwrap(), "in use");
        assert!(!public.exists());
    }
}
