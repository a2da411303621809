//! `adjustRefund`.

use alipayplus::ResultCode;

use super::world::{World, amount, eur, on_each, pay};
use crate::accounts::UserStatus;
use crate::payments::{AdjustRefund, Scenario};

fn unlinked(id: &str, value: u64) -> AdjustRefund {
    AdjustRefund {
        acquirer_id: "ACQ1".to_owned(),
        psp_id: "PSP1".to_owned(),
        scenario: Scenario::Unlinked,
        refund_request_id: id.to_owned(),
        payment_request_id: None,
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
