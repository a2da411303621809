//! What `tap` says of the money.

use serde_json::{Value, json};

use crate::{Served, ended, run};

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

#[test]
fn a_switch_of_the_conversion_is_turned_at_the_start() {
    let served = Served::start_with(&["--conversion", "same_day=never", "--conversion", "over_capture=pay_difference"]);
    ended(&served.tap(&["--amount", "10"]), 0);
    let (row, calls) = tokio::runtime::Runtime::new().unwrap().block_on(reversed(&served));
    // On the same day, which is none by this switch.
    assert_eq!(
        (row, &calls[0]["api"], calls[0]["amount"]["value"].as_str()),
        (json!("R7"), &json!("refund"), Some("1000"))
    );
}

/// The only tap is reversed: the row that fits, and its calls.
async fn reversed(served: &Served) -> (Value, Value) {
    let written: Value = serde_json::from_slice(&std::fs::read(served.file()).unwrap()).unwrap();
    let taps = format!("http://{}/control/taps", written["control"].as_str().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let known: Value = client.get(&taps).send().await.unwrap().json().await.unwrap();
    let reversal = format!("{taps}/{}/reversal", known[0]["authorisation"].as_str().unwrap());
    let event: Value = client.post(reversal).json(&json!({})).send().await.unwrap().json().await.unwrap();
    (event["row"].clone(), event["calls"].clone())
}

#[test]
fn a_switch_that_does_not_exist_is_wrong_usage() {
    for (switch, words) in [("same_days=utc", "take same_day, "), ("same_day=tomorrow", "same_day: take utc_plus8, ")] {
        let (_, says) = ended(&run(&["serve", "--conversion", switch]), 2);
        assert!(says.contains(words), "{says}");
    }
}
