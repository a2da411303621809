//! Nothing that names a user, a token or a key is ever logged.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::phone::{Call, PhoneProgram};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_tests::till;
use nfcwallet_tests::unit::{PhoneUnit, Surroundings};

const USER: &str = "customer-77310-planted";

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
    let say = |phone: &PhoneUnit, call: Call| drop(phone.process().unwrap().call(call));
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
    say(&phone, Call::Delete);
    say(&phone, Call::Shutdown);

    let text = std::fs::read_to_string(&log).unwrap().to_lowercase();
    assert!(text.contains("nfcwallet_core"), "the wallet's log is empty: the search would prove nothing");
    let state = sandbox.service().state().unwrap();
    let reference = state.tokens[0].token_reference.to_lowercase();
    let number =
        sandbox.issuer().ledger().token(&state.tokens[0].token_reference).unwrap().unwrap().pan.expose().to_owned();
    for secret in [USER, &reference, &number, &state.tokens[0].instance.to_lowercase()] {
        assert!(!text.contains(secret), "the log names {secret}");
    }
}
