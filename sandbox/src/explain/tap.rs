//! What is remembered of a tap while its commands and answers go by.

use std::collections::{BTreeMap, HashMap};

use nfcwallet_core::card::tlv::{Tlv, TlvError};

use super::tlv;

/// Used when the card names none (mag-stripe mode): 9F6A, four bytes.
const DEFAULT_UDOL: [u8; 3] = [0x9F, 0x6A, 0x04];
/// CDOL1 of the profiles in the field, told apart by how many bytes they ask for.
const USUAL_CDOL1: [&str; 3] = [
    "9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F3403",
    "9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F34039F1502",
    "9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F34039F21039F7C14",
];

/// One tap, from SELECT to SELECT.
#[derive(Debug, Default)]
pub(super) struct Tap {
    pub(super) exchanges: usize,
    pub(super) bytes_out: usize,
    pub(super) bytes_in: usize,
    /// The card's time, if the trace has it for each answer.
    pub(super) micros: Option<u64>,
    /// Name of the last application that was selected.
    pub(super) aid: Option<Vec<u8>>,
    pub(super) pdol_data: Option<Vec<u8>>,
    /// What the CDOL1 asked for, or the UDOL.
    pub(super) cdol1_data: Option<Vec<u8>>,
    pub(super) udol_data: Option<Vec<u8>>,
    /// P1 of GENERATE AC.
    pub(super) asked_for: Option<u8>,
    /// The whole answer to GENERATE AC or to the checksum command, without status word.
    pub(super) cryptogram_answer: Option<Vec<u8>>,
    /// Terminal's number, then the card's 10 bytes, of the last relay resistance exchange.
    pub(super) relay: Option<Vec<u8>>,
    pub(super) entropy: Vec<u8>,
    /// Every primitive object that the card gave, the last one of each tag.
    pub(super) objects: HashMap<u32, Vec<u8>>,
    /// Contents of records by file and number, without the template around them for files 1 to 10.
    records: BTreeMap<(u8, u8), Vec<u8>>,
    /// The last command's name and the status word that it got; none if the link was lost.
    pub(super) last: Option<(String, Option<u16>)>,
}

impl Tap {
    /// Remembers the primitives in `bytes`, up to the first fault.
    pub(super) fn learn(&mut self, bytes: &[u8]) {
        let mut visit = |object: Tlv<'_>| drop(self.objects.insert(object.tag.number(), object.value.to_vec()));
        // The explanation tells where the fault is.
        let _: Result<(), TlvError> = Tlv::for_each_primitive(bytes, &mut visit);
    }

    pub(super) fn object(&self, tag: u32) -> Option<&[u8]> {
        self.objects.get(&tag).map(Vec::as_slice)
    }

    /// Another application answers: nothing that the last one said is left.
    pub(super) fn forget_application(&mut self) {
        self.objects.clear();
        self.records.clear();
    }

    /// Keeps a record for the static data (EMV Book 3, 10.3): files 1 to 10 without their template.
    pub(super) fn keep_record(&mut self, sfi: u8, number: u8, record: &[u8]) {
        let content = match Tlv::read_only(record) {
            Ok(object) if sfi <= 10 => object.value,
            _ => record,
        };
        self.records.insert((sfi, number), content.to_vec());
    }

    /// The list for GET PROCESSING OPTIONS; empty if the card has none, `None` if no answer to SELECT
    /// was seen.
    pub(super) fn pdol(&self) -> Option<&[u8]> {
        self.object(0x9F38).or_else(|| self.aid.as_ref().map(|_| &[][..]))
    }

    /// The list for GENERATE AC, and whether it is the card's own: without records, the usual one that
    /// asks for `length` bytes.
    pub(super) fn cdol1(&self, length: usize) -> Option<(Vec<u8>, bool)> {
        if let Some(list) = self.object(0x8C) {
            return Some((list.to_vec(), true));
        }
        let usual = USUAL_CDOL1.iter().filter_map(|list| hex::decode(list).ok());
        usual.filter(|list| tlv::wanted_length(list) == length).map(|list| (list, false)).next()
    }

    pub(super) fn udol(&self) -> &[u8] {
        self.object(0x9F69).unwrap_or(&DEFAULT_UDOL)
    }

    /// What was sent for `tag` in this tap: with GENERATE AC, the checksum command, or at first.
    pub(super) fn sent(&self, tag: u32) -> Option<&[u8]> {
        let in_cdol1 = || tlv::sent(self.object(0x8C)?, self.cdol1_data.as_deref()?, tag);
        let in_udol = || tlv::sent(self.udol(), self.udol_data.as_deref()?, tag);
        let in_pdol = || tlv::sent(self.object(0x9F38)?, self.pdol_data.as_deref()?, tag);
        in_cdol1().or_else(in_udol).or_else(in_pdol)
    }

    /// The records that the AFL marks as signed, and the AIP if 9F4A names it; or what is missing.
    pub(super) fn static_data(&self) -> Result<Vec<u8>, String> {
        let locator = self.object(0x94).ok_or("no AFL was seen")?;
        let mut data = Vec::new();
        for entry in locator.chunks(4) {
            let &[file, first, _, signed] = entry else { return Err("the AFL is malformed".to_owned()) };
            for number in (first..=u8::MAX).take(usize::from(signed)) {
                let sfi = file >> 3;
                let record = self.records.get(&(sfi, number));
                data.extend(record.ok_or_else(|| format!("record {sfi}.{number}, which is signed, was not seen"))?);
            }
        }
        match self.object(0x9F4A) {
            Some([0x82]) => data.extend(self.object(0x82).ok_or("no AIP was seen")?),
            Some(_) => return Err("9F4A names more than the AIP".to_owned()),
            None => {}
        }
        Ok(data)
    }

    /// PDOL data, CDOL1 data, and the answer's objects without 9F4B (EMV Book 2, 6.6.1).
    pub(super) fn transaction_data(&self) -> Option<Vec<u8>> {
        let mut data = self.pdol_data.clone().unwrap_or_default();
        data.extend(self.cdol1_data.as_deref()?);
        let template = Tlv::read_only(self.cryptogram_answer.as_deref()?).ok()?;
        let mut left = template.value;
        while !left.is_empty() {
            let (object, rest) = Tlv::read(left).ok()?;
            if object.tag.number() != 0x9F4B {
                data.extend(left.get(..left.len() - rest.len())?);
            }
            left = rest;
        }
        Some(data)
    }

    /// Counts an answer; a trace without times has none.
    pub(super) fn count(&mut self, command: usize, response: usize, micros: Option<u64>) {
        let first = self.exchanges == 0;
        self.exchanges += 1;
        self.bytes_out = self.bytes_out.saturating_add(command);
        self.bytes_in = self.bytes_in.saturating_add(response);
        self.micros = match (first, self.micros, micros) {
            (true, _, micros) => micros,
            (false, Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn the_usual_list_stands_in_for_one_that_was_not_seen() {
        let mut tap = Tap::default();
        assert_eq!([43, 45, 66].map(|length| tap.cdol1(length).map(|(_, own)| own)), [Some(false); 3]);
        assert_eq!(tap.cdol1(44), None);
        tap.learn(&hex("70048C029A03"));
        assert_eq!(tap.cdol1(45), Some((hex("9A03"), true)));
    }

    #[test]
    fn static_data_follow_the_file_locator() {
        let mut tap = Tap::default();
        tap.learn(&hex("770A82021B8094041001 0201".replace(' ', "").as_str()));
        assert_eq!(tap.static_data(), Err("record 2.1, which is signed, was not seen".to_owned()));
        tap.keep_record(2, 1, &hex("70049F4A0182"));
        tap.learn(&hex("70049F4A0182"));
        assert_eq!(tap.static_data(), Ok(hex("9F4A01821B80")));
    }
}
