//! TLS to PostgreSQL: the server's certificate and name are always checked.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreError;

/// What makes connections safe. It trusts whom `ca_file` names, else whom the system trusts.
///
/// # Errors
/// [`StoreError::Tls`] if there is nobody to trust.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, StoreError> {
    let roots = match ca_file {
        Some(file) => named(file)?,
        None => of_the_system(),
    };
    if roots.is_empty() {
        return Err(failed("there is no certificate authority to trust"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| failed(&error))?.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn named(file: &Path) -> Result<RootCertStore, StoreError> {
    let unreadable = |error: &dyn std::fmt::Display| failed(format_args!("{}: {error}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        roots.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() { Err(unreadable(&"holds no certificate")) } else { Ok(roots) }
}

fn of_the_system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// What a connection that did not come about means.
pub(super) fn refusal(error: tokio_postgres::Error) -> StoreError {
    let reason = error.source().and_then(|source| match source.downcast_ref::<std::io::Error>() {
        Some(broken) => broken.get_ref()?.downcast_ref::<rustls::Error>().map(in_words),
        // The server has no TLS; this kind of error has no other name.
        None => error.to_string().starts_with("error performing TLS handshake").then(|| source.to_string()),
    });
    reason.map_or_else(|| error.into(), failed)
}

fn in_words(error: &rustls::Error) -> String {
    let said = error.to_string();
    if said.contains("CaUsedAsEndEntity") {
        return "the server's certificate is that of an authority (CA:TRUE); it needs one of its own".to_owned();
    }
    said
}

fn failed(reason: impl std::fmt::Display) -> StoreError {
    StoreError::Tls { reason: reason.to_string() }
}
