//! A personalised test card: own CA, own keys, a test number. For the tests of all rooms.
//!
//! The keys are made from a fixed seed, so that a failing test fails again.

use std::sync::{Arc, OnceLock};

use rsa::hazmat::{rsa_decrypt, rsa_encrypt};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, RsaPrivateKey, RsaPublicKey};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::Card;
use super::icc_key::SeededRng;
use super::profile::{Application, CaPublicKey, CvmLimit, IadTemplate, IccKeyParts, Profile, Record, Rules};
use super::tlv::{self, Tag};
use crate::secret::SecretBytes;

/// The card's application.
pub(crate) const AID: &str = "A0000000041010";
/// CA index that no scheme uses.
pub(crate) const CA_INDEX: u8 = 0xEE;
/// 45 bytes of data, as section CDOL1 of the phone profile.
pub(crate) const CDOL1: &str = "9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F34039F1502";
/// 11 bytes of data.
pub(crate) const PDOL: &str = "9F1D089F1A029F3501";
const AIP: &str = "1B80";
const PAN: &str = "5413330089600010";

/// Decodes test bytes, ignoring spaces.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

struct Keys {
    ca: RsaPrivateKey,
    issuer: RsaPrivateKey,
    icc: RsaPrivateKey,
}

/// The sizes that all terminals known to us accept.
fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut rng = SeededRng::new(&Zeroizing::new([0x5E; 32]));
        let mut make = |bits| RsaPrivateKey::new_with_exp(&mut rng, bits, BoxedUint::from(3u64)).unwrap();
        Keys { ca: make(1408), issuer: make(1408), icc: make(1152) }
    })
}

/// The compiled card.
pub(crate) fn card() -> Arc<Card> {
    static CARD: OnceLock<Arc<Card>> = OnceLock::new();
    Arc::clone(CARD.get_or_init(|| Arc::new(Card::compile(&profile()).unwrap())))
}

/// The CA's modulus; its exponent is 3.
pub(crate) fn ca_modulus() -> Vec<u8> {
    keys().ca.n_bytes().to_vec()
}

/// The card's key.
pub(crate) fn icc_key() -> IccKeyParts {
    let key = &keys().icc;
    let prime = |index: usize| SecretBytes::new(key.primes()[index].to_be_bytes().to_vec());
    IccKeyParts { modulus: key.n_bytes().to_vec(), exponent: vec![3], prime_p: prime(0), prime_q: prime(1) }
}

/// A key whose parts belong together and whose private operation is wrong, as a fault in one half of
/// the CRT would make it: one "prime" is composite.
pub(crate) fn faulty_icc_key() -> IccKeyParts {
    let good = icc_key();
    let q = BoxedUint::from_be_slice_vartime(good.prime_q.expose());
    let (p, modulus) = (1u64..)
        .find_map(|n| {
            let mut p = [0xFF; 72];
            p[60..68].copy_from_slice(&n.to_be_bytes());
            let number = BoxedUint::from_be_slice_vartime(&p);
            let key = RsaPrivateKey::from_p_q(number, q.clone(), BoxedUint::from(3u64)).ok()?;
            Some((p.to_vec(), key.n_bytes().to_vec()))
        })
        .unwrap();
    IccKeyParts { modulus, prime_p: SecretBytes::new(p), ..good }
}

/// `block ^ e mod n`.
pub(crate) fn public_operation(key: &IccKeyParts, block: &[u8]) -> Vec<u8> {
    let number = BoxedUint::from_be_slice_vartime;
    let public = RsaPublicKey::new(number(&key.modulus), number(&key.exponent)).unwrap();
    rsa_encrypt(&public, &number(block)).unwrap().to_be_bytes().to_vec()
}

/// What the certificates of a card say, and where its signed record lies.
pub(crate) struct CardOptions {
    pub(crate) issuer_format: u8,
    pub(crate) issuer_identifier: &'static str,
    /// MMYY.
    pub(crate) issuer_expiry: &'static str,
    /// How long the certificate says that the issuer's modulus is.
    pub(crate) issuer_modulus_len: u8,
    /// Hash and key.
    pub(crate) algorithms: &'static str,
    pub(crate) icc_pan: &'static str,
    /// MMYY.
    pub(crate) icc_expiry: &'static str,
    pub(crate) signed_aip: &'static str,
    pub(crate) static_sfi: u8,
}

impl Default for CardOptions {
    /// A card that every terminal accepts.
    fn default() -> Self {
        Self {
            issuer_format: 0x02,
            issuer_identifier: "541333FF",
            issuer_expiry: "1230",
            issuer_modulus_len: 176,
            algorithms: "0101",
            icc_pan: PAN,
            icc_expiry: "1230",
            signed_aip: AIP,
            static_sfi: 2,
        }
    }
}

/// A profile of a phone with CDA and on-device verification.
pub(crate) fn profile() -> Profile {
    profile_with(&CardOptions::default())
}

/// The same card, with other certificates.
pub(crate) fn profile_with(options: &CardOptions) -> Profile {
    Profile {
        version: 1,
        last_four: PAN[12..].to_owned(),
        applications: vec![application(options)],
        rules: Rules {
            issuer_country: 826,
            cvm_limits: vec![CvmLimit { currency: 826, amount_minor: 10_000 }],
            always_cdcvm: false,
            countries: None,
            currencies: None,
            transit_categories: super::profile::transit_categories(),
        },
    }
}

/// Tag 92.
pub(crate) fn issuer_remainder() -> Vec<u8> {
    issuer_certificate(&CardOptions::default()).1
}

fn application(options: &CardOptions) -> Application {
    let signed = static_record();
    let (issuer_certificate, issuer_remainder) = issuer_certificate(options);
    let template = if options.static_sfi > 10 { object(0x70, &signed) } else { signed.clone() };
    let static_data = [template, hex(options.signed_aip)].concat();
    let (icc_certificate, icc_remainder) = icc_certificate(options, &static_data);
    let issuer_record = [
        object(0x8F, &[CA_INDEX]),
        object(0x9F32, &[3]),
        object(0x92, &issuer_remainder),
        object(0x90, &issuer_certificate),
    ];
    let icc_record = [object(0x9F47, &[3]), object(0x9F48, &icc_remainder), object(0x9F46, &icc_certificate)];
    let record = |sfi, number, content: Vec<u8>| Record { sfi, number, bytes: object(0x70, &content) };
    let static_entry = [options.static_sfi << 3, 1, 1, 1];
    Application {
        aid: hex(AID),
        label: "Test Card".to_owned(),
        priority: 1,
        kernel_identifier: Vec::new(),
        preferred_name: None,
        data_objects: Vec::new(),
        languages: Some("en".to_owned()),
        pdol: hex(PDOL),
        issuer_discretionary: hex("9F6E 07 0826 0000 3134 00"),
        aip: hex(AIP),
        afl: match options.static_sfi {
            2 => hex("10010301"),
            _ => [static_entry, [0x10, 2, 3, 0]].concat(),
        },
        records: vec![
            record(options.static_sfi, 1, signed),
            record(2, 2, issuer_record.concat()),
            record(2, 3, icc_record.concat()),
        ],
        iad: IadTemplate { key_index: 1, cvn: 0x14, counters: hex("00000000000000FF") },
        icc_key: Some(icc_key()),
        ca_key: Some(CaPublicKey { index: CA_INDEX, modulus: ca_modulus(), exponent: vec![3] }),
        relay_resistance: None,
    }
}

fn static_record() -> Vec<u8> {
    let track_2 = format!("{PAN}D30122010000000F");
    let objects = [
        object(0x57, &hex(&track_2)),
        object(0x5A, &hex(PAN)),
        object(0x5F24, &hex("301231")),
        object(0x5F25, &hex("200101")),
        object(0x5F28, &hex("0826")),
        object(0x5F34, &[1]),
        object(0x8C, &hex(CDOL1)),
        object(0x8E, &hex("00000000 00000000 1F03")),
        object(0x9F07, &hex("FF00")),
        object(0x9F08, &hex("0002")),
        object(0x9F0D, &hex("B050BC8000")),
        object(0x9F0E, &hex("0000000000")),
        object(0x9F0F, &hex("B070BC9800")),
        object(0x9F42, &hex("0826")),
        object(0x9F4A, &[0x82]),
    ];
    objects.concat()
}

fn issuer_certificate(options: &CardOptions) -> (Vec<u8>, Vec<u8>) {
    let start = [0x6A, options.issuer_format];
    let names = hex(options.issuer_identifier);
    let head = [&start[..], &names, &hex(options.issuer_expiry), &hex("000001"), &hex(options.algorithms)].concat();
    certificate(&keys().ca, [head, vec![options.issuer_modulus_len, 1]].concat(), &keys().issuer, &[])
}

fn icc_certificate(options: &CardOptions, static_data: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let names = [hex("6A04"), hex(options.icc_pan), hex("FFFF")].concat();
    let head = [names, hex(options.icc_expiry), hex("000002 0101")].concat();
    certificate(&keys().issuer, [head, vec![144, 1]].concat(), &keys().icc, static_data)
}

/// EMV Book 2, 5.1 and 6.1: the certificate and the bytes of the modulus that it does not hold.
fn certificate(signer: &RsaPrivateKey, head: Vec<u8>, subject: &RsaPrivateKey, more: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let modulus = subject.n_bytes().to_vec();
    let mut block = head;
    let space = signer.size() - block.len() - 21;
    let (inside, remainder) = modulus.split_at(space.min(modulus.len()));
    block.extend_from_slice(inside);
    block.resize(signer.size() - 21, 0xBB);
    let hash = Sha1::digest([&block[1..], remainder, &[3], more].concat());
    block.extend_from_slice(&hash);
    block.push(0xBC);
    let number = BoxedUint::from_be_slice(&block, signer.n_bits_precision()).unwrap();
    let signed = rsa_decrypt(None::<&mut SeededRng>, signer, &number).unwrap();
    (signed.to_be_bytes().to_vec(), remainder.to_vec())
}

/// One TLV.
pub(crate) fn object(tag: u32, value: &[u8]) -> Vec<u8> {
    tlv::object(Tag::new(tag), value)
}
