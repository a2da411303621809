//! Bytes that must not be printed, copied by accident, or left in memory.
//!
//! On the wire (inside the sealed envelope) secrets are hex strings; they are decoded without an
//! intermediate `String`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret of variable length. Zeroized on drop; `Debug` prints only the length.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of the bytes; the caller keeps no copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes. Named so that each reader can be found by searching for it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretBytes({} bytes, redacted)", self.0.len())
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(hex::encode(&self.0));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HexVisitor).map(|mut bytes| Self(std::mem::take(&mut *bytes)))
    }
}

/// A secret of exactly `N` bytes, at one place in memory: moving it moves a pointer, and leaves no copy
/// behind on a stack.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Copies the bytes. The array is the caller's to wipe: [`from_slice`](Self::from_slice) needs none.
    #[must_use]
    pub fn new(bytes: [u8; N]) -> Self {
        Self(Box::new(bytes))
    }

    /// Reads exactly `N` bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut place = Box::new([0; N]);
        place.as_mut_slice().copy_from_slice(bytes.get(..N).filter(|_| bytes.len() == N)?);
        Some(Self(place))
    }

    /// The bytes. Named so that each reader can be found by searching for it.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> std::fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({N} bytes, redacted)")
    }
}

impl<const N: usize> Serialize for Secret<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(hex::encode(self.expose()));
        serializer.serialize_str(&text)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Secret<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_str(HexVisitor)?;
        Self::from_slice(&bytes)
            .ok_or_else(|| serde::de::Error::custom(format!("secret is {} bytes, not {N}", bytes.len())))
    }
}

/// How deep below its caller a computation over secrets leaves traces, in bytes, with room to spare.
const STACK_DEPTH: usize = 64 * 1024;

/// Overwrites what functions that have returned left on the stack: compilers and ciphers copy blocks
/// there, and nobody wipes them. To be called where the work with a secret is over, from where it
/// began.
#[inline(never)]
pub(crate) fn scrub_stack() {
    let mut frame = [0_u8; STACK_DEPTH];
    // Nothing reads it: else the compiler would leave it out.
    std::hint::black_box(&mut frame);
}

struct HexVisitor;

impl serde::de::Visitor<'_> for HexVisitor {
    type Value = Zeroizing<Vec<u8>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a hex string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Zeroizing<Vec<u8>>, E> {
        // At its full length from the start: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
        // The error of `hex` names the offending character, which could be part of a secret.
        hex::decode_to_slice(text, &mut bytes).map_err(|_| E::custom("not a hex string"))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_a_secret() {
        let secret = SecretBytes::new(vec![0xAB; 16]);
        let fixed = Secret::new([0xAB; 16]);
        let text = format!("{secret:?} {fixed:?}").to_lowercase();
        assert!(!text.contains("ab ab") && !text.contains("abab") && !text.contains("171"));
    }

    #[test]
    fn a_secret_survives_json_and_a_wrong_length_is_refused() {
        let json = serde_json::to_string(&Secret::new([7u8; 4])).unwrap();
        let back: Secret<4> = serde_json::from_str(&json).unwrap();
        assert_eq!(back.expose(), &[7; 4]);
        assert!(serde_json::from_str::<Secret<5>>(&json).is_err());
    }
}
