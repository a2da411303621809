//! The answer to GENERATE AC (EMV Book 3, 6.5.5; tags in the order that all terminals accept).

use zeroize::Zeroizing;

use super::apdu::{Command, StatusWord};
use super::compile::CardApp;
use super::cryptogram::{Cvr, Input, Kind, TERMINAL_INPUT_LEN};
use super::hooks::{
    BurningCredential, CryptogramDecision, CryptogramRequest, CryptogramRequested, TapHooks, once_burnt,
};
use super::icc_key::IccKey;
use super::request::TerminalData;
use super::sdad::SignedData;
use super::{relay, tags, tlv};
use crate::secret::Secret;

/// DF4B of a decline that wants CDCVM: version 0, "CDCVM required".
pub(super) const SEE_PHONE: [u8; 3] = [0x00, 0x01, 0x00];

/// DF4B of an approval after CDCVM: version 0, "CDCVM successful". No other bit may go with an
/// approval: terminals act on them before they look at the cryptogram.
pub(super) const CDCVM_DONE: [u8; 3] = [0x00, 0x10, 0x00];

/// A request for a cryptogram that was checked as far as it can be: what is left to do is ask for a
/// decision and compute.
pub(super) struct Prepared<'a> {
    terminal: TerminalData<'a>,
    relay: Option<[u8; relay::SIGNED_LEN]>,
    pub(super) request: CryptogramRequest,
    cryptogram_input: [u8; TERMINAL_INPUT_LEN],
    /// Set if an approval is to be signed.
    signing: Option<&'a IccKey>,
    random: Random,
}

/// All random bytes of one answer, drawn before the decision: a generator that fails then fails
/// before a credential is spent.
struct Random {
    dynamic_number: [u8; 8],
    decline_key: Secret<16>,
    blinding: Zeroizing<[u8; 32]>,
}

impl<'a> Prepared<'a> {
    /// Checks parameters and data. 6D00 for an application without EMV mode. `relay` is what was
    /// exchanged in this tap and the signature covers.
    pub(super) fn read(
        command: &Command<'a>,
        app: &'a CardApp,
        pdol_data: &'a [u8],
        relay: Option<[u8; relay::SIGNED_LEN]>,
        hooks: &mut dyn TapHooks,
    ) -> Result<Self, StatusWord> {
        let cdol1 = app.cdol1.as_ref().ok_or(StatusWord::UNKNOWN_INS)?;
        let (requested, cda) = parameters(command)?;
        let data = command.data()?;
        if data.len() != cdol1.data_len() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let terminal = TerminalData { app, pdol_data, list: cdol1, data };
        let request = terminal.request(requested).ok_or(StatusWord::WRONG_DATA)?;
        let cryptogram_input = terminal.cryptogram_input().ok_or(StatusWord::WRONG_DATA)?;
        let signing = app.icc_key.as_ref().filter(|_| cda);
        Ok(Self { terminal, relay, request, cryptogram_input, signing, random: Random::draw(hooks) })
    }

    /// The answer's data field. An approval is computed while the burn becomes durable, and destroyed if
    /// it does not.
    ///
    /// A request for an AAC is answered with an AAC whatever was decided: the answer is never of a
    /// higher kind than what was asked for.
    pub(super) fn answer(self, decision: CryptogramDecision, hooks: &mut dyn TapHooks) -> Result<Vec<u8>, StatusWord> {
        match decision {
            CryptogramDecision::Approve { credential, cdcvm_done, reference } => {
                let approval = if self.request.requested == CryptogramRequested::Aac {
                    Ok(self.decline(credential.atc, false))
                } else {
                    self.approve(&credential, cdcvm_done, reference)
                };
                once_burnt(hooks, approval, || self.decline(0, false))
            }
            CryptogramDecision::Decline { atc, see_phone } => Ok(self.decline(atc, see_phone)),
        }
    }

    fn approve(
        &self,
        credential: &BurningCredential,
        cdcvm_done: bool,
        reference: [u8; 8],
    ) -> Result<Vec<u8>, StatusWord> {
        // The CVR, and so its CDA bit, is part of the cryptogram's input.
        let cvr = self.cvr(Kind::Arqc, self.signing.is_some());
        let cryptogram = self.input(credential.atc, cvr).cryptogram(&credential.session_key);
        let head = head(cvr.kind, credential.atc);
        let mut tail = tlv::object(tags::IAD, &self.terminal.app.iad.iad(cvr, reference));
        if cdcvm_done {
            tlv::write(&mut tail, tags::POS_INTERACTION, &CDCVM_DONE);
        }
        let proof = match self.signing {
            Some(key) => {
                let signed = SignedData {
                    dynamic_number: self.random.dynamic_number,
                    cid: cvr.kind.cid(),
                    cryptogram,
                    transaction_data: &[self.terminal.pdol_data, self.terminal.data, &head, &tail],
                    relay: self.relay,
                    unpredictable_number: self.request.unpredictable_number,
                };
                let signature = signed.sign(key, &self.random.blinding).map_err(|_| StatusWord::INTERNAL)?;
                tlv::object(tags::SDAD, &signature)
            }
            None => tlv::object(tags::AC, &cryptogram),
        };
        Ok(tlv::object(tags::RESPONSE, &[head, proof, tail].concat()))
    }

    /// An AAC under a random key: it spends and reveals nothing. Never signed.
    fn decline(&self, atc: u16, see_phone: bool) -> Vec<u8> {
        let cvr = self.cvr(Kind::Aac, false);
        let cryptogram = self.input(atc, cvr).cryptogram(&self.random.decline_key);
        let mut content = head(cvr.kind, atc);
        tlv::write(&mut content, tags::AC, &cryptogram);
        tlv::write(&mut content, tags::IAD, &self.terminal.app.iad.iad(cvr, [0; 8]));
        if see_phone {
            tlv::write(&mut content, tags::POS_INTERACTION, &SEE_PHONE);
        }
        tlv::object(tags::RESPONSE, &content)
    }

    fn cvr(&self, kind: Kind, cda: bool) -> Cvr {
        let domestic = self.request.transaction.terminal_country == self.terminal.app.rules.issuer_country;
        Cvr { kind, cda, domestic }
    }

    fn input(&self, atc: u16, cvr: Cvr) -> Input<'_> {
        Input { terminal: &self.cryptogram_input, aip: self.terminal.app.aip, atc, cvr }
    }
}

impl Random {
    fn draw(hooks: &mut dyn TapHooks) -> Self {
        let mut dynamic_number = [0; 8];
        let mut key = Zeroizing::new([0; 16]);
        let mut blinding = Zeroizing::new([0; 32]);
        hooks.fill_random(&mut dynamic_number);
        hooks.fill_random(&mut key[..]);
        hooks.fill_random(&mut blinding[..]);
        Self { dynamic_number, decline_key: Secret::new(*key), blinding }
    }
}

/// P1: bits 8 and 7 the kind, bit 5 CDA. P2 is 00.
fn parameters(command: &Command<'_>) -> Result<(CryptogramRequested, bool), StatusWord> {
    let requested = match command.p1 & !0x10 {
        0x00 => CryptogramRequested::Aac,
        0x40 => CryptogramRequested::Tc,
        0x80 => CryptogramRequested::Arqc,
        _ => return Err(StatusWord::WRONG_P1_P2),
    };
    if command.p2 != 0 {
        return Err(StatusWord::WRONG_P1_P2);
    }
    Ok((requested, command.p1 & 0x10 != 0))
}

/// 9F27 and 9F36.
fn head(kind: Kind, atc: u16) -> Vec<u8> {
    let mut head = tlv::object(tags::CID, &[kind.cid()]);
    tlv::write(&mut head, tags::ATC, &atc.to_be_bytes());
    head
}
