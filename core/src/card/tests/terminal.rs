//! Whole transactions with the crate `emv`: a terminal that nobody here wrote.

use emv::config::{AidsConfig, CapkConfig, TerminalConfig, assemble_terminal};
use emv::contact::dol_resolve::DolResolveExt;
use emv::contact::terminal::Terminal;
use emv::contact::transaction::TransactionInputs;
use emv::contact::transaction_driver::Transaction;
use emv::contact::transaction_flow::HostMediated;
use emv::core::apdu::{Command, Response};
use emv::core::application_cryptogram_type::ApplicationCryptogramType;
use emv::core::card_reader::CardReader;
use emv::core::dol::Dol;
use emv::core::generate_ac::{GenerateAcResponse, SignatureRequest};
use emv::core::oda::OdaOutcome;
use emv::core::select::{self, SelectOccurrence};
use emv::core::tag_store::Source;
use emv::core::tags;

use super::*;
use crate::card::cryptogram::mac;

const TERMINAL: &str = r#"
ifd_serial_number = "00000001"
terminal_country_code = 826
terminal_type = "22"
terminal_capabilities = "E0F8C8"
additional_terminal_capabilities = "FF80F0F001"
"#;

const UNPREDICTABLE_NUMBER: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// The card behind the terminal's reader interface; keeps the last answer, and can damage it.
struct Reader {
    talk: Conversation,
    last: Vec<u8>,
    /// The last answer to EXCHANGE RELAY RESISTANCE DATA.
    relayed: Vec<u8>,
    damage: Option<(usize, u8)>,
}

impl CardReader for Reader {
    type Error = emv::Error;

    fn transmit(&mut self, command: &Command) -> Result<Response, emv::Error> {
        let mut answer = self.talk.send_bytes(&command.to_bytes()?);
        self.last.clone_from(&answer);
        // Only GENERATE AC is damaged.
        if let Some((at, bits)) = self.damage.filter(|_| command.ins.0 == 0xAE) {
            answer[at] ^= bits;
        }
        Response::parse(&answer)
    }
}

fn terminal() -> Terminal {
    let aids = format!(
        "[[aids]]\naid = \"{}\"\napplication_version_number = \"0002\"\n\
         terminal_risk_management_data = \"4400000000000000\"\n",
        test_card::AID
    );
    assemble_terminal(&TerminalConfig::parse(TERMINAL).unwrap(), &AidsConfig::parse(&aids).unwrap()).unwrap()
}

fn inputs() -> TransactionInputs {
    TransactionInputs {
        amount_authorised: 1234,
        transaction_currency_code: 0x0826,
        transaction_currency_exponent: 2,
        transaction_date: [0x26, 0x01, 0x31],
        unpredictable_number: UNPREDICTABLE_NUMBER,
        ..TransactionInputs::default()
    }
}

type Driver<'t> = Transaction<'t, Reader, HostMediated>;

/// From the directory to data authentication; answers the CDOL1 data.
fn up_to_generate_ac(terminal: &Terminal, plan: Plan) -> (Driver<'_>, Vec<u8>) {
    talk_up_to_generate_ac(terminal, Conversation::new(plan), &[])
}

/// The same with any card; `exchanges` are sent after GET PROCESSING OPTIONS.
fn talk_up_to_generate_ac<'t>(terminal: &'t Terminal, talk: Conversation, exchanges: &[&str]) -> (Driver<'t>, Vec<u8>) {
    let reader = Reader { talk, last: Vec::new(), relayed: Vec::new(), damage: None };
    let mut driver = Transaction::new(reader, terminal, inputs(), HostMediated);
    let directory = select::select_by_name(b"2PAY.SYS.DDF01", SelectOccurrence::FirstOrOnly).unwrap();
    assert!(driver.card.transmit(&directory).unwrap().is_normal());
    let fci = driver.select_application(&hex(test_card::AID)).unwrap();
    let pdol = fci.pdol.as_ref().map(|dol| dol.resolve(&driver.ctx)).unwrap();
    driver.initiate(&pdol).unwrap();
    for exchange in exchanges {
        driver.card.relayed = driver.card.talk.expect_ok(exchange);
    }
    let records = driver.read_application_data().unwrap();
    let authority = format!(
        "[[capk_rsa]]\nrid = \"A000000004\"\nindex = \"{:02X}\"\nmodulus = \"{}\"\nexponent = \"03\"\n",
        test_card::CA_INDEX,
        hex::encode_upper(test_card::ca_modulus())
    );
    let (rsa, ecc) = CapkConfig::parse(&authority).unwrap().into_kernel().unwrap();
    let outcome = driver.perform_offline_data_authentication(&rsa, &ecc, &[], &records.oda_input).unwrap();
    assert_eq!(outcome, OdaOutcome::CdaArmed);
    // The crate's own flow does this; its step-by-step interface leaves it to the caller.
    let number = UNPREDICTABLE_NUMBER.to_vec();
    driver.ctx.tag_store.insert_primitive(tags::UNPREDICTABLE_NUMBER, number, Source::TerminalGenerated).unwrap();
    let cdol1 = Dol::parse(driver.ctx.tag_store.get(tags::CDOL1).unwrap()).unwrap().resolve(&driver.ctx);
    (driver, cdol1)
}

fn generate(driver: &mut Driver<'_>, cdol1: &[u8]) -> GenerateAcResponse {
    driver.first_generate_ac(ApplicationCryptogramType::Arqc, SignatureRequest::Cda, cdol1.to_vec()).unwrap()
}

#[test]
fn a_foreign_terminal_verifies_the_signature() {
    let terminal = terminal();
    let (mut driver, cdol1) = up_to_generate_ac(&terminal, Plan::Approve);
    let answer = generate(&mut driver, &cdol1);
    let verified = driver.verify_cda_first_generate_ac(&answer).unwrap();

    assert_eq!(answer.atc, ATC.to_be_bytes());
    assert_eq!(answer.ac, None);
    assert_eq!(verified.icc_dynamic_number.len(), 8);
    let input = [&cdol1[..29], &hex("1B80"), &answer.atc, &hex("A04000020000")].concat();
    assert_eq!(verified.application_cryptogram, mac(&Secret::new(SESSION_KEY), &input));
    assert_eq!(driver.card.talk.hooks.requests[0].transaction.amount_minor, 1234);
    assert!(!driver.ctx.tvr.cda_failed);
}

#[test]
fn a_foreign_terminal_finds_the_last_exchange_in_the_signature() {
    let terminal = terminal();
    for exchanges in [&[EXCHANGE][..], &[EXCHANGE, "80EA0000 04 B1B2B3B4 00", "80EA0000 04 C1C2C3C4 00"]] {
        let (mut driver, cdol1) = talk_up_to_generate_ac(&terminal, Conversation::full(Plan::Approve), exchanges);
        let answer = generate(&mut driver, &cdol1);
        let verified = driver.verify_cda_first_generate_ac(&answer).unwrap();
        let entropy = hex(exchanges.last().unwrap())[5..9].to_vec();
        assert_eq!(verified.trailing_dynamic_data, [entropy, driver.card.relayed[2..].to_vec()].concat());
        assert_eq!(verified.trailing_dynamic_data.len(), 14);
    }
    let (mut driver, cdol1) = talk_up_to_generate_ac(&terminal, Conversation::full(Plan::Approve), &[]);
    let answer = generate(&mut driver, &cdol1);
    assert!(driver.verify_cda_first_generate_ac(&answer).unwrap().trailing_dynamic_data.is_empty());
}

#[test]
fn a_foreign_terminal_verifies_the_signature_over_a_cdcvm() {
    let terminal = terminal();
    let mut talk = Conversation::full(Plan::Approve);
    talk.hooks.cdcvm_done = true;
    let (mut driver, cdol1) = talk_up_to_generate_ac(&terminal, talk, &[EXCHANGE]);
    let answer = generate(&mut driver, &cdol1);
    assert!(driver.verify_cda_first_generate_ac(&answer).is_ok());
    // Without what the phone claims, the signature is wrong.
    let shown = driver.card.last.clone();
    let claim = hex("DF4B 03 001000");
    let at = shown.windows(claim.len()).position(|part| part == claim).unwrap();
    let mut silent = shown[..at].to_vec();
    silent[2] -= claim.len() as u8;
    let silent = GenerateAcResponse::parse(&silent).unwrap();
    assert!(driver.verify_cda_first_generate_ac(&silent).is_err());
}

#[test]
fn a_foreign_terminal_refuses_every_single_flipped_bit() {
    // One conversation; its answer is damaged bit by bit and judged anew each time.
    let terminal = terminal();
    let (mut driver, cdol1) = up_to_generate_ac(&terminal, Plan::Approve);
    generate(&mut driver, &cdol1);
    let answer = driver.card.last.clone();
    let data = &answer[..answer.len() - 2];
    for bit in 0..data.len() * 8 {
        let mut damaged = data.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let accepted = GenerateAcResponse::parse(&damaged)
            .is_ok_and(|response| driver.verify_cda_first_generate_ac(&response).is_ok());
        assert!(!accepted, "bit {bit} of {} was flipped unnoticed", data.len() * 8);
    }
    // Only now: the driver keeps what it accepts, and refuses everything afterwards. That it accepts
    // here shows that it refused for the bits.
    let good = GenerateAcResponse::parse(data).unwrap();
    assert!(driver.verify_cda_first_generate_ac(&good).is_ok());
}

#[test]
fn a_foreign_terminal_refuses_an_answer_damaged_on_the_way() {
    let terminal = terminal();
    for at in [6, 12, 100, 178] {
        let (mut driver, cdol1) = up_to_generate_ac(&terminal, Plan::Approve);
        driver.card.damage = Some((at, 0x01));
        let result = driver
            .first_generate_ac(ApplicationCryptogramType::Arqc, SignatureRequest::Cda, cdol1)
            .map(|answer| driver.verify_cda_first_generate_ac(&answer).is_ok());
        assert!(!matches!(result, Ok(true)), "byte {at}");
    }
}

#[test]
fn a_foreign_terminal_refuses_a_signature_over_other_data() {
    let terminal = terminal();
    let (mut driver, cdol1) = up_to_generate_ac(&terminal, Plan::Approve);
    let answer = generate(&mut driver, &cdol1);
    // The merchant's terminal swaps the amount after the card signed.
    let cda = driver.ctx.cda.as_mut().unwrap();
    cda.cdol1_data[5] ^= 0x01;
    assert!(driver.verify_cda_first_generate_ac(&answer).is_err());
}

#[test]
fn a_foreign_terminal_reads_a_decline() {
    let terminal = terminal();
    let (mut driver, cdol1) = up_to_generate_ac(&terminal, Plan::Decline { see_phone: true });
    let answer = generate(&mut driver, &cdol1);
    assert_eq!(answer.cid.to_byte(), 0x00);
    assert_eq!((answer.atc, answer.sdad), ([0x00, 0x99], None));
    assert!(answer.ac.is_some());
}
