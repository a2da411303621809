//! `refund`.

use alipayplus::{Amount, ResultCode};

use super::world::{DAY, NOON, World, amount, eur, key, on_each, pay, refund};
use crate::accounts::UserStatus;
use crate::payments::{Pay, PaymentStatus, Quote, Refund};

async fn result(world: &World, refund: Refund) -> ResultCode {
    world.payments.refund(refund).await.unwrap().result
}

/// 1000 JPY for 610 cents.
async fn pay_in_yen(world: &World) {
    let quote = Quote { id: None, pair: "JPY/EUR".to_owned(), price: "0.0061".to_owned() };
    let pay = Pay { amount: amount(1000, "JPY"), pay_to_amount: Some(eur(610)), quote: Some(quote), ..pay("P1", 1) };
    assert_eq!(world.payments.pay(pay).await.unwrap().result, ResultCode::Success);
}

fn in_yen(id: &str, value: u64, from_amount: Option<Amount>) -> Refund {
    Refund { amount: amount(value, "JPY"), from_amount, key_parameters: format!("{value} JPY"), ..refund("P1", id, 1) }
}

#[test]
fn refunds_come_back_until_the_payment_is_whole() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        let first = world.payments.refund(refund("P1", "R1", 1000)).await.unwrap();
        assert_eq!(first.result, ResultCode::Success);
        let status = world.payments.inquiry(key("P1")).await.unwrap().unwrap().status;
        assert_eq!(status, PaymentStatus::PartiallyRefunded);
        assert_eq!(result(world, refund("P1", "R2", 251)).await, ResultCode::RefundAmountExceed);
        assert_eq!(result(world, refund("P1", "R3", 250)).await, ResultCode::Success);
        assert_eq!(result(world, refund("P1", "R4", 1)).await, ResultCode::RefundAmountExceed);
        world.clock.advance_ms(1000);
        assert_eq!(world.payments.refund(refund("P1", "R1", 1000)).await.unwrap(), first);
        assert_eq!(result(world, refund("P1", "R2", 251)).await, ResultCode::RefundAmountExceed);
        let payment = world.payments.inquiry(key("P1")).await.unwrap().unwrap();
        assert_eq!((payment.status, payment.result()), (PaymentStatus::Refunded, ResultCode::Success));
        assert_eq!(world.payments.refunds("P1").await.unwrap().len(), 2);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn a_repeat_with_other_parameters_is_refused() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        world.payments.pay(pay("P2", 1250)).await.unwrap();
        assert_eq!(result(world, refund("P1", "R1", 100)).await, ResultCode::Success);
        assert_eq!(result(world, refund("P1", "R1", 101)).await, ResultCode::RepeatReqInconsistent);
        assert_eq!(result(world, refund("P2", "R1", 100)).await, ResultCode::RepeatReqInconsistent);
        assert_eq!(world.balance("alice").await, 7600);
    });
}

#[test]
fn what_was_not_paid_is_not_refunded() {
    on_each(async |world| {
        assert_eq!(result(world, refund("P1", "R1", 1)).await, ResultCode::OrderNotExist);
        world.payments.pay(pay("P1", 9000)).await.unwrap();
        assert_eq!(result(world, refund("P1", "R2", 1)).await, ResultCode::OrderIsClosed);
        world.payments.pay(pay("P2", 1000)).await.unwrap();
        let other_name = Refund { payment_id: Some("not this one".to_owned()), ..refund("P2", "R3", 1) };
        assert_eq!(result(world, other_name).await, ResultCode::OrderNotExist);
        assert_eq!(result(world, refund("P2", "R4", 0)).await, ResultCode::ParamIllegal);
        let dollars = Refund { amount: amount(1, "USD"), ..refund("P2", "R5", 1) };
        assert_eq!(result(world, dollars).await, ResultCode::CurrencyNotSupport);
        // The first answer stands, although the payment has come since.
        assert_eq!(result(world, refund("P1", "R1", 1)).await, ResultCode::OrderNotExist);
        assert_eq!(world.balance("alice").await, 9000);
    });
}

#[test]
fn a_refund_is_taken_for_366_days() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        let end = NOON + 366 * DAY + DAY / 2;
        world.clock.set_ms(end - 1);
        assert_eq!(result(world, refund("P1", "R1", 100)).await, ResultCode::Success);
        world.clock.set_ms(end);
        assert_eq!(result(world, refund("P1", "R2", 100)).await, ResultCode::RefundWindowExceed);
        assert_eq!(world.balance("alice").await, 8850);
    });
}

#[test]
fn a_frozen_user_gets_a_refund() {
    on_each(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        world.accounts.set_status("alice", UserStatus::Frozen).await.unwrap();
        assert_eq!(result(world, refund("P1", "R1", 1250)).await, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}

#[test]
fn refunds_at_the_payments_rate_lose_no_unit() {
    on_each(async |world| {
        pay_in_yen(world).await;
        for (number, value) in [333, 333, 333, 1].into_iter().enumerate() {
            assert_eq!(result(world, in_yen(&format!("R{number}"), value, None)).await, ResultCode::Success);
        }
        assert_eq!(world.balance("alice").await, 10_000);
        let credited: Vec<_> =
            world.payments.refunds("P1").await.unwrap().iter().map(|refund| refund.credited.unwrap().value).collect();
        assert_eq!(credited, [203, 203, 203, 1]);
    });
}

#[test]
fn the_provider_bears_what_the_last_refund_was_rounded_by() {
    for last in [2, 1, 3] {
        on_each(async |world| {
            pay_in_yen(world).await;
            assert_eq!(result(world, in_yen("R1", 500, Some(eur(304)))).await, ResultCode::Success);
            assert_eq!(result(world, in_yen("R2", 497, Some(eur(304)))).await, ResultCode::Success);
            // 2 cents are left, and Alipay+ gives 1, 2 or 3.
            assert_eq!(result(world, in_yen("R3", 3, Some(eur(last)))).await, ResultCode::Success);
            assert_eq!(world.balance("alice").await, 10_000);
        });
    }
}

#[test]
fn more_than_is_left_in_the_users_currency_is_refused() {
    on_each(async |world| {
        pay_in_yen(world).await;
        assert_eq!(result(world, in_yen("R1", 500, Some(eur(611)))).await, ResultCode::RefundAmountExceed);
        assert_eq!(result(world, in_yen("R2", 1000, Some(eur(700)))).await, ResultCode::RefundAmountExceed);
        assert_eq!(result(world, in_yen("R3", 500, Some(amount(305, "USD")))).await, ResultCode::CurrencyNotSupport);
        assert_eq!(result(world, in_yen("R4", 1000, Some(eur(610)))).await, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}
