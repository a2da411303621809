//! Issuer, wallet card and terminal together: what the issuer personalises, the wallet's card
//! application answers, a third party's kernel verifies, and the issuer authorises.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by panicking")]

mod flips;
mod keys;
mod modes;

use std::collections::VecDeque;
use std::sync::Arc;

use nfcwallet_core::card::hooks::{BurningCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::card::{Card, CardApplication};
use nfcwallet_core::payment::TransactionRange;
use nfcwallet_core::secret::Secret;
use nfcwallet_core::token_service::operations::WireCredential;
use nfcwallet_sandbox::issuer::{
    Authority, CardShape, Decision, DeclineReason, Issuer, IssuerConfig, Pan, Personalisation, Violation, ViolationKind,
};
use nfcwallet_sandbox::pos::{DeclinedBy, LinkLost, Outcome, Purchase, TapResult, Terminal, pretty};

const NOW: i64 = 1_780_000_000_000;
const REFERENCE: [u8; 8] = *b"ORDER-42";

/// A wallet without a store: it spends its credentials in order, or declines.
struct Wallet {
    card: Arc<Card>,
    stock: VecDeque<WireCredential>,
    /// A credential is not taken out of the stock: the fault that the ledger must find.
    forgets_to_burn: bool,
    /// The user has proved presence.
    authenticated: bool,
    seen: Vec<CryptogramRequest>,
}

impl TapHooks for Wallet {
    fn begin(&mut self) -> Option<Arc<Card>> {
        Some(Arc::clone(&self.card))
    }

    fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision {
        self.seen.push(request.clone());
        let needs_user = request.terminal_demands_cdcvm || request.transaction.range == TransactionRange::HighValue;
        let taken = match (needs_user && !self.authenticated, self.forgets_to_burn) {
            (true, _) => return CryptogramDecision::Decline { atc: 9, see_phone: true },
            (false, true) => self.stock.front().cloned(),
            (false, false) => self.stock.pop_front(),
        };
        match taken {
            Some(WireCredential { atc, session_key, cvc3_key, .. }) => CryptogramDecision::Approve {
                credential: BurningCredential { atc, session_key, cvc3_key },
                cdcvm_done: self.authenticated,
                reference: REFERENCE,
            },
            None => CryptogramDecision::Decline { atc: 9, see_phone: false },
        }
    }

    fn is_burnt(&mut self) -> bool {
        true
    }

    fn protocol_error(&mut self, status_word: u16) {
        panic!("the terminal broke the protocol: {status_word:04X}");
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

struct Scene {
    issuer: Issuer,
    profile: Profile,
    wallet: Wallet,
    application: CardApplication,
}

impl Scene {
    fn new(shape: CardShape) -> Self {
        Self::under(Authority::shared().unwrap(), shape, |_, _| ())
    }

    /// A card of an issuer under `authority`, changed before the wallet gets it.
    fn under(authority: Arc<Authority>, shape: CardShape, change: impl FnOnce(&mut Profile, &Pan)) -> Self {
        let issuer = Issuer::under(authority, IssuerConfig::default()).unwrap();
        let personalisation = Personalisation { shape, ..Personalisation::default() };
        let mut profile = issuer.personalise_as("token", "user", &personalisation).unwrap();
        change(&mut profile, &issuer.ledger().token("token").unwrap().unwrap().pan);
        // Through JSON, as it travels.
        let profile: Profile = serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
        let card = Card::admit(&profile, NOW).unwrap_or_else(|error| panic!("{shape:?}: {error}"));
        let stock = issuer.credentials("token", 1, 3, NOW + 1).unwrap().into();
        let wallet =
            Wallet { card: Arc::new(card), stock, forgets_to_burn: false, authenticated: false, seen: Vec::new() };
        Self { issuer, profile, wallet, application: CardApplication::new() }
    }

    fn tap(&mut self, purchase: &Purchase) -> TapResult {
        self.tap_changed(purchase, |_, _| ())
    }

    /// A tap with a hand on the cable.
    fn tap_changed(&mut self, purchase: &Purchase, change: impl Fn(&[u8], &mut Vec<u8>)) -> TapResult {
        self.application.reset();
        let mut link = |command: &[u8]| -> Result<Vec<u8>, LinkLost> {
            let mut answer = self.application.process(command, &mut self.wallet);
            change(command, &mut answer);
            Ok(answer)
        };
        Terminal::new(self.issuer.ca_public_keys()).tap(&mut link, purchase)
    }

    fn decision(&self, result: &TapResult) -> Decision {
        let request = result.authorisation_request().unwrap_or_else(|| panic!("{}", pretty(&result.trace)));
        let answer = self.issuer.authorise(request, NOW).unwrap();
        assert_eq!(answer.reference, Some(REFERENCE));
        answer.decision
    }
}

fn purchase() -> Purchase {
    Purchase::new(1_234, 978, NOW, [0xCA, 0xFE, 0x00, 0x01])
}

fn shapes_with_emv_mode() -> impl Iterator<Item = CardShape> {
    CardShape::ALL.into_iter().filter(|shape| shape.offers_emv_mode())
}

#[test]
fn every_shape_of_card_pays() {
    for shape in shapes_with_emv_mode() {
        let mut scene = Scene::new(shape);
        for atc in 1..=3 {
            let result = scene.tap(&purchase());
            assert_eq!(result.cda_verified, (shape != CardShape::WithoutCda).then_some(true), "{shape:?}");
            assert_eq!(scene.decision(&result), Decision::Approved, "{shape:?}");
            assert_eq!(result.authorisation_request().unwrap().atc, atc);
        }
        // The stock is empty now.
        assert_eq!(scene.tap(&purchase()).outcome, Outcome::Declined(DeclinedBy::Card), "{shape:?}");
        assert_eq!(scene.issuer.ledger().violations().unwrap(), []);
        assert!(scene.issuer.ledger().entries().unwrap().iter().all(|entry| entry.verified));
    }
}

#[test]
fn a_terminal_that_knows_the_beginning_of_a_name_finds_each_application() {
    let mut scene = Scene::new(CardShape::ThreeApplications);
    let mut select = |occurrence: u8| {
        let command = [&[0x00, 0xA4, 0x04, occurrence, 5], &[0xA0, 0, 0, 0, 0x04][..], &[0]].concat();
        scene.application.process(&command, &mut scene.wallet)
    };
    for (occurrence, aid) in [(0, "84 07 A0000000041010"), (2, "84 08 A000000004101001"), (2, "84 08 A000000004101002")]
    {
        let answer = hex::encode_upper(select(occurrence));
        assert!(answer[4..].starts_with(&aid.replace(' ', "")), "{answer}");
    }
    assert_eq!(select(2), [0x6A, 0x82]);
}

#[test]
fn a_name_in_another_script_and_objects_for_get_data_are_shown() {
    let answers = |shape| {
        let mut scene = Scene::new(shape);
        let select = hex::decode("00A4040007A000000004101000").unwrap();
        [select, vec![0x80, 0xCA, 0x9F, 0x70, 0], vec![0x80, 0xCA, 0x9F, 0x75, 0]]
            .map(|command| hex::encode_upper(scene.application.process(&command, &mut scene.wallet)))
    };
    let [fci, none, _] = answers(CardShape::PreferredName);
    assert!(fci.contains("9F1101059F1207BADEE8D5DBF1DA"), "{fci}");
    assert_eq!(none, "6A88");
    let [_, first, second] = answers(CardShape::DataObjects);
    assert_eq!((first.as_str(), second.as_str()), ("9F7004746573749000", "9F750201029000"));
}

#[test]
fn the_card_reads_what_the_terminal_sends() {
    let mut scene = Scene::new(CardShape::Phone);
    let gate = Purchase { amount_minor: 0, merchant_category: 4111, country: 826, currency: 826, ..purchase() };
    scene.tap(&gate);
    let seen = scene.wallet.seen.pop().unwrap();
    assert_eq!((seen.transaction.amount_minor, seen.transaction.merchant_category), (0, Some(4111)));
    assert_eq!((seen.transaction.currency, seen.transaction.terminal_country), (826, 826));
    assert_eq!(seen.unpredictable_number, gate.unpredictable_number);
}

#[test]
fn a_high_amount_asks_for_the_user_and_pays_at_the_second_tap() {
    let mut scene = Scene::new(CardShape::Phone);
    let high = Purchase { amount_minor: 5_001, ..purchase() };

    let first = scene.tap(&high);
    assert_eq!((first.outcome, first.cda_verified), (Outcome::SeePhone, None));
    assert!(scene.wallet.seen[0].terminal_demands_cdcvm);
    assert_eq!(scene.wallet.stock.len(), 3);

    scene.wallet.authenticated = true;
    let second = scene.tap(&high);
    assert_eq!(second.authorisation_request().unwrap().cvm_results, [0x01, 0x00, 0x02]);
    assert_eq!(scene.decision(&second), Decision::Approved);
}

#[test]
fn a_changed_answer_to_generate_ac_is_never_approved() {
    let mut scene = Scene::new(CardShape::Phone);
    scene.wallet.forgets_to_burn = true;
    let length = scene.tap(&purchase()).trace.last().unwrap().response.len();
    for place in 0..length {
        let result = scene.tap_changed(&purchase(), |command, answer| {
            if command.get(1) == Some(&0xAE) {
                answer[place] ^= 0x01;
            }
        });
        assert!(result.authorisation_request().is_none(), "byte {place}: {:?}", result.outcome);
    }
}

#[test]
fn a_wallet_that_forgets_to_burn_is_found_out_by_the_ledger() {
    let mut scene = Scene::new(CardShape::Phone);
    scene.wallet.forgets_to_burn = true;
    let first = scene.tap(&purchase());
    let second = scene.tap(&Purchase { unpredictable_number: [1; 4], ..purchase() });
    assert_eq!(scene.decision(&first), Decision::Approved);
    assert_eq!(scene.decision(&second), Decision::Declined(DeclineReason::CounterUsed));
    let double = Violation { token: "token".to_owned(), atc: 1, kind: ViolationKind::TwoCryptograms };
    assert_eq!(scene.issuer.ledger().violations().unwrap(), [double]);
}

#[test]
fn a_wrong_session_key_is_declined_by_the_issuer_alone() {
    let mut scene = Scene::new(CardShape::Phone);
    scene.wallet.stock[0].session_key = Secret::new([0x11; 16]);
    let result = scene.tap(&purchase());
    assert_eq!(result.cda_verified, Some(true));
    assert_eq!(scene.decision(&result), Decision::Declined(DeclineReason::WrongCryptogram));
}

#[test]
fn a_link_lost_before_the_cryptogram_spends_nothing() {
    let mut scene = Scene::new(CardShape::Phone);
    let terminal = Terminal::new(scene.issuer.ca_public_keys());
    for last in 0..6 {
        scene.application.reset();
        let mut left = last;
        let mut link = |command: &[u8]| {
            left -= 1;
            if left < 0 { Err(LinkLost) } else { Ok(scene.application.process(command, &mut scene.wallet)) }
        };
        assert_eq!(terminal.tap(&mut link, &purchase()).outcome, Outcome::LinkLost);
    }
    assert_eq!((scene.wallet.stock.len(), scene.wallet.seen.len()), (3, 0));
}
