//! Taking an event and making its calls at once, for whoever waits for what it came to.

use std::sync::PoisonError;
use std::time::Duration;

use super::books::Call;
use super::events::{Expiry, Reversal, SchemeEvent, SchemeId};
use super::{CallKind, Gateway, GatewayError, Payment, RowId};

/// Between two looks at a call that another task makes.
const PAUSE: Duration = Duration::from_millis(2);

/// What an event came to, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// The row of the table that fitted.
    pub row: RowId,
    /// The calls that it asked for, each made at least once. One without a final answer is still due.
    pub calls: Vec<Call>,
}

impl Gateway {
    /// Takes `event` and makes its calls. The same event again makes none anew and answers the same.
    ///
    /// # Errors
    /// As [`Gateway::take`].
    pub async fn play(&self, event: &SchemeEvent) -> Result<Played, GatewayError> {
        let row = self.take(event)?;
        self.played(event, row).await
    }

    /// Plays `event` as [`Gateway::play`] does, if `check` allows it for its payment as that then stands. An
    /// event that was seen is not checked again.
    ///
    /// # Errors
    /// As [`Gateway::take`]; within, what `check` says.
    pub async fn play_if<E>(
        &self,
        event: &SchemeEvent,
        check: impl FnOnce(Option<&Payment>) -> Result<(), E>,
    ) -> Result<Result<Played, E>, GatewayError> {
        match self.take_if(event, check)? {
            Ok(row) => self.played(event, row).await.map(Ok),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Makes the calls of `event`, which was taken and came to `row`.
    pub(super) async fn played(&self, event: &SchemeEvent, row: RowId) -> Result<Played, GatewayError> {
        loop {
            self.work().await?;
            if !self.is_under_way(&self.calls_of(event)?) {
                // Read anew: another task may have ended a call since.
                return Ok(Played { row, calls: self.calls_of(event)? });
            }
            self.clock.sleep(PAUSE).await;
        }
    }

    fn calls_of(&self, event: &SchemeEvent) -> Result<Vec<Call>, GatewayError> {
        self.books.read(|work| {
            let mut calls = match event {
                SchemeEvent::Reversal(Reversal { auth_id, .. }) | SchemeEvent::Expiry(Expiry { auth_id, .. }) => {
                    work.calls_about(auth_id, CallKind::Cancel)?
                }
                SchemeEvent::Clearing(clearing) => work.calls_about(&SchemeId::beyond(&clearing.id), CallKind::Pay)?,
                _ => Vec::new(),
            };
            calls.extend(work.calls_back(event.id())?);
            Ok(calls)
        })
    }

    fn is_under_way(&self, calls: &[Call]) -> bool {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().any(|call| under_way.contains(&call.seq))
    }
}
