//! The audit finds what somebody changed by hand.

use super::world::{World, key, on_each, pay, refund};
use crate::ledger::{Finding, audit};
use crate::store::StoreError;

async fn change(world: &World, sql: &'static str) {
    let changed = world.store.write(move |tx| tx.execute(sql, &[])).await;
    assert!(matches!(changed, Ok(1..)), "{sql}: {changed:?}");
}

/// Makes `change`, audits, and makes `mend`.
async fn findings(world: &World, sql: &'static str, mend: &'static str) -> Vec<(Finding, String)> {
    change(world, sql).await;
    let found = audit(&world.store).await.unwrap().findings;
    change(world, mend).await;
    assert!(found.iter().all(|found| found.count == found.names.len() as u64));
    found.into_iter().map(|found| (found.finding, found.names.join(" "))).collect()
}

#[test]
fn each_change_by_hand_is_found() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1000)).await.unwrap();
        world.payments.refund(refund("P1", "R1", 100)).await.unwrap();
        world.payments.pay(pay("P2", 1000)).await.unwrap();
        world.payments.cancel(key("P2")).await.unwrap();
        let changes = [
            (
                "UPDATE users SET balance = balance + 1",
                "UPDATE users SET balance = balance - 1",
                vec![(Finding::Balance, "alice")],
            ),
            (
                "UPDATE journal SET credit = 'user:nobody' WHERE entry = 'refund:R1'",
                "UPDATE journal SET credit = 'user:alice' WHERE entry = 'refund:R1'",
                vec![(Finding::Balance, "alice"), (Finding::Orphan, "user:nobody"), (Finding::Refund, "R1")],
            ),
            (
                "UPDATE journal SET amount = 1001 WHERE entry = 'pay:P1'",
                "UPDATE journal SET amount = 1000 WHERE entry = 'pay:P1'",
                vec![(Finding::Balance, "alice"), (Finding::Payment, "P1")],
            ),
            (
                "UPDATE payments SET status = 'FAILED' WHERE payment_request_id = 'P1'",
                "UPDATE payments SET status = 'PARTIALLY_REFUNDED' WHERE payment_request_id = 'P1'",
                vec![(Finding::Payment, "P1")],
            ),
            (
                "UPDATE payments SET refunded_charged = 101 WHERE payment_request_id = 'P1'",
                "UPDATE payments SET refunded_charged = 100 WHERE payment_request_id = 'P1'",
                vec![(Finding::Refunds, "P1")],
            ),
            (
                "UPDATE refunds SET result_code = 'PROCESS_FAIL'",
                "UPDATE refunds SET result_code = 'SUCCESS'",
                vec![(Finding::Refunds, "P1"), (Finding::Refund, "R1")],
            ),
            (
                "UPDATE journal SET entry = 'cancel:P3' WHERE entry = 'cancel:P2'",
                "UPDATE journal SET entry = 'cancel:P2' WHERE entry = 'cancel:P3'",
                vec![(Finding::Cancel, "P2")],
            ),
        ];
        for (sql, mend, expected) in changes {
            let expected: Vec<_> = expected.into_iter().map(|(finding, name)| (finding, name.to_owned())).collect();
            assert_eq!(findings(world, sql, mend).await, expected, "{sql}");
        }
    });
}

#[test]
fn the_database_refuses_a_balance_below_zero_and_an_entry_to_nowhere() {
    on_each(async |world| {
        for sql in [
            "UPDATE users SET balance = -1",
            "INSERT INTO journal VALUES ('x', 'a', 'a', 'EUR', 1, 0)",
            "INSERT INTO journal VALUES ('x', 'a', 'b', 'EUR', 0, 0)",
        ] {
            let refused = world.store.write(move |tx| tx.execute(sql, &[])).await;
            assert!(matches!(refused, Err(StoreError::Statement { .. })), "{sql}: {refused:?}");
        }
    });
}
