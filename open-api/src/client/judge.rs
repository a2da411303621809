//! Whether an answer counts.

use http::HeaderMap;

use super::{Cause, Inner};
use crate::signature::{ClientId, SignatureError, SignatureHeader, SignedContent};
use crate::transport::{self, header};
use crate::wire::{self, Json, Names};
use crate::{Answer, Api, FieldError, ResultInfo, ResultStatus};

/// APIs, by name, for which an unsigned failure is no final word. Whoever stands in between could turn a
/// payment that happened into one that did not.
pub const MOVES_MONEY: [&str; 4] = ["pay", "refund", "cancelPayment", "adjustRefund"];

impl Inner {
    /// Verifies the bytes, and reads them then.
    pub(super) fn judge<A: Api>(
        &self,
        uri: &str,
        headers: &HeaderMap,
        body: &[u8],
        names: &Names,
    ) -> Result<A::Answer, Cause<A::Answer>> {
        self.check_client(headers).map_err(Cause::Unverified)?;
        if !headers.contains_key(header::SIGNATURE) && !headers.contains_key(header::RESPONSE_TIME) {
            return unsigned::<A>(body);
        }
        self.verify(uri, headers, body).map_err(Cause::Unverified)?;
        match result_of(body).map_err(Cause::Malformed)? {
            result if result.is_success() => names.parse(body).map_err(Cause::Malformed),
            // What a failure or a doubt lacks beside its result does not change what it is.
            result => {
                let is_final = result.result_status.is_final();
                let answer = names.parse(body).unwrap_or_else(|_| A::Answer::of(result));
                if is_final { Ok(answer) } else { Err(Cause::InProcess(answer)) }
            }
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

/// What every answer has.
fn result_of(body: &[u8]) -> Result<ResultInfo, FieldError> {
    let json = Json::parse(body)?;
    wire::read(json.at("result").ok_or_else(|| FieldError::missing("result"))?)
}

/// Of an unsigned answer nothing but its result is read.
fn unsigned<A: Api>(body: &[u8]) -> Result<A::Answer, Cause<A::Answer>> {
    let result = result_of(body).map_err(Cause::Malformed)?;
    match result.result_status {
        ResultStatus::Success => Err(Cause::Unverified(SignatureError::HeaderMissing { name: header::SIGNATURE })),
        ResultStatus::Failure if !MOVES_MONEY.contains(&A::NAME) => Ok(A::Answer::of(result)),
        ResultStatus::Failure | ResultStatus::Unknown => Err(Cause::Unsigned(result)),
    }
}
