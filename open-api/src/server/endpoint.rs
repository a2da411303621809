//! One API and its handler, without their types.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::{Schema, SchemaGenerator};
use tracing::Instrument;

use super::Caller;
use crate::{Answer, Api, FieldError, ResultCode, ResultInfo, wire};

/// A body to be signed, and its outcome.
pub(super) struct Written {
    pub(super) body: Bytes,
    pub(super) result: ResultInfo,
}

/// What a router knows of a handler.
pub(super) trait Endpoint: Send + Sync {
    /// The API's name.
    fn name(&self) -> &'static str;

    /// JSON schema of what is asked.
    fn request_schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// JSON schema of what is answered.
    fn answer_schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// An answer of this API that says `result`.
    fn refuse(&self, result: ResultInfo) -> Written;

    /// Reads a verified request, runs the handler, writes its answer.
    fn call(&self, caller: Caller, deadline: Option<Duration>) -> Pin<Box<dyn Future<Output = Written> + Send + '_>>;
}

pub(super) struct Typed<A, H> {
    handler: Arc<H>,
    api: PhantomData<fn() -> A>,
}

impl<A, H, F> Typed<A, H>
where
    A: Api,
    H: Fn(Caller, A::Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<A::Answer, ResultInfo>> + Send + 'static,
{
    pub(super) fn shared(handler: H) -> Arc<dyn Endpoint> {
        Arc::new(Self { handler: Arc::new(handler), api: PhantomData })
    }

    async fn run(&self, caller: Caller, deadline: Option<Duration>) -> Result<A::Answer, ResultInfo> {
        let request = wire::parse::<A::Request>(&caller.body).map_err(|error| illegal(&error))?;
        let handler = Arc::clone(&self.handler);
        // A task of its own, see the module's page. The handler is called inside of it, for it can panic
        // before there is a future.
        let mut task = tokio::spawn(async move { handler(caller, request).await }.in_current_span());
        let ended = match deadline {
            Some(limit) => match tokio::time::timeout(limit, &mut task).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!(
                        api = A::NAME,
                        limit_ms = limit.as_millis(),
                        "no answer in time; the handler goes on"
                    );
                    return Err(ResultInfo::new(ResultCode::UnknownException, "not done in time; ask again"));
                }
            },
            None => task.await,
        };
        ended.unwrap_or_else(|error| {
            tracing::error!(api = A::NAME, panicked = error.is_panic(), "a handler did not come to its end");
            Err(ResultCode::UnknownException.into())
        })
    }
}

impl<A, H, F> Endpoint for Typed<A, H>
where
    A: Api,
    H: Fn(Caller, A::Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<A::Answer, ResultInfo>> + Send + 'static,
{
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn request_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<A::Request>()
    }

    fn answer_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<A::Answer>()
    }

    fn refuse(&self, result: ResultInfo) -> Written {
        write(&A::Answer::of(result))
    }

    fn call(&self, caller: Caller, deadline: Option<Duration>) -> Pin<Box<dyn Future<Output = Written> + Send + '_>> {
        Box::pin(async move {
            match self.run(caller, deadline).await {
                Ok(answer) => write(&answer),
                Err(result) => self.refuse(result),
            }
        })
    }
}

/// The message names the field and the rule, never the value.
fn illegal(error: &FieldError) -> ResultInfo {
    ResultInfo::new(ResultCode::ParamIllegal, error.to_string())
}

/// What breaks a rule of its page is not sent: "unknown" makes the caller ask again, and harms nobody.
fn write<A: Answer>(answer: &A) -> Written {
    match wire::to_bytes(answer) {
        Ok(body) => Written { body: body.into(), result: answer.result().clone() },
        Err(error) => {
            tracing::error!(%error, "an answer breaks a rule");
            Written::only(ResultCode::UnknownException.into())
        }
    }
}

impl Written {
    /// `{"result":...}`, for answers that belong to no API.
    pub(super) fn only(result: ResultInfo) -> Self {
        let body = serde_json::json!({ "result": result }).to_string();
        Self { body: body.into(), result }
    }
}
