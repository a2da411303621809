//! `cancelPayment`.

use alipayplus::ResultCode;

use super::world::{DAY, MINUTE, NOON, World, key, on_each, pay, refund};
use crate::payments::{Pay, PaymentStatus};

/// 00:30 in UTC+8 on the day after.
const END_OF_WINDOW: i64 = NOON + DAY / 2 + 30 * MINUTE;

async fn cancel(world: &World, id: &str) -> ResultCode {
    world.payments.cancel(key(id)).await.unwrap()
}

async fn status(world: &World, id: &str) -> (PaymentStatus, ResultCode) {
    let payment = world.payments.inquiry(key(id)).await.unwrap().unwrap();
    (payment.status, payment.result())
}

#[test]
fn a_cancel_gives_everything_back_once() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 10_000);
        assert_eq!(status(world, "P1").await, (PaymentStatus::Closed, ResultCode::OrderIsClosed));
        let again = world.payments.pay(pay("P1", 1250)).await.unwrap();
        assert_eq!(again.result, ResultCode::OrderIsClosed);
        let late = world.payments.refund(refund("P1", "R1", 1)).await.unwrap();
        assert_eq!(late.result, ResultCode::OrderIsClosed);
    });
}

#[test]
fn a_payment_that_comes_after_its_cancel_is_closed() {
    on_each(async |world| {
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        let late = world.payments.pay(pay("P1", 1250)).await.unwrap();
        assert_eq!(late.result, ResultCode::OrderIsClosed);
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        assert_eq!(status(world, "P1").await, (PaymentStatus::Closed, ResultCode::OrderIsClosed));
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn a_cancel_is_taken_until_half_past_midnight_in_utc_8() {
    on_each(async |world| {
        for id in ["P1", "P2", "P3"] {
            world.payments.pay(pay(id, 100)).await.unwrap();
        }
        world.payments.pay(Pay { customer_id: "nobody".to_owned(), ..pay("failed", 100) }).await.unwrap();
        world.clock.set_ms(END_OF_WINDOW - 1000);
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        assert_eq!(cancel(world, "failed").await, ResultCode::Success);
        world.clock.set_ms(END_OF_WINDOW - 1);
        assert_eq!(cancel(world, "P2").await, ResultCode::Success);
        world.clock.set_ms(END_OF_WINDOW);
        assert_eq!(cancel(world, "P3").await, ResultCode::CancelWindowExceed);
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        assert_eq!(status(world, "P3").await, (PaymentStatus::Success, ResultCode::Success));
        assert_eq!(world.balance("alice").await, 9900);
    });
}

#[test]
fn a_payment_that_failed_stays_failed() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 9000)).await.unwrap();
        assert_eq!(cancel(world, "P1").await, ResultCode::Success);
        assert_eq!(status(world, "P1").await, (PaymentStatus::Failed, ResultCode::PaymentAmountExceedLimit));
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn a_cancel_after_refunds_gives_back_what_is_left() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        world.payments.pay(pay("P2", 1000)).await.unwrap();
        world.payments.refund(refund("P1", "R1", 250)).await.unwrap();
        world.payments.refund(refund("P2", "R2", 1000)).await.unwrap();
        assert_eq!((cancel(world, "P1").await, cancel(world, "P2").await), (ResultCode::Success, ResultCode::Success));
        assert_eq!(world.balance("alice").await, 10_000);
        let more = world.payments.refund(refund("P1", "R3", 1)).await.unwrap();
        assert_eq!(more.result, ResultCode::OrderIsClosed);
        let again = world.payments.refund(refund("P1", "R1", 250)).await.unwrap();
        assert_eq!(again.result, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn what_was_cancelled_does_not_count_for_the_day() {
    on_each(async |world| {
        for number in 0..20 {
            let id = format!("P{number}");
            assert_eq!(world.payments.pay(pay(&id, 8000)).await.unwrap().result, ResultCode::Success);
            assert_eq!(cancel(world, &id).await, ResultCode::Success);
        }
    });
}
