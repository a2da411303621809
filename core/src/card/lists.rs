//! The lists of objects that a card asks a terminal for: 9F38, 8C, 8D, 9F49, 9F69.

use super::dol::Dol;
use super::profile_error::ProfileError;
use super::tags;
use super::tlv::Tag;

/// Objects of a terminal with a length of their own (EMV Book 3, annex A; EMV Book C-2, annex A): tag,
/// least and greatest length. A terminal cuts or fills to the length asked for, so a list that asks for
/// another one gets another value.
const LENGTHS: [(u32, u8, u8); 43] = [
    (0x5F2A, 2, 2),
    (0x5F36, 1, 1),
    (0x5F57, 1, 1),
    (0x81, 4, 4),
    (0x8A, 2, 2),
    (0x91, 8, 16),
    (0x95, 5, 5),
    (0x98, 20, 20),
    (0x9A, 3, 3),
    (0x9B, 2, 2),
    (0x9C, 1, 1),
    (0x9F01, 6, 6),
    (0x9F02, 6, 6),
    (0x9F03, 6, 6),
    (0x9F04, 4, 4),
    (0x9F09, 2, 2),
    (0x9F15, 2, 2),
    (0x9F16, 15, 15),
    (0x9F1A, 2, 2),
    (0x9F1B, 4, 4),
    (0x9F1C, 8, 8),
    (0x9F1D, 8, 8),
    (0x9F1E, 8, 8),
    (0x9F21, 3, 3),
    (0x9F33, 3, 3),
    (0x9F34, 3, 3),
    (0x9F35, 1, 1),
    (0x9F37, 4, 4),
    (0x9F39, 1, 1),
    (0x9F3A, 4, 4),
    (0x9F3C, 2, 2),
    (0x9F3D, 1, 1),
    (0x9F40, 5, 5),
    (0x9F41, 2, 4),
    (0x9F45, 2, 2),
    (0x9F4C, 2, 8),
    (0x9F53, 1, 1),
    (0x9F5C, 8, 8),
    (0x9F6A, 4, 4),
    (0x9F6D, 2, 2),
    (0x9F7A, 1, 1),
    (0x9F7C, 20, 20),
    (0x9F7E, 1, 1),
];

/// Reads the list `name`. Refuses a malformed one, one that names a tag twice, and one that asks for a
/// known object under another length.
pub(super) fn read(name: Tag, bytes: &[u8]) -> Result<Dol, ProfileError> {
    let dol = Dol::parse(bytes).map_err(|error| ProfileError::tag(name, error))?;
    for (tag, least, greatest) in LENGTHS.map(|(tag, least, greatest)| (Tag::new(tag), least, greatest)) {
        let asked = dol.length_of(tag).filter(|asked| !(least..=greatest).contains(asked));
        if let Some(asked) = asked {
            let limit = if least == greatest { least.to_string() } else { format!("{least} to {greatest}") };
            return Err(ProfileError::tag(name, format!("asks for {asked} bytes of {tag}, not {limit}")));
        }
    }
    // EMV Book 2, 6.5.1: a signature without the terminal's number could be an old one.
    if name == tags::DDOL && dol.length_of(tags::UNPREDICTABLE_NUMBER).is_none() {
        return Err(ProfileError::tag(name, format!("does not ask for {}", tags::UNPREDICTABLE_NUMBER)));
    }
    Ok(dol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::test_card::hex;

    #[test]
    fn known_objects_are_asked_for_under_their_own_length() {
        let error = |name, list| read(name, &hex(list)).unwrap_err().to_string();
        assert_eq!(error(tags::CDOL2, "9F370495039A03"), "8D: asks for 3 bytes of 95, not 5");
        assert_eq!(error(tags::CDOL2, "9107"), "8D: asks for 7 bytes of 91, not 8 to 16");
        assert_eq!(error(tags::DDOL, "9F0206"), "9F49: does not ask for 9F37");
        assert!(read(tags::CDOL2, &hex("910A8A0295059F37049F4C08DF0163")).is_ok());
        assert!(read(tags::PDOL, &[]).is_ok());
    }
}
