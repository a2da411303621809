//! Telling listener and monitor how a tap ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::TransactionRecord;
use super::{TapFailure, TapId};
use crate::context::Context;
use crate::host::{MonitorEvent, TransactionListener};

pub(super) fn completed(
    context: &Context,
    id: TapId,
    record: &TransactionRecord,
    listener: Arc<dyn TransactionListener>,
) {
    let transaction = record.transaction.clone();
    context.events.push(move || listener.on_complete(id, transaction));
    track(context, Some(record), "10000".to_owned());
}

pub(super) fn failed(
    context: &Context,
    id: TapId,
    record: Option<&TransactionRecord>,
    failure: TapFailure,
    listener: Arc<dyn TransactionListener>,
) {
    let transaction = record.map(|record| record.transaction.clone());
    if let Some(transaction) = transaction.clone().filter(|_| failure == TapFailure::CdcvmRequired) {
        let listener = Arc::clone(&listener);
        context.events.push(move || listener.on_auth_required(id, transaction));
    }
    context.events.push(move || listener.on_failed(id, failure, transaction));
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
