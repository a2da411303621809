//! The chain of certificates: from the authority over the issuer to the card's own key, followed as a
//! terminal follows it (EMV Book 2, 5.3 and 6.4), when a profile arrives.
//!
//! A card whose chain does not hold is declined by every terminal, and nobody would see why; here each
//! fault has a tag and a rule.

use rsa::hazmat::rsa_encrypt;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, RsaPublicKey};
use sha1::{Digest, Sha1};

use super::dates::Month;
use super::profile::{Application, IccKeyParts};
use super::profile_error::ProfileError;
use super::record_data::Identity;
use super::records::{self, Objects};
use super::tags;
use super::tlv::Tag;

/// SHA-1 and RSA: the only algorithms of EMV's RSA certificates (EMV Book 2, B2).
const ALGORITHMS: [u8; 2] = [0x01, 0x01];
/// Longer certificates fit no record; shorter keys hold no certificate.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 64..=248;

/// Follows the chain of an application that offers CDA; one that does not must have no `ca_key`.
///
/// Certificates must not expire before the card does: a terminal compares them with the date of the
/// transaction (EMV Book 2, 5.3 step 7 and 6.4 step 8), so an earlier one would end the card unnoticed.
/// That makes the card's own expiry (5F24) the only date to watch.
pub(super) fn follow(application: &Application, identity: &Identity) -> Result<(), ProfileError> {
    let Some(icc_key) = &application.icc_key else {
        return match &application.ca_key {
            None => Ok(()),
            Some(_) => Err(ProfileError::new("ca_key", "is there, but the AIP (82) does not offer CDA")),
        };
    };
    let ca_key = application
        .ca_key
        .as_ref()
        .ok_or_else(|| ProfileError::new("ca_key", "is missing, but the AIP (82) offers CDA"))?;
    let objects = Objects::read(&application.records)?;
    if objects.require(tags::CA_INDEX)? != [ca_key.index] {
        return Err(ProfileError::tag(tags::CA_INDEX, "is not the index of ca_key"));
    }
    let ca_key =
        PublicKey::read(&ca_key.modulus, &ca_key.exponent).map_err(|reason| ProfileError::new("ca_key", reason))?;
    let issuer_key = issuer_key(&ca_key, &objects, identity)?;
    check_icc_certificate(&issuer_key, &objects, application, icc_key, identity)
}

fn issuer_key(ca_key: &PublicKey, objects: &Objects<'_>, identity: &Identity) -> Result<PublicKey, ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(tags::ISSUER_CERTIFICATE, reason));
    let opened = ISSUER.open(ca_key, objects, identity, &[])?;
    if !identity.number.is_issued_by(&opened.owner) {
        return fault("names an issuer that is not the beginning of 5A");
    }
    // A terminal in the field refuses a modulus that does not fill its place.
    if opened.modulus.len() + ISSUER.overhead() < ca_key.len() {
        return fault("holds a key that is shorter than its place");
    }
    PublicKey::read(&opened.modulus, &opened.exponent).or_else(fault)
}

fn check_icc_certificate(
    issuer_key: &PublicKey,
    objects: &Objects<'_>,
    application: &Application,
    icc_key: &IccKeyParts,
    identity: &Identity,
) -> Result<(), ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(tags::ICC_CERTIFICATE, reason));
    let mut static_data = records::signed_content(&application.afl, &application.records)?;
    if objects.find(tags::STATIC_TAG_LIST).is_none() {
        let reason = "is missing, so that anybody could change the AIP (82)";
        return Err(ProfileError::tag(tags::STATIC_TAG_LIST, reason));
    }
    static_data.extend_from_slice(&application.aip);
    let opened = ICC.open(issuer_key, objects, identity, &static_data)?;
    if !identity.number.is_in(&opened.owner) {
        return fault("is for another number than 5A");
    }
    if opened.modulus != icc_key.modulus || opened.exponent != icc_key.exponent {
        return fault("is for another key than icc_key");
    }
    Ok(())
}

/// One kind of certificate.
struct Layout {
    certificate: Tag,
    remainder: Tag,
    exponent: Tag,
    /// The second byte.
    format: u8,
    /// Length of the field that names the owner.
    owner: usize,
    /// Who signed it.
    signer: &'static str,
    /// What the hash covers besides the certificate.
    covered: &'static str,
}

/// EMV Book 2, table 2.
const ISSUER: Layout = Layout {
    certificate: tags::ISSUER_CERTIFICATE,
    remainder: tags::ISSUER_REMAINDER,
    exponent: tags::ISSUER_EXPONENT,
    format: 0x02,
    owner: 4,
    signer: "ca_key",
    covered: "92 and 9F32",
};

/// EMV Book 2, table 14.
const ICC: Layout = Layout {
    certificate: tags::ICC_CERTIFICATE,
    remainder: tags::ICC_REMAINDER,
    exponent: tags::ICC_EXPONENT,
    format: 0x04,
    owner: 10,
    signer: "key in the issuer certificate (90)",
    covered: "9F48, 9F47, the signed records and the AIP (82)",
};

/// A certificate whose hash is right.
struct Opened {
    owner: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Layout {
    /// What a certificate holds beside the modulus: 6A, format, owner, expiry 2, serial number 3,
    /// algorithms 2, lengths 2, hash 20, BC.
    const fn overhead(&self) -> usize {
        2 + self.owner + 2 + 3 + 2 + 2 + 20 + 1
    }

    fn fault(&self, reason: impl std::fmt::Display) -> ProfileError {
        ProfileError::tag(self.certificate, reason)
    }

    fn open(
        &self,
        signer: &PublicKey,
        objects: &Objects<'_>,
        identity: &Identity,
        tail: &[u8],
    ) -> Result<Opened, ProfileError> {
        let certificate = objects.require(self.certificate)?;
        if certificate.len() != signer.len() {
            let (length, wanted) = (certificate.len(), signer.len());
            return Err(self.fault(format!("is {length} bytes, the {} {wanted}", self.signer)));
        }
        let closed = || self.fault(format!("does not open under the {}", self.signer));
        let block = signer.recover(certificate).ok_or_else(closed)?;
        let [0x6A, format, inner @ .., 0xBC] = &block[..] else { return Err(closed()) };
        if *format != self.format {
            return Err(self.fault(format!("has format {format:02X}, not {:02X}", self.format)));
        }
        let (fields, hash) = inner.split_last_chunk::<20>().ok_or_else(closed)?;
        let head = self.head(fields).ok_or_else(closed)?;
        self.check_head(&head, identity)?;
        let exponent = objects.require(self.exponent)?;
        self.check_exponent(&head, exponent)?;
        let remainder = objects.find(self.remainder);
        let modulus = self.modulus(&head, remainder)?;
        let hashed = Sha1::new()
            .chain_update([self.format])
            .chain_update(fields)
            .chain_update(remainder.unwrap_or_default())
            .chain_update(exponent)
            .chain_update(tail);
        if hashed.finalize()[..] != hash[..] {
            return Err(self.fault(format!("has a hash of other data than it, {}", self.covered)));
        }
        Ok(Opened { owner: head.owner.to_vec(), modulus, exponent: exponent.to_vec() })
    }

    fn head<'a>(&self, fields: &'a [u8]) -> Option<Head<'a>> {
        let (owner, rest) = fields.split_at_checked(self.owner)?;
        let (&[month, year, _, _, _, hash, key, modulus_len, exponent_len], room) = rest.split_first_chunk()?;
        Some(Head { owner, expiry: [month, year], algorithms: [hash, key], modulus_len, exponent_len, room })
    }

    fn check_head(&self, head: &Head<'_>, identity: &Identity) -> Result<(), ProfileError> {
        if head.algorithms != ALGORITHMS {
            return Err(self.fault("names other algorithms than SHA-1 and RSA"));
        }
        match Month::of_certificate(head.expiry) {
            None => Err(self.fault("has no month as its expiry")),
            Some(month) if month < identity.expiry.month() => Err(self.fault("expires before the card (5F24)")),
            Some(_) => Ok(()),
        }
    }

    fn check_exponent(&self, head: &Head<'_>, exponent: &[u8]) -> Result<(), ProfileError> {
        if !is_exponent(exponent) {
            return Err(ProfileError::tag(self.exponent, "is neither 03 nor 010001"));
        }
        if usize::from(head.exponent_len) != exponent.len() {
            let reason = format!("is {} bytes, its certificate says {}", exponent.len(), head.exponent_len);
            return Err(ProfileError::tag(self.exponent, reason));
        }
        Ok(())
    }

    /// The leftmost part and the remainder: exactly the missing bytes, or none where none is missing
    /// and BB fills the place (EMV Book 2, 5.1 and 6.1).
    fn modulus(&self, head: &Head<'_>, remainder: Option<&[u8]>) -> Result<Vec<u8>, ProfileError> {
        let length = usize::from(head.modulus_len);
        // EMV Book 2, D1.1: no key is longer than the one that signs it.
        if length > head.room.len() + self.overhead() {
            return Err(self.fault("holds a key that is longer than the one that signed it"));
        }
        let missing = length.saturating_sub(head.room.len());
        match (missing, remainder) {
            (0, None) => {
                let (modulus, filling) = head.room.split_at_checked(length).unwrap_or((head.room, &[]));
                if filling.iter().any(|byte| *byte != 0xBB) {
                    return Err(self.fault("has a place that is not filled with BB"));
                }
                Ok(modulus.to_vec())
            }
            (0, Some(_)) => {
                let reason = format!("is there, but {} holds the whole modulus", self.certificate);
                Err(ProfileError::tag(self.remainder, reason))
            }
            (_, None) => {
                let reason = format!("is missing, but {missing} bytes of the modulus are not in {}", self.certificate);
                Err(ProfileError::tag(self.remainder, reason))
            }
            (_, Some(rest)) if rest.len() != missing => {
                let reason = format!("is {} bytes, {} leaves {missing} over", rest.len(), self.certificate);
                Err(ProfileError::tag(self.remainder, reason))
            }
            (_, Some(rest)) => Ok([head.room, rest].concat()),
        }
    }
}

/// The fields of a recovered certificate.
struct Head<'a> {
    owner: &'a [u8],
    /// MMYY.
    expiry: [u8; 2],
    algorithms: [u8; 2],
    modulus_len: u8,
    exponent_len: u8,
    /// The leftmost bytes of the modulus, or all of it and BB.
    room: &'a [u8],
}

/// A key that opens certificates.
struct PublicKey {
    key: RsaPublicKey,
    modulus: Vec<u8>,
}

impl PublicKey {
    fn read(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        if !KEY_BYTES.contains(&modulus.len()) {
            return Err("has a modulus outside 64 to 248 bytes");
        }
        // The top bit, since a block starts with 6A and has to be smaller; odd, as products of primes are.
        let ends =
            (modulus.first().is_some_and(|byte| byte & 0x80 != 0), modulus.last().is_some_and(|byte| byte & 1 == 1));
        if ends != (true, true) {
            return Err("has a modulus with leading zeros, or an even one");
        }
        if !is_exponent(exponent) {
            return Err("has an exponent that is neither 03 nor 010001");
        }
        let number = BoxedUint::from_be_slice_vartime;
        let key = RsaPublicKey::new_with_size_limits(number(modulus), number(exponent), 512..=1984)
            .map_err(|_| "is no RSA key")?;
        Ok(Self { key, modulus: modulus.to_vec() })
    }

    fn len(&self) -> usize {
        self.modulus.len()
    }

    /// `signature ^ e mod n`, as long as the modulus (EMV Book 2, A2.1). `None` if the signature is not
    /// a number below the modulus of the same length.
    fn recover(&self, signature: &[u8]) -> Option<Vec<u8>> {
        if signature.len() != self.len() || signature >= &self.modulus[..] {
            return None;
        }
        let number = BoxedUint::from_be_slice(signature, self.key.n_bits_precision()).ok()?;
        let bytes = rsa_encrypt(&self.key, &number).ok()?.to_be_bytes();
        let skip = bytes.len().checked_sub(self.len())?;
        bytes.get(skip..).map(<[u8]>::to_vec)
    }
}

fn is_exponent(bytes: &[u8]) -> bool {
    matches!(bytes, [3] | [1, 0, 1])
}
