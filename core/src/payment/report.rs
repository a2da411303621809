//! Telling listener and monitor how a tap ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::TransactionRecord;
use super::tap::Happened;
use super::taps::AfterTap;
use super::{TapFailure, TapId};
use crate::context::Context;
use crate::host::MonitorEvent;

/// Queues events, in their order, and calls nothing of the host.
pub(super) fn queue(context: &Context, happened: impl IntoIterator<Item = Happened>) -> AfterTap {
    let mut ended = false;
    let mut rows = Vec::new();
    for event in happened {
        let row = match event {
            Happened::Started(id) => {
                let listener = Arc::clone(&context.calls.host().transactions);
                context.tap_events.push(move || listener.on_start(id));
                continue;
            }
            Happened::Completed(id, user, record) => {
                completed(context, id, &record);
                Some((user, record))
            }
            Happened::Failed(id, row, failure) => {
                failed(context, id, row.as_ref().map(|(_, record)| &**record), failure);
                row
            }
        };
        ended = true;
        rows.extend(row);
    }
    if ended { AfterTap::TapEnded(rows) } else { AfterTap::Nothing }
}

fn completed(context: &Context, id: TapId, record: &TransactionRecord) {
    let listener = Arc::clone(&context.calls.host().transactions);
    let told = record.clone();
    context.tap_events.push(move || listener.on_complete(id, told));
    track(context, Some(record), "10000".to_owned());
}

fn failed(context: &Context, id: TapId, record: Option<&TransactionRecord>, failure: TapFailure) {
    let listener = Arc::clone(&context.calls.host().transactions);
    let transaction = record.map(|record| record.transaction.clone());
    if let Some(transaction) = transaction.clone().filter(|_| failure == TapFailure::CdcvmRequired) {
        let listener = Arc::clone(&listener);
        context.tap_events.push(move || listener.on_auth_required(id, transaction));
    }
    context.tap_events.push(move || listener.on_failed(id, failure, transaction));
    track(context, record, failure.code().to_string());
}

/// `EVENT_TRANSACTION`.
fn track(context: &Context, record: Option<&TransactionRecord>, code: String) {
    let mut fields = BTreeMap::from([("resultCode", code)]);
    if let Some(record) = record {
        fields.insert("currencyCode", record.transaction.currency.to_string());
        fields.insert("amount", record.transaction.amount_minor.to_string());
    }
    context.track(MonitorEvent { id: "EVENT_TRANSACTION", fields });
}
