//! What `tap` says of the money.

use serde_json::{Value, json};

use crate::{Served, ended};

#[test]
fn an_account_in_another_currency_shows_what_it_was_charged() {
    let served = Served::start();
    let (told, _) = ended(&served.tap(&["--amount", "10"]), 0);
    assert!(told.contains(", for reversals and refunds") && !told.contains("charged"), "{told}");
    let (told, _) = ended(&served.tap(&["--amount", "10", "--currency", "USD"]), 0);
    // 0.86 EUR a dollar.
    for words in ["10.00 USD: approved", "charged 8.60 EUR, by the gateway's rate", "balance 981.40 EUR"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let paid: Value =
        serde_json::from_slice(&served.tap(&["--amount", "5", "--currency", "USD", "--json"]).stdout).unwrap();
    assert_eq!(
        (&paid["amount"], &paid["charged"], &paid["balance"], &paid["account_currency"]),
        (&json!("5.00"), &json!("4.30"), &json!("977.10"), &json!("EUR"))
    );
}

#[test]
fn a_tap_that_was_declined_offers_nothing_to_reverse() {
    let served = Served::start();
    let too_much = ["--amount", "2000", "--authenticate"];
    let (told, _) = ended(&served.tap(&too_much), 1);
    assert!(told.contains("nothing was paid; the gateway lists the attempt as tap-"), "{told}");
    assert!(!told.contains("authorisation") && !told.contains("charged"), "{told}");
    let declined: Value =
        serde_json::from_slice(&served.tap(&[too_much.as_slice(), &["--json"]].concat()).stdout).unwrap();
    assert_eq!((&declined["charged"], &declined["balance"]), (&json!(null), &json!("1000.00")));
}
