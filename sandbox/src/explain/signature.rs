//! The certificates and the signature of a tap: opened, shown and checked (EMV Book 2, 6.3 to 6.6).

use super::dictionary::Format;
use super::fields::Fields;
use super::node::{Node, Tone};
use super::tap::Tap;
use super::values::{Context, Reading};
use super::{Options, mask, values};
use crate::issuer::CaPublicKey;
use crate::issuer::authority::Certificate;
use crate::issuer::verify::{
    ChainError, RecoveredKey, recover_answer, recover_block, recover_icc_key, recover_issuer_key,
};

/// AIP byte 1: combined data authentication.
const CDA_OFFERED: u8 = 0x01;

/// What came of the card's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cda {
    Verified,
    Wrong(String),
    /// Nothing to check, or something to check it with is missing.
    NotChecked(String),
}

pub(super) struct Verdict {
    pub(super) nodes: Vec<Node>,
    pub(super) cda: Cda,
}

/// Opens issuer certificate, ICC certificate and signature, as far as the keys lead.
pub(super) fn check(tap: &Tap, options: &Options) -> Verdict {
    let mut opening = Opening { tap, show_pan: options.show_pan, nodes: Vec::new() };
    let cda = opening.run(options).unwrap_or_else(|stop| stop);
    Verdict { nodes: opening.nodes, cda }
}

struct Opening<'a> {
    tap: &'a Tap,
    show_pan: bool,
    nodes: Vec<Node>,
}

impl Opening<'_> {
    /// The error is a verdict too: the one at which the chain ends.
    fn run(&mut self, options: &Options) -> Result<Cda, Cda> {
        let issuer = self.issuer_key(options)?;
        let icc = self.icc_key(&issuer)?;
        self.answer(&icc)
    }

    fn issuer_key(&mut self, options: &Options) -> Result<RecoveredKey, Cda> {
        const WHAT: &str = "issuer certificate";
        let certificate = self.certificate(0x90, 0x92, 0x9F32).ok_or_else(|| self.no_certificate())?;
        let (ca, place) = self.authority(options)?;
        let opened = recover_issuer_key(ca, &certificate);
        if let (Some(place), Err(ChainError::Key { .. } | ChainError::Format { .. })) = (place, &opened) {
            let reason =
                format!("the key {:02X} found in {place} is another one; give the right one with --ca-key", ca.index);
            return Err(self.closed(reason));
        }
        let block = recover_block(WHAT, &ca.modulus, &ca.exponent, &certificate.certificate).ok();
        let mut fields = self.block("90", "Issuer Public Key Certificate", block.as_deref(), &ISSUER_FIELDS);
        fields.children.push(verdict(opened.as_ref().err()));
        let key = format!("{} {:02X}, {}", hex::encode_upper(ca.rid), ca.index, origin(place));
        fields.children.push(Node::new("", "CA key").means(key));
        self.nodes.push(fields);
        opened.map_err(|error| Cda::Wrong(error.to_string()))
    }

    fn icc_key(&mut self, issuer: &RecoveredKey) -> Result<RecoveredKey, Cda> {
        const WHAT: &str = "ICC certificate";
        let certificate = self
            .certificate(0x9F46, 0x9F48, 0x9F47)
            .ok_or_else(|| Cda::NotChecked("the card gave no ICC certificate".to_owned()))?;
        let block = recover_block(WHAT, &issuer.modulus, &issuer.exponent, &certificate.certificate).ok();
        let mut fields = self.block("9F46", "ICC Public Key Certificate", block.as_deref(), &ICC_FIELDS);
        let opened = match self.tap.static_data() {
            Ok(data) => recover_icc_key(issuer, &certificate, &data).map_err(|error| {
                fields.children.push(verdict(Some(&error)));
                Cda::Wrong(error.to_string())
            }),
            Err(missing) => {
                fields.children.push(Node::new("", "hash").means(&missing).toned(Tone::Warning));
                Err(Cda::NotChecked(missing))
            }
        };
        if let Ok(key) = &opened {
            fields.children.push(verdict(None));
            fields.children.extend(self.owner(key));
        }
        self.nodes.push(fields);
        opened
    }

    fn answer(&mut self, icc: &RecoveredKey) -> Result<Cda, Cda> {
        const WHAT: &str = "signed dynamic data";
        let signature = self.tap.object(0x9F4B).ok_or_else(|| self.no_signature())?;
        let block = recover_block(WHAT, &icc.modulus, &icc.exponent, signature).ok();
        let mut fields = Node::new("9F4B", "Signed Dynamic Application Data (SDAD)")
            .with(block.as_deref().map(signed_fields).unwrap_or_default());
        let missing = |what: &str| Cda::NotChecked(format!("{what} of this tap was not seen"));
        let checked = || {
            let number = self.tap.sent(0x9F37).ok_or_else(|| missing("the terminal's number (9F37)"))?;
            let number = number.try_into().map_err(|_| Cda::NotChecked("9F37 has not 4 bytes".to_owned()))?;
            let data = self.tap.transaction_data().ok_or_else(|| missing("GENERATE AC"))?;
            Ok((number, data))
        };
        let (cda, trailing) = match checked() {
            Ok((number, data)) => match recover_answer(icc, signature, number, &data) {
                Ok(answer) => {
                    fields.children.push(verdict(None));
                    (Ok(Cda::Verified), answer.trailing)
                }
                Err(error) => {
                    fields.children.push(verdict(Some(&error)));
                    (Err(Cda::Wrong(error.to_string())), Vec::new())
                }
            },
            Err(stop) => (Err(stop), Vec::new()),
        };
        fields.children.extend(self.relay(&trailing));
        self.nodes.push(fields);
        cda
    }

    /// The signature covers the last relay resistance exchange (EMV contactless, kernel 2).
    fn relay(&self, trailing: &[u8]) -> Option<Node> {
        let node = Node::new("", "relay data");
        match (trailing, self.tap.relay.as_deref()) {
            ([], _) => None,
            (signed, Some(seen)) if signed == seen => Some(node.means("those of the last exchange").toned(Tone::Good)),
            (_, Some(_)) => Some(node.means("not those of the last exchange").toned(Tone::Bad)),
            (_, None) => Some(node.means("no exchange was seen").toned(Tone::Warning)),
        }
    }

    fn certificate(&self, certificate: u32, remainder: u32, exponent: u32) -> Option<Certificate> {
        Some(Certificate {
            certificate: self.tap.object(certificate)?.to_vec(),
            remainder: self.tap.object(remainder).filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec),
            exponent: self.tap.object(exponent)?.to_vec(),
        })
    }

    /// A key that was given, else one that was found, with its place.
    fn authority<'k>(&mut self, options: &'k Options) -> Result<(&'k CaPublicKey, Option<&'k str>), Cda> {
        let Some(&[index]) = self.tap.object(0x8F) else {
            return Err(Cda::NotChecked("the card names no CA key (8F)".to_owned()));
        };
        let rid = self.tap.aid.as_deref().and_then(|aid| aid.get(..5));
        let fits = |key: &&CaPublicKey| key.index == index && rid.is_none_or(|rid| rid == key.rid);
        let given = options.ca_keys.iter().find(fits).map(|key| (key, None));
        let found = || {
            let found = options.found_keys.as_ref()?;
            found.keys.iter().find(fits).map(|key| (key, Some(found.place.as_str())))
        };
        given.or_else(found).ok_or_else(|| {
            let rid = rid.map(hex::encode_upper).unwrap_or_default();
            self.closed(format!("CA key {rid} {index:02X} is not known; give it with --ca-key"))
        })
    }

    /// The chain ends before its first link.
    fn closed(&mut self, reason: String) -> Cda {
        let node = Node::new("90", "Issuer Public Key Certificate");
        self.nodes.push(node.means(format!("not opened: {reason}")).toned(Tone::Warning));
        Cda::NotChecked(reason)
    }

    /// The certified number must be the card's (EMV Book 2, 6.4).
    fn owner(&self, key: &RecoveredKey) -> Option<Node> {
        let digits = |bytes: &[u8]| hex::encode_upper(bytes).trim_end_matches('F').to_owned();
        let pan = digits(self.tap.object(0x5A)?);
        let node = Node::new("", "certified number");
        match digits(&key.owner) == pan {
            true => Some(node.means("is the card's number (5A)").toned(Tone::Good)),
            false => Some(node.means("is not the card's number (5A)").toned(Tone::Bad)),
        }
    }

    fn no_certificate(&self) -> Cda {
        let offered = self.tap.object(0x82).and_then(|aip| aip.first()).is_some_and(|byte| byte & CDA_OFFERED != 0);
        match (self.tap.object(0x82).is_some(), offered) {
            (true, false) => Cda::NotChecked("the card does not offer CDA".to_owned()),
            (true, true) => Cda::NotChecked("the card gave no issuer certificate".to_owned()),
            (false, _) => Cda::NotChecked("the tap did not get that far".to_owned()),
        }
    }

    fn no_signature(&self) -> Cda {
        let reason = match (self.tap.object(0x9F27), self.tap.asked_for) {
            (Some([cid]), _) if cid & 0xC0 == 0 => "an AAC is not signed",
            (_, Some(p1)) if p1 & 0x10 == 0 => "the terminal did not ask for CDA",
            (_, Some(_)) => "the answer has no signature",
            (_, None) => "the tap did not get that far",
        };
        Cda::NotChecked(reason.to_owned())
    }

    /// A certificate's block, field by field.
    fn block(&self, label: &str, name: &str, block: Option<&[u8]>, layout: &[CertificateField]) -> Node {
        let node = Node::new(label, name);
        let Some(block) = block else { return node };
        let mut fields = Fields::new(block, 0);
        fields.field("header", 1, expected(0x6A));
        for (name, length, meaning) in layout {
            fields.field(name, *length, |bytes| meaning(bytes, self.show_pan));
        }
        // The leftmost part of the modulus, then 20 bytes of hash and the trailer.
        let modulus = fields.rest().len().saturating_sub(21);
        fields.field("leftmost part of the key", modulus, |_| Reading::default());
        fields.field("hash (SHA-1)", 20, |_| Reading::default());
        fields.field("trailer", 1, expected(0xBC));
        node.with(fields.nodes)
    }
}

type CertificateField = (&'static str, usize, fn(&[u8], bool) -> Reading);

const ISSUER_FIELDS: [CertificateField; 8] = [
    ("format", 1, |bytes, _| expected(0x02)(bytes)),
    ("issuer identifier", 4, |_, _| Reading::default()),
    ("expiry", 2, month),
    ("serial number", 3, |_, _| Reading::default()),
    ("hash algorithm", 1, |bytes, _| expected(0x01)(bytes)),
    ("key algorithm", 1, |bytes, _| expected(0x01)(bytes)),
    ("key length", 1, key_bits),
    ("exponent length", 1, |_, _| Reading::default()),
];

const ICC_FIELDS: [CertificateField; 8] = [
    ("format", 1, |bytes, _| expected(0x04)(bytes)),
    ("card number", 10, card_number),
    ("expiry", 2, month),
    ("serial number", 3, |_, _| Reading::default()),
    ("hash algorithm", 1, |bytes, _| expected(0x01)(bytes)),
    ("key algorithm", 1, |bytes, _| expected(0x01)(bytes)),
    ("key length", 1, key_bits),
    ("exponent length", 1, |_, _| Reading::default()),
];

fn expected(right: u8) -> impl Fn(&[u8]) -> Reading {
    move |bytes| match bytes {
        [byte] if *byte == right => Reading::default(),
        _ => Reading { tone: Tone::Bad, ..Reading::says(format!("should be {right:02X}")) },
    }
}

fn key_bits(bytes: &[u8], _: bool) -> Reading {
    Reading::says(format!("{} bits", values::binary(bytes).unwrap_or(0) * 8))
}

fn month(bytes: &[u8], _: bool) -> Reading {
    match bytes {
        [month, year] => Reading::says(format!("20{year:02X}-{month:02X}")),
        _ => Reading::default(),
    }
}

fn card_number(bytes: &[u8], show_pan: bool) -> Reading {
    let hex = hex::encode_upper(bytes);
    Reading { raw: Some(if show_pan { hex } else { mask::pan(&hex) }), ..Reading::default() }
}

/// EMV Book 2, tables 18 and 19.
fn signed_fields(block: &[u8]) -> Vec<Node> {
    let mut fields = Fields::new(block, 0);
    fields.field("header", 1, expected(0x6A));
    fields.field("format", 1, expected(0x05));
    fields.field("hash algorithm", 1, expected(0x01));
    let data_length = fields.rest().first().map_or(0, |byte| usize::from(*byte));
    fields.field("length of the dynamic data", 1, |_| Reading::says(format!("{data_length}")));
    let number_length = fields.rest().first().map_or(0, |byte| usize::from(*byte));
    fields.field("length of the dynamic number", 1, |_| Reading::says(format!("{number_length}")));
    fields.field("ICC dynamic number", number_length, |_| Reading::default());
    fields.of_format("CID", 1, Format::Cid, "", Context::default());
    fields.field("application cryptogram", 8, |_| Reading::default());
    fields.field("transaction data hash", 20, |_| Reading::default());
    // CID, cryptogram and hash are 29 bytes behind the number and its length.
    let trailing = data_length.saturating_sub(number_length.saturating_add(30));
    fields.field("relay data", trailing, |_| Reading::default());
    let filler = fields.rest().len().saturating_sub(21);
    fields.field("filler", filler, |bytes| match bytes.iter().all(|byte| *byte == 0xBB) {
        true => Reading { raw: Some("BB".to_owned()), ..Reading::says(format!("{} times", bytes.len())) },
        false => Reading { tone: Tone::Bad, ..Reading::says("should be BB") },
    });
    fields.field("hash (SHA-1)", 20, |_| Reading::default());
    fields.field("trailer", 1, expected(0xBC));
    fields.nodes
}

fn origin(place: Option<&str>) -> String {
    place.map_or_else(|| "as given".to_owned(), |place| format!("found in {place}"))
}

fn verdict(error: Option<&ChainError>) -> Node {
    match error {
        None => Node::new("", "check").means("hash OK").toned(Tone::Good),
        Some(error @ ChainError::Hash { .. }) => {
            Node::new("", "check").means(format!("hash not OK: {error}")).toned(Tone::Bad)
        }
        Some(error) => Node::new("", "check").means(format!("not OK: {error}")).toned(Tone::Bad),
    }
}
