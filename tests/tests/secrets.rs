//! Nothing that names a user, a token or a key is ever logged, or said in an error.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::fmt::Write;

use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::phone::{Call, PhoneProgram};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_tests::till;
use nfcwallet_tests::unit::{PhoneUnit, Surroundings};

const USER: &str = "customer-77310-planted";

/// The keys of all credentials that were ever given out, and the factors of the card's key.
fn keys(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let token = sandbox.service().state().unwrap().tokens[0].token_reference.clone();
    let views = sandbox.service().credentials(&token).unwrap();
    assert!(views.len() > 12, "twelve taps and a stock are {} credentials", views.len());
    let sessions = views.iter().map(|view| {
        let again = sandbox.issuer().credentials(&token, view.atc, 1, view.expires_at_ms).unwrap();
        (format!("the key of credential {}", view.atc), again[0].session_key.expose().to_vec())
    });
    let profile = sandbox.issuer().personalise(&token, USER).unwrap();
    let card = profile.applications[0].icc_key.clone().unwrap();
    let factors =
        [card.prime_p, card.prime_q].map(|factor| ("a factor of the card's key".to_owned(), factor.expose().to_vec()));
    sessions.chain(factors).collect()
}

/// As it is, and as text: hex, and what a derived `Debug` prints.
fn forms(secret: &[u8]) -> [Vec<u8>; 4] {
    let decimal = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    [secret.to_vec(), hex::encode(secret).into_bytes(), hex::encode_upper(secret).into_bytes(), decimal.into_bytes()]
}

#[test]
fn a_whole_life_at_the_finest_log_level_names_no_user_token_number_or_key() {
    let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
    let sandbox = Sandbox::start_with(SandboxConfig::default(), issuer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("phone.log");
    let surroundings = Surroundings {
        program: PhoneProgram { path: env!("CARGO_BIN_EXE_phone").into(), arguments: Vec::new() },
        mpp: sandbox.addresses().mpp.to_string(),
        trust_key: hex::encode(sandbox.trust_key()),
        options: vec!["--log-file".into(), log.clone().into()],
    };
    let mut phone = PhoneUnit::new(surroundings, folder.path().join("phone"));
    phone.start(&[]).unwrap();
    let mut errors = String::new();
    let mut say = |phone: &PhoneUnit, call: Call| {
        if let Err(error) = phone.process().unwrap().call(call) {
            writeln!(errors, "{error}\n{error:?}").unwrap();
        }
    };
    say(&phone, Call::Connect { user: USER.to_owned() });
    say(&phone, Call::Activate { silent: true });
    say(&phone, Call::Confirm);
    for number in 1..=12 {
        let outcome = till::tap(&sandbox, &mut phone, &till::small_purchase(), number).unwrap();
        assert_eq!(outcome["outcome"], "approved");
    }
    // Failures log more than successes do.
    say(&phone, Call::Host(serde_json::from_str(r#"{"online":false}"#).unwrap()));
    say(&phone, Call::Lock);
    say(&phone, Call::Replenish);
    say(&phone, Call::Host(serde_json::from_str(r#"{"online":true,"key_store":"fail"}"#).unwrap()));
    say(&phone, Call::Sync);
    say(&phone, Call::Host(serde_json::from_str(r#"{"key_store":"none"}"#).unwrap()));
    say(&phone, Call::Unlock);
    let keys = keys(&sandbox);
    say(&phone, Call::Delete);
    say(&phone, Call::Shutdown);

    assert!(!errors.is_empty(), "no call failed: the search of the errors would prove nothing");
    let logged = std::fs::read(&log).unwrap();
    let text = String::from_utf8_lossy(&logged).to_lowercase();
    assert!(text.contains("nfcwallet_core"), "the wallet's log is empty: the search would prove nothing");
    let state = sandbox.service().state().unwrap();
    let reference = state.tokens[0].token_reference.to_lowercase();
    let number =
        sandbox.issuer().ledger().token(&state.tokens[0].token_reference).unwrap().unwrap().pan.expose().to_owned();
    for (place, text) in [("the log", &text), ("an error", &errors.to_lowercase())] {
        for secret in [USER, &reference, &number, &state.tokens[0].instance.to_lowercase()] {
            assert!(!text.contains(secret), "{place} names {secret}");
        }
    }
    for (name, key) in &keys {
        for form in forms(key) {
            let finder = memchr::memmem::Finder::new(&form);
            assert!(finder.find(&logged).is_none(), "the log shows {name}");
            assert!(finder.find(errors.as_bytes()).is_none(), "an error shows {name}");
        }
    }
}
