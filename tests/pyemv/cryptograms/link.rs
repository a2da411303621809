//! The card that the terminal taps: the wallet core's, with a wallet that decides as was drawn.

use std::sync::Arc;

use anyhow::{Result, ensure};
use nfcwallet_core::card::hooks::{BurningCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use nfcwallet_core::card::{Card, CardApplication};
use nfcwallet_core::token_service::operations::WireCredential;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::bytes;
use super::tap::Plan;

/// One card in the field.
pub(super) struct Link {
    application: CardApplication,
    hooks: Hooks,
}

impl Link {
    pub(super) fn new(card: &Arc<Card>, credential: WireCredential, plan: Plan, rng: &mut ChaCha20Rng) -> Self {
        let random = ChaCha20Rng::from_seed(bytes(rng));
        let hooks = Hooks { card: Arc::clone(card), plan, credential: Some(credential), random };
        Self { application: CardApplication::new(), hooks }
    }

    /// Directory, application, processing options.
    pub(super) fn initiate(&mut self, aid: &[u8], pdol_data: &[u8]) -> Result<()> {
        self.send([0x00, 0xA4, 0x04, 0x00], b"2PAY.SYS.DDF01")?;
        self.send([0x00, 0xA4, 0x04, 0x00], aid)?;
        let template = [&[0x83, u8::try_from(pdol_data.len())?], pdol_data].concat();
        self.send([0x80, 0xA8, 0x00, 0x00], &template).map(drop)
    }

    /// A command with data. Fails unless the card answers 9000.
    pub(super) fn send(&mut self, header: [u8; 4], data: &[u8]) -> Result<Vec<u8>> {
        let length = u8::try_from(data.len())?;
        self.transmit(&[&header, &[length][..], data, &[0]].concat())
    }

    /// A whole command. Fails unless the card answers 9000.
    pub(super) fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let mut answer = self.application.process(command, &mut self.hooks);
        let word = answer.split_off(answer.len().saturating_sub(2));
        ensure!(word == [0x90, 0x00], "{} answered {}", hex::encode(command), hex::encode(word));
        Ok(answer)
    }
}

/// The wallet's side of the tap: one credential, and a decision that was drawn.
struct Hooks {
    card: Arc<Card>,
    plan: Plan,
    credential: Option<WireCredential>,
    random: ChaCha20Rng,
}

impl TapHooks for Hooks {
    fn begin(&mut self) -> Option<Arc<Card>> {
        Some(Arc::clone(&self.card))
    }

    fn decide(&mut self, _request: &CryptogramRequest) -> CryptogramDecision {
        match self.credential.take() {
            Some(credential) if self.plan.approve => CryptogramDecision::Approve {
                credential: BurningCredential {
                    atc: credential.atc,
                    session_key: credential.session_key,
                    cvc3_key: credential.cvc3_key,
                },
                cdcvm_done: self.plan.see_phone,
                reference: bytes(&mut self.random),
            },
            credential => CryptogramDecision::Decline {
                atc: credential.map_or(0, |credential| credential.atc),
                see_phone: self.plan.see_phone,
            },
        }
    }

    fn is_burnt(&mut self) -> bool {
        true
    }

    fn protocol_error(&mut self, _status_word: u16) {}

    fn fill_random(&mut self, bytes: &mut [u8]) {
        self.random.fill_bytes(bytes);
    }
}
