//! Commands as a terminal builds them.

use arbitrary::Arbitrary;

use crate::facts::List;

pub(crate) const PPSE: &[u8] = b"2PAY.SYS.DDF01";

/// A short command with Le.
pub(crate) fn command([cla, ins, p1, p2]: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut apdu = vec![cla, ins, p1, p2];
    if let Ok(lc @ 1..) = u8::try_from(data.len()) {
        apdu.push(lc);
    }
    apdu.extend(data);
    apdu.push(0);
    apdu
}

pub(crate) fn select(name: &[u8], next: bool) -> Vec<u8> {
    command([0x00, 0xA4, 0x04, if next { 0x02 } else { 0x00 }], name)
}

pub(crate) fn processing_options(pdol_data: &[u8]) -> Vec<u8> {
    let mut data = vec![0x83];
    match pdol_data.len() {
        length @ ..0x80 => data.push(length as u8),
        length => data.extend([0x81, length as u8]),
    }
    data.extend(pdol_data);
    command([0x80, 0xA8, 0, 0], &data)
}

pub(crate) fn read_record((sfi, number): (u8, u8)) -> Vec<u8> {
    vec![0x00, 0xB2, number, sfi << 3 | 4, 0]
}

pub(crate) fn generate_ac(p1: u8, cdol1_data: &[u8]) -> Vec<u8> {
    command([0x80, 0xAE, p1, 0], cdol1_data)
}

/// A relay exchange.
pub(crate) fn relay(entropy: &[u8]) -> Vec<u8> {
    command([0x80, 0xEA, 0, 0], entropy)
}

/// COMPUTE CRYPTOGRAPHIC CHECKSUM.
pub(crate) fn checksum(udol_data: &[u8]) -> Vec<u8> {
    command([0x80, 0x2A, 0x8E, 0x80], udol_data)
}

pub(crate) fn get_data(tag: u32) -> Vec<u8> {
    let [.., high, low] = tag.to_be_bytes();
    vec![0x80, 0xCA, high, low, 0]
}

/// What a terminal sends for the lists that it meets.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Values {
    pub(crate) amount: u64,
    pub(crate) other_amount: u32,
    pub(crate) currency: u16,
    pub(crate) country: u16,
    pub(crate) kind: u8,
    pub(crate) merchant_category: u16,
    /// 9F1D, and in the last byte 9F7E.
    pub(crate) risk: [u8; 4],
    pub(crate) unpredictable_number: [u8; 4],
    /// Of everything else.
    pub(crate) filler: u8,
}

impl Values {
    /// The data for a list: each object at its own length, numbers cut or padded on the left, bytes on
    /// the right.
    pub(crate) fn fill(&self, list: &List) -> Vec<u8> {
        list.entries.iter().flat_map(|(tag, length)| self.object(*tag, *length)).collect()
    }

    fn object(&self, tag: u32, length: usize) -> Vec<u8> {
        match tag {
            0x9F02 => digits(self.amount, length),
            0x9F03 => digits(self.other_amount.into(), length),
            0x5F2A => digits(self.currency.into(), length),
            0x9F1A => digits(self.country.into(), length),
            0x9F15 => digits(self.merchant_category.into(), length),
            0x9A => digits(260_131, length),
            0x9C => vec![self.kind; length],
            0x9F1D => padded(&self.risk, length),
            0x9F6A => digits(u32::from_be_bytes(self.unpredictable_number).into(), length),
            0x9F7E => padded(&self.risk[3..], length),
            0x9F37 => padded(&self.unpredictable_number, length),
            _ => vec![self.filler; length],
        }
    }
}

fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().chain(std::iter::repeat(0)).take(length).collect()
}

/// The last digits of a number, two a byte.
fn digits(mut number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for byte in bytes.iter_mut().rev() {
        let pair = (number % 100) as u8;
        *byte = ((pair / 10) << 4) | (pair % 10);
        number /= 100;
    }
    bytes
}
