//! Published traces, and bytes that nobody meant.

use proptest::prelude::*;

use super::render::Style;
use super::*;
use crate::issuer::published;

fn explained(name: &str, change: impl Fn(&mut Input)) -> Option<Explanation> {
    let trace = published::trace(name)?;
    let mut input = input::text(trace.to_string().as_bytes()).unwrap();
    change(&mut input);
    Some(explain(&input, &Options::default()))
}

fn told(explanation: &Explanation) -> String {
    render::text(explanation, Style::default())
}

fn assert_lines(text: &str, expected: &[&str]) {
    // Columns may grow; what they say may not.
    let squeezed: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in expected {
        assert!(squeezed.iter().any(|told| told == line), "`{line}` is missing:\n{text}");
    }
}

#[test]
fn a_published_tap_has_no_unknown_part_and_its_signature_is_right() {
    let Some(explanation) = explained("trace-cda-tc.json", |_| ()) else { return };
    let text = told(&explanation);
    for tone in [Tone::Unknown, Tone::Malformed, Tone::Bad, Tone::Warning] {
        assert!(!explanation.has(tone), "{tone:?}: {text}");
    }
    assert_lines(
        &text,
        &[
            "> GENERATE AC TC + CDA 72 bytes",
            "9F02 Amount, Authorised (Numeric) 000000000001 0.01 EUR",
            "9F1A Terminal Country Code 0056 BE Belgium",
            "B5b2-1 01 relay resistance protocol not performed",
            "9F5C DS Requested Operator ID 0000000000000000",
            "9F5E DS ID 541333******151301 card number, then sequence number 01",
            "records 10010101 SFI 2, record 1, record 1 signed",
            "9F36 Application Transaction Counter (ATC) 02E0 736",
            "ICC dynamic number AB803A04B0BCA313",
            "application cryptogram 49C27A9F8E4BF538",
            "certified number is the card's number (5A)",
            "outcome TC: approved offline",
            "signature (CDA) verified",
        ],
    );
    assert_eq!(text.matches("hash OK").count(), 3, "{text}");
    assert!(!text.contains("5413339000001513"), "{text}");
    let [tap] = explanation.taps.as_slice() else { panic!("one tap") };
    assert_eq!((tap.cda_verified, tap.exchanges, tap.bytes_out), (Some(true), 9, 151));
}

#[test]
fn a_published_mag_stripe_tap_is_read_with_its_udol() {
    let Some(explanation) = explained("trace-magstripe-ccc.json", |_| ()) else { return };
    let text = told(&explanation);
    assert!(!explanation.has(Tone::Unknown) && !explanation.has(Tone::Malformed), "{text}");
    assert_lines(
        &text,
        &[
            "9F6A Unpredictable Number (Numeric) 08680008 8680008",
            "9F02 Amount, Authorised (Numeric) 000000001500 15.00 EUR",
            "9F65 PCVC3 (Track2) 000E digits 2, 3, 4 from the right",
            "9F66 PUNATC (Track2) 0E70 digits 5, 6, 7, 10, 11, 12 from the right",
            "9F61 CVC3 (Track2) A2C4 41668",
            "outcome mag-stripe mode: a CVC3 for an online authorisation",
            "signature (CDA) not checked: the card does not offer CDA",
        ],
    );
}

#[test]
fn a_changed_bit_is_found_and_the_fields_are_shown_all_the_same() {
    let wrong = |exchange: usize, place: usize| {
        let change = |input: &mut Input| input.items[exchange * 2 + 1].bytes.as_mut().unwrap()[place] ^= 0x01;
        explained("trace-cda-tc.json", change).map(|explanation| (told(&explanation), explanation.taps[0].cda_verified))
    };
    // The currency code in the signed record; a byte of the cryptogram's IAD.
    for (exchange, place, reason) in [
        (3, 160, "check hash not OK: ICC certificate: the hash is over other data"),
        (8, 172, "check hash not OK: signed dynamic data: the hash is over other data"),
    ] {
        let Some((text, verified)) = wrong(exchange, place) else { return };
        assert_eq!(verified, Some(false), "{text}");
        assert_lines(&text, &[reason]);
    }
}

#[test]
fn certificates_stay_closed_without_their_key() {
    let Some(explanation) = explained("trace-cda-tc.json", |input| input.ca_keys.clear()) else { return };
    let text = told(&explanation);
    assert!(text.contains("CA key A000000004 F3 is not known; give it with --ca-key"), "{text}");
    assert_eq!(explanation.taps[0].cda_verified, None);
}

fn of_hex(words: &[&str], options: &Options) -> Explanation {
    let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    explain(&input::arguments(&words).unwrap(), options)
}

#[test]
fn a_relay_resistance_exchange_is_read_by_its_places() {
    let explanation = of_hex(
        &["80EA00000401020304 00".replace(' ', "").as_str(), "800A0A0B0C0D000000C800129000"],
        &Options::default(),
    );
    let text = told(&explanation);
    assert_lines(
        &text,
        &[
            "> EXCHANGE RELAY RESISTANCE DATA 10 bytes",
            "DF8302 Device Relay Resistance Entropy 0A0B0C0D",
            "DF8303 Min Time For Processing 0000 0.0 ms",
            "DF8304 Max Time For Processing 00C8 20.0 ms",
            "DF8305 Device Estimated Transmission Time 0012 1.8 ms",
        ],
    );
    let short = of_hex(&["80EA0000040102030400", "80080A0B0C0D000000C89000"], &Options::default());
    assert!(short.is_malformed());
}

#[test]
fn format_1_answers_are_read_by_their_places() {
    let options = of_hex(&["80A8000002830000", "80061B80100103019000"], &Options::default());
    assert_lines(
        &told(&options),
        &[
            "B1b2 02 on-device cardholder verification (CDCVM) supported",
            "records 10010301 SFI 2, records 1 to 3, record 1 signed",
        ],
    );
    let list = "0000000012500000000000000276000000000009782608150001020304220000000000000000000000003F0002".to_owned();
    let command = format!("80AE80002B{}00", list.get(..86).unwrap());
    let answer = "801D8000070102030405060708".to_owned() + "0114A04003020000000000000000000000FF" + "9000";
    assert_lines(
        &told(&of_hex(&[command.as_str(), answer.as_str()], &Options::default())),
        &[
            "data 43 bytes, as the usual CDOL1 of this length asks",
            "9F02 Amount, Authorised (Numeric) 000000001250 12.50 EUR",
            "9F36 Application Transaction Counter (ATC) 0007 7",
            "9F26 Application Cryptogram 0102030405060708",
        ],
    );
}

#[test]
fn forms_can_be_forced() {
    let told_as = |form: &str, hex: &str| {
        told(&of_hex(&[hex], &Options { form: Some(form.parse().unwrap()), ..Options::default() }))
    };
    assert!(told_as("tvr", "0000040002").contains("online PIN entered"));
    assert!(told_as("cvr", "A04003020000").contains("CDA returned in the first GENERATE AC"));
    assert!(told_as("9F6E", "02760000313400").contains("application in the host processor"));
    assert!(told_as("dol", "9F0206").contains("asks for 1 object, 6 bytes"));
    assert!(told_as("response", "9F360200019000").contains("done"));
    assert!(told_as("77", "9F36020001").contains("Application Transaction Counter"));
    assert!(told_as("aid", "A0000000043060").contains("Maestro"));
}

#[test]
fn a_broken_object_says_where_it_broke_and_hides_what_is_left() {
    let explanation = of_hex(&["70165A085413339000001513570C5413339000001513D201"], &Options::default());
    let text = told(&explanation);
    assert!(explanation.is_malformed());
    assert!(
        text.contains("byte 12: 57 Track 2 Equivalent Data: an object is cut short; 12 bytes left undecoded"),
        "{text}"
    );
    assert!(!text.contains("39000001513"), "{text}");
}

#[test]
fn a_second_tap_gets_a_summary_of_its_own() {
    let ppse = "> 00A404000E325041592E5359532E444446303100\n< 6A82  3 µs\n";
    let select = "> 00A4040007A000000004101000\n< (link lost)\n";
    let input = input::text(format!("{ppse}{ppse}{select}").as_bytes()).unwrap();
    let explanation = explain(&input, &Options::default());
    let outcomes: Vec<_> = explanation.taps.iter().map(|tap| tap.outcome.as_str()).collect();
    assert_eq!(outcomes, ["link lost at SELECT A0000000041010"]);
    assert_eq!(explanation.taps[0].exchanges, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_explained(bytes in prop::collection::vec(any::<u8>(), 0..300), form in 0usize..8) {
        let forms = ["apdu", "response", "tlv", "dol", "cvr", "8E", "94"];
        let form = forms.get(form).map(|word| word.parse().unwrap());
        let hex = hex::encode(&bytes);
        if let Ok(input) = input::arguments(&[hex]) {
            let explanation = explain(&input, &Options { form, ..Options::default() });
            let text = render::text(&explanation, Style { coloured: true, offsets: true });
            prop_assert!(!text.is_empty());
        }
    }

    #[test]
    fn every_tag_takes_any_value(
        entry in prop::sample::select(dictionary::overview()),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let options = Options { form: Some(entry.label.parse().unwrap()), ..Options::default() };
        let item = Item { line: 0, direction: Direction::Unknown, bytes: Some(bytes), half_byte: false, micros: None };
        let explanation = explain(&Input { items: vec![item], ..Input::default() }, &options);
        prop_assert!(!told(&explanation).is_empty());
    }

    #[test]
    fn any_conversation_is_explained(
        exchanges in prop::collection::vec(
            (prop::sample::select(vec![0xA4u8, 0xA8, 0xB2, 0xAE, 0x2A, 0xEA, 0xCA, 0x88]),
             any::<[u8; 2]>(), prop::collection::vec(any::<u8>(), 0..40),
             prop::sample::select(vec![0x6Fu8, 0x77, 0x80, 0x70, 0x90]), prop::collection::vec(any::<u8>(), 0..60)),
            0..8,
        ),
    ) {
        let trace: Vec<_> = exchanges.into_iter().map(|(ins, p, data, tag, value)| {
            let cla = if matches!(ins, 0xA4 | 0xB2 | 0x88) { 0x00 } else { 0x80 };
            let lc = u8::try_from(data.len()).unwrap();
            let length = u8::try_from(value.len()).unwrap();
            let command = [&[cla, ins, p[0], p[1], lc], data.as_slice()].concat();
            let response = [&[tag, length], value.as_slice(), &[0x90, 0x00]].concat();
            Exchange { name: name_of(&command), command, response, micros: 1 }
        }).collect();
        let annotated = annotate(&trace, &Options::default());
        prop_assert_eq!(annotated.exchanges.len(), trace.len());
        prop_assert!(annotated.exchanges.iter().all(|exchange| !exchange.response.is_empty()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n><0-9A-Fa-f]{0,400}") {
        if let Ok(input) = input::text(text.as_bytes()) {
            let _ = told(&explain(&input, &Options::default()));
        }
    }
}
