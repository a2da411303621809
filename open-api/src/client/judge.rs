//! Whether an answer counts.

use http::HeaderMap;
use serde::Deserialize;

use super::{Cause, Inner};
use crate::signature::{ClientId, SignatureError, SignatureHeader, SignedContent};
use crate::transport::{self, header};
use crate::{Answer, Api, Message, ResultInfo, ResultStatus, json};

/// APIs, by name, for which an unsigned failure is no final word. Whoever stands in between could turn a
/// payment that happened into one that did not.
pub const MOVES_MONEY: [&str; 4] = ["pay", "refund", "cancelPayment", "adjustRefund"];

/// What every answer has. Of an unsigned one, nothing else is read.
#[derive(Deserialize)]
struct ResultOnly {
    result: ResultInfo,
}

impl Inner {
    /// Verifies the bytes, and reads them then.
    pub(super) fn judge<A: Api>(
        &self,
        uri: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<A::Answer, Cause<A::Answer>> {
        self.check_client(headers).map_err(Cause::Unverified)?;
        if !headers.contains_key(header::SIGNATURE) && !headers.contains_key(header::RESPONSE_TIME) {
            return unsigned::<A>(body);
        }
        self.verify(uri, headers, body).map_err(Cause::Unverified)?;
        let answer: A::Answer = json::read(body).map_err(Cause::Malformed)?;
        match answer.result().result_status {
            ResultStatus::Unknown => Err(Cause::InProcess(answer)),
            // What a failure lacks does not make it less of one.
            ResultStatus::Failure => Ok(answer),
            ResultStatus::Success => answer.check().map(|()| answer).map_err(Cause::Malformed),
        }
    }

    /// That the answer is for us. It need not say so: the signature covers our client id in any case.
    fn check_client(&self, headers: &HeaderMap) -> Result<(), SignatureError> {
        if !headers.contains_key(header::CLIENT_ID) {
            return Ok(());
        }
        match ClientId::parse(transport::single(headers, header::CLIENT_ID)?) {
            Ok(client_id) if client_id == self.client_id => Ok(()),
            _ => Err(SignatureError::ClientDiffers),
        }
    }

    fn verify(&self, uri: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
        let time = transport::time(headers, header::RESPONSE_TIME)?;
        let signature = SignatureHeader::parse(transport::single(headers, header::SIGNATURE)?.as_bytes())?;
        let content = SignedContent { uri, client_id: self.client_id.as_str(), time, body };
        let now_ms = self.clock.wall_ms();
        self.peers.verify(&self.client_id, &content, &signature, now_ms)?;
        let limit_ms = i64::try_from(self.max_clock_skew.as_millis()).unwrap_or(i64::MAX);
        transport::check_fresh(time, header::RESPONSE_TIME, now_ms, limit_ms)
    }
}

fn unsigned<A: Api>(body: &[u8]) -> Result<A::Answer, Cause<A::Answer>> {
    let ResultOnly { result } = json::read(body).map_err(Cause::Malformed)?;
    match result.result_status {
        ResultStatus::Success => Err(Cause::Unverified(SignatureError::HeaderMissing { name: header::SIGNATURE })),
        ResultStatus::Failure if !MOVES_MONEY.contains(&A::NAME) => Ok(A::Answer::of(result)),
        ResultStatus::Failure | ResultStatus::Unknown => Err(Cause::Unsigned(result)),
    }
}
