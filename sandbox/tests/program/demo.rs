//! The demo, for a script and for a person.

use serde_json::{Value, json};

use crate::{ended, run};

fn report(arguments: &[&str]) -> Value {
    let output = run(arguments);
    ended(&output, 0);
    // One object and nothing else.
    serde_json::from_slice(&output.stdout).unwrap()
}

fn outcomes(report: &Value) -> Vec<(String, u64)> {
    let taps = report["taps"].as_array().unwrap();
    taps.iter().map(|tap| (tap["outcome"].as_str().unwrap().to_owned(), tap["code"].as_u64().unwrap())).collect()
}

#[test]
fn the_demo_reports_a_whole_life() {
    let report = report(&["demo", "--json", "--seed", "1"]);
    assert_eq!(report["ok"], true);
    assert_eq!(report["activation"]["mode"], "manual");
    assert_eq!(report["activation"]["phases"].as_array().unwrap().len(), 11);
    assert_eq!(report["credentials"], json!({ "start": 20, "lowest": 9, "end": 13, "threshold": 10 }));
    assert_eq!(report["replenishments"], 1);
    assert_eq!((&report["cryptograms"], &report["violations"]), (&json!(18), &json!(0)));
    let refused: Vec<_> = outcomes(&report).into_iter().filter(|(outcome, _)| outcome != "approved").collect();
    let expected =
        [("see_phone", 10_003), ("declined_by_provider", 10_000), ("not_accepted", 10_008), ("not_accepted", 10_009)];
    assert_eq!(refused, expected.map(|(outcome, code)| (outcome.to_owned(), code)));
    let money = report["money"].as_array().unwrap();
    let rows: Vec<_> = money.iter().map(|one| one["row"].as_str().unwrap()).collect();
    assert_eq!(rows, ["M5", "M5", "R6", "R7", "M6", "M1"]);
    assert_eq!(report["books"]["agree"], true);
    assert_eq!(report["books"]["signed_calls"], report["books"]["verified_calls"]);
}

#[test]
fn the_silent_demo_waits_for_its_user() {
    let report = report(&["demo", "--silent", "--json"]);
    assert_eq!((&report["ok"], &report["activation"]["mode"]), (&json!(true), &json!("silent")));
    assert!(report["statuses"].as_array().unwrap().contains(&json!(21)), "{report}");
    assert_eq!(outcomes(&report)[0], ("not_accepted".to_owned(), 10_008));
}

#[test]
fn the_same_seed_taps_the_same_amounts() {
    let amounts = |seed| {
        let report = report(&["demo", "--json", "--seed", seed]);
        report["taps"].as_array().unwrap().iter().map(|tap| tap["amount"].clone()).collect::<Vec<_>>()
    };
    let first = amounts("7");
    assert_eq!(first, amounts("7"));
    assert_ne!(first, amounts("8"));
}

#[test]
fn the_story_says_what_every_tap_did_to_the_account() {
    let (told, _) = ended(&run(&["demo", "--seed", "1"]), 0);
    // A step's number stands at the left, what happens in it is indented further.
    let mut steps: Vec<(String, Vec<&str>)> = Vec::new();
    for line in told.lines() {
        match line.strip_prefix("    ") {
            Some(fact) => steps.last_mut().unwrap().1.push(fact),
            None => steps.push((line.to_owned(), Vec::new())),
        }
    }
    let moves = |facts: &[&str]| facts.iter().filter(|fact| fact.contains(" -> ") && fact.contains("EUR")).count();
    let paying = |facts: &[&str]| facts.iter().any(|fact| fact.contains("approved"));
    for (step, facts) in &steps {
        assert!(!paying(facts) || moves(facts) > 0, "{step}: {facts:#?}");
    }
    assert!(steps.iter().filter(|(_, facts)| paying(facts)).count() >= 8, "{told}");
    assert!(told.contains("\n    10 payments, "), "{told}");
    assert!(told.contains("EUR net: payments less what came back\n"), "{told}");
    let (_, last) = told.split_once("since the start: balance 1000.00 EUR -> ").unwrap();
    let (now, _) = last.split_once('\n').unwrap();
    assert_eq!(told.matches(&format!("-> {now}\n")).count(), 2, "{told}");
}
