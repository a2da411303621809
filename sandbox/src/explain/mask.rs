//! Card numbers, hidden unless they are asked for: six digits in front and four at the end stay.

const SHOWN_IN_FRONT: usize = 6;
const SHOWN_AT_END: usize = 4;

/// What may be shown of hex digits that start with a card number of `length` digits; `secret` digits
/// behind it from `hidden_from` on are hidden as well.
pub(super) fn digits(hex: &str, length: usize, hidden_from: usize) -> String {
    // A short number shows its end only.
    let in_front = if length > SHOWN_IN_FRONT + SHOWN_AT_END { SHOWN_IN_FRONT } else { 0 };
    let hidden = in_front..length.saturating_sub(SHOWN_AT_END);
    let keep = |(place, digit): (usize, char)| match place {
        place if hidden.contains(&place) => '*',
        place if place >= hidden_from && digit != 'F' => '*',
        _ => digit,
    };
    hex.chars().enumerate().map(keep).collect()
}

/// A card number in packed digits, filled with F.
pub(super) fn pan(hex: &str) -> String {
    digits(hex, hex.trim_end_matches('F').len(), usize::MAX)
}

/// Track 2 in packed digits: number, D, date and service code, discretionary data.
pub(super) fn track2(hex: &str) -> String {
    let length = hex.find('D').unwrap_or(hex.len());
    // D, YYMM and the service code stay; what the issuer wrote behind them does not.
    digits(hex, length, length.saturating_add(8))
}

/// Track 1 in letters: B, number, ^, name, ^, date and service code, discretionary data.
pub(super) fn track1(text: &str) -> String {
    let mut parts = text.splitn(3, '^');
    let number = parts.next().unwrap_or_default();
    let (letter, number) = number.split_at_checked(1).unwrap_or(("", number));
    let mut out = format!("{letter}{}", digits(number, number.chars().count(), usize::MAX));
    if let Some(name) = parts.next() {
        out.push('^');
        out.push_str(name);
    }
    if let Some(rest) = parts.next() {
        out.push('^');
        out.extend(rest.chars().enumerate().map(|(place, letter)| if place < 7 { letter } else { '*' }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_number_is_hidden() {
        assert_eq!(pan("5413339000001513"), "541333******1513");
        assert_eq!(pan("541333900000151380FF"), "541333********1380FF");
        assert_eq!(pan("12345678"), "****5678");
        assert_eq!(pan("123"), "123");
        assert_eq!(pan(""), "");
    }

    #[test]
    fn tracks_keep_date_and_service_code_only() {
        assert_eq!(track2("5413339000001513D20122010000000000005F"), "541333******1513D2012201*************F");
        assert_eq!(track2("5413339000001513"), "541333******1513");
        assert_eq!(track1("B5413339000001513^A/B^20122011234"), "B541333******1513^A/B^2012201****");
        assert_eq!(track1(""), "");
    }
}
