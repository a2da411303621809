//! Telling listener and monitor how a tap ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::TransactionRecord;
use super::leftovers::Leftovers;
use super::tap::Happened;
use super::taps::AfterTap;
use super::{CdcvmMethod, TapFailure, TapId, TerminalType, TransactionInformation};
use crate::context::Context;
use crate::host::MonitorEvent;

/// Queues events, in their order, and calls nothing of the host.
pub(super) fn queue(context: &Context, happened: impl IntoIterator<Item = Happened>) -> AfterTap {
    let mut left: Option<Leftovers> = None;
    for event in happened {
        let (row, look_at_stock) = match event {
            Happened::Started(id) => {
                let listener = Arc::clone(&context.calls.host().transactions);
                context.tap_events.push(move || listener.on_start(id));
                continue;
            }
            Happened::Completed(id, user, record, proof) => {
                completed(context, id, &record, proof);
                (Some((user, record)), true)
            }
            Happened::Failed(id, row, failure) => {
                failed(context, id, row.as_ref().map(|(_, record)| &**record), failure);
                // A tap that failed in itself may have spent a credential all the same.
                (row, matches!(failure, TapFailure::InsufficientCredentials | TapFailure::Internal))
            }
        };
        let left = left.get_or_insert_default();
        left.rows.extend(row);
        left.look_at_stock |= look_at_stock;
    }
    left.map_or(AfterTap::Nothing, AfterTap::TapEnded)
}

fn completed(context: &Context, id: TapId, record: &TransactionRecord, proof: Option<CdcvmMethod>) {
    let listener = Arc::clone(&context.calls.host().transactions);
    let told = record.clone();
    context.tap_events.push(move || listener.on_complete(id, told));
    track(context, Some(&record.transaction), proof, 10_000);
}

fn failed(context: &Context, id: TapId, record: Option<&TransactionRecord>, failure: TapFailure) {
    let listener = Arc::clone(&context.calls.host().transactions);
    let transaction = record.map(|record| record.transaction.clone());
    if let Some(transaction) = transaction.clone().filter(|_| failure == TapFailure::CdcvmRequired) {
        let listener = Arc::clone(&listener);
        context.tap_events.push(move || listener.on_auth_required(id, transaction));
    }
    context.tap_events.push(move || listener.on_failed(id, failure, transaction));
    track(context, record.map(|record| &record.transaction), None, failure.code());
}

/// `EVENT_TRANSACTION`: the members of the field's transaction context by their names, and more. What
/// is unknown is left out. So is the merchant's name: a measurement need not say where somebody was.
fn track(
    context: &Context,
    transaction: Option<&TransactionInformation>,
    proof: Option<CdcvmMethod>,
    result_code: u32,
) {
    let mut fields = transaction.map(fields_of).unwrap_or_default();
    fields.insert("resultCode", result_code.to_string());
    fields.extend(proof.map(|method| ("cdcvmMethod", method.code().to_string())));
    context.track(MonitorEvent { id: "EVENT_TRANSACTION", fields });
}

/// Amounts in minor units; codes with the digits of their standard.
fn fields_of(transaction: &TransactionInformation) -> BTreeMap<&'static str, String> {
    let mut fields = BTreeMap::from([
        ("amount", transaction.amount_minor.to_string()),
        ("currencyCode", format!("{:03}", transaction.currency)),
        ("terminalCountry", format!("{:03}", transaction.terminal_country)),
    ]);
    let other = Some(transaction.other_amount_minor).filter(|minor| *minor > 0);
    fields.extend(other.map(|minor| ("otherAmount", minor.to_string())));
    fields.extend(transaction.merchant_category.map(|category| ("mcc", format!("{category:04}"))));
    fields.extend(transaction.range.field_name().map(|name| ("transactionRange", name.to_owned())));
    fields.extend(transaction.kind.field_name().map(|name| ("richTransactionType", name.to_owned())));
    let terminal_type = transaction.terminal.terminal_type;
    fields.extend(terminal_type.map(|TerminalType(code)| ("terminalType", format!("{code:02X}"))));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::{TerminalInformation, TransactionKind, TransactionRange};

    #[test]
    fn the_fields_have_the_fields_names_and_their_standards_digits() {
        let transaction = TransactionInformation {
            other_amount_minor: 2_000,
            currency: 36,
            terminal_country: 36,
            merchant_category: Some(742),
            merchant_name: Some("Doctor".to_owned()),
            kind: TransactionKind::PurchaseWithCashback,
            range: TransactionRange::HighValue,
            terminal: TerminalInformation { terminal_type: Some(TerminalType(0x22)), ..TerminalInformation::default() },
            ..TransactionInformation::of(3_000)
        };
        let expected = [
            ("amount", "3000"),
            ("currencyCode", "036"),
            ("mcc", "0742"),
            ("otherAmount", "2000"),
            ("richTransactionType", "PURCHASE_WITH_CASHBACK"),
            ("terminalCountry", "036"),
            ("terminalType", "22"),
            ("transactionRange", "HVT-High Value"),
        ];
        assert_eq!(fields_of(&transaction), expected.map(|(name, value)| (name, value.to_owned())).into());
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let transaction = TransactionInformation {
            merchant_category: None,
            kind: TransactionKind::Other(0x77),
            range: TransactionRange::Unknown,
            ..TransactionInformation::of(0)
        };
        let names: Vec<&str> = fields_of(&transaction).into_keys().collect();
        assert_eq!(names, ["amount", "currencyCode", "terminalCountry"]);
    }
}
