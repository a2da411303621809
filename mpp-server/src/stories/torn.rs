//! A payment that comes between two statements of another command: PostgreSQL shows it to the second one
//! alone.

use std::sync::{Arc, mpsc};

use alipayplus::ResultCode;

use super::world::{World, key, pay, play_on_postgres, refund};
use crate::payments::{Decision, NoRisk, Pay, PaymentStatus, Payments, Policy, Risk, Verdict};
use crate::store::{Store, StoreError};

/// Sessions of this name wait at the gate, inside of a statement, whose snapshot is taken by then.
const GATE: [&str; 3] = [
    "CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN
        IF current_setting('application_name') = 'gated' THEN PERFORM pg_advisory_xact_lock(7); END IF;
        RETURN true;
    END $$",
    "ALTER TABLE users RENAME TO all_users",
    "CREATE VIEW users AS SELECT * FROM all_users WHERE gate()",
];
const SHUT: &str = "SELECT 1 FROM pg_advisory_xact_lock(7)";
const AT_THE_GATE: &str = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Leaves payments in process whose id says so.
struct ReviewSome;

impl Risk for ReviewSome {
    fn assess(&self, pay: &Pay) -> Verdict {
        if pay.key.payment_request_id.starts_with("open") { Verdict::Review } else { Verdict::Accept }
    }
}

/// Runs `command`, and lets `payment` come when it has looked for the payment's user and not yet for the
/// payment.
async fn between<T>(world: &World, payment: Pay, command: impl AsyncFnOnce(Payments) -> T) -> T {
    let store = Store::open(&format!("{}?application_name=gated", world.url())).unwrap();
    let gated = Payments::new(store, world.clock.clone(), Arc::new(NoRisk), Policy::default());
    let (open, opened) = mpsc::channel::<()>();
    let (tell, is_shut) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let shut = world.store.write(move |tx| {
        tx.query_one(SHUT, &[])?;
        tell.take().unwrap().send(()).unwrap();
        opened.recv().unwrap();
        Ok::<_, StoreError>(())
    });
    let comes = async {
        is_shut.await.unwrap();
        let waits = async || {
            let read = world.store.read(|tx| tx.query_one(AT_THE_GATE, &[])?.map_or(Ok(0), |mut row| row.unsigned()));
            read.await.map_err(|error: StoreError| error).unwrap() > 0
        };
        let comes = async {
            while !waits().await {
                tokio::task::yield_now().await;
            }
            world.payments.pay(payment).await.unwrap();
            open.send(()).unwrap();
        };
        tokio::join!(comes, command(gated)).1
    };
    let (shut, done) = tokio::join!(shut, comes);
    shut.unwrap();
    done
}

fn on_postgres(story: impl AsyncFn(&World)) {
    play_on_postgres(Arc::new(ReviewSome), async |world: &World| {
        for sql in GATE {
            world.store.write(move |tx| tx.execute(sql, &[])).await.map_err(|error: StoreError| error).unwrap();
        }
        story(world).await;
    });
}

#[test]
fn a_payment_that_comes_during_its_cancel_is_given_back() {
    on_postgres(async |world| {
        let cancelled = between(world, pay("P1", 1000), async |gated| gated.cancel(key("P1")).await).await;
        assert_eq!(cancelled, Ok(ResultCode::Success));
        let payment = world.payments.inquiry(key("P1")).await.unwrap().unwrap();
        assert_eq!((payment.status, world.balance("alice").await), (PaymentStatus::Closed, 10_000));
    });
}

#[test]
fn a_payment_that_comes_during_its_refund_is_refunded() {
    on_postgres(async |world| {
        let refunded = between(world, pay("P1", 1000), async |gated| gated.refund(refund("P1", "R1", 400)).await).await;
        assert_eq!(refunded.unwrap().result, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 9400);
    });
}

#[test]
fn a_payment_that_comes_during_its_decision_is_paid() {
    on_postgres(async |world| {
        let decide = async |gated: Payments| gated.decide("open", Decision::Accept).await;
        let decided = between(world, pay("open", 1000), decide).await.unwrap().unwrap();
        assert_eq!((decided.status, world.balance("alice").await), (PaymentStatus::Success, 9000));
    });
}
