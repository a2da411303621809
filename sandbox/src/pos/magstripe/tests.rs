use super::*;
use crate::issuer::published;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

fn tlv(tag: &str, value: &str) -> Vec<u8> {
    let value = bytes(value);
    [bytes(tag), vec![u8::try_from(value.len()).unwrap()], value].concat()
}

fn record(objects: &[(&str, &str)]) -> Vec<u8> {
    let inner: Vec<u8> = objects.iter().flat_map(|(tag, value)| tlv(tag, value)).collect();
    tlv("70", &hex::encode(inner))
}

const TRACK_2: &str = "5413330089604111 D3512 201 0000000000000 F";

/// Three places for the checksum, three for the number, three for the counter.
fn track2_alone() -> Vec<(&'static str, &'static str)> {
    vec![("9F65", "000E"), ("9F66", "0E70"), ("9F6B", TRACK_2), ("9F67", "03")]
}

/// Three places for the checksum; four digits of the counter.
fn with_track1<'a>(text: &'a str, places: &'a str) -> Vec<(&'static str, &'a str)> {
    let track1 = vec![("56", text), ("9F62", "00000000001C"), ("9F63", places), ("9F64", "04")];
    [track1, track2_alone()].concat()
}

const PLACES_1: &str = "000000003DC0";

fn read(objects: &[(&str, &str)]) -> Result<MagStripeRecord, MagStripeError> {
    MagStripeRecord::read(&record(objects))
}

fn checksum(interaction: Option<[u8; 3]>) -> Checksum {
    Checksum { track1: Some(33_419), track2: 29_488, atc: 94, interaction }
}

#[test]
fn the_published_tracks_are_built() {
    let Some(trace) = published::trace("trace-magstripe-ccc.json") else { return };
    let response = |name: &str| {
        let apdus = trace["apdus"].as_array().unwrap();
        let apdu = apdus.iter().find(|apdu| apdu["name"].as_str().unwrap().starts_with(name)).unwrap();
        let mut answer = published::bytes(&apdu["response"]);
        assert_eq!(answer.split_off(answer.len() - 2), [0x90, 0x00]);
        answer
    };
    let record = MagStripeRecord::read(&response("READ RECORD")).unwrap();
    let ccc = &trace["ccc"];
    let number: [u8; 4] = published::bytes(&ccc["unpredictable_number_numeric"]).try_into().unwrap();
    let fields: Vec<(u32, Vec<u8>)> = ccc["udol_fields"].as_array().unwrap().iter().map(field).collect();
    let others: Vec<(u32, &[u8])> = fields.iter().map(|(tag, value)| (*tag, value.as_slice())).collect();
    assert_eq!(record.command(number, &others).unwrap(), published::bytes(&ccc["command"]));

    let Ok(ChecksumAnswer::Checksum(checksum)) = ChecksumAnswer::read(&response("COMPUTE")) else {
        panic!("the card gave a checksum")
    };
    assert_eq!(u64::from(checksum.track2), ccc["cvc3_track2_decimal"].as_u64().unwrap());
    assert_eq!(u64::from(checksum.atc), ccc["atc_decimal"].as_u64().unwrap());
    assert_eq!((checksum.track1, checksum.interaction), (None, None));

    let building = &trace["track_building"];
    assert_eq!(u64::from(record.number_digits()), building["nun"].as_u64().unwrap());
    let tracks = record.tracks(number, &checksum).unwrap();
    assert_eq!(tracks.expose_track2(), building["track2"].as_str().unwrap());
    assert_eq!(tracks.expose_track1(), None);
    let verified = Checksum { interaction: Some([0x00, 0x10, 0x00]), ..checksum };
    let tracks = record.tracks(number, &verified).unwrap();
    assert_eq!(tracks.expose_track2(), building["track2_if_cdcvm_successful"].as_str().unwrap());
}

fn field(field: &serde_json::Value) -> (u32, Vec<u8>) {
    (u32::from_str_radix(field["tag"].as_str().unwrap(), 16).unwrap(), published::bytes(&field["value"]))
}

#[test]
fn both_tracks_carry_their_own_checksum_and_the_same_number() {
    let head = "B5413330089604111^CARDHOLDER/TEST^3512201";
    let text = hex::encode(format!("{head}000000000000000000000000"));
    let record = read(&with_track1(&text, PLACES_1)).unwrap();
    assert_eq!(record.number_digits(), 3);
    let tracks = record.tracks([0, 0, 0x01, 0x23], &checksum(None)).unwrap();
    // From the right: nUN, three digits of the checksum, three of the number, three of the counter.
    assert_eq!(tracks.expose_track2(), "5413330089604111D35122010094001234883F");
    let expected = format!("{head}0000000000{}0{}0{}0{}", "0094", "123", "419", "3");
    assert_eq!(tracks.expose_track1(), Some(expected.as_str()));
    let verified = record.tracks([0; 4], &checksum(Some([0x00, 0x10, 0x00]))).unwrap();
    assert!(verified.expose_track1().unwrap().ends_with('8') && verified.expose_track2().ends_with("8F"));
}

#[test]
fn the_digits_that_the_issuer_will_not_see_are_zero() {
    let record = read(&track2_alone()).unwrap();
    assert_eq!(record.unpredictable_number(4_000_000_123), [0, 0, 0x01, 0x23]);
    assert_eq!(record.unpredictable_number(7), [0, 0, 0, 0x07]);
    // No place for the number at all.
    let none = read(&[("9F65", "000E"), ("9F66", "0070"), ("9F6B", TRACK_2), ("9F67", "03")]).unwrap();
    assert_eq!((none.number_digits(), none.unpredictable_number(123)), (0, [0; 4]));
    // All eight digits.
    let all = read(&[("9F65", "000E"), ("9F66", "0FF0"), ("9F6B", TRACK_2), ("9F67", "00")]).unwrap();
    assert_eq!((all.number_digits(), all.unpredictable_number(4_012_345_678)), (8, [0x12, 0x34, 0x56, 0x78]));
}

#[test]
fn a_number_of_other_than_zero_to_eight_digits_is_refused() {
    let with = |punatc, natc| read(&[("9F65", "000E"), ("9F66", punatc), ("9F6B", TRACK_2), ("9F67", natc)]);
    assert_eq!(with("0070", "04"), Err(MagStripeError::Digits { digits: -1 }));
    assert_eq!(with("1FF0", "00"), Err(MagStripeError::Digits { digits: 9 }));
    assert!(with("1FF0", "01").is_ok());
}

#[test]
fn tracks_that_disagree_on_the_number_are_refused() {
    let text = hex::encode("B5413330089604111^X^351220100000000000000");
    let error = MagStripeError::TracksDisagree { track1: 2, track2: 3 };
    assert_eq!(read(&with_track1(&text, "000000003CC0")), Err(error));
}

#[test]
fn places_outside_the_track_or_taken_twice_are_refused() {
    let with = |pcvc3, punatc| read(&[("9F65", pcvc3), ("9F66", punatc), ("9F6B", TRACK_2), ("9F67", "03")]);
    // 13 digits of discretionary data.
    assert_eq!(with("000E", "3070"), Err(MagStripeError::Place { place: 14 }));
    assert_eq!(with("001E", "0E70"), Err(MagStripeError::Place { place: 5 }));
    assert_eq!(with("000F", "0E70"), Err(MagStripeError::Place { place: 1 }));
    let empty = [("9F65", "0000"), ("9F66", "0000"), ("9F6B", "5413330089604111 D3512 201"), ("9F67", "00")];
    assert_eq!(read(&empty), Err(MagStripeError::Place { place: 1 }));
}

#[test]
fn a_missing_or_malformed_object_is_named() {
    for (index, tag) in [0x9F65, 0x9F66, 0x9F6B, 0x9F67].into_iter().enumerate() {
        let mut objects = track2_alone();
        objects.remove(index);
        assert_eq!(read(&objects), Err(MagStripeError::Object { tag }));
    }
    for track in ["5413330089604111", "5413330089604111 D351", "5413330089604111 D3512 201 00A0F", "", "D"] {
        let mut objects = track2_alone();
        let odd = track.replace(' ', "").len() % 2 == 1;
        let padded = if odd { format!("{track}F") } else { track.to_owned() };
        objects[2] = ("9F6B", &padded);
        assert_eq!(read(&objects), Err(MagStripeError::Object { tag: 0x9F6B }), "{track}");
    }
    for text in ["5413330089604111^X^3512201000", "B5413330089604111^3512201000", "B5413330089604111^X^3512201äöü"] {
        let text = hex::encode(text);
        assert_eq!(read(&with_track1(&text, PLACES_1)), Err(MagStripeError::Object { tag: 0x56 }));
    }
    assert_eq!(MagStripeRecord::read(&bytes("7000")), Err(MagStripeError::Object { tag: 0x9F6B }));
    assert_eq!(MagStripeRecord::read(&bytes("7700")), Err(MagStripeError::Malformed));
    assert_eq!(MagStripeRecord::read(&[]), Err(MagStripeError::Malformed));
}

#[test]
fn a_card_that_declines_gives_no_checksum() {
    let declined = |text: &str| ChecksumAnswer::read(&bytes(text));
    assert_eq!(declined("77 05 9F36020007"), Ok(ChecksumAnswer::Declined { interaction: None }));
    let interaction = Some([0x00, 0x01, 0x00]);
    assert_eq!(declined("77 0B 9F36020007 DF4B03000100"), Ok(ChecksumAnswer::Declined { interaction }));
    assert_eq!(declined("77 05 9F61027330"), Err(MagStripeError::Object { tag: 0x9F36 }));
    assert_eq!(declined("77 0B 9F6103733000 9F36020007"), Err(MagStripeError::Object { tag: 0x9F61 }));
    assert_eq!(declined("80 04 73300007"), Err(MagStripeError::Malformed));
}

#[test]
fn a_card_with_track_1_must_give_its_checksum() {
    let text = hex::encode("B5413330089604111^X^351220100000000000000");
    let record = read(&with_track1(&text, PLACES_1)).unwrap();
    let without = Checksum { track1: None, ..checksum(None) };
    assert_eq!(record.tracks([0; 4], &without), Err(MagStripeError::Object { tag: 0x9F60 }));
}

#[test]
fn the_command_follows_the_cards_list() {
    let alone = read(&track2_alone()).unwrap();
    assert_eq!(alone.command([0, 0, 1, 0x23], &[]).unwrap(), bytes("802A8E80 04 00000123 00"));
    let mut objects = track2_alone();
    objects.push(("9F69", "9F6A04 9F7E01 9F0206 5F2A02"));
    let listed = read(&objects).unwrap();
    let known: [(u32, &[u8]); 2] = [(0x9F02, &[0x12, 0x34]), (0x9F7E, &[0x01])];
    assert_eq!(listed.command([0, 0, 1, 0x23], &known).unwrap(), bytes("802A8E80 0D 00000123 01 000000001234 0000 00"));
    objects.pop();
    objects.push(("9F69", "9F6AFF 9F7E01"));
    assert_eq!(read(&objects).unwrap().command([0; 4], &[]), Err(MagStripeError::Object { tag: 0x9F69 }));
}

#[test]
fn no_card_number_is_printed() {
    let record = read(&track2_alone()).unwrap();
    let tracks = record.tracks([0; 4], &checksum(None)).unwrap();
    assert!(!format!("{record:?}{tracks:?}").contains("541333"));
}
