//! What a terminal sends to the sandbox's card in one tap.

use anyhow::{Context, Result};
use nfcwallet_core::card::profile::Profile;

/// SELECT of the contactless directory.
pub const SELECT_PPSE: &[u8] = b"\x00\xA4\x04\x00\x0E2PAY.SYS.DDF01\x00";

/// GET DATA of the counter, which readers ask for after the records.
pub const GET_DATA: &[u8] = &[0x80, 0xCA, 0x9F, 0x36, 0x00];

/// 2026-01-31, when the sandbox's cards are valid; milliseconds since 1970.
pub const NOW_MS: i64 = 1_769_817_600_000;

/// COMPUTE CRYPTOGRAPHIC CHECKSUM of 1.00 EUR in Germany: 9F6A, 9F7E, 9F02, 5F2A, 9F1A, 9A, 9C, 9F15.
pub const CHECKSUM: &[u8] = &[
    0x80, 0x2A, 0x8E, 0x80, 21, 0x00, 0x12, 0x34, 0x56, 0x00, 0, 0, 0, 0, 0x01, 0x00, 0x09, 0x78, 0x02, 0x76, 0x26,
    0x01, 0x31, 0x00, 0x54, 0x11, 0x00,
];

/// EXCHANGE RELAY RESISTANCE DATA with the terminal's four bytes.
pub const EXCHANGE: &[u8] = &[0x80, 0xEA, 0x00, 0x00, 4, 0xA1, 0xA2, 0xA3, 0xA4, 0x00];

/// P1 of GENERATE AC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cryptogram {
    /// An ARQC with CDA.
    Signed,
    /// An ARQC without.
    Unsigned,
}

impl Cryptogram {
    /// Is this answer to GENERATE AC an ARQC of this kind? A declined one is an AAC.
    #[must_use]
    pub fn is_in(self, answer: &[u8]) -> bool {
        let holds = |object: &[u8]| answer.windows(object.len()).any(|window| window == object);
        // Signed dynamic data, or the bare cryptogram.
        let proof: &[u8] = match self {
            Self::Signed => &[0x9F, 0x4B, 0x81],
            Self::Unsigned => &[0x9F, 0x26, 8],
        };
        holds(&[0x9F, 0x27, 1, 0x80]) && holds(proof)
    }
}

/// A command and its name in the report.
pub type Step = (String, Vec<u8>);

/// Directory, application, options, each record of the file locator, and GENERATE AC, 1.00 in the
/// card's own country and currency.
///
/// # Errors
/// If the profile is not one of the sandbox's.
pub fn conversation(profile: &Profile, cryptogram: Cryptogram) -> Result<Vec<Step>> {
    let application = profile.applications.first().context("the card has no application")?;
    let limit = profile.rules.cvm_limits.first().context("the card has no CVM limit")?;
    let country = numeric(profile.rules.issuer_country)?;
    let mut all = vec![
        ("SELECT PPSE".to_owned(), SELECT_PPSE.to_vec()),
        ("SELECT AID".to_owned(), command([0x00, 0xA4, 0x04, 0x00], &application.aid)?),
    ];
    // PDOL: 9F1D (no CVM limit exceeded), 9F1A, 9F35.
    let options = [&[0x83, 11, 0x44, 0, 0, 0, 0, 0, 0, 0][..], &country, &[0x22]].concat();
    all.push(("GET PROCESSING OPTIONS".to_owned(), command([0x80, 0xA8, 0, 0], &options)?));
    for record in &application.records {
        let name = format!("READ RECORD {}.{}", record.sfi, record.number);
        all.push((name, vec![0x00, 0xB2, record.number, record.sfi << 3 | 0b100, 0x00]));
    }
    let transaction = [
        &[0, 0, 0, 0, 0x01, 0x00][..], // 9F02
        &[0; 6],                       // 9F03
        &country,                      // 9F1A
        &[0, 0, 0, 0x80, 0],           // 95
        &numeric(limit.currency)?,     // 5F2A
        &[0x26, 0x01, 0x31],           // 9A
        &[0x00],                       // 9C
        &[0xAA, 0xBB, 0xCC, 0xDD],     // 9F37
        &[0x22],                       // 9F35
        &[0; 2],                       // 9F45
        &[0; 8],                       // 9F4C
        &[0x1F, 0x03, 0x02],           // 9F34
        &[0x54, 0x11],                 // 9F15
    ];
    let (name, p1) = match cryptogram {
        Cryptogram::Signed => ("GENERATE AC, CDA", 0x90),
        Cryptogram::Unsigned => ("GENERATE AC, no CDA", 0x80),
    };
    all.push((name.to_owned(), command([0x80, 0xAE, p1, 0x00], &transaction.concat())?));
    Ok(all)
}

fn command(head: [u8; 4], data: &[u8]) -> Result<Vec<u8>> {
    Ok([&head[..], &[u8::try_from(data.len())?], data, &[0x00]].concat())
}

/// A three-digit code as two bytes of BCD.
fn numeric(code: u16) -> Result<Vec<u8>> {
    Ok(hex::decode(format!("{code:04}"))?)
}
