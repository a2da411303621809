//! `adjustRefund`.

use alipayplus::ResultCode;

use super::world::{World, amount, eur, on_each, pay};
use crate::accounts::UserStatus;
use crate::payments::{AdjustRefund, Pay, Scenario};

fn unlinked(id: &str, value: u64) -> AdjustRefund {
    AdjustRefund {
        acquirer_id: Some("ACQ1".to_owned()),
        psp_id: "PSP1".to_owned(),
        scenario: Scenario::Unlinked,
        refund_request_id: id.to_owned(),
        payment_request_id: None,
        payment_id: None,
        customer_id: Some("alice".to_owned()),
        amount: eur(value),
        from_amount: None,
        key_parameters: format!("{value} EUR"),
    }
}

fn above(id: &str, payment: &str, value: u64) -> AdjustRefund {
    let payment_request_id = Some(payment.to_owned());
    AdjustRefund { scenario: Scenario::Exceed, payment_request_id, customer_id: None, ..unlinked(id, value) }
}

async fn result(world: &World, adjust: AdjustRefund) -> ResultCode {
    world.payments.adjust_refund(adjust).await.unwrap().result
}

#[test]
fn money_without_a_payment_reaches_the_user_once() {
    on_each(async |world| {
        world.accounts.set_status("alice", UserStatus::Closed).await.unwrap();
        let first = world.payments.adjust_refund(unlinked("A1", 500)).await.unwrap();
        assert_eq!(first.result, ResultCode::Success);
        assert_eq!(world.payments.adjust_refund(unlinked("A1", 500)).await.unwrap(), first);
        assert_eq!(result(world, unlinked("A1", 501)).await, ResultCode::RepeatReqInconsistent);
        assert_eq!(world.balance("alice").await, 10_500);
    });
}

#[test]
fn the_part_above_a_payment_reaches_the_payments_user() {
    on_each(async |world| {
        world.user("bob", 1).await;
        world.payments.pay(pay("P1", 1000)).await.unwrap();
        // The same id as the refund of the payment itself: each call has its own.
        let refund = world.payments.refund(super::world::refund("P1", "X1", 1000)).await.unwrap();
        assert_eq!(refund.result, ResultCode::Success);
        let misled = AdjustRefund { customer_id: Some("bob".to_owned()), ..above("X1", "P1", 250) };
        assert_eq!(result(world, misled).await, ResultCode::Success);
        let in_yen = AdjustRefund { amount: amount(100, "JPY"), from_amount: Some(eur(61)), ..above("X2", "P1", 1) };
        assert_eq!(result(world, in_yen).await, ResultCode::Success);
        assert_eq!((world.balance("alice").await, world.balance("bob").await), (10_311, 1));
    });
}

#[test]
fn a_payment_is_found_by_either_name_and_by_its_own_acquirer_only() {
    on_each(async |world| {
        let paid = world.payments.pay(pay("P1", 1000)).await.unwrap().payment.unwrap();
        let payment_id = Some(paid.order.unwrap().payment_id);
        let by_our_name = AdjustRefund { payment_request_id: None, payment_id, ..above("A1", "P1", 250) };
        let answer = world.payments.adjust_refund(by_our_name.clone()).await.unwrap();
        assert_eq!(answer.result, ResultCode::Success);
        assert_eq!(answer.refund.unwrap().payment_request_id.as_deref(), Some("P1"));
        let of_nobody = AdjustRefund { acquirer_id: None, ..above("A2", "P1", 250) };
        assert_eq!(result(world, of_nobody.clone()).await, ResultCode::Success);
        assert_eq!(result(world, of_nobody.clone()).await, ResultCode::Success);
        assert_eq!(result(world, above("A2", "P1", 250)).await, ResultCode::RepeatReqInconsistent);
        for other in [by_our_name, of_nobody] {
            let other = AdjustRefund {
                acquirer_id: Some("ACQ2".to_owned()),
                refund_request_id: format!("{} again", other.refund_request_id),
                ..other
            };
            assert_eq!(result(world, other).await, ResultCode::UserNotExist);
        }
        assert_eq!(world.balance("alice").await, 9500);
    });
}

#[test]
fn the_part_above_a_payment_comes_back_at_the_payments_rate() {
    on_each(async |world| {
        let in_yen = Pay { amount: amount(1000, "JPY"), pay_to_amount: Some(eur(610)), ..pay("P1", 1) };
        assert_eq!(world.payments.pay(in_yen).await.unwrap().result, ResultCode::Success);
        let yen = |id: &str, value: u64| AdjustRefund { amount: amount(value, "JPY"), ..above(id, "P1", 1) };
        assert_eq!(result(world, yen("A1", 100)).await, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 10_000 - 610 + 61);
        // More than the payment itself.
        assert_eq!(result(world, yen("A2", 2000)).await, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 10_000 - 610 + 61 + 1220);
        let dollars = AdjustRefund { amount: amount(1, "USD"), ..above("A4", "P1", 1) };
        assert_eq!(result(world, dollars).await, ResultCode::CurrencyNotSupport);
    });
}

#[test]
fn only_what_is_wrong_with_the_request_is_refused() {
    on_each(async |world| {
        let nobody = AdjustRefund { customer_id: None, ..unlinked("A1", 1) };
        let stranger = AdjustRefund { customer_id: Some("stranger".to_owned()), ..unlinked("A2", 1) };
        let yen = AdjustRefund { amount: amount(1, "JPY"), ..unlinked("A3", 1) };
        assert_eq!(result(world, nobody).await, ResultCode::ParamIllegal);
        assert_eq!(result(world, unlinked("A1", 0)).await, ResultCode::ParamIllegal);
        assert_eq!(result(world, stranger).await, ResultCode::UserNotExist);
        assert_eq!(result(world, above("A4", "P1", 1)).await, ResultCode::UserNotExist);
        assert_eq!(result(world, yen).await, ResultCode::CurrencyNotSupport);
        assert_eq!(result(world, unlinked("A5", alipayplus::Amount::MAX)).await, ResultCode::ProcessFail);
        assert_eq!(world.balance("alice").await, 10_000);
    });
}
