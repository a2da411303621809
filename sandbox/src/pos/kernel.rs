//! One tap, step by step, on the crate `emv`.

use std::convert::Infallible;

use emv::contact::cardholder_verification::CvmExecutionResult;
use emv::contact::dol_resolve::DolResolveExt;
use emv::contact::processing_restrictions::TransactionCategory;
use emv::contact::terminal::{Terminal as Settings, TerminalApplication};
use emv::contact::transaction::{CvmFlags, TransactionInputs};
use emv::contact::transaction_driver::{DriverError, Transaction};
use emv::contact::transaction_flow::HostMediated;
use emv::core::application_cryptogram_type::ApplicationCryptogramType as Cryptogram;
use emv::core::dol::Dol;
use emv::core::fci::AdfFci;
use emv::core::generate_ac::{GenerateAcResponse, SignatureRequest};
use emv::core::oda::{CaPublicKey, OdaOutcome};
use emv::core::tag::Tag;
use emv::core::tag_store::Source;
use emv::core::tags;
use emv::de::additional_terminal_capabilities::AdditionalTerminalCapabilities;
use emv::de::terminal_capabilities::TerminalCapabilities;
use emv::de::terminal_type::TerminalType;

use super::reader::{Reader, ReaderError};
use super::relay::{self, RelayCheck};
use super::{DeclinedBy, Link, Mode, NotAccepted, Outcome, Purchase, TapResult, select, tracks};
use crate::issuer::{AuthorisationRequest, CardAuthentication, Pan};

/// Credit and debit, Maestro; longer names of these also match.
const AIDS: [&[u8]; 2] = [&[0xA0, 0, 0, 0, 0x04, 0x10, 0x10], &[0xA0, 0, 0, 0, 0x04, 0x30, 0x60]];
/// Merchant, attended, online only (EMV Book 4, table 24).
const TERMINAL_TYPE: TerminalType = TerminalType(0x21);
/// Declines offline when the certificates are wrong (TVR byte 1, "CDA failed").
const TAC_DENIAL: [u8; 5] = [0x04, 0, 0, 0, 0];
/// 9F1D byte 1: restart, online PIN, no CVM and CDCVM are supported.
const CONTACTLESS_CVMS: u8 = 0xCC;
/// 9F1D byte 2: the amount is above the CVM required limit.
const CVM_LIMIT_EXCEEDED: u8 = 0x80;
/// 9F1D byte 3: no mag-stripe mode; no EMV mode.
const NO_MAG_STRIPE: u8 = 0x80;
const NO_EMV: u8 = 0x40;
/// POS cardholder interaction information.
const DF4B: Tag = Tag(0xDF4B);

pub(super) type Tx<'t> = Transaction<'t, Reader<'t>, HostMediated>;

/// Why a tap stops before the card's answer is judged.
#[derive(Debug)]
pub(super) enum Stop {
    LinkLost,
    NotAccepted(NotAccepted),
}

impl From<NotAccepted> for Stop {
    fn from(reason: NotAccepted) -> Self {
        Self::NotAccepted(reason)
    }
}

impl From<emv::Error> for Stop {
    fn from(error: emv::Error) -> Self {
        Self::NotAccepted(NotAccepted::Malformed { reason: error.to_string() })
    }
}

impl From<ReaderError> for Stop {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::LinkLost => Self::LinkLost,
            ReaderError::NotAccepted(reason) => Self::NotAccepted(reason),
        }
    }
}

impl From<DriverError<ReaderError, Infallible>> for Stop {
    fn from(error: DriverError<ReaderError, Infallible>) -> Self {
        match error {
            DriverError::Transport(error) => error.into(),
            DriverError::Auth(never) => match never {},
            DriverError::Spec(error) => error.into(),
            DriverError::StatusWord { command, sw } => NotAccepted::StatusWord { command, status_word: sw }.into(),
            DriverError::UnknownAid | DriverError::NoMatchingApplication | DriverError::NotSelected => {
                NotAccepted::NoApplication.into()
            }
            DriverError::NoAfl => NotAccepted::Malformed { reason: "no AFL".to_owned() }.into(),
        }
    }
}

pub(super) fn run(ca_keys: &[CaPublicKey], link: &mut Link<'_>, purchase: &Purchase) -> TapResult {
    let settings = settings(purchase);
    let mut answered = |command: &[u8]| link(command);
    let mut tx = Transaction::new(Reader::new(&mut answered), &settings, inputs(purchase), HostMediated);
    let mut found = Found::default();
    let outcome = match tap(&mut tx, ca_keys, purchase, &mut found) {
        Ok(outcome) => outcome,
        Err(Stop::LinkLost) => Outcome::LinkLost,
        Err(Stop::NotAccepted(reason)) => Outcome::NotAccepted(reason),
    };
    let Found { cda_verified, relay_resisted } = found;
    TapResult { outcome, cda_verified, relay_resisted, trace: tx.card.into_trace() }
}

/// What the kernel found out, however the tap ends.
#[derive(Default)]
struct Found {
    cda_verified: Option<bool>,
    relay_resisted: Option<bool>,
}

fn tap(tx: &mut Tx<'_>, ca_keys: &[CaPublicKey], purchase: &Purchase, found: &mut Found) -> Result<Outcome, Stop> {
    check(purchase)?;
    let fci = select_application(tx)?;
    let pdol_data = fci.pdol.as_ref().map(|pdol| pdol.resolve(&tx.ctx)).unwrap_or_default();
    let aip = tx.initiate(&pdol_data)?.aip.to_bytes();
    let [abilities, modes] = aip;
    // AIP byte 2: EMV mode.
    match purchase.mode {
        Mode::MagStripe => return tracks::pay(tx, purchase),
        Mode::Emv if modes & 0x80 == 0 => return Err(NotAccepted::MagStripeOnly.into()),
        Mode::Emv => {}
    }
    let relay = resist_relays(tx, modes, purchase)?;
    let records = tx.read_application_data()?;
    let authentication = tx.perform_offline_data_authentication(ca_keys, &[], &[], &records.oda_input)?;
    let cda = match authentication {
        OdaOutcome::CdaArmed => SignatureRequest::Cda,
        OdaOutcome::NotPerformed => SignatureRequest::None,
        _ => {
            found.cda_verified = Some(false);
            SignatureRequest::None
        }
    };
    let category = TransactionCategory::from_transaction_type(purchase.kind);
    tx.ctx.process_restrictions(category, purchase.other_amount_minor > 0)?;
    let cvm_results = cardholder_verification(tx, abilities, purchase)?;
    // AIP byte 1: on-device CVM. Without a signature anybody could have set that bit.
    let unproven = abilities & 0x02 != 0 && cda != SignatureRequest::Cda;
    let asked = match tx.ctx.terminal_action_analysis(false)? {
        Cryptogram::Aac => Cryptogram::Aac,
        _ if unproven => Cryptogram::Aac,
        _ => Cryptogram::Arqc,
    };
    let cda = if asked == Cryptogram::Arqc { cda } else { SignatureRequest::None };
    let verification_results = tx.ctx.tvr.to_bytes();
    let answer = generate_ac(tx, asked, cda, cvm_results)?;
    if wants_its_user(&answer) {
        return Ok(Outcome::SeePhone);
    }
    match (answer.cid.cryptogram_type, asked) {
        (Cryptogram::Aac, Cryptogram::Aac) => return Ok(Outcome::Declined(DeclinedBy::Terminal)),
        (Cryptogram::Aac, _) => return Ok(Outcome::Declined(DeclinedBy::Card)),
        (Cryptogram::Arqc, Cryptogram::Arqc) => {}
        _ => return Err(NotAccepted::HigherCryptogram.into()),
    }
    let cryptogram = if cda == SignatureRequest::Cda {
        let verified = tx.verify_cda_first_generate_ac(&answer).ok();
        found.cda_verified = Some(verified.is_some());
        match verified {
            Some(verified) => {
                let holds =
                    |check: RelayCheck| check.exchanged[..] == verified.trailing_dynamic_data && !check.too_slow;
                found.relay_resisted = relay.map(holds);
                verified.application_cryptogram
            }
            None => return Ok(Outcome::Declined(DeclinedBy::CardAuthentication)),
        }
    } else {
        answer.ac.ok_or_else(|| NotAccepted::Malformed { reason: "no cryptogram".to_owned() })?
    };
    let made = Made { aip, verification_results, cvm_results, cryptogram, signed: cda == SignatureRequest::Cda };
    authorisation_request(tx, purchase, &answer, &made).map(|request| Outcome::Online(Box::new(request)))
}

/// Exchanges relay resistance data where reader and card both do that, and notes it in TVR byte 5: 02
/// performed, 04 too slow. The contact kernel knows these two bits as faults of ECC keys, which the
/// contactless one does not have.
fn resist_relays(tx: &mut Tx<'_>, modes: u8, purchase: &Purchase) -> Result<Option<RelayCheck>, Stop> {
    // AIP byte 2: relay resistance.
    if !purchase.relay_resistance || modes & 0x01 == 0 {
        return Ok(None);
    }
    let check = relay::exchange(tx, purchase.unpredictable_number)?;
    tx.ctx.tvr.ecc_key_recovery_failed = true;
    tx.ctx.tvr.ca_ecc_key_missing = check.too_slow;
    Ok(Some(check))
}

/// Amounts and codes fit their digits; the crate would cut them.
fn check(purchase: &Purchase) -> Result<(), NotAccepted> {
    let limits = [
        ("amount_minor", purchase.amount_minor, 999_999_999_999),
        ("other_amount_minor", purchase.other_amount_minor, 999_999_999_999),
        ("currency", purchase.currency.into(), 999),
        ("country", purchase.country.into(), 999),
        ("merchant_category", purchase.merchant_category.into(), 9_999),
    ];
    match limits.into_iter().find(|(_, value, limit)| value > limit) {
        Some((field, ..)) => Err(NotAccepted::Purchase { field }),
        None => Ok(()),
    }
}

/// The candidates in order of priority, until one can be selected.
fn select_application(tx: &mut Tx<'_>) -> Result<AdfFci, Stop> {
    let mut last = Stop::NotAccepted(NotAccepted::NoApplication);
    for name in select::candidates(&mut tx.card, &AIDS)? {
        match tx.select_application(&name).map_err(Stop::from) {
            Ok(fci) => return Ok(fci),
            Err(Stop::NotAccepted(reason @ NotAccepted::StatusWord { .. })) => last = reason.into(),
            Err(other) => return Err(other),
        }
    }
    Err(last)
}

/// Tag 9F34. A phone with on-device CVM is asked for it by the amount alone; a card by its CVM list,
/// with online PIN above the reader's limit and nothing below.
fn cardholder_verification(tx: &mut Tx<'_>, abilities: u8, purchase: &Purchase) -> Result<[u8; 3], Stop> {
    // AIP byte 1: 02 on-device CVM, 10 cardholder verification.
    match abilities {
        on_device if on_device & 0x02 != 0 && purchase.exceeds_cvm_limit() => Ok([0x01, 0x00, 0x02]),
        on_device if on_device & 0x02 != 0 => Ok([0x3F, 0x00, 0x02]),
        none if none & 0x10 == 0 => Ok([0x3F, 0x00, 0x00]),
        _ => {
            let currency = tx.ctx.tag_store.get(Tag(0x9F42)).map(<[u8]>::to_vec);
            let flags = CvmFlags {
                transaction_in_application_currency: currency.is_some_and(|code| code == numeric(purchase.currency)),
                transaction_is_manual_cash: purchase.kind == 0x01,
                transaction_is_purchase_with_cashback: purchase.kind == 0x09,
                transaction_is_unattended_cash: false,
            };
            Ok(tx.ctx.cardholder_verification(flags, |_| CvmExecutionResult::Successful)?.cvm_results)
        }
    }
}

fn generate_ac(
    tx: &mut Tx<'_>,
    asked: Cryptogram,
    signature: SignatureRequest,
    cvm_results: [u8; 3],
) -> Result<GenerateAcResponse, Stop> {
    // The crate looks for it here when it checks the signature.
    let number = tx.ctx.inputs.unpredictable_number.to_vec();
    tx.ctx.tag_store.insert_primitive(tags::UNPREDICTABLE_NUMBER, number, Source::TerminalGenerated)?;
    let list = tx.ctx.tag_store.get(tags::CDOL1).ok_or(emv::Error::MissingMandatory { tag: tags::CDOL1 })?;
    let mut data = Vec::new();
    for entry in Dol::parse(list)?.0 {
        // The crate knows every value that contactless asks for but this one.
        match (entry.tag, entry.length) {
            (tags::CVM_RESULTS, 3) => data.extend(cvm_results),
            _ => data.extend(Dol(vec![entry]).resolve(&tx.ctx)),
        }
    }
    Ok(tx.first_generate_ac(asked, signature, data)?)
}

/// DF4B asks for the user: CDCVM or acknowledgement required (byte 2), a second tap (byte 3). Looked at
/// before the cryptogram, as kernels in the field do.
fn wants_its_user(answer: &GenerateAcResponse) -> bool {
    let interaction = answer.proprietary.iter().find(|tlv| tlv.tag() == DF4B);
    let interaction = interaction.and_then(|tlv| tlv.value().as_primitive());
    interaction.and_then(|bytes| bytes.try_into().ok()).is_some_and(asks_for_its_user)
}

pub(super) fn asks_for_its_user([_, user, phone]: [u8; 3]) -> bool {
    user & 0x03 != 0 || phone & 0x0F != 0
}

/// What the kernel found out on the way to the request.
struct Made {
    aip: [u8; 2],
    verification_results: [u8; 5],
    cvm_results: [u8; 3],
    cryptogram: [u8; 8],
    signed: bool,
}

fn authorisation_request(
    tx: &Tx<'_>,
    purchase: &Purchase,
    answer: &GenerateAcResponse,
    made: &Made,
) -> Result<AuthorisationRequest, Stop> {
    let store = &tx.ctx.tag_store;
    let pan = store.get(tags::PAN).ok_or(emv::Error::MissingMandatory { tag: tags::PAN })?;
    let pan = Pan::from_packed(pan).map_err(|error| NotAccepted::Malformed { reason: error.to_string() })?;
    let sequence = store.get(tags::PAN_SEQUENCE_NUMBER).and_then(|bytes| bytes.first().copied()).unwrap_or(0);
    Ok(AuthorisationRequest {
        pan,
        pan_sequence: (sequence >> 4) * 10 + (sequence & 0x0F),
        amount: digits(purchase.amount_minor),
        other_amount: digits(purchase.other_amount_minor),
        terminal_country: numeric(purchase.country),
        terminal_verification_results: made.verification_results,
        currency: numeric(purchase.currency),
        date: purchase.date,
        kind: purchase.kind,
        unpredictable_number: purchase.unpredictable_number,
        aip: made.aip,
        atc: u16::from_be_bytes(answer.atc),
        cid: answer.cid.to_byte(),
        cryptogram: made.cryptogram,
        issuer_application_data: answer.iad.clone().unwrap_or_default(),
        cvm_results: made.cvm_results,
        card_authentication: match made.signed {
            true => CardAuthentication::Verified,
            false => CardAuthentication::NotPerformed,
        },
        merchant_category: purchase.merchant_category,
        merchant_name: purchase.merchant_name.clone(),
    })
}

pub(super) fn inputs(purchase: &Purchase) -> TransactionInputs {
    let exponent = iso_currency::Currency::from_numeric(purchase.currency).and_then(|currency| currency.exponent());
    TransactionInputs {
        amount_authorised: purchase.amount_minor,
        amount_other: purchase.other_amount_minor,
        transaction_currency_code: purchase.currency,
        transaction_currency_exponent: exponent.and_then(|digits| u8::try_from(digits).ok()).unwrap_or(2),
        transaction_date: purchase.date,
        transaction_time: purchase.time,
        transaction_type: purchase.kind,
        transaction_sequence_counter: 1,
        unpredictable_number: purchase.unpredictable_number,
    }
}

/// The terminal as the crate knows it. A contactless reader changes its capabilities with the amount:
/// online PIN above the CVM limit, no CVM below.
pub(super) fn settings(purchase: &Purchase) -> Settings {
    let verify = purchase.exceeds_cvm_limit();
    Settings {
        terminal_type: TERMINAL_TYPE,
        terminal_capabilities: TerminalCapabilities {
            ic_with_contacts: true,
            enciphered_pin_for_online_verification: verify,
            no_cvm_required: !verify,
            cda: true,
            ..TerminalCapabilities::default()
        },
        additional_terminal_capabilities: AdditionalTerminalCapabilities {
            goods: true,
            services: true,
            cashback: true,
            ..AdditionalTerminalCapabilities::default()
        },
        terminal_country_code: purchase.country,
        terminal_identification: *b"SANDBOX1",
        ifd_serial_number: *b"00000001",
        merchant_category_code: purchase.merchant_category,
        merchant_identifier: *b"SANDBOX00000001",
        merchant_name_and_location: purchase.merchant_name.clone().into_bytes(),
        acquirer_identifier: None,
        cardholder_selection_and_confirmation_supported: false,
        applications: AIDS.map(|aid| application(aid, purchase)).into(),
    }
}

fn application(aid: &[u8], purchase: &Purchase) -> TerminalApplication {
    let exceeded = if purchase.exceeds_cvm_limit() { CVM_LIMIT_EXCEEDED } else { 0 };
    let lacking = if purchase.mode == Mode::Emv { NO_MAG_STRIPE } else { NO_EMV };
    let filled = [CONTACTLESS_CVMS, exceeded, lacking, 0, 0, 0, 0, 0];
    TerminalApplication {
        aid: aid.to_vec(),
        partial_match_allowed: true,
        application_version_number: [0x00, 0x02],
        terminal_floor_limit: 0,
        terminal_risk_management_data: Some(purchase.risk_management_data.unwrap_or(filled).to_vec()),
        default_ddol: None,
        default_tdol: None,
        tac_denial: Some(TAC_DENIAL),
        tac_online: None,
        tac_default: None,
        rts_target_percentage: None,
        rts_max_target_percentage: None,
        rts_threshold_value: None,
    }
}

/// Twelve decimal digits.
pub(super) fn digits(amount: u64) -> [u8; 6] {
    let mut left = amount;
    let mut out = [0; 6];
    for byte in out.iter_mut().rev() {
        *byte = u8::try_from(((left / 10 % 10) << 4) | (left % 10)).unwrap_or(0);
        left /= 100;
    }
    out
}

/// Four decimal digits.
pub(super) fn numeric(code: u16) -> [u8; 2] {
    let [.., high, low] = digits(code.into());
    [high, low]
}
