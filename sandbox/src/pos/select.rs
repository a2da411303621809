//! Choice of the application: the proximity directory, which the contact kernel does not know.

use emv::core::apdu::sw;
use emv::core::card_reader::CardReader;
use emv::core::select::{SelectOccurrence, select_by_name};
use emv::core::tag::Tag;
use emv::core::tlv::Tlv;

use super::NotAccepted;
use super::kernel::Stop;
use super::reader::Reader;

/// The name of the proximity payment system environment.
pub(crate) const PPSE: &[u8] = b"2PAY.SYS.DDF01";

const FCI: Tag = Tag(0x6F);
const FCI_PROPRIETARY: Tag = Tag(0xA5);
const ISSUER_DISCRETIONARY: Tag = Tag(0xBF0C);
const DIRECTORY_ENTRY: Tag = Tag(0x61);
const ADF_NAME: Tag = Tag(0x4F);
const PRIORITY: Tag = Tag(0x87);

/// Selects the PPSE and lists the names that start with one of `supported`, highest priority first.
pub(super) fn candidates(card: &mut Reader<'_>, supported: &[&[u8]]) -> Result<Vec<Vec<u8>>, Stop> {
    let command = select_by_name(PPSE, SelectOccurrence::FirstOrOnly)?;
    let answer = card.transmit(&command)?;
    match answer.status_word() {
        sw::OK => {}
        status_word => return Err(NotAccepted::StatusWord { command: "SELECT PPSE", status_word }.into()),
    }
    let mut found = entries(answer.data())?;
    found.retain(|(_, name)| supported.iter().any(|aid| name.starts_with(aid)));
    // A stable sort: among equals the card's order counts.
    found.sort_by_key(|(priority, _)| *priority);
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// Priority (1 highest, 16 for none) and name of each entry.
fn entries(fci: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, Stop> {
    let fci = Tlv::from_bytes(fci)?;
    let list = Some(&fci)
        .filter(|fci| fci.tag() == FCI)
        .and_then(|fci| child(fci, FCI_PROPRIETARY))
        .and_then(|proprietary| child(proprietary, ISSUER_DISCRETIONARY))
        .and_then(|list| list.value().as_constructed())
        .ok_or_else(|| NotAccepted::Malformed { reason: "the PPSE has no directory".to_owned() })?;
    let entry = |entry: &Tlv| {
        let name = child(entry, ADF_NAME)?.value().as_primitive()?;
        let indicator = child(entry, PRIORITY).and_then(|tlv| tlv.value().as_primitive()?.first());
        let priority = indicator.map(|byte| byte & 0x0F).filter(|priority| *priority != 0).unwrap_or(16);
        Some((priority, name.to_vec()))
    };
    Ok(list.iter().filter(|tlv| tlv.tag() == DIRECTORY_ENTRY).filter_map(entry).collect())
}

fn child(tlv: &Tlv, tag: Tag) -> Option<&Tlv> {
    tlv.value().as_constructed()?.iter().find(|child| child.tag() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    fn directory(entries: &str) -> Vec<u8> {
        let list = emv::Tlv::constructed(ISSUER_DISCRETIONARY, Tlv::parse_all(&bytes(entries)).unwrap());
        let proprietary = Tlv::constructed(FCI_PROPRIETARY, vec![list]);
        let name = Tlv::primitive(Tag(0x84), PPSE);
        [Tlv::constructed(FCI, vec![name, proprietary]).encode(), vec![0x90, 0x00]].concat()
    }

    fn chosen(answer: Vec<u8>) -> Result<Vec<String>, Stop> {
        let mut link = |_: &[u8]| Ok(answer.clone());
        let supported: [&[u8]; 1] = [&[0xA0, 0, 0, 0, 0x04]];
        let names = candidates(&mut Reader::new(&mut link), &supported)?;
        Ok(names.into_iter().map(hex::encode_upper).collect())
    }

    #[test]
    fn the_highest_priority_comes_first_and_unknown_names_are_left_out() {
        let answer = directory(concat!(
            "610A4F05A0000000038701018000",
            "610C4F07A0000000043060870102",
            "610C4F07A0000000041010870101",
            "61094F07A0000000049999",
        ));
        assert_eq!(chosen(answer).unwrap(), ["A0000000041010", "A0000000043060", "A0000000049999"]);
    }

    #[test]
    fn a_refusal_and_a_directory_that_is_none_are_told_apart() {
        let refused = NotAccepted::StatusWord { command: "SELECT PPSE", status_word: 0x6A82 };
        assert!(matches!(chosen(vec![0x6A, 0x82]), Err(Stop::NotAccepted(reason)) if reason == refused));
        for broken in ["9000", "6F009000", "6F02A5009000", "7000 9000", "6F05840300009000"] {
            let answer = bytes(&broken.replace(' ', ""));
            assert!(matches!(chosen(answer), Err(Stop::NotAccepted(NotAccepted::Malformed { .. }))), "{broken}");
        }
        assert_eq!(chosen(directory("")).unwrap(), Vec::<String>::new());
    }
}
