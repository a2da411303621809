//! TLS to a PostgreSQL server that has it, with certificates that `openssl` made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Store, StoreConfig, StoreError};
use crate::testing::{Database, PostgresError, ThrowAwayPostgres};

/// A certificate for `localhost` that signs itself, and its key. `None` if there is no `openssl`; a machine of
/// continuous integration must have it.
fn certificate(folder: &Path, name: &str) -> Option<PathBuf> {
    let at = |ending: &str| folder.join(format!("{name}.{ending}"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]).arg(format!("/CN={name}"));
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-out").arg(at("crt")).arg("-keyout").arg(at("key")).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(made) = openssl.status() else {
        assert!(std::env::var_os("CI").is_none(), "openssl cannot be run");
        eprintln!("not tested: openssl cannot be run");
        return None;
    };
    assert!(made.success());
    Some(at("crt"))
}

/// `None` if this machine has no PostgreSQL; in continuous integration that is an error.
fn if_installed<T>(server: Result<T, PostgresError>) -> Option<T> {
    match server {
        Err(PostgresError::Missing) if std::env::var_os("CI").is_none() => None,
        server => Some(server.unwrap()),
    }
}

fn open(url: &str, ca_file: &Path) -> Result<Store, StoreError> {
    Store::open_with(url, &StoreConfig { ca_file: Some(ca_file.to_owned()), ..StoreConfig::default() })
}

fn refused(url: &str, ca_file: &Path, why: &str) {
    match open(url, ca_file).map(drop) {
        Err(StoreError::Tls { reason }) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_is_spoken_to_if_its_certificate_and_its_name_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let Some(ours) = certificate(folder.path(), "ours") else { return };
    let another = certificate(folder.path(), "another").unwrap();
    let read = |ending| std::fs::read_to_string(ours.with_extension(ending)).unwrap();
    let Some(server) = if_installed(ThrowAwayPostgres::start_with_tls(&read("crt"), &read("key"))) else { return };
    let url =
        |host: &str| format!("postgres://mpp@{host}:{}/postgres?sslmode=require&hostaddr=127.0.0.1", server.port());

    let store = open(&url("localhost"), &ours).unwrap();
    let encrypted = store.read(|tx| {
        let row = tx.query_one("SELECT COUNT(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl", &[])?;
        row.ok_or(StoreError::Column { expected: "there" })?.int()
    });
    assert_eq!(encrypted.await, Ok(1));

    refused(&url("localhost"), &another, "UnknownIssuer");
    refused(&url("127.0.0.1"), &ours, "not valid for name");
}

#[test]
fn a_server_without_tls_is_not_spoken_to_where_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let Some(ca) = certificate(folder.path(), "ours") else { return };
    let Some(plain) = if_installed(Database::postgres()) else { return };
    refused(&format!("{}?sslmode=require", plain.url), &ca, "does not support TLS");
}

#[test]
fn an_authority_that_nobody_would_ask_is_refused() {
    for url in ["postgres://localhost/mpp", "postgres://db.example/mpp?sslmode=disable"] {
        let error = open(url, Path::new("ca.pem")).unwrap_err();
        assert!(matches!(error, StoreError::Address { reason } if reason.contains("store.ca_file")), "{error}");
    }
}

#[test]
fn a_file_without_authorities_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty.pem"), folder.path().join("missing.pem"));
    std::fs::write(&empty, "no certificate").unwrap();
    refused("postgres://db.example/mpp", &empty, "empty.pem: holds no certificate");
    refused("postgres://db.example/mpp", &missing, "missing.pem: ");
}
