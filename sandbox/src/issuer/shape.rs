//! What cards can be like: their shapes, and what a personalisation says.

use nfcwallet_core::card::profile::{CvmLimit, PreferredName, RelayResistance};
use serde::Deserialize;

/// Credit and debit.
const AID_CREDIT: &[u8] = &[0xA0, 0, 0, 0, 0x04, 0x10, 0x10];
/// Credit and debit again, as cards with several accounts extend the name.
const AID_CREDIT_1: &[u8] = &[0xA0, 0, 0, 0, 0x04, 0x10, 0x10, 0x01];
const AID_CREDIT_2: &[u8] = &[0xA0, 0, 0, 0, 0x04, 0x10, 0x10, 0x02];
/// Maestro.
const AID_MAESTRO: &[u8] = &[0xA0, 0, 0, 0, 0x04, 0x30, 0x60];
/// Tag 9F2A: kernel 2.
const KERNEL_2: &[u8] = &[0x02];
/// 9F1D terminal risk management data, 9F1A country, 9F35 terminal type.
const PHONE_PDOL: &[u8] = &[0x9F, 0x1D, 8, 0x9F, 0x1A, 2, 0x9F, 0x35, 1];
/// Amounts, country, TVR, currency, date, kind, unpredictable number, terminal type, data
/// authentication code, ICC dynamic number, CVM results.
const LEGACY_CDOL1: &[u8] = &[
    0x9F, 0x02, 6, 0x9F, 0x03, 6, 0x9F, 0x1A, 2, 0x95, 5, 0x5F, 0x2A, 2, 0x9A, 3, 0x9C, 1, 0x9F, 0x37, 4, 0x9F, 0x35,
    1, 0x9F, 0x45, 2, 0x9F, 0x4C, 8, 0x9F, 0x34, 3,
];
/// 9F15 merchant category: makes transit visible.
const MERCHANT_CATEGORY: &[u8] = &[0x9F, 0x15, 2];
/// 9F4E merchant name and location.
const MERCHANT_NAME: &[u8] = &[0x9F, 0x4E, 20];
/// 9F21 time, 9F7C customer exclusive data.
const ADVANCE: &[u8] = &[0x9F, 0x21, 3, 0x9F, 0x7C, 0x14];
/// No CVM, always: CDCVM is announced by the AIP, not by the list.
const NO_CVM: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0x1F, 0x03];
/// Tag 9F07: everywhere and for everything. The phone itself decides on cash and refunds.
const ANY_USE: [u8; 2] = [0xFF, 0xC0];
/// Tag 9F07: cash, goods, services and cash back in the issuer's country, at ATMs and elsewhere.
const DOMESTIC_USE: [u8; 2] = [0x80 | 0x20 | 0x08 | 0x03, 0x80];
/// "Кошелёк" (wallet) in the Cyrillic part of ISO/IEC 8859.
const CYRILLIC_NAME: (&[u8], u8) = (&[0xBA, 0xDE, 0xE8, 0xD5, 0xDB, 0xF1, 0xDA], 5);
/// What GET DATA finds: two objects that a kernel 2 keeps for the issuer.
const DATA_OBJECTS: &[u8] = &[0x9F, 0x70, 4, b't', b'e', b's', b't', 0x9F, 0x75, 2, 0x01, 0x02];
/// Online PIN where the terminal has it, else no CVM.
const ONLINE_PIN: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0x42, 0x03, 0x1F, 0x03];

/// The shapes of card that this issuer makes. [`CardShape::Phone`] is what a wallet gets; the others
/// show a wallet or a terminal what else is legal. On a command line their names are in kebab-case (the
/// spelling of JSON is taken too).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CardShape {
    /// PDOL, on-device CVM, CDA, merchant category in CDOL1.
    #[default]
    Phone,
    /// The same without a PDOL: the terminal's CVM limit stays unknown to the card.
    #[value(alias = "phone_without_pdol")]
    PhoneWithoutPdol,
    /// Maestro's AID instead of credit's.
    Maestro,
    /// Both AIDs, credit first.
    #[value(alias = "two_applications")]
    TwoApplications,
    /// A CDOL1 without the merchant category.
    #[value(alias = "legacy_cdol")]
    LegacyCdol,
    /// A CDOL1 of 68 bytes.
    #[value(alias = "advance_cdol")]
    AdvanceCdol,
    /// A short ICC key (1024 bits) that fits its certificate whole: no remainder.
    #[value(alias = "short_icc_key")]
    ShortIccKey,
    /// Short keys all along the chain: 1152, 1152 and 896 bits.
    #[value(alias = "short_keys")]
    ShortKeys,
    /// The longest keys whose certificates fit records (1984 and 1976 bits), and a card's key of 1408.
    #[value(alias = "long_keys")]
    LongKeys,
    /// Two files, each with a signed record.
    #[value(alias = "two_files")]
    TwoFiles,
    /// Three AIDs, of which two extend the first, and the kernel to use in the directory.
    #[value(alias = "three_applications")]
    ThreeApplications,
    /// Objects for GET DATA.
    #[value(alias = "data_objects")]
    DataObjects,
    /// A name in Cyrillic letters beside the label.
    #[value(alias = "preferred_name")]
    PreferredName,
    /// Only for use in the issuer's country.
    #[value(alias = "domestic_only")]
    DomesticOnly,
    /// No on-device CVM in the AIP, online PIN in the CVM list.
    #[value(alias = "plastic_card")]
    PlasticCard,
    /// No CDA: the cryptogram travels in the clear and the card has no certificates.
    #[value(alias = "without_cda")]
    WithoutCda,
    /// The phone, and a record for readers in mag-stripe mode, with both tracks.
    #[value(alias = "mag_stripe")]
    MagStripe,
    /// Mag-stripe mode alone, with track 2: no cryptogram, no signature.
    #[value(alias = "mag_stripe_only")]
    MagStripeOnly,
    /// The phone, with relay resistance.
    #[value(alias = "relay_resistance")]
    RelayResistance,
    /// The phone, and a CDOL1 that asks for the merchant's name.
    #[value(alias = "merchant_name")]
    MerchantName,
}

impl CardShape {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Phone,
        Self::PhoneWithoutPdol,
        Self::Maestro,
        Self::TwoApplications,
        Self::LegacyCdol,
        Self::AdvanceCdol,
        Self::ShortIccKey,
        Self::ShortKeys,
        Self::LongKeys,
        Self::TwoFiles,
        Self::ThreeApplications,
        Self::DataObjects,
        Self::PreferredName,
        Self::DomesticOnly,
        Self::PlasticCard,
        Self::WithoutCda,
        Self::MagStripe,
        Self::MagStripeOnly,
        Self::RelayResistance,
        Self::MerchantName,
    ];

    /// The length of the card's RSA key.
    pub(crate) fn icc_bits(self) -> usize {
        match self {
            Self::ShortKeys => 896,
            Self::ShortIccKey => 1024,
            Self::LongKeys => 1408,
            _ => 1152,
        }
    }

    pub(super) fn applications(self) -> &'static [(&'static [u8], &'static str)] {
        match self {
            Self::Maestro => &[(AID_MAESTRO, "NFC Wallet Debit")],
            Self::TwoApplications => &[(AID_CREDIT, "NFC Wallet"), (AID_MAESTRO, "NFC Wallet Debit")],
            Self::ThreeApplications => {
                &[(AID_CREDIT, "NFC Wallet"), (AID_CREDIT_1, "NFC Wallet 1"), (AID_CREDIT_2, "NFC Wallet 2")]
            }
            _ => &[(AID_CREDIT, "NFC Wallet")],
        }
    }

    pub(super) fn kernel_identifier(self) -> &'static [u8] {
        match self {
            Self::ThreeApplications => KERNEL_2,
            _ => &[],
        }
    }

    pub(super) fn preferred_name(self) -> Option<PreferredName> {
        let (name, code_table) = CYRILLIC_NAME;
        (self == Self::PreferredName).then(|| PreferredName { name: name.to_vec(), code_table })
    }

    pub(super) fn data_objects(self) -> &'static [u8] {
        match self {
            Self::DataObjects => DATA_OBJECTS,
            _ => &[],
        }
    }

    pub(super) fn pdol(self) -> &'static [u8] {
        match self {
            Self::PhoneWithoutPdol => &[],
            _ => PHONE_PDOL,
        }
    }

    pub(super) fn cdol1(self) -> Vec<u8> {
        match self {
            Self::LegacyCdol => LEGACY_CDOL1.to_vec(),
            Self::AdvanceCdol => [LEGACY_CDOL1, MERCHANT_CATEGORY, ADVANCE].concat(),
            Self::MerchantName => [LEGACY_CDOL1, MERCHANT_CATEGORY, MERCHANT_NAME].concat(),
            _ => [LEGACY_CDOL1, MERCHANT_CATEGORY].concat(),
        }
    }

    /// Tag 82: cardholder verification and terminal risk management; 02 on-device CVM, 01 CDA; EMV mode.
    pub(super) fn aip(self) -> [u8; 2] {
        match self {
            Self::PlasticCard => [0x19, 0x80],
            Self::WithoutCda => [0x18, 0x80],
            Self::MagStripeOnly => [0x00, 0x00],
            Self::RelayResistance => [0x1B, 0x81],
            _ => [0x1B, 0x80],
        }
    }

    pub(super) fn cvm_list(self) -> &'static [u8] {
        match self {
            Self::PlasticCard => ONLINE_PIN,
            _ => NO_CVM,
        }
    }

    /// Tag 9F07.
    pub(super) fn usage_control(self) -> [u8; 2] {
        match self {
            Self::DomesticOnly => DOMESTIC_USE,
            _ => ANY_USE,
        }
    }

    pub(super) fn offers_cda(self) -> bool {
        self.aip().first().is_some_and(|first| first & 0x01 != 0)
    }

    /// It makes cryptograms.
    #[must_use]
    pub fn offers_emv_mode(self) -> bool {
        self.aip().get(1).is_some_and(|modes| modes & 0x80 != 0)
    }

    /// It makes checksums for tracks.
    #[must_use]
    pub fn has_mag_stripe(self) -> bool {
        matches!(self, Self::MagStripe | Self::MagStripeOnly)
    }

    /// A program's answer is not the radio's: the longest time (200 ms) leaves room for it, and for a phone in
    /// another language on a busy machine.
    pub(super) fn relay_resistance(self) -> Option<RelayResistance> {
        let times = RelayResistance { min_time: 0, max_time: 2_000, transmission_time: 18 };
        (self == Self::RelayResistance).then_some(times)
    }
}

/// What a token's card is like. In JSON, what is left out is as in [`Personalisation::default`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Personalisation {
    /// Its shape.
    pub shape: CardShape,
    /// First month of validity.
    pub effective: Month,
    /// Last month of validity.
    pub expiry: Month,
    /// ISO 3166 numeric; 5F28 and the card's idea of "domestic".
    pub country: u16,
    /// ISO 4217 numeric; tag 9F42.
    pub currency: u16,
    /// From which amounts the phone demands CDCVM by itself.
    pub cvm_limits: Vec<CvmLimit>,
    /// The phone demands CDCVM at every tap.
    pub always_cdcvm: bool,
    /// Where the phone pays, ISO 3166 numeric; `None` for everywhere.
    pub countries: Option<Vec<u16>>,
    /// In which currencies the phone pays, ISO 4217 numeric; `None` for all.
    pub currencies: Option<Vec<u16>>,
}

impl Default for Personalisation {
    /// A German phone with euros, valid from January 2024 to December 2035, and CDCVM above 50 EUR,
    /// 100 GBP, 100 USD, 80 CHF and 500 HKD.
    fn default() -> Self {
        let limit = |(currency, amount_minor)| CvmLimit { currency, amount_minor };
        Self {
            shape: CardShape::Phone,
            effective: Month { year: 24, month: 1 },
            expiry: Month { year: 35, month: 12 },
            country: 276,
            currency: 978,
            cvm_limits: [(978, 5_000), (826, 10_000), (840, 10_000), (756, 8_000), (344, 50_000)].map(limit).into(),
            always_cdcvm: false,
            countries: None,
            currencies: None,
        }
    }
}

/// A month of this century.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Month {
    /// 0 to 49: terminals read 50 and more as the last century.
    pub year: u8,
    /// 1 to 12.
    pub month: u8,
}

impl Month {
    pub(super) fn last_day(self) -> u8 {
        match self.month {
            2 if self.year.is_multiple_of(4) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}
