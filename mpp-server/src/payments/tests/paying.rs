//! `pay` and `inquiryPayment`.

use alipayplus::ResultCode;

use super::world::{key, on_each, pay};
use crate::payments::PaymentStatus;

#[test]
fn a_payment_takes_the_money_once() {
    on_each(async |world| {
        let first = world.payments.pay(pay("P1", 12_50)).await.unwrap();
        let second = world.payments.pay(pay("P1", 12_50)).await.unwrap();
        assert_eq!(first.result, ResultCode::Success);
        assert_eq!(first, second);
        assert_eq!(world.balance("alice").await, 87_50);
        let payment = world.payments.inquiry(key("P1")).await.unwrap().unwrap();
        assert_eq!((payment.status, payment.result()), (PaymentStatus::Success, ResultCode::Success));
    });
}
