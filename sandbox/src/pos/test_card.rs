//! A small card for the terminal's tests: answers from a profile, signs, and can be told to misbehave.
//!
//! Apart from the wallet's card application on purpose: it has no state machine and checks nothing.

use nfcwallet_core::card::profile::{Application, Profile};
use nfcwallet_core::secret::Secret;
use rsa::{BoxedUint, RsaPrivateKey};
use sha1::{Digest, Sha1};

use crate::issuer::keys::application_cryptogram;
use crate::issuer::tlv::tests::children;
use crate::issuer::tlv::tlv;

/// How the card answers GENERATE AC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Arqc,
    Tc,
    Aac { interaction: Option<[u8; 3]> },
}

pub(crate) struct TestCard {
    pub(crate) profile: Profile,
    pub(crate) session_key: Secret<16>,
    pub(crate) atc: u16,
    pub(crate) answer: Answer,
    /// The data of the last GPO and GENERATE AC, for the test to look at.
    pub(crate) pdol_data: Vec<u8>,
    pub(crate) cdol1_data: Vec<u8>,
    selected: usize,
}

const OK: [u8; 2] = [0x90, 0x00];

impl TestCard {
    pub(crate) fn new(profile: Profile, session_key: Secret<16>, atc: u16) -> Self {
        Self { profile, session_key, atc, answer: Answer::Arqc, pdol_data: vec![], cdol1_data: vec![], selected: 0 }
    }

    pub(crate) fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let data = command.get(5..command.len() - 1).unwrap_or_default().to_vec();
        let answer = match command {
            [0x00, 0xA4, ..] if data == super::select::PPSE => Some(self.directory()),
            [0x00, 0xA4, ..] => self.select(&data),
            [0x80, 0xA8, ..] => {
                self.pdol_data = data[2..].to_vec();
                let application = self.application();
                Some(tlv(0x77, &[tlv(0x82, &application.aip), tlv(0x94, &application.afl)].concat()))
            }
            [0x00, 0xB2, number, file, _] => self.record(file >> 3, *number),
            [0x80, 0xAE, kind, ..] => {
                self.cdol1_data = data;
                Some(self.generate_ac(kind & 0x10 != 0))
            }
            _ => None,
        };
        answer.map_or(vec![0x6A, 0x82], |answer| [answer, OK.to_vec()].concat())
    }

    fn application(&self) -> &Application {
        &self.profile.applications[self.selected]
    }

    fn directory(&self) -> Vec<u8> {
        let entry = |application: &Application| {
            tlv(0x61, &[tlv(0x4F, &application.aid), tlv(0x87, &[application.priority])].concat())
        };
        let entries: Vec<u8> = self.profile.applications.iter().flat_map(entry).collect();
        let proprietary = tlv(0xA5, &tlv(0xBF0C, &entries));
        tlv(0x6F, &[tlv(0x84, super::select::PPSE), proprietary].concat())
    }

    fn select(&mut self, aid: &[u8]) -> Option<Vec<u8>> {
        self.selected = self.profile.applications.iter().position(|application| application.aid == aid)?;
        let application = self.application();
        let mut inner = tlv(0x50, application.label.as_bytes());
        if !application.pdol.is_empty() {
            inner.extend(tlv(0x9F38, &application.pdol));
        }
        Some(tlv(0x6F, &[tlv(0x84, &application.aid), tlv(0xA5, &inner)].concat()))
    }

    fn record(&self, sfi: u8, number: u8) -> Option<Vec<u8>> {
        let mut records = self.application().records.iter();
        records.find(|record| (record.sfi, record.number) == (sfi, number)).map(|record| record.bytes.clone())
    }

    fn generate_ac(&self, with_cda: bool) -> Vec<u8> {
        let application = self.application();
        let (cid, first) = match self.answer {
            Answer::Arqc => (0x80, 0xA0),
            Answer::Tc => (0x40, 0x90),
            Answer::Aac { .. } => (0x00, 0x80),
        };
        let signs = with_cda && cid != 0 && application.icc_key.is_some();
        let cvr = [first, if signs { 0x40 } else { 0 }, 0, 2, 0, 0];
        let iad = &application.iad;
        let input = [&self.cdol1_data[..29], &application.aip, &self.atc.to_be_bytes(), &cvr].concat();
        let cryptogram = application_cryptogram(&self.session_key, &input);
        let head = [tlv(0x9F27, &[cid]), tlv(0x9F36, &self.atc.to_be_bytes())].concat();
        let iad = tlv(0x9F10, &[&[iad.key_index, iad.cvn], &cvr[..], &[0, 0], &iad.counters, b"REF-0001"].concat());
        let tail = match self.answer {
            Answer::Aac { interaction: Some(bytes) } => [iad, tlv(0xDF4B, &bytes)].concat(),
            _ => iad,
        };
        let middle = match signs {
            true => tlv(0x9F4B, &self.sign(cid, cryptogram, &[head.as_slice(), &tail].concat())),
            false => tlv(0x9F26, &cryptogram),
        };
        tlv(0x77, &[head, middle, tail].concat())
    }

    /// EMV Book 2, table 18 and 19.
    fn sign(&self, cid: u8, cryptogram: [u8; 8], answer: &[u8]) -> Vec<u8> {
        let key = self.application().icc_key.as_ref().unwrap();
        let length = key.modulus.len();
        let hashed = [self.pdol_data.as_slice(), &self.cdol1_data, answer].concat();
        let mut signed = vec![0x05, 0x01, 38, 8, 1, 2, 3, 4, 5, 6, 7, 8, cid];
        signed.extend(cryptogram);
        signed.extend(Sha1::digest(hashed));
        signed.resize(length - 22, 0xBB);
        let number = &self.cdol1_data[25..29];
        let hash = Sha1::new().chain_update(&signed).chain_update(number).finalize();
        let block = [&[0x6A], signed.as_slice(), hash.as_slice(), &[0xBC]].concat();
        let prime = |prime: &[u8]| BoxedUint::from_be_slice_vartime(prime);
        let private =
            RsaPrivateKey::from_p_q(prime(key.prime_p.expose()), prime(key.prime_q.expose()), BoxedUint::from(3u8));
        let private = private.unwrap();
        let block = BoxedUint::from_be_slice(&block, rsa::traits::PublicKeyParts::n_bits_precision(&private)).unwrap();
        let none = None::<&mut rand_chacha::ChaCha20Rng>;
        let signature = rsa::hazmat::rsa_decrypt_and_check(&private, none, &block).unwrap();
        crate::issuer::authority::left_padded(&signature.to_be_bytes_trimmed_vartime(), length)
    }
}

/// The values of the objects in an answer to GENERATE AC.
pub(crate) fn answer_fields(response: &[u8]) -> Vec<u32> {
    let data = &response[..response.len() - 2];
    children(data, 0x77).unwrap().into_iter().map(|(tag, _)| tag).collect()
}
