//! Signed dynamic application data: the CDA signature (EMV Book 2, 6.6.1; tag 9F4B).

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::cryptogram::Cryptogram;
use super::icc_key::{IccKey, SignatureError};
use super::relay;

/// The shortest modulus whose block holds the dynamic data: 63 bytes, 77 with relay data.
pub(super) const fn min_modulus(relay: bool) -> usize {
    HEADER_LEN + DYNAMIC_DATA_LEN + if relay { relay::SIGNED_LEN } else { 0 } + TRAILER_LEN
}

/// 6A, format 05, hash algorithm 01 (SHA-1), length of the dynamic data.
const HEADER_LEN: usize = 4;
/// Length of the number, the number, CID, cryptogram, transaction data hash.
const DYNAMIC_DATA_LEN: usize = 1 + 8 + 1 + 8 + 20;
/// SHA-1 and BC.
const TRAILER_LEN: usize = 21;

/// What one signature covers.
pub(super) struct SignedData<'a> {
    /// Tag 9F4C: unpredictable, fresh for each tap.
    pub(super) dynamic_number: [u8; 8],
    /// Tag 9F27 of the answer.
    pub(super) cid: u8,
    /// Tag 9F26, which is sent only in here.
    pub(super) cryptogram: Cryptogram,
    /// The parts of the transaction data, in order: PDOL data, CDOL1 data, the answer's objects
    /// without 9F4B.
    pub(super) transaction_data: &'a [&'a [u8]],
    /// The tap's last exchange of relay resistance data; none if there was no exchange.
    pub(super) relay: Option<[u8; relay::SIGNED_LEN]>,
    /// Tag 9F37 as the terminal sent it.
    pub(super) unpredictable_number: [u8; 4],
}

impl SignedData<'_> {
    /// Signs. The key is at least [`min_modulus`] bytes, which the profile's compilation checks.
    pub(super) fn sign(&self, key: &IccKey, seed: &Zeroizing<[u8; 32]>) -> Result<Vec<u8>, SignatureError> {
        let mut block = self.block(key.len()).ok_or(SignatureError)?;
        key.apply(&mut block, seed)?;
        Ok(block)
    }

    /// The block to sign: format 05, filled with BB, hash over all of it but 6A and BC.
    fn block(&self, len: usize) -> Option<Vec<u8>> {
        let filled = len.checked_sub(TRAILER_LEN)?;
        let mut hash = Sha1::new();
        for part in self.transaction_data {
            hash.update(part);
        }
        let relay = self.relay.as_ref().map_or(&[][..], |bytes| bytes);
        let mut block = Vec::with_capacity(len);
        // 26 hex = 38 bytes of dynamic data, 34 hex with relay data; 08 = length of the number in it.
        block.extend_from_slice(&[0x6A, 0x05, 0x01, (DYNAMIC_DATA_LEN + relay.len()) as u8, 8]);
        block.extend_from_slice(&self.dynamic_number);
        block.push(self.cid);
        block.extend_from_slice(&self.cryptogram);
        block.extend_from_slice(&hash.finalize());
        block.extend_from_slice(relay);
        if block.len() > filled {
            return None;
        }
        block.resize(filled, 0xBB);
        let digest = Sha1::new().chain_update(block.get(1..)?).chain_update(self.unpredictable_number).finalize();
        block.extend_from_slice(&digest);
        block.push(0xBC);
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data<'a>(parts: &'a [&'a [u8]]) -> SignedData<'a> {
        SignedData {
            dynamic_number: [0xD1; 8],
            cid: 0x80,
            cryptogram: [0xAC; 8],
            transaction_data: parts,
            relay: None,
            unpredictable_number: [1, 2, 3, 4],
        }
    }

    #[test]
    fn the_block_is_laid_out_as_book_2_has_it() {
        let block = data(&[b"pdol", b"cdol1", b"answer"]).block(128).unwrap();
        assert_eq!(block[..14], [0x6A, 5, 1, 0x26, 8, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0x80]);
        assert_eq!(block[14..22], [0xAC; 8]);
        assert_eq!(block[22..42], Sha1::digest(b"pdolcdol1answer")[..]);
        assert_eq!(block[42..107], [0xBB; 65]);
        assert_eq!(block[107..127], Sha1::digest([&block[1..107], &[1, 2, 3, 4]].concat())[..]);
        assert_eq!((block[127], block.len()), (0xBC, 128));
    }

    #[test]
    fn relay_data_follow_the_hash_and_lengthen_the_dynamic_data() {
        let relay: [u8; 14] = std::array::from_fn(|at| at as u8);
        let block = SignedData { relay: Some(relay), ..data(&[b"answer"]) }.block(128).unwrap();
        assert_eq!(block[..5], [0x6A, 5, 1, 0x34, 8]);
        assert_eq!(block[22..42], Sha1::digest(b"answer")[..]);
        assert_eq!(block[42..56], relay);
        assert_eq!(block[56..107], [0xBB; 51]);
        assert_eq!(block[107..127], Sha1::digest([&block[1..107], &[1, 2, 3, 4]].concat())[..]);
    }

    #[test]
    fn the_smallest_key_needs_no_fill_and_a_smaller_one_has_no_block() {
        let relayed = || SignedData { relay: Some([0xEE; 14]), ..data(&[]) };
        assert_eq!((min_modulus(false), min_modulus(true)), (63, 77));
        assert_eq!(data(&[]).block(63).unwrap().len(), 63);
        assert_eq!(data(&[]).block(62), None);
        assert_eq!(data(&[]).block(20), None);
        assert_eq!(relayed().block(77).unwrap().len(), 77);
        assert_eq!(relayed().block(76), None);
    }
}
