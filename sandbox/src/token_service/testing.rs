//! A plain issuer and a wallet at the level of operations, for tests of the logic alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nfcwallet_core::card::profile::{Application, CvmLimit, IadTemplate, Profile, Record, Rules, transit_categories};
use nfcwallet_core::secret::Secret;
use nfcwallet_core::token_service::operations::{Answer, Operation, Refusal, WireCredential};
use sha2::{Digest, Sha256};

use super::{CardIssuer, IssuerError, Request, TokenService};
use crate::issuer::Personalisation;

/// One application without CDA; keys are hashes of token and counter.
#[derive(Debug, Default)]
pub(crate) struct PlainIssuer;

impl CardIssuer for PlainIssuer {
    fn personalise(&self, token_reference: &str, _user: &str) -> Result<Profile, IssuerError> {
        let digits = token_reference.bytes().rev().take(4).map(|byte| char::from(b'0' + byte % 10)).collect();
        Ok(Profile {
            version: 1,
            last_four: digits,
            applications: vec![Application {
                aid: vec![0xA0, 0, 0, 0, 4, 0x10, 0x10],
                label: "SANDBOX".to_owned(),
                priority: 1,
                kernel_identifier: Vec::new(),
                preferred_name: None,
                data_objects: Vec::new(),
                languages: None,
                pdol: Vec::new(),
                issuer_discretionary: Vec::new(),
                aip: vec![0x18, 0x80],
                afl: vec![0x08, 1, 1, 0],
                records: vec![Record { sfi: 1, number: 1, bytes: vec![0x70, 0] }],
                iad: IadTemplate { key_index: 1, cvn: 0x14, counters: vec![0; 8] },
                icc_key: None,
                ca_key: None,
                relay_resistance: None,
            }],
            rules: Rules {
                issuer_country: 702,
                cvm_limits: vec![CvmLimit { currency: 702, amount_minor: 20_000 }],
                always_cdcvm: false,
                countries: None,
                currencies: None,
                transit_categories: transit_categories(),
            },
        })
    }

    fn personalise_as(&self, token: &str, user: &str, _: &Personalisation) -> Result<Profile, IssuerError> {
        self.personalise(token, user)
    }

    fn credentials(
        &self,
        token_reference: &str,
        first_atc: u16,
        count: u32,
        expires_at_ms: i64,
    ) -> Result<Vec<WireCredential>, IssuerError> {
        let counters = (first_atc..=u16::MAX).take(count as usize);
        Ok(counters
            .map(|atc| {
                let digest = Sha256::digest(format!("{token_reference}/{atc}"));
                WireCredential {
                    atc,
                    session_key: Secret::from_slice(&digest[..16]).unwrap(),
                    cvc3_key: None,
                    expires_at_ms,
                }
            })
            .collect())
    }
}

pub(crate) fn service() -> Arc<TokenService> {
    Arc::new(TokenService::open(Arc::new(PlainIssuer), None).unwrap())
}

/// A wallet whose envelope is taken for granted.
pub(crate) struct Phone {
    pub(crate) service: Arc<TokenService>,
    pub(crate) instance: [u8; 16],
    pub(crate) user: String,
    pub(crate) key: Vec<u8>,
    requests: AtomicU8,
}

impl Phone {
    pub(crate) fn new(service: &Arc<TokenService>, instance: u8, user: &str) -> Self {
        Self {
            service: Arc::clone(service),
            instance: [instance; 16],
            user: user.to_owned(),
            key: vec![instance; 65],
            requests: AtomicU8::new(0),
        }
    }

    pub(crate) fn request(&self, operation: &Operation) -> Request {
        Request {
            kind: operation.request_type(),
            relay_user: self.user.clone(),
            instance: self.instance,
            request_id: [self.requests.fetch_add(1, Ordering::SeqCst); 16],
            user: self.user.clone(),
            device_public_key: self.key.clone(),
            issued_at_ms: self.service.clock().now_ms(),
            payload: serde_json::to_value(operation).unwrap(),
        }
    }

    pub(crate) fn ask(&self, operation: &Operation) -> Answer {
        self.service.answer(&self.request(operation))
    }

    pub(crate) fn apply(&self) -> String {
        let apply = Operation::Apply { fingerprint: "phone".to_owned(), device_safe: true, silent: false };
        match self.ask(&apply) {
            Answer::Applied { application_id, .. } => application_id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn session(&self) -> String {
        match self.ask(&Operation::OpenSession {}) {
            Answer::Session { session_id, .. } => session_id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn provision(&self) -> (String, Vec<WireCredential>) {
        let application_id = self.apply();
        let session_id = self.session();
        match self.ask(&Operation::Provision { application_id, session_id, count: 5 }) {
            Answer::Provisioned { token_reference, credentials, .. } => (token_reference, credentials),
            other => panic!("{other:?}"),
        }
    }

    /// The whole way to an active token.
    pub(crate) fn activate(&self) -> String {
        let (token_reference, _) = self.provision();
        let report =
            Operation::ReportProvisioned { token_reference: token_reference.clone(), stored: true, refusal: None };
        assert!(matches!(self.ask(&report), Answer::Acknowledged {}));
        let activate = Operation::Activate { token_reference: token_reference.clone() };
        assert!(matches!(self.ask(&activate), Answer::Activated {}));
        token_reference
    }

    pub(crate) fn replenish(&self, token_reference: &str, session_id: &str) -> Answer {
        self.ask(&Operation::Replenish {
            token_reference: token_reference.to_owned(),
            session_id: session_id.to_owned(),
            count: 5,
        })
    }
}

pub(crate) fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused { problem } => problem,
        other => panic!("{other:?}"),
    }
}
