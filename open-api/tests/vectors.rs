//! Signatures that three other implementations agree on, and the `openssl` command as a judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

use std::path::Path;
use std::process::Command;

use alipayplus::signature::{
    ClientId, KeyError, KeyRing, SignatureError, SignatureHeader, SignedContent, SigningKey, Validity, VerifyingKey,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    public_key_x509_b64: String,
    #[serde(rename = "privateKeyPkcs8B64_TEST_ONLY")]
    private_key: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    path: String,
    client_id: String,
    time: String,
    body: String,
    content_to_sign: String,
    content_sha256: String,
    signature_base64: String,
    signature_header: String,
}

impl Case {
    fn content(&self) -> SignedContent<'_> {
        let body = self.body.as_bytes();
        SignedContent { uri: &self.path, client_id: &self.client_id, time: &self.time, body }
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/signatures.json")).unwrap()
}

fn signing(vectors: &Vectors) -> SigningKey {
    SigningKey::from_text(&vectors.private_key).unwrap()
}

fn verifying(vectors: &Vectors) -> VerifyingKey {
    VerifyingKey::from_text(&vectors.public_key_x509_b64).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_vector_is_signed_with_equal_bytes_and_verified() {
    let vectors = vectors();
    let (signing, verifying) = (signing(&vectors), verifying(&vectors));
    assert_eq!(vectors.cases.len(), 3);
    for case in &vectors.cases {
        let content = case.content();
        assert_eq!(content.to_bytes(), case.content_to_sign.as_bytes(), "{}", case.name);
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content.to_bytes());
        assert_eq!(hex(hash.as_ref()), case.content_sha256, "{}", case.name);

        let header = SignatureHeader::new(1, signing.sign(&content).unwrap());
        assert_eq!(header.to_string(), case.signature_header, "{}", case.name);

        let raw = format!("algorithm=RSA256,keyVersion=1,signature={}", case.signature_base64);
        let url = raw.replace('+', "-").replace('/', "_").replace("==", "");
        for text in [&case.signature_header, &raw, &url] {
            assert_eq!(SignatureHeader::parse(text.as_bytes()).unwrap(), header, "{}", case.name);
        }
        assert_eq!(verifying.verify(&content, header.signature()), Ok(()), "{}", case.name);
    }
}

#[test]
fn a_vector_with_any_part_changed_is_refused() {
    let vectors = vectors();
    let (signing, verifying) = (signing(&vectors), verifying(&vectors));
    for case in &vectors.cases {
        let signature = signing.sign(&case.content()).unwrap();
        let body = format!("{} ", case.body);
        let changed = [
            SignedContent { uri: "/other", ..case.content() },
            SignedContent { uri: &format!("{}?", case.path), ..case.content() },
            SignedContent { client_id: "SANDBOX_OTHER", ..case.content() },
            SignedContent { time: "2025-02-20T08:51:50Z", ..case.content() },
            SignedContent { body: body.as_bytes(), ..case.content() },
            SignedContent { body: b"", ..case.content() },
        ];
        for content in changed {
            assert_eq!(verifying.verify(&content, &signature), Err(SignatureError::Mismatch), "{content:?}");
        }
        for wrong in [&signature[1..], &[], &[signature.as_slice(), &[0]].concat()] {
            assert_eq!(verifying.verify(&case.content(), wrong), Err(SignatureError::Mismatch));
        }
        let other = SigningKey::generate().unwrap();
        let others = other.sign(&case.content()).unwrap();
        assert_eq!(verifying.verify(&case.content(), &others), Err(SignatureError::Mismatch));
    }
}

#[test]
fn one_flipped_bit_anywhere_is_refused() {
    let vectors = vectors();
    let (signing, verifying) = (signing(&vectors), verifying(&vectors));
    let parts = ("/[a-z/]{1,20}", "[A-Z0-9_]{1,20}", "[0-9TZ:.+-]{1,30}", prop::collection::vec(any::<u8>(), 0..200));
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    let outcome = runner.run(&(parts, any::<prop::sample::Index>(), 0..8_u32), |(parts, at, bit)| {
        let (uri, client_id, time, body) = &parts;
        let content = SignedContent { uri, client_id, time, body };
        let signature = signing.sign(&content).unwrap();
        prop_assert_eq!(verifying.verify(&content, &signature), Ok(()));

        // One bit of the five of them, wherever it falls. Of text, the lowest bit: it stays ASCII.
        let mut all = [uri.as_bytes(), client_id.as_bytes(), time.as_bytes(), body, &signature].map(<[u8]>::to_vec);
        let mut at = at.index(all.iter().map(Vec::len).sum());
        for (part, bytes) in all.iter_mut().enumerate() {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= if part < 3 { 1 } else { 1 << bit };
                break;
            }
            at -= bytes.len();
        }
        let [uri, client_id, time, body, signature] = all;
        let [uri, client_id, time] = [uri, client_id, time].map(|text| String::from_utf8(text).unwrap());
        let changed = SignedContent { uri: &uri, client_id: &client_id, time: &time, body: &body };
        prop_assert_eq!(verifying.verify(&changed, &signature), Err(SignatureError::Mismatch));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_ring_takes_what_the_other_side_signed_under_its_version_only() {
    let vectors = vectors();
    let case = &vectors.cases[0];
    let client_id = ClientId::parse(&case.client_id).unwrap();
    let ring = KeyRing::new().with(client_id.clone(), 1, Validity::ALWAYS, verifying(&vectors));
    let header = SignatureHeader::parse(case.signature_header.as_bytes()).unwrap();
    assert_eq!(ring.verify(&client_id, &case.content(), &header, 0), Ok(()));
    let renamed = case.signature_header.replace("keyVersion=1", "keyVersion=2");
    let header = SignatureHeader::parse(renamed.as_bytes()).unwrap();
    let unknown = SignatureError::KeyUnknown { client_id: client_id.clone(), version: 2 };
    assert_eq!(ring.verify(&client_id, &case.content(), &header, 0), Err(unknown));
}

#[test]
fn a_key_is_never_printed() {
    let vectors = vectors();
    let shown = format!("{:?}", signing(&vectors));
    assert_eq!(shown, format!("SigningKey({}, redacted)", verifying(&vectors).fingerprint()));
}

#[test]
fn a_key_comes_back_from_its_own_pem() {
    let vectors = vectors();
    let pem = signing(&vectors).to_pkcs8_pem().unwrap();
    assert_eq!(SigningKey::from_text(&pem).unwrap().fingerprint(), verifying(&vectors).fingerprint());
    let pem = verifying(&vectors).to_pem();
    assert_eq!(VerifyingKey::from_text(&pem).unwrap().to_spki_der(), verifying(&vectors).to_spki_der());
}

#[test]
fn what_is_no_key_is_refused_with_its_cause() {
    let vectors = vectors();
    let cause = |text: &str| SigningKey::from_text(text).unwrap_err().to_string();
    assert_eq!(cause(""), "the key is empty");
    assert_eq!(cause("no key!"), "the key is not base64");
    assert_eq!(cause("AAAA"), "not an RSA key that can be used: InvalidEncoding");
    assert_eq!(cause(&vectors.public_key_x509_b64), "expected a private key, found PUBLIC KEY");
    assert_eq!(cause("-----BEGIN PRIVATE KEY-----\nAAAA"), "the PEM block does not end as it begins");
    assert_eq!(
        cause("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----"),
        "the key is encrypted; decrypt it first"
    );
    assert_eq!(cause(&"A".repeat(70_000)), "the key is 70000 bytes of text, limit 65536");
    let cause = |text: &str| VerifyingKey::from_text(text).unwrap_err().to_string();
    assert_eq!(cause(&vectors.private_key), "expected a public key, found PRIVATE KEY");
    assert_eq!(
        cause("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        "expected a public key, found CERTIFICATE"
    );
    let missing = SigningKey::from_file("no/such/file.pem").unwrap_err();
    assert!(matches!(missing, KeyError::File { ref path, .. } if path == "no/such/file.pem"), "{missing}");
}

/// Runs `openssl` in `folder`. `None` if it is not installed: a machine of continuous integration must have it.
fn openssl(folder: &Path, arguments: &str) -> Option<bool> {
    match Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output() {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            assert!(std::env::var("CI").is_err(), "openssl cannot be run: {error}");
            eprintln!("NOT TESTED: openssl cannot be run: {error}");
            None
        }
    }
}

#[test]
fn openssl_verifies_what_we_sign_and_we_what_it_signs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &str| openssl(folder.path(), arguments);
    if run("genrsa -traditional -out pkcs1.pem 2048").is_none() {
        return;
    }
    assert_eq!(run("pkcs8 -topk8 -nocrypt -in pkcs1.pem -out pkcs8.pem"), Some(true));
    assert_eq!(run("rsa -in pkcs8.pem -pubout -out public.pem"), Some(true));
    assert_eq!(run("rsa -in pkcs8.pem -RSAPublicKey_out -out public1.pem"), Some(true));
    assert_eq!(run("genrsa -out small.pem 1024"), Some(true));
    assert_eq!(run("rsa -in small.pem -pubout -out small_public.pem"), Some(true));
    assert_eq!(run("ecparam -name prime256v1 -genkey -noout -out ec_sec1.pem"), Some(true));
    assert_eq!(run("pkcs8 -topk8 -nocrypt -in ec_sec1.pem -out ec.pem"), Some(true));
    assert_eq!(run("rsa -in pkcs1.pem -traditional -aes128 -passout pass:x -out locked.pem"), Some(true));

    let content =
        SignedContent { uri: "/a?b=c", client_id: "ann", time: "2025-02-20T08:51:49Z", body: "{\"ä\":1}".as_bytes() };
    std::fs::write(path("content"), content.to_bytes()).unwrap();

    // Ours, judged by openssl; in every form of the same key.
    let bare = std::fs::read_to_string(path("pkcs8.pem")).unwrap();
    let bare: String = bare.lines().filter(|line| !line.starts_with("-----")).collect();
    std::fs::write(path("bare.txt"), bare).unwrap();
    for file in ["pkcs1.pem", "pkcs8.pem", "bare.txt"] {
        let signature = SigningKey::from_file(path(file)).unwrap().sign(&content).unwrap();
        std::fs::write(path("ours"), &signature).unwrap();
        assert_eq!(run("dgst -sha256 -verify public.pem -signature ours content"), Some(true), "{file}");
    }
    std::fs::write(path("ours"), [0; 256]).unwrap();
    assert_eq!(run("dgst -sha256 -verify public.pem -signature ours content"), Some(false));

    // Theirs, judged by us.
    assert_eq!(run("dgst -sha256 -sign pkcs8.pem -out theirs content"), Some(true));
    let theirs = std::fs::read(path("theirs")).unwrap();
    for file in ["public.pem", "public1.pem"] {
        assert_eq!(VerifyingKey::from_file(path(file)).unwrap().verify(&content, &theirs), Ok(()), "{file}");
    }
    assert_eq!(run("dgst -sha512 -sign pkcs8.pem -out theirs content"), Some(true));
    let theirs = std::fs::read(path("theirs")).unwrap();
    let public = VerifyingKey::from_file(path("public.pem")).unwrap();
    assert_eq!(public.verify(&content, &theirs), Err(SignatureError::Mismatch));

    // Keys that must not be used.
    let cause = |file: &str| SigningKey::from_file(path(file)).unwrap_err();
    assert!(matches!(cause("ec.pem"), KeyError::Rejected { .. }), "{}", cause("ec.pem"));
    assert!(matches!(cause("ec_sec1.pem"), KeyError::WrongKind { .. }), "{}", cause("ec_sec1.pem"));
    assert!(matches!(cause("locked.pem"), KeyError::Encrypted), "{}", cause("locked.pem"));
    assert!(matches!(cause("small.pem"), KeyError::Rejected { .. } | KeyError::Size { .. }), "{}", cause("small.pem"));
    assert!(matches!(VerifyingKey::from_file(path("small_public.pem")), Err(KeyError::Size { bits: 1024 })));
}
