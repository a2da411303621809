//! What the card application asks of the room `payment` during a tap.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Card;
use super::apdu::StatusWord;
use crate::payment::TransactionInformation;
use crate::secret::Secret;

/// The kind of cryptogram a terminal asks for (GENERATE AC, P1; EMV Book 3, 6.5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptogramRequested {
    /// 00: the terminal declines.
    Aac,
    /// 40: the terminal would approve offline; answered like 80.
    Tc,
    /// 80: the terminal goes online.
    Arqc,
    /// COMPUTE CRYPTOGRAPHIC CHECKSUM: the terminal is in mag-stripe mode.
    Checksum,
}

/// A GENERATE AC (or COMPUTE CRYPTOGRAPHIC CHECKSUM) whose data was parsed and found well-formed.
#[derive(Debug, Clone)]
pub struct CryptogramRequest {
    /// What the terminal wants.
    pub requested: CryptogramRequested,
    /// The transaction by the CDOL1 (UDOL) data. `range` is what the terminal's 9F1D and the
    /// profile's limits say.
    pub transaction: TransactionInformation,
    /// The terminal's 9F1D asks for CDCVM for this transaction (CVM limit exceeded and CDCVM
    /// supported), or 9F7E b2 in mag-stripe mode.
    pub terminal_demands_cdcvm: bool,
    /// The card's usage control (tag 9F07) and its country and currency rules allow this transaction.
    pub allowed_by_card: bool,
    /// The terminal said something else of the transaction or of itself in the PDOL data.
    pub contradictory: bool,
    /// Tag 9F37 (or 9F6A).
    pub unpredictable_number: [u8; 4],
}

/// A credential whose burn is under way: what is computed with it may leave once
/// [`TapHooks::is_burnt`] has said so, and not before.
#[derive(Debug)]
pub struct BurningCredential {
    /// Its application transaction counter.
    pub atc: u16,
    /// Its EMV common session key.
    pub session_key: Secret<16>,
    /// Its key for mag-stripe mode, where the card has that mode.
    pub cvc3_key: Option<Secret<16>>,
}

/// The answer to a [`CryptogramRequest`].
#[derive(Debug)]
pub enum CryptogramDecision {
    /// ARQC, or a checksum. The burn is under way; the answer is made meanwhile, and leaves only after
    /// [`TapHooks::is_burnt`].
    Approve {
        /// The credential.
        credential: BurningCredential,
        /// CDCVM was done for this tap: add `DF4B 001000`.
        cdcvm_done: bool,
        /// Carried in the last 8 bytes of tag 9F10; a checksum has no place for it.
        reference: [u8; 8],
    },
    /// AAC under a random key; in mag-stripe mode an answer without a checksum.
    Decline {
        /// Shown in tag 9F36; no credential stands behind it.
        atc: u16,
        /// Add `DF4B 000100`: "see phone". In mag-stripe mode every refusal carries DF4B, `000000` if
        /// this is not set.
        see_phone: bool,
    },
}

/// What the card application asks of the tap.
///
/// All methods are called on the thread of `process_apdu`, in the order of the terminal's commands.
pub trait TapHooks {
    /// The first SELECT of a tap (PPSE or AID) came in: run the pre-check. `None` answers 6A82.
    /// Called at every SELECT of the PPSE, also of a reader that starts again within its tap; at a
    /// SELECT of an AID only if no card was selected before.
    fn begin(&mut self) -> Option<Arc<Card>>;

    /// A well-formed request for a cryptogram. Called at most once a tap.
    fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision;

    /// Blocks until the burn that [`decide`](Self::decide) began is durable. Called exactly once after
    /// an approval, when the answer is made. False if it failed: the answer must be destroyed, and an
    /// AAC leave instead.
    fn is_burnt(&mut self) -> bool;

    /// A GENERATE AC or COMPUTE CRYPTOGRAPHIC CHECKSUM broke the protocol, which ends the tap (a
    /// repeated one is 6985 and does not: its tap ended with the first). Also called with 6F00 after
    /// `decide` approved, if the signature failed its check or the key for the checksum is missing: the
    /// credential is spent and nothing left the card.
    fn protocol_error(&mut self, status_word: u16);

    /// Fills `bytes` with unpredictable bytes (dynamic number, random AAC key, relay
    /// entropy).
    fn fill_random(&mut self, bytes: &mut [u8]);
}

/// The answer of an approval, once its burn is durable. If it does not become so, the answer is wiped
/// and `decline` leaves instead.
pub(super) fn once_burnt(
    hooks: &mut dyn TapHooks,
    approval: Result<Vec<u8>, StatusWord>,
    decline: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, StatusWord> {
    let mut approval = approval.map(Zeroizing::new);
    if !hooks.is_burnt() {
        return Ok(decline());
    }
    approval.as_mut().map(|answer| std::mem::take(&mut **answer)).map_err(|status| *status)
}
