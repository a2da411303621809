use std::collections::HashMap;
use std::sync::Mutex;

use super::*;

const NOW: i64 = 1_780_000_000_000;
const LATER: i64 = NOW + 86_400_000;

fn issuer() -> Issuer {
    Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap()
}

/// What a card with this credential answers; the cryptogram is made by an independent program.
fn request(issuer: &Issuer, token: &str, credential: &WireCredential) -> AuthorisationRequest {
    let mut request = AuthorisationRequest {
        pan: issuer.ledger().token(token).unwrap().unwrap().pan,
        pan_sequence: 0,
        amount: [0, 0, 0, 0, 0x12, 0x34],
        other_amount: [0; 6],
        terminal_country: [0x02, 0x76],
        terminal_verification_results: [0; 5],
        currency: [0x09, 0x78],
        date: [0x26, 0x07, 0x01],
        kind: 0,
        unpredictable_number: [1, 2, 3, 4],
        aip: [0x1B, 0x80],
        atc: credential.atc,
        cid: 0x80,
        cryptogram: [0; 8],
        issuer_application_data: [&[1, 0x14, 0xA0, 0x40, 0, 2, 0, 0, 0, 0][..], &[0; 7], &[0xFF], b"ORDER-42"].concat(),
        cvm_results: [0x3F, 0, 0],
        card_authentication: CardAuthentication::Verified,
        merchant_category: 5411,
        merchant_name: "Shop".to_owned(),
    };
    request.cryptogram = cryptogram_by_emv(&request, credential);
    request
}

fn cryptogram_by_emv(request: &AuthorisationRequest, credential: &WireCredential) -> [u8; 8] {
    let iad = IssuerApplicationData::parse(&request.issuer_application_data).unwrap();
    let input = request.cryptogram_input(&iad);
    emv::core::secure_messaging::retail_mac(credential.session_key.expose(), &input)
}

fn one(issuer: &Issuer, token: &str, atc: u16) -> WireCredential {
    issuer.personalise(token, "user").unwrap();
    issuer.credentials(token, atc, 1, LATER).unwrap().remove(0)
}

fn declined(reason: DeclineReason) -> Decision {
    Decision::Declined(reason)
}

#[test]
fn a_good_cryptogram_is_approved_once_and_carries_the_reference() {
    let issuer = issuer();
    let request = request(&issuer, "t", &one(&issuer, "t", 7));

    let first = issuer.authorise(&request, NOW).unwrap();
    assert!(first.is_approved() && first.cryptogram_verified);
    assert_eq!((first.token_reference.as_deref(), first.user.as_deref()), (Some("t"), Some("user")));
    assert_eq!(first.reference, Some(*b"ORDER-42"));
    assert!(first.response_cryptogram.is_some());

    let second = issuer.authorise(&request, NOW).unwrap();
    assert_eq!(second.decision, declined(DeclineReason::CounterUsed));
    assert!(second.cryptogram_verified);
    let replay = Violation { token: "t".to_owned(), atc: 7, kind: ViolationKind::Replayed };
    assert_eq!(issuer.ledger().violations().unwrap(), [replay]);
    assert_eq!(issuer.ledger().entries().unwrap().len(), 2);
}

#[test]
fn two_cryptograms_with_one_counter_are_reported_as_a_double_spend() {
    let issuer = issuer();
    let credential = one(&issuer, "t", 7);
    let first = request(&issuer, "t", &credential);
    let mut second = AuthorisationRequest { unpredictable_number: [9; 4], ..first.clone() };
    second.cryptogram = cryptogram_by_emv(&second, &credential);

    assert!(issuer.authorise(&first, NOW).unwrap().is_approved());
    assert_eq!(issuer.authorise(&second, NOW).unwrap().decision, declined(DeclineReason::CounterUsed));
    let double = Violation { token: "t".to_owned(), atc: 7, kind: ViolationKind::TwoCryptograms };
    assert_eq!(issuer.ledger().violations().unwrap(), [double]);
}

#[test]
fn every_changed_field_of_the_input_breaks_the_cryptogram() {
    let issuer = issuer();
    let good = request(&issuer, "t", &one(&issuer, "t", 1));
    type Change = (&'static str, fn(&mut AuthorisationRequest));
    let changes: [Change; 12] = [
        ("amount", |r| r.amount[5] = 0x35),
        ("other amount", |r| r.other_amount[5] = 1),
        ("country", |r| r.terminal_country[1] = 0x77),
        ("TVR", |r| r.terminal_verification_results[0] = 4),
        ("currency", |r| r.currency[1] = 0x40),
        ("date", |r| r.date[2] = 2),
        ("kind", |r| r.kind = 0x20),
        ("unpredictable number", |r| r.unpredictable_number[3] = 0),
        ("AIP", |r| r.aip[0] = 0x19),
        ("ATC", |r| r.atc = 2),
        ("CVR", |r| r.issuer_application_data[2] = 0x90),
        ("cryptogram", |r| r.cryptogram[7] ^= 1),
    ];
    for (what, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let answer = issuer.authorise(&bad, NOW).unwrap();
        assert_eq!(answer.decision, declined(DeclineReason::WrongCryptogram), "{what}");
        assert_eq!((answer.cryptogram_verified, answer.response_cryptogram), (false, None), "{what}");
    }
    // Forgeries spend nothing.
    assert!(issuer.authorise(&good, NOW).unwrap().is_approved());
    assert_eq!(issuer.ledger().violations().unwrap(), []);
}

#[test]
fn a_key_of_another_token_or_issuer_is_declined() {
    let issuer = issuer();
    let mine = one(&issuer, "t", 1);
    let theirs = one(&issuer, "other", 1);
    let mut forged = request(&issuer, "t", &mine);
    forged.cryptogram = cryptogram_by_emv(&forged, &theirs);
    assert_eq!(issuer.authorise(&forged, NOW).unwrap().decision, declined(DeclineReason::WrongCryptogram));

    let elsewhere = self::issuer();
    let answer = elsewhere.authorise(&request(&issuer, "t", &mine), NOW).unwrap();
    assert_eq!(answer.decision, declined(DeclineReason::UnknownToken));
    assert_eq!((answer.token_reference, answer.user), (None, None));
    assert_eq!(elsewhere.ledger().entries().unwrap().len(), 1);
}

#[test]
fn counters_that_were_never_issued_or_expired_are_declined() {
    let issuer = issuer();
    one(&issuer, "t", 1);
    // The key of counter 2 exists mathematically, but nobody was given it.
    let master = issuer.master_key(&issuer.ledger().token("t").unwrap().unwrap().pan);
    let stolen =
        WireCredential { atc: 2, session_key: keys::session_key(&master, 2), cvc3_key: None, expires_at_ms: LATER };
    let answer = issuer.authorise(&request(&issuer, "t", &stolen), NOW).unwrap();
    assert_eq!(answer.decision, declined(DeclineReason::CounterNotIssued));
    assert!(answer.cryptogram_verified);

    let late = request(&issuer, "t", &one(&issuer, "t", 3));
    assert_eq!(issuer.authorise(&late, LATER).unwrap().decision, declined(DeclineReason::CredentialExpired));
}

#[test]
fn other_cryptograms_and_failed_signatures_are_declined() {
    let issuer = issuer();
    let good = request(&issuer, "t", &one(&issuer, "t", 1));
    let cases = [
        (AuthorisationRequest { cid: 0x40, ..good.clone() }, DeclineReason::NotOnline),
        (
            AuthorisationRequest { card_authentication: CardAuthentication::Failed, ..good.clone() },
            DeclineReason::CardAuthenticationFailed,
        ),
        (AuthorisationRequest { issuer_application_data: vec![1; 17], ..good.clone() }, DeclineReason::Malformed),
        (AuthorisationRequest { amount: [0xFF; 6], ..good.clone() }, DeclineReason::Malformed),
        (AuthorisationRequest { pan_sequence: 1, ..good }, DeclineReason::UnknownToken),
    ];
    for (request, reason) in cases {
        assert_eq!(issuer.authorise(&request, NOW).unwrap().decision, declined(reason));
    }
}

#[derive(Default)]
struct Standings(Mutex<HashMap<String, TokenStanding>>);

impl TokenStandings for Standings {
    fn standing(&self, token_reference: &str) -> TokenStanding {
        self.0.lock().unwrap().get(token_reference).copied().unwrap_or(TokenStanding::Inactive)
    }
}

#[test]
fn the_token_service_decides_on_suspended_and_deleted_tokens() {
    let standings = Arc::new(Standings::default());
    let issuer = issuer().with_standings(standings.clone());
    let good = request(&issuer, "t", &one(&issuer, "t", 1));
    for (standing, reason) in [
        (None, DeclineReason::TokenInactive),
        (Some(TokenStanding::Suspended), DeclineReason::TokenSuspended),
        (Some(TokenStanding::Deleted), DeclineReason::TokenDeleted),
        // The cryptogram was seen, so its counter is spent even after the token is lifted.
        (Some(TokenStanding::Active), DeclineReason::CounterUsed),
    ] {
        if let Some(standing) = standing {
            standings.0.lock().unwrap().insert("t".to_owned(), standing);
        }
        assert_eq!(issuer.authorise(&good, NOW).unwrap().decision, declined(reason));
    }
}

#[test]
fn credentials_are_the_same_when_asked_again_and_never_get_a_second_expiry() {
    let issuer = issuer();
    assert!(matches!(issuer.credentials("t", 1, 1, LATER), Err(IssuerError::UnknownToken)));
    issuer.personalise("t", "user").unwrap();
    let first = issuer.credentials("t", 1, 5, LATER).unwrap();
    let again = issuer.credentials("t", 1, 5, LATER).unwrap();
    assert_eq!(first.iter().map(|c| c.atc).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(first.iter().zip(&again).all(|(a, b)| a.session_key.expose() == b.session_key.expose()));
    assert_eq!(issuer.ledger().credentials_issued("t").unwrap(), 5);

    assert!(matches!(issuer.credentials("t", 5, 2, LATER + 1), Err(IssuerError::CounterIssued { atc: 5 })));
    assert_eq!(issuer.ledger().credentials_issued("t").unwrap(), 5);
    assert!(matches!(issuer.credentials("t", 65_535, 2, LATER), Err(IssuerError::Counters { .. })));
    assert!(matches!(issuer.credentials("t", 0, 1, LATER), Err(IssuerError::Counters { .. })));
    assert_eq!(issuer.credentials("t", 65_535, 1, LATER).unwrap().len(), 1);
    assert_eq!(issuer.credentials("t", 65_535, 0, LATER).unwrap().len(), 0);
}

#[test]
fn a_token_keeps_its_card_and_belongs_to_one_user() {
    let issuer = issuer();
    let card = issuer.personalise("t", "user").unwrap();
    assert_eq!(issuer.personalise("t", "user").unwrap(), card);
    assert!(matches!(issuer.personalise("t", "thief"), Err(IssuerError::WrongUser)));
    assert_ne!(issuer.personalise("u", "user").unwrap(), card);
    let pan = issuer.ledger().token("t").unwrap().unwrap().pan;
    assert!(pan.expose().starts_with("541333") && pan.expose().len() == 16);
}

#[test]
fn a_file_remembers_tokens_counters_and_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let config = IssuerConfig { ledger: Some(folder.path().join("issuer.db")), ..IssuerConfig::default() };
    let authority = Authority::shared().unwrap();
    let first = Issuer::under(authority.clone(), config.clone()).unwrap();
    let card = first.personalise("t", "user").unwrap();
    let request = request(&first, "t", &one(&first, "t", 1));
    assert!(first.authorise(&request, NOW).unwrap().is_approved());
    drop(first);

    let second = Issuer::under(authority.clone(), config.clone()).unwrap();
    assert_eq!(second.personalise("t", "user").unwrap(), card);
    assert_eq!(second.authorise(&request, NOW).unwrap().decision, declined(DeclineReason::CounterUsed));
    let other = IssuerConfig { seed: Some([1; 32]), ..config };
    assert!(matches!(Issuer::under(authority, other), Err(IssuerError::OtherSeed)));
}

#[test]
fn of_many_threads_with_one_counter_exactly_one_is_approved() {
    let issuer = issuer();
    let request = request(&issuer, "t", &one(&issuer, "t", 1));
    let approved = std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..8).map(|_| scope.spawn(|| issuer.authorise(&request, NOW).unwrap().is_approved())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).filter(|approved| *approved).count()
    });
    assert_eq!(approved, 1);
}

#[test]
fn numbers_have_the_length_and_the_sequence_that_the_issuer_gives() {
    for digits in 13..=19 {
        let config = IssuerConfig { numbering: Numbering { digits, sequence: 7 }, ..IssuerConfig::default() };
        let issuer = Issuer::under(Authority::shared().unwrap(), config).unwrap();
        let good = AuthorisationRequest { pan_sequence: 7, ..request(&issuer, "t", &one(&issuer, "t", 1)) };
        assert_eq!((good.pan.expose().len(), good.pan.expose().starts_with("541333")), (usize::from(digits), true));
        let other = AuthorisationRequest { pan_sequence: 0, ..good.clone() };
        assert_eq!(issuer.authorise(&other, NOW).unwrap().decision, declined(DeclineReason::UnknownToken));
        assert!(issuer.authorise(&good, NOW).unwrap().is_approved());
    }
    for numbering in [(12, 0), (20, 0), (16, 100)].map(|(digits, sequence)| Numbering { digits, sequence }) {
        let config = IssuerConfig { numbering, ..IssuerConfig::default() };
        let refused = Issuer::under(Authority::shared().unwrap(), config);
        assert!(matches!(refused, Err(IssuerError::Personalisation { .. })), "{numbering:?}");
    }
}
