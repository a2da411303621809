use super::*;
use crate::issuer::authority::{Authority, IccKey, IccSubject, KeySizes};
use crate::issuer::{Pan, published};

fn certificate(value: &serde_json::Value) -> Certificate {
    let remainder = published::bytes(&value["remainder"]);
    Certificate {
        certificate: published::bytes(&value["certificate"]),
        remainder: (!remainder.is_empty()).then_some(remainder),
        exponent: published::bytes(&value["exponent"]),
    }
}

#[test]
fn the_published_chain_and_signature_are_recovered() {
    let Some(trace) = published::trace("trace-cda-tc.json") else { return };
    let ca = CaPublicKey {
        rid: published::bytes(&trace["ca_key"]["rid"]).try_into().unwrap(),
        index: published::bytes(&trace["ca_key"]["index"])[0],
        modulus: published::bytes(&trace["ca_key"]["modulus"]),
        exponent: published::bytes(&trace["ca_key"]["exponent"]),
    };
    let (issuer_part, icc_part) = (&trace["issuer_certificate"], &trace["icc_certificate"]);
    let static_data = published::bytes(&trace["static_data_to_be_authenticated"]);

    let issuer = recover_issuer_key(&ca, &certificate(issuer_part)).unwrap();
    let icc = recover_icc_key(&issuer, &certificate(icc_part), &static_data).unwrap();
    assert_eq!(issuer.block, published::bytes(&issuer_part["recovered"]));
    assert_eq!(issuer.modulus, published::bytes(&issuer_part["modulus"]));
    assert_eq!(icc.block, published::bytes(&icc_part["recovered"]));
    assert_eq!(icc.modulus, published::bytes(&icc_part["modulus"]));

    let tap = &trace["generate_ac"];
    let un = published::bytes(&tap["unpredictable_number"]).try_into().unwrap();
    let hashed = published::bytes(&tap["transaction_data_hash_input"]);
    let answer = recover_answer(&icc, &published::bytes(&tap["sdad"]), un, &hashed).unwrap();
    assert_eq!(answer.block, published::bytes(&tap["sdad_recovered"]));
    assert_eq!(answer.dynamic_number, published::bytes(&tap["icc_dynamic_number"]));
    assert_eq!(answer.cryptogram[..], published::bytes(&tap["application_cryptogram"]));
    assert_eq!(vec![answer.cid], published::bytes(&tap["cid"]));
    assert_eq!(answer.trailing, published::bytes(&tap["trailing_dynamic_data"]));

    // The same with one bit of the data changed.
    let mut other = hashed;
    other[0] ^= 1;
    assert!(matches!(recover_answer(&icc, &published::bytes(&tap["sdad"]), un, &other), Err(ChainError::Hash { .. })));
}

struct Chain {
    ca: CaPublicKey,
    issuer: Certificate,
    icc: Certificate,
    key: IccKey,
}

const STATIC_DATA: &[u8] = b"signed records and AIP";

fn chain() -> Chain {
    let authority = Authority::from_seed([1; 32], KeySizes { ca_bits: 1024, issuer_bits: 1024 }).unwrap();
    let key = IccKey::from_seed([2; 32], 896).unwrap();
    let pan = Pan::complete("541333900000001").unwrap();
    let subject = IccSubject { pan: &pan, expiry_mmyy: [0x12, 0x30], serial: [0, 0, 1], static_data: STATIC_DATA };
    let icc = authority.certify_icc(&key, &subject).unwrap();
    Chain { ca: authority.ca_public_key(), issuer: authority.issuer_certificate().clone(), icc, key }
}

impl Chain {
    fn check(&self) -> Result<RecoveredKey, ChainError> {
        recover_icc_key(&recover_issuer_key(&self.ca, &self.issuer)?, &self.icc, STATIC_DATA)
    }

    fn signed(&self, cryptogram: [u8; 8], number_length: u8, transaction_data: &[u8]) -> Vec<u8> {
        let mut signed = vec![0x05, 0x01, 38, number_length];
        signed.extend([9; 8]);
        signed.push(0x80);
        signed.extend(cryptogram);
        signed.extend(Sha1::digest(transaction_data));
        signed.resize(112 - 22, 0xBB);
        let hash = Sha1::new().chain_update(&signed).chain_update([1, 2, 3, 4]).finalize();
        self.key.sign_block(&[&[0x6A], signed.as_slice(), hash.as_slice(), &[0xBC]].concat()).unwrap()
    }
}

#[test]
fn every_changed_byte_of_the_chain_is_noticed() {
    let good = chain();
    good.check().unwrap();
    let issuer = recover_issuer_key(&good.ca, &good.issuer).unwrap();
    for index in 0..good.issuer.certificate.len() {
        let mut bad = good.issuer.clone();
        bad.certificate[index] ^= 0x01;
        assert!(recover_issuer_key(&good.ca, &bad).is_err(), "issuer certificate, byte {index}");
        let mut bad = good.icc.clone();
        bad.certificate[index] ^= 0x80;
        assert!(recover_icc_key(&issuer, &bad, STATIC_DATA).is_err(), "ICC certificate, byte {index}");
    }
}

#[test]
fn a_remainder_that_is_missing_or_too_many_is_refused() {
    let mut none = chain();
    none.issuer.remainder = None;
    assert!(none.check().is_err());
    let mut long = chain();
    long.icc.remainder.get_or_insert_default().push(0);
    assert!(long.check().is_err());
}

#[test]
fn other_static_data_is_refused() {
    let chain = chain();
    let issuer = recover_issuer_key(&chain.ca, &chain.issuer).unwrap();
    assert_eq!(recover_icc_key(&issuer, &chain.icc, b"other"), Err(ChainError::Hash { what: "ICC certificate" }));
}

#[test]
fn an_answer_is_bound_to_its_transaction_and_number() {
    let chain = chain();
    let icc = chain.check().unwrap();
    let signature = chain.signed([7; 8], 8, b"transaction");
    let answer = recover_answer(&icc, &signature, [1, 2, 3, 4], b"transaction").unwrap();
    assert_eq!((answer.cid, answer.cryptogram, answer.dynamic_number), (0x80, [7; 8], vec![9; 8]));
    assert!(recover_answer(&icc, &signature, [1, 2, 3, 5], b"transaction").is_err());
    assert!(recover_answer(&icc, &signature, [1, 2, 3, 4], b"Transaction").is_err());
}

#[test]
fn lengths_that_lead_out_of_the_block_are_refused() {
    let chain = chain();
    let icc = chain.check().unwrap();
    for number_length in [0xFF, 30] {
        let signature = chain.signed([7; 8], number_length, b"t");
        assert!(recover_answer(&icc, &signature, [1, 2, 3, 4], b"t").is_err());
    }
    assert!(recover_answer(&icc, &[], [1, 2, 3, 4], b"t").is_err());
    assert!(recover_answer(&icc, &[0xFF; 112], [1, 2, 3, 4], b"t").is_err());
    let empty = RecoveredKey { modulus: Vec::new(), ..icc };
    assert!(matches!(recover_answer(&empty, &[], [1, 2, 3, 4], b"t"), Err(ChainError::Key { .. })));
}
