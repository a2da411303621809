//! The issuer behind the token service: personalises cards, hands out credentials, authorises.
//!
//! Owns the test authority, the issuer's master key, and the ledger of every cryptogram ever seen.
//! Touches neither the network nor the token service; a token's standing it asks through
//! [`TokenStandings`]. Test keys and test numbers only.
//!
//! ```
//! use nfcwallet_sandbox::issuer::{Issuer, IssuerConfig};
//!
//! # fn main() -> Result<(), nfcwallet_sandbox::issuer::IssuerError> {
//! let issuer = Issuer::new(IssuerConfig::default())?;
//! let profile = issuer.personalise("token-1", "user-1")?;
//! let credentials = issuer.credentials("token-1", 1, 20, 1_800_000_000_000)?;
//! assert_eq!((profile.applications.len(), credentials.len()), (1, 20));
//! # Ok(())
//! # }
//! ```

pub mod authorisation;
pub mod authority;
pub mod keys;
pub mod ledger;
pub mod magstripe;
mod pan;
mod personalise;
#[cfg(test)]
pub(crate) mod published;
pub mod shape;
mod test_keys;
pub(crate) mod tlv;
pub mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::secret::Secret;
use nfcwallet_core::token_service::operations::WireCredential;
use sha2::{Digest, Sha256};

use authorisation::CVN;
pub use authorisation::{
    AllActive, Authorisation, AuthorisationRequest, CardAuthentication, Decision, DeclineReason, IssuerApplicationData,
    ProviderAnswer, TokenStanding, TokenStandings,
};
pub use authority::{Authority, CaPublicKey, IccKey, KeySizes};
use ledger::Fresh;
pub use ledger::{Ledger, LedgerEntry, TokenRecord, Violation, ViolationKind};
pub use magstripe::TrackRequest;
pub use pan::{Numbering, Pan, PanError};
use personalise::Parts;
pub use shape::{CardShape, Month, Personalisation};

/// Key derivation index in tag 9F10.
const KEY_INDEX: u8 = 1;
/// Response codes of the response cryptogram: approved, do not honour.
const RESPONSE_APPROVED: [u8; 2] = *b"00";
const RESPONSE_DECLINED: [u8; 2] = *b"05";

/// How an issuer is set up.
#[derive(Debug, Clone, Default)]
pub struct IssuerConfig {
    /// All keys and numbers come from it; `None` draws one, or takes the one in the ledger's file.
    pub seed: Option<[u8; 32]>,
    /// Key sizes of the authority, if it is made from the seed.
    pub key_sizes: KeySizes,
    /// What cards are like unless [`Issuer::personalise_as`] says otherwise.
    pub personalisation: Personalisation,
    /// What its tokens' numbers look like.
    pub numbering: Numbering,
    /// The ledger's file; `None` keeps it in memory.
    pub ledger: Option<PathBuf>,
}

/// Why the issuer cannot do something. (A declined authorisation is not an error.)
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// An RSA key cannot be made or used.
    #[error("key {reason}")]
    Key {
        /// Its fault and the limit.
        reason: String,
    },
    /// The operating system has no randomness.
    #[error("no randomness")]
    Randomness,
    /// A value of the personalisation is out of range.
    #[error("{field}: {reason}")]
    Personalisation {
        /// Which one.
        field: &'static str,
        /// Its fault and the limit.
        reason: String,
    },
    /// No such token.
    #[error("unknown token")]
    UnknownToken,
    /// The token belongs to another user.
    #[error("token of another user")]
    WrongUser,
    /// Counters end at 65535.
    #[error("counters {first} to {last} asked for, limit 1 to 65535")]
    Counters {
        /// First one asked for.
        first: u16,
        /// Last one asked for.
        last: u32,
    },
    /// This counter was issued before, with another expiry.
    #[error("counter {atc} was issued before")]
    CounterIssued {
        /// The counter.
        atc: u16,
    },
    /// The ledger's file belongs to an issuer with another seed.
    #[error("the ledger belongs to another seed")]
    OtherSeed,
    /// The ledger's file cannot be opened, or is no database.
    #[error("the ledger {}: {reason}; if it is damaged, delete its whole folder or take another one", .path.display())]
    LedgerFile {
        /// Which one.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The ledger cannot be read or written.
    #[error("ledger: {0}")]
    Ledger(String),
}

impl From<rusqlite::Error> for IssuerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Ledger(error.to_string())
    }
}

impl From<PanError> for IssuerError {
    fn from(error: PanError) -> Self {
        Self::Ledger(error.to_string())
    }
}

/// The issuer. All methods may be called from any thread; none calls out under a lock.
pub struct Issuer {
    authorities: Authorities,
    seed: Secret<32>,
    personalisation: Personalisation,
    numbering: Numbering,
    ledger: Ledger,
    standings: Arc<dyn TokenStandings>,
}

/// The authorities under which this issuer makes cards: its own, and two with keys of other lengths.
struct Authorities {
    own: Arc<Authority>,
    short: Arc<Authority>,
    long: Arc<Authority>,
}

impl Authorities {
    fn under(own: Arc<Authority>) -> Result<Self, IssuerError> {
        Ok(Self { own, short: Authority::short()?, long: Authority::long()? })
    }

    fn of(&self, shape: CardShape) -> &Authority {
        match shape {
            CardShape::ShortKeys => &self.short,
            CardShape::LongKeys => &self.long,
            _ => &self.own,
        }
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuer(keys redacted)")
    }
}

impl Issuer {
    /// An issuer with an authority of its own, to whom every token is payable
    /// ([`Self::with_standings`] changes that). Blocks for 100 to 500 ms.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn new(config: IssuerConfig) -> Result<Self, IssuerError> {
        let (ledger, seed) = open_ledger(&config)?;
        let authority = Authority::from_seed(derived(&seed, &["authority"]), config.key_sizes)?;
        Self::assemble(config, ledger, seed, Arc::new(authority))
    }

    /// An issuer under a given authority; for tests that start many ([`Authority::shared`]).
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn under(authority: Arc<Authority>, config: IssuerConfig) -> Result<Self, IssuerError> {
        let (ledger, seed) = open_ledger(&config)?;
        Self::assemble(config, ledger, seed, authority)
    }

    fn assemble(
        config: IssuerConfig,
        ledger: Ledger,
        seed: Secret<32>,
        authority: Arc<Authority>,
    ) -> Result<Self, IssuerError> {
        let authorities = Authorities::under(authority)?;
        let IssuerConfig { personalisation, numbering, .. } = config;
        Ok(Self { authorities, seed, personalisation, numbering, ledger, standings: Arc::new(AllActive) })
    }

    /// The same issuer, asking `standings` at every authorisation.
    #[must_use]
    pub fn with_standings(self, standings: Arc<dyn TokenStandings>) -> Self {
        Self { standings, ..self }
    }

    /// What a terminal must know to check the cards of [`CardShape::Phone`] and of the other shapes with
    /// keys of that length.
    #[must_use]
    pub fn ca_public_key(&self) -> CaPublicKey {
        self.authorities.own.ca_public_key()
    }

    /// What a terminal must know to check this issuer's cards of all shapes.
    #[must_use]
    pub fn ca_public_keys(&self) -> Vec<CaPublicKey> {
        let Authorities { own, short, long } = &self.authorities;
        [own, short, long].map(|authority| authority.ca_public_key()).into()
    }

    /// Everything that reached the issuer.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The card of a token; made at the first call, the same one afterwards. Blocks for some 60 ms, seldom for 300.
    ///
    /// # Errors
    /// [`IssuerError::WrongUser`] if the token is another user's.
    pub fn personalise(&self, token_reference: &str, user: &str) -> Result<Profile, IssuerError> {
        self.personalise_as(token_reference, user, &self.personalisation)
    }

    /// The card of a token in another shape. A token keeps its number and its keys in all shapes.
    ///
    /// # Errors
    /// [`IssuerError::WrongUser`], [`IssuerError::Personalisation`].
    pub fn personalise_as(
        &self,
        token_reference: &str,
        user: &str,
        personalisation: &Personalisation,
    ) -> Result<Profile, IssuerError> {
        let token = self.token(token_reference, user)?;
        self.ledger.set_mag_stripe(token_reference, personalisation.shape.has_mag_stripe())?;
        let bits = personalisation.shape.icc_bits();
        let key = IccKey::from_seed(derived(&self.seed, &["icc", &bits.to_string(), token_reference]), bits)?;
        Parts {
            authority: self.authorities.of(personalisation.shape),
            key: &key,
            pan: &token.pan,
            sequence: self.numbering.sequence,
            key_index: KEY_INDEX,
            personalisation,
        }
        .profile()
    }

    /// Single-use credentials with the counters `first_atc` and following. The same call repeated gives
    /// the same credentials; a counter never gets a second expiry.
    ///
    /// # Errors
    /// [`IssuerError::UnknownToken`], [`IssuerError::Counters`], [`IssuerError::CounterIssued`].
    pub fn credentials(
        &self,
        token_reference: &str,
        first_atc: u16,
        count: u32,
        expires_at_ms: i64,
    ) -> Result<Vec<WireCredential>, IssuerError> {
        let last = u32::from(first_atc).saturating_add(count).saturating_sub(1);
        let end = u16::try_from(last).ok().filter(|_| first_atc > 0);
        let end = end.ok_or(IssuerError::Counters { first: first_atc, last })?;
        let token = self.ledger.token(token_reference)?.ok_or(IssuerError::UnknownToken)?;
        let atcs: Vec<u16> = if count == 0 { Vec::new() } else { (first_atc..=end).collect() };
        self.ledger.add_credentials(token_reference, &atcs, expires_at_ms)?;
        let master = self.master_key(&token.pan);
        let cvc3_master = self.ledger.has_mag_stripe(token_reference)?.then(|| self.cvc3_master_key(&token.pan));
        let credential = |atc| WireCredential {
            atc,
            session_key: keys::session_key(&master, atc),
            cvc3_key: cvc3_master.as_ref().map(|master| keys::session_key(master, atc)),
            expires_at_ms,
        };
        Ok(atcs.into_iter().map(credential).collect())
    }

    /// Verifies the cryptogram, writes it down, and decides. `now_ms` is the issuer's clock.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`]: nothing was decided.
    pub fn authorise(&self, request: &AuthorisationRequest, now_ms: i64) -> Result<Authorisation, IssuerError> {
        let token = self.ledger.token_by_pan(&request.pan)?.filter(|_| request.pan_sequence == self.numbering.sequence);
        let iad = IssuerApplicationData::parse(&request.issuer_application_data);
        let session = token.as_ref().map(|token| keys::session_key(&self.master_key(&token.pan), request.atc));
        let verified = match (&session, &iad) {
            (Some(session), Some(iad)) => cryptogram_is_right(session, request, iad),
            _ => false,
        };
        let reason = match &token {
            None => Some(DeclineReason::UnknownToken),
            Some(token) => self.problem(request, iad.as_ref(), verified, token),
        };
        let entry = LedgerEntry {
            seen_at_ms: now_ms,
            token: token.as_ref().map(|token| token.reference.clone()),
            atc: request.atc,
            cryptogram: request.cryptogram,
            unpredictable_number: request.unpredictable_number,
            amount_minor: request.amount_minor(),
            currency: request.currency_number(),
            reference: iad.as_ref().and_then(|iad| iad.reference),
            verified,
            decision: reason.map_or(Decision::Approved, Decision::Declined),
        };
        let reference = entry.reference;
        let fresh = token.as_ref().filter(|_| reason.is_none());
        let fresh = fresh.map(|token| Fresh { token: &token.reference, now_ms });
        let decision = self.ledger.record(entry, fresh)?;
        let code = if decision == Decision::Approved { RESPONSE_APPROVED } else { RESPONSE_DECLINED };
        let (token_reference, user) = token.map(|token| (token.reference, token.user)).unzip();
        Ok(Authorisation {
            decision,
            cryptogram_verified: verified,
            token_reference,
            user,
            reference,
            response_cryptogram: session
                .filter(|_| verified)
                .map(|session| keys::response_cryptogram(&session, request.cryptogram, code)),
            provider: None,
        })
    }

    /// Everything but the counter, which is judged together with writing it down.
    fn problem(
        &self,
        request: &AuthorisationRequest,
        iad: Option<&IssuerApplicationData>,
        verified: bool,
        token: &TokenRecord,
    ) -> Option<DeclineReason> {
        let known_form = iad.is_some_and(|iad| (iad.key_index, iad.cvn) == (KEY_INDEX, CVN));
        if !known_form || request.amount_minor().is_none() || request.currency_number().is_none() {
            return Some(DeclineReason::Malformed);
        }
        if !verified {
            return Some(DeclineReason::WrongCryptogram);
        }
        // ARQC (EMV Book 3, table 15).
        if request.cid & 0xC0 != 0x80 {
            return Some(DeclineReason::NotOnline);
        }
        if request.card_authentication == CardAuthentication::Failed {
            return Some(DeclineReason::CardAuthenticationFailed);
        }
        self.standing_problem(token)
    }

    fn standing_problem(&self, token: &TokenRecord) -> Option<DeclineReason> {
        match self.standings.standing(&token.reference) {
            TokenStanding::Active => None,
            TokenStanding::Inactive => Some(DeclineReason::TokenInactive),
            TokenStanding::Suspended => Some(DeclineReason::TokenSuspended),
            TokenStanding::Deleted => Some(DeclineReason::TokenDeleted),
        }
    }

    fn token(&self, reference: &str, user: &str) -> Result<TokenRecord, IssuerError> {
        // The loop ends: each try is another number of 10^6 and more, and a token that another thread adds is found.
        for attempt in 0u32.. {
            if let Some(token) = self.ledger.token(reference)? {
                return if token.user == user { Ok(token) } else { Err(IssuerError::WrongUser) };
            }
            let pan = self.number(reference, attempt)?;
            let token = TokenRecord { reference: reference.to_owned(), user: user.to_owned(), pan };
            if self.ledger.add_token(&token)? {
                return Ok(token);
            }
        }
        Err(IssuerError::Ledger("no number is free".to_owned()))
    }

    /// A number of the test range that belongs to the reference.
    fn number(&self, reference: &str, attempt: u32) -> Result<Pan, PanError> {
        let bytes = derived(&self.seed, &["number", &attempt.to_string(), reference]);
        self.numbering.number(authority::ISSUER_PREFIX, &bytes)
    }

    /// The master key that all cards' keys derive from (EMV Book 2, A1.4): for another program that
    /// checks this issuer's cryptograms. A test key; a real issuer's never leaves its vault.
    #[must_use]
    pub fn issuer_master_key(&self) -> Secret<16> {
        let bytes = derived(&self.seed, &["master key"]);
        let (key, _) = bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Secret::new(*key)
    }

    /// The master key of the keys for mag-stripe mode, likewise.
    #[must_use]
    pub fn issuer_cvc3_master_key(&self) -> Secret<16> {
        let bytes = derived(&self.seed, &["cvc3 master key"]);
        let (key, _) = bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Secret::new(*key)
    }

    fn cvc3_master_key(&self, pan: &Pan) -> Secret<16> {
        keys::icc_master_key(&self.issuer_cvc3_master_key(), pan, self.numbering.sequence)
    }

    fn master_key(&self, pan: &Pan) -> Secret<16> {
        keys::icc_master_key(&self.issuer_master_key(), pan, self.numbering.sequence)
    }
}

fn cryptogram_is_right(session: &Secret<16>, request: &AuthorisationRequest, iad: &IssuerApplicationData) -> bool {
    keys::application_cryptogram(session, &request.cryptogram_input(iad)) == request.cryptogram
}

fn open_ledger(config: &IssuerConfig) -> Result<(Ledger, Secret<32>), IssuerError> {
    let Numbering { digits, sequence } = config.numbering;
    for (field, value, limits) in [("digits", digits, 13..=19), ("sequence", sequence, 0..=99)] {
        if !limits.contains(&value) {
            return Err(IssuerError::Personalisation { field, reason: format!("is {value}, limit {limits:?}") });
        }
    }
    let ledger = match &config.ledger {
        Some(path) => Ledger::open(path)?,
        None => Ledger::in_memory()?,
    };
    let mut offered = config.seed.unwrap_or_default();
    if config.seed.is_none() {
        getrandom::fill(&mut offered).map_err(|_| IssuerError::Randomness)?;
    }
    let seed = ledger.seed_or(offered)?;
    match config.seed {
        Some(wanted) if wanted != seed => Err(IssuerError::OtherSeed),
        _ => Ok((ledger, Secret::new(seed))),
    }
}

/// What belongs to the seed and these words; the length before each keeps them apart.
fn derived(seed: &Secret<32>, words: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(seed.expose());
    for word in words {
        hash.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(word);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
