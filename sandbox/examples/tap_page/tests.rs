//! The committed page, and that the check sees what somebody may do to it.

use std::path::Path;
use std::sync::OnceLock;

use super::*;
use crate::story::{Case, Story};

fn run() -> &'static Story {
    static RUN: OnceLock<Story> = OnceLock::new();
    RUN.get_or_init(|| story::run().unwrap())
}

/// The page of this run, so that a committed page that is out of date fails one test only.
fn written() -> String {
    page::write(run()).unwrap()
}

fn complaint(text: &str) -> String {
    format!("{:#}", check::page(text, run()).unwrap_err())
}

#[test]
fn the_committed_page_tells_what_a_run_does() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flows/tap.md");
    let text = std::fs::read_to_string(page).unwrap();
    if let Err(error) = check::page(&text, run()) {
        panic!("docs/flows/tap.md: {error:#}\nif the change is meant, run `cargo xtask docs`");
    }
}

#[test]
fn a_changed_byte_of_an_approved_tap_is_found_wherever_it_is() {
    let text = written();
    let traces = check::traces(&text).unwrap();
    let ca_key = &run().ca_key;
    for (tap, trace) in run().taps.iter().zip(&traces) {
        check::tap(tap, trace, ca_key).unwrap();
        let places: Vec<_> = match tap.case {
            Case::Approved => (0..trace.len()).collect(),
            // The records are those of the first tap.
            Case::Authenticated | Case::Transit => vec![2, trace.len() - 1],
            _ => continue,
        };
        for place in places {
            let exchange = &trace[place];
            for byte in 0..exchange.command.len() + exchange.response.len() {
                let mut changed = trace.clone();
                let exchange = &mut changed[place];
                match byte.checked_sub(exchange.command.len()) {
                    None => exchange.command[byte] ^= 0x01,
                    Some(byte) => exchange.response[byte] ^= 0x01,
                }
                let judged = check::tap(tap, &changed, ca_key);
                assert!(judged.is_err(), "{:?}, {}, byte {byte}", tap.case, trace[place].name);
            }
        }
    }
}

#[test]
fn a_changed_digit_on_the_page_is_found() {
    let text = written();
    let start = text.rfind("\n< 77").unwrap();
    let end = start + text[start..].find(" 9000").unwrap();
    for digit in [start + 3, start + 40, (start + end) / 2, end - 1] {
        let other = if &text[digit..=digit] == "7" { "8" } else { "7" };
        let mut changed = text.clone();
        changed.replace_range(digit..=digit, other);
        assert!(complaint(&changed).starts_with("the tap Transit: "), "{}", complaint(&changed));
    }
}

#[test]
fn words_that_do_not_fit_the_bytes_are_found() {
    let text = written();
    for (words, others) in [
        ("12.50 EUR", "13.50 EUR"),
        ("\"ORDER-01\"", "\"ORDER-09\""),
        ("stock 20 before, 19 after", "stock 20 before, 18 after"),
        ("`on_failed` 10003", "`on_failed` 10007"),
        ("gets 6A82", "gets 6A83"),
        ("Every byte on this page was sent.", "Some bytes on this page were sent."),
    ] {
        assert!(text.contains(words), "{words}");
        let changed = text.replacen(words, others, 1);
        assert!(complaint(&changed).starts_with("line "), "{}", complaint(&changed));
    }
}

#[test]
fn another_ca_key_is_found() {
    let text = written();
    let at = text.find("\"modulus\": \"").unwrap() + 12;
    let mut changed = text.clone();
    changed.replace_range(at..at + 2, "77");
    assert_eq!(complaint(&changed), "the CA key is not that of the sandbox's seed");
}

#[test]
fn a_card_that_answers_otherwise_than_the_page_is_found() {
    let text = written();
    let found = |change: &dyn Fn(&mut Story)| {
        let mut story = run().clone();
        change(&mut story);
        format!("{:#}", check::page(&text, &story).unwrap_err())
    };
    let status_word = found(&|story| story.taps[4].payment.trace[0].response = vec![0x69, 0x85]);
    assert_eq!(status_word, "the tap Locked: SELECT PPSE: a run answers 6985, the page has 6A82");
    let aip = found(&|story| story.taps[0].payment.trace[2].response[4] ^= 0x02);
    assert!(aip.starts_with("the tap Approved: GET PROCESSING OPTIONS: a run answers 82 "), "{aip}");
    // One more object in the answer to GENERATE AC.
    let longer = found(&|story| {
        let answer = &mut story.taps[3].payment.trace.last_mut().unwrap().response;
        answer[1] += 6;
        let end = answer.len() - 2;
        answer.splice(end..end, [0xDF, 0x4B, 3, 0, 0, 0]);
    });
    assert!(longer.starts_with("the tap Declined: GENERATE AC"), "{longer}");
    let shorter = found(&|story| drop(story.taps[0].payment.trace.pop()));
    assert!(shorter.contains("a run has 6 exchanges, the page 7"), "{shorter}");
}
