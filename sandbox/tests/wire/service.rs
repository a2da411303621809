//! A service that knows the wire and nothing else, with somebody on the way who may meddle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nfcwallet_core::host::{HostError, RequestType};
use nfcwallet_core::token_service::operations::{Answer, Refusal};
use nfcwallet_sandbox::token_service::envelope::{OpenError, OpenedRequest, open_request};
use nfcwallet_sandbox::token_service::keys::ServiceKeys;

/// When every test begins: some day in 2026.
pub(crate) const START_MS: i64 = 1_780_000_000_000;

/// The life of a key of the service.
pub(crate) const KEY_LIFE: Duration = Duration::from_secs(1_000);

type Respond = Box<dyn FnMut(&OpenedRequest) -> Answer + Send>;
type Meddle = Box<dyn FnMut(RequestType, Vec<u8>) -> Result<Vec<u8>, HostError> + Send>;

pub(crate) struct Service {
    pub(crate) keys: Mutex<ServiceKeys>,
    pub(crate) now_ms: Mutex<i64>,
    /// Every body that arrived.
    pub(crate) requests: Mutex<Vec<(RequestType, Vec<u8>)>>,
    /// Every request that opened.
    pub(crate) opened: Mutex<Vec<OpenedRequest>>,
    /// Every body that was sent back, before anybody meddled.
    pub(crate) answers: Mutex<Vec<Vec<u8>>>,
    respond: Mutex<Respond>,
    meddle: Mutex<Meddle>,
}

impl Service {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::new(ServiceKeys::with_key_life([4; 32], START_MS, KEY_LIFE)),
            now_ms: Mutex::new(START_MS),
            requests: Mutex::default(),
            opened: Mutex::default(),
            answers: Mutex::default(),
            respond: Mutex::new(Box::new(|_| Answer::Acknowledged {})),
            meddle: Mutex::new(Box::new(|_, body| Ok(body))),
        })
    }

    /// What the service answers from now on.
    pub(crate) fn respond(&self, respond: impl FnMut(&OpenedRequest) -> Answer + Send + 'static) {
        *self.respond.lock().unwrap() = Box::new(respond);
    }

    /// What happens to answers on their way from now on.
    pub(crate) fn meddle(
        &self,
        meddle: impl FnMut(RequestType, Vec<u8>) -> Result<Vec<u8>, HostError> + Send + 'static,
    ) {
        *self.meddle.lock().unwrap() = Box::new(meddle);
    }

    pub(crate) fn serve(&self, kind: RequestType, body: Vec<u8>) -> Result<Vec<u8>, HostError> {
        self.requests.lock().unwrap().push((kind, body.clone()));
        let answer = match kind {
            RequestType::GetPk => self.keys.lock().unwrap().key_set_answer(),
            _ => self.answer(kind, &body),
        };
        self.answers.lock().unwrap().push(answer.clone());
        (self.meddle.lock().unwrap())(kind, answer)
    }

    /// How many requests of this type arrived.
    pub(crate) fn count(&self, kind: RequestType) -> usize {
        self.requests.lock().unwrap().iter().filter(|(arrived, _)| *arrived == kind).count()
    }

    pub(crate) fn last_answer(&self) -> Vec<u8> {
        self.answers.lock().unwrap().last().unwrap().clone()
    }

    fn answer(&self, kind: RequestType, body: &[u8]) -> Vec<u8> {
        let now_ms = *self.now_ms.lock().unwrap();
        let opened = open_request(&self.keys.lock().unwrap(), body, kind, now_ms);
        match opened {
            Ok(request) => {
                let answer = match request.is_fresh(now_ms) {
                    true => (self.respond.lock().unwrap())(&request),
                    false => Answer::Refused { problem: Refusal::ClockSkew {} },
                };
                let sealed = request.seal_answer(now_ms, &answer);
                self.opened.lock().unwrap().push(request);
                sealed
            }
            Err(OpenError::BadSignature(seal)) => {
                seal.seal(now_ms, &Answer::Refused { problem: Refusal::BadSignature {} })
            }
            Err(error) => error.clear_body().unwrap(),
        }
    }
}
