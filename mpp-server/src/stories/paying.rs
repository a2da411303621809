//! `pay` and `inquiryPayment`.

use std::collections::HashSet;

use alipayplus::{Amount, ResultCode};
use futures_util::future::join_all;

use super::world::{DAY, MINUTE, NOON, World, amount, eur, key, on_each, pay};
use crate::accounts::UserStatus;
use crate::payments::{Pay, PaymentStatus, Quote};

async fn result(world: &World, pay: Pay) -> ResultCode {
    world.payments.pay(pay).await.unwrap().result
}

#[test]
fn a_payment_takes_the_money_once() {
    on_each(async |world| {
        let first = world.payments.pay(pay("P1", 1250)).await.unwrap();
        world.clock.advance_ms(1000);
        let second = world.payments.pay(pay("P1", 1250)).await.unwrap();
        assert_eq!(first.result, ResultCode::Success);
        assert_eq!(first, second);
        assert_eq!(world.balance("alice").await, 8750);
        let payment = world.payments.inquiry(key("P1")).await.unwrap().unwrap();
        assert_eq!((payment.status, payment.result()), (PaymentStatus::Success, ResultCode::Success));
        assert_eq!((payment.created_at_ms, payment.payment_time_ms), (NOON, Some(NOON)));
    });
}

#[test]
fn a_repeat_with_other_parameters_is_refused() {
    on_each(async |world| {
        assert_eq!(result(world, pay("P1", 1250)).await, ResultCode::Success);
        assert_eq!(result(world, pay("P1", 1251)).await, ResultCode::RepeatReqInconsistent);
        // Compared before anything else: an illegal amount is another amount.
        assert_eq!(result(world, pay("P1", 0)).await, ResultCode::RepeatReqInconsistent);
        let mut of_another = pay("P1", 1250);
        of_another.key.acquirer_id = "ACQ2".to_owned();
        assert_eq!(result(world, of_another).await, ResultCode::RepeatReqInconsistent);
        assert_eq!(world.balance("alice").await, 8750);
    });
}

#[test]
fn each_rule_has_its_code_and_takes_nothing() {
    on_each(async |world| {
        for (name, balance) in [("frozen", 5000), ("closed", 5000), ("unknown-to-us", 5000), ("rich", 100_000)] {
            world.user(name, balance).await;
        }
        world.accounts.set_status("frozen", UserStatus::Frozen).await.unwrap();
        world.accounts.set_status("closed", UserStatus::Closed).await.unwrap();
        world.accounts.set_kyc("unknown-to-us", false).await.unwrap();
        for (number, rich) in [7000, 8000].into_iter().enumerate() {
            let rich = Pay { customer_id: "rich".to_owned(), ..pay(&format!("R{number}"), rich) };
            assert_eq!(result(world, rich).await, ResultCode::Success);
        }
        let of = |name: &str, value| Pay { customer_id: name.to_owned(), ..pay("?", value) };
        let expired = Pay { expires_at_ms: Some(NOON), ..pay("?", 1) };
        let yen = Pay { pay_to_amount: Some(amount(100, "JPY")), ..pay("?", 1) };
        let rules = [
            (of("nobody", 1), ResultCode::UserNotExist),
            (of("frozen", 1), ResultCode::UserStatusAbnormal),
            (of("closed", 1), ResultCode::UserStatusAbnormal),
            (of("unknown-to-us", 1), ResultCode::UserKycNotQualified),
            (of("rich", 8001), ResultCode::PaymentAmountExceedLimit),
            (of("rich", 1), ResultCode::UserAmountExceedLimit),
            (yen, ResultCode::CurrencyNotSupport),
            (expired, ResultCode::OrderIsClosed),
        ];
        for (number, (mut pay, code)) in rules.into_iter().enumerate() {
            pay.key = key(&format!("F{number}"));
            let first = world.payments.pay(pay.clone()).await.unwrap();
            assert_eq!(first.result, code);
            assert_eq!(world.payments.pay(pay.clone()).await.unwrap(), first);
            assert_eq!(world.payments.inquiry(pay.key).await.unwrap().unwrap().result(), code);
        }
        assert_eq!((world.balance("alice").await, world.balance("rich").await), (10_000, 85_000));
    });
}

#[test]
fn a_payment_that_was_refused_stays_refused() {
    on_each(async |world| {
        world.user("bob", 100).await;
        let pay = Pay { customer_id: "bob".to_owned(), ..pay("P1", 101) };
        assert_eq!(result(world, pay.clone()).await, ResultCode::UserBalanceNotEnough);
        world.top_up("bob", 5000).await;
        assert_eq!(result(world, pay).await, ResultCode::UserBalanceNotEnough);
        assert_eq!(world.balance("bob").await, 5100);
    });
}

#[test]
fn without_limits_the_balance_alone_decides_however_much_was_paid_before() {
    on_each(async |world| {
        world.user_without_limits("bob", 100).await;
        for (number, (value, code)) in
            [(1, ResultCode::Success), (Amount::MAX, ResultCode::UserBalanceNotEnough), (99, ResultCode::Success)]
                .into_iter()
                .enumerate()
        {
            let pay = Pay { customer_id: "bob".to_owned(), ..pay(&format!("P{number}"), value) };
            assert_eq!(result(world, pay).await, code, "{value}");
        }
        assert_eq!(world.balance("bob").await, 0);
    });
}

#[test]
fn the_limits_of_a_day_end_at_midnight_in_utc_8() {
    on_each(async |world| {
        for number in 0..5 {
            assert_eq!(result(world, pay(&format!("P{number}"), 1)).await, ResultCode::Success);
        }
        let at = |expires| Pay { expires_at_ms: Some(expires), ..pay("?", 1) };
        world.clock.set_ms(NOON + DAY / 2 - 1);
        let last = Pay { key: key("last"), ..at(NOON + DAY) };
        assert_eq!(result(world, last).await, ResultCode::PaymentCountExceedLimit);
        world.clock.set_ms(NOON + DAY / 2);
        let next = Pay { key: key("next"), ..at(NOON + DAY) };
        assert_eq!(result(world, next).await, ResultCode::Success);
    });
}

#[test]
fn what_cannot_be_a_payment_is_refused_and_not_remembered() {
    on_each(async |world| {
        let too_long = pay(&"1".repeat(65), 1);
        let nul = pay("P\0", 1);
        let too_much = pay("P1", Amount::MAX + 1);
        let nothing_for_something = Pay { pay_to_amount: Some(eur(0)), ..pay("P1", 1) };
        let quote = Quote { id: None, pair: "JPY/KRW".to_owned(), price: "10".to_owned() };
        let foreign_quote = Pay { quote: Some(quote), ..pay("P1", 1) };
        for illegal in [too_long, nul, too_much, nothing_for_something, foreign_quote, pay("P1", 0)] {
            assert_eq!(result(world, illegal).await, ResultCode::ParamIllegal);
        }
        assert_eq!(world.payments.inquiry(key("P1")).await.unwrap(), None);
        assert_eq!(result(world, pay("P1", 1)).await, ResultCode::Success);
    });
}

#[test]
fn the_user_pays_the_amount_in_the_users_currency() {
    on_each(async |world| {
        let quote = Quote { id: Some("Q1".to_owned()), pair: "392/978".to_owned(), price: "0.0061".to_owned() };
        let pay = Pay {
            amount: amount(1000, "JPY"),
            pay_to_amount: Some(eur(610)),
            quote: Some(quote.clone()),
            ..pay("P1", 1)
        };
        let answer = world.payments.pay(pay).await.unwrap();
        assert_eq!(answer.result, ResultCode::Success);
        assert_eq!(world.balance("alice").await, 9390);
        let order = world.payments.inquiry(key("P1")).await.unwrap().unwrap().order.unwrap();
        assert_eq!((order.amount, order.charged), (amount(1000, "JPY"), eur(610)));
        assert!(order.quote == Some(quote));
    });
}

#[test]
fn a_payment_of_another_acquirer_does_not_exist() {
    on_each(async |world| {
        assert_eq!(result(world, pay("P1", 1)).await, ResultCode::Success);
        let mut of_another = key("P1");
        of_another.acquirer_id = "ACQ2".to_owned();
        assert_eq!(world.payments.inquiry(of_another.clone()).await.unwrap(), None);
        assert_eq!(world.payments.cancel(of_another).await.unwrap(), ResultCode::OrderNotExist);
        world.clock.advance_ms(MINUTE);
        assert_eq!(world.payments.inquiry(key("P2")).await.unwrap(), None);
    });
}

#[test]
fn two_servers_on_one_database_take_a_payment_once() {
    on_each(async |world| {
        let other = world.other_server();
        for number in 0..5 {
            let id = format!("P{number}");
            let asked = (0..12).map(async |hand| {
                let payments = if hand % 2 == 0 { &world.payments } else { &other };
                if hand == 7 && number > 2 {
                    payments.cancel(key(&id)).await.unwrap();
                }
                payments.pay(pay(&id, 100)).await.unwrap().payment.and_then(|payment| payment.order)
            });
            let orders: HashSet<_> =
                join_all(asked).await.into_iter().flatten().map(|order| order.payment_id).collect();
            assert!(orders.len() <= 1 && (number > 2 || orders.len() == 1), "{orders:?}");
        }
        assert_eq!(world.balance("alice").await, 9700);
    });
}

#[test]
fn payments_of_one_user_at_once_never_take_more_than_there_is() {
    on_each(async |world| {
        let other = world.other_server();
        world.user_without_limits("bob", 1000).await;
        let asked = (0..40).map(async |number| {
            let payments = if number % 2 == 0 { &world.payments } else { &other };
            let pay = Pay { customer_id: "bob".to_owned(), ..pay(&format!("P{number}"), 90) };
            payments.pay(pay).await.unwrap().result
        });
        let results = join_all(asked).await;
        assert_eq!(results.iter().filter(|result| **result == ResultCode::Success).count(), 11);
        assert_eq!(results.iter().filter(|result| **result == ResultCode::UserBalanceNotEnough).count(), 29);
        assert_eq!(world.balance("bob").await, 10);
    });
}
