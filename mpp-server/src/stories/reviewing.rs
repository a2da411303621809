//! Payments that risk control refuses, or wants to look at.

use std::sync::Arc;

use alipayplus::ResultCode;

use super::world::{MINUTE, World, key, on_each, pay, play, refund};
use crate::payments::{Decision, Pay, PaymentStatus, Policy, Risk, Verdict};

/// Refuses 6.66, and looks at all others.
struct Careful;

impl Risk for Careful {
    fn assess(&self, pay: &Pay) -> Verdict {
        if pay.amount.value == 666 { Verdict::Reject } else { Verdict::Review }
    }
}

fn carefully(story: impl AsyncFn(&World)) {
    play(Arc::new(Careful), Policy::default(), story);
}

#[test]
fn risk_control_refuses() {
    carefully(async |world| {
        assert_eq!(world.payments.pay(pay("P1", 666)).await.unwrap().result, ResultCode::RiskReject);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn a_payment_in_process_takes_money_when_it_is_accepted() {
    carefully(async |world| {
        assert_eq!(world.payments.pay(pay("P1", 1250)).await.unwrap().result, ResultCode::PaymentInProcess);
        assert_eq!(world.payments.pay(pay("P1", 1250)).await.unwrap().result, ResultCode::PaymentInProcess);
        let early = world.payments.refund(refund("P1", "R1", 1)).await.unwrap();
        assert_eq!(early.result, ResultCode::PaymentInProcess);
        assert_eq!(world.balance("alice").await, 10_000);
        world.clock.advance_ms(1000);
        let decided = world.payments.decide("P1", Decision::Accept).await.unwrap().unwrap();
        assert_eq!(decided.status, PaymentStatus::Success);
        let again = world.payments.decide("P1", Decision::Reject).await.unwrap().unwrap();
        assert_eq!(again.status, PaymentStatus::Success);
        assert_eq!(world.payments.pay(pay("P1", 1250)).await.unwrap().result, ResultCode::Success);
        assert_eq!(world.payments.refund(refund("P1", "R1", 1)).await.unwrap().result, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 8751);
    });
}

#[test]
fn the_account_decides_as_it_is_then() {
    carefully(async |world| {
        for (id, value) in [("P1", 6000), ("P2", 6000), ("P3", 1)] {
            assert_eq!(world.payments.pay(pay(id, value)).await.unwrap().result, ResultCode::PaymentInProcess);
        }
        let mut results = Vec::new();
        for (id, decision) in [("P1", Decision::Accept), ("P2", Decision::Accept), ("P3", Decision::Reject)] {
            results.push(world.payments.decide(id, decision).await.unwrap().unwrap().result());
        }
        assert_eq!(results, [ResultCode::Success, ResultCode::UserBalanceNotEnough, ResultCode::RiskReject]);
        assert_eq!(world.payments.decide("P4", Decision::Accept).await.unwrap(), None);
    });
}

#[test]
fn what_is_cancelled_while_in_process_is_never_paid() {
    carefully(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        assert_eq!(world.payments.cancel(key("P1")).await.unwrap(), ResultCode::Success);
        let late = world.payments.decide("P1", Decision::Accept).await.unwrap().unwrap();
        assert_eq!(late.result(), ResultCode::OrderIsClosed);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn what_is_not_decided_in_time_is_closed() {
    carefully(async |world| {
        world.payments.pay(pay("P1", 1)).await.unwrap();
        world.payments.pay(Pay { expires_at_ms: None, ..pay("P2", 1) }).await.unwrap();
        world.payments.pay(pay("P3", 1)).await.unwrap();
        world.clock.advance_ms(MINUTE - 1);
        assert_eq!(world.payments.close_overdue(10).await.unwrap(), 0);
        world.clock.advance_ms(1);
        let late = world.payments.decide("P3", Decision::Accept).await.unwrap().unwrap();
        assert_eq!(late.result(), ResultCode::OrderIsClosed);
        assert_eq!(world.payments.close_overdue(10).await.unwrap(), 1);
        let closed = world.payments.inquiry(key("P1")).await.unwrap().unwrap();
        assert_eq!((closed.status, closed.result()), (PaymentStatus::Closed, ResultCode::OrderIsClosed));
        assert_eq!(world.notices.lease(10).await.unwrap().len(), 2);
    });
}

#[test]
fn a_review_cannot_save_what_the_account_refuses() {
    carefully(async |world| {
        let pay = Pay { customer_id: "nobody".to_owned(), ..pay("P1", 1) };
        assert_eq!(world.payments.pay(pay).await.unwrap().result, ResultCode::UserNotExist);
    });
    on_each(async |world| assert!(world.notices.lease(1).await.unwrap().is_empty()));
}
