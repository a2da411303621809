use std::sync::Arc;

use alipayplus::ResultCode;
use alipayplus::model::Quote;
use alipayplus::payment::mpp::NotifyPaymentRequest;
use futures_util::FutureExt;
use nfcwallet_core::host::Clock;

use super::super::{
    Account, Authorisation, Books, CallKind, CallState, Gateway, GatewayConfig, GatewayError, OverCapture,
    PaymentState, Rates, RowId, SchemeEvent, Verdict,
};
use super::provider::Fate::{self, AnswerLost, Fine, InProcess, KilledAfter, KilledBefore, RequestLost};
use super::world::{DAY_MS, NOON_MS, World, eur, id};

const WEALTH: i128 = 1_000_000;

fn world(fates: &[Fate]) -> World {
    World::new(GatewayConfig::default(), &[("alice", WEALTH)], fates)
}

/// A payment of 100 that the terminal was told to be approved.
fn paid(config: GatewayConfig) -> World {
    let mut world = World::new(config, &[("alice", WEALTH)], &[]);
    let asked = world.asked("a", 100);
    assert_eq!(world.authorise(&asked), approved("a"));
    world
}

fn approved(auth: &str) -> Verdict {
    Verdict::Approved { payment_id: format!("mpp-pay-{auth}") }
}

fn declined(code: ResultCode) -> Verdict {
    Verdict::Declined { code }
}

fn success(request_id: &str, world: &World) -> NotifyPaymentRequest {
    NotifyPaymentRequest {
        payment_result: ResultCode::Success.into(),
        payment_request_id: request_id.to_owned(),
        payment_id: Some(format!("mpp-{request_id}")),
        payment_amount: Some(eur(100)),
        payment_time: alipayplus::DateTime::from_ms(world.clock.wall_ms()),
        customer_id: Some("alice".to_owned()),
        ..NotifyPaymentRequest::default()
    }
}

/// The calls that were made for good: kind, amount, row.
fn calls(world: &World) -> Vec<(CallKind, u64, RowId)> {
    let calls = world.gateway.books().calls().unwrap();
    calls.iter().filter(|call| call.state == CallState::Done).map(|c| (c.kind, c.amount.value, c.row)).collect()
}

#[test]
fn an_authorisation_is_paid_by_the_taps_user() {
    let world = paid(GatewayConfig::default());

    assert_eq!(world.provider.balance("alice"), WEALTH - 100);
    let request = world.gateway.books().calls().unwrap().remove(0).request;
    for part in [
        r#""paymentRequestId":"pay-a""#,
        r#""passThroughInfo":"ABABABABABABABAB""#,
        r#""customerId":"alice""#,
        r#""isInStorePayment":"true""#,
        r#""paymentExpiryTime":"2027-01-15T04:00:20Z""#,
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[test]
fn a_repetition_that_the_gate_turns_away_does_not_end_a_payment_that_may_have_been_made() {
    let mut world = world(&[Fate::AnswerLost, Fate::TurnedAway]);
    let asked = world.asked("a", 100);
    assert_eq!(world.authorise(&asked), approved("a"));
    assert_eq!(world.provider.seen(), ["pay", "pay", "pay"]);

    world.provider.set_fates(&[Fate::AnswerLost, Fate::TurnedAway]);
    let refund = world.refund(Some("a"), 30);
    world.gateway.take(&refund).unwrap();
    world.settle();
    assert!(world.gateway.books().refused_refunds().unwrap().is_empty());
    assert_eq!((world.provider.balance("alice"), world.sum(Account::Owed)), (WEALTH - 70, 0));
}

#[test]
fn a_first_attempt_that_the_gate_turns_away_is_declined() {
    let mut world = world(&[Fate::TurnedAway]);
    let asked = world.asked("a", 100);
    assert_eq!(world.authorise(&asked), declined(ResultCode::KeyNotFound));
    assert_eq!((world.provider.seen(), world.provider.balance("alice")), (vec!["pay"], WEALTH));
}

#[test]
fn a_notice_that_differs_from_what_is_known_is_refused() {
    let world = paid(GatewayConfig::default());
    let known = world.gateway.books().payments().unwrap();
    let good = success("pay-a", &world);
    let other_id = NotifyPaymentRequest { payment_id: Some("another".to_owned()), ..good.clone() };
    let other_amount = NotifyPaymentRequest { payment_amount: Some(eur(99)), ..good.clone() };
    for notice in [other_id, other_amount] {
        assert_eq!(world.gateway.hear(&notice).unwrap().result_code, ResultCode::RepeatReqInconsistent);
    }
    assert!(world.gateway.hear(&good).unwrap().is_success());
    assert_eq!(world.gateway.books().payments().unwrap(), known);
}

#[test]
fn who_has_too_little_is_declined_with_the_reason() {
    let mut world = World::new(GatewayConfig::default(), &[("alice", 99)], &[]);
    let asked = world.asked("a", 100);
    assert_eq!(world.authorise(&asked), declined(ResultCode::UserBalanceNotEnough));
    assert_eq!(world.provider.seen(), ["pay"]);
}

#[test]
fn a_repeated_authorisation_gets_the_first_answer_even_after_its_reversal() {
    let mut world = paid(GatewayConfig::default());
    let first = world.gateway.books().payments().unwrap().remove(0).standing.authorised_at_ms;
    let reversal = world.reversal("a", None);
    world.gateway.take(&reversal).unwrap();
    world.settle();

    let again = Authorisation { time_ms: first, ..world.asked("a", 100) };
    assert_eq!(world.authorise(&again), approved("a"));
    assert_eq!(world.state("a"), PaymentState::Cancelled);
    let other = world.asked("a", 101);
    let refused = world.gateway.take(&SchemeEvent::Authorisation(other));
    assert!(matches!(refused, Err(GatewayError::Changed { .. })), "{refused:?}");
}

#[test]
fn without_a_result_in_time_it_is_declined_and_cancelled_until_that_succeeds() {
    // Four times `pay`, one inquiry, then the cancel three times.
    let mut world = world(&[AnswerLost, RequestLost, RequestLost, RequestLost, AnswerLost, RequestLost, AnswerLost]);
    let asked = world.asked("a", 100);

    assert_eq!(world.authorise(&asked), declined(ResultCode::OrderIsClosed));
    assert_eq!(world.clock.wall_ms(), NOON_MS + GatewayConfig::default().payment_expiry_ms);
    world.settle();

    assert_eq!(world.state("a"), PaymentState::Cancelled);
    assert_eq!(world.provider.balance("alice"), WEALTH);
    let seen = world.provider.seen();
    assert_eq!(seen.iter().filter(|name| **name == "inquiryPayment").count(), 1, "{seen:?}");
    assert!(seen.iter().filter(|name| **name == "cancelPayment").count() > 1, "{seen:?}");
}

#[test]
fn an_inquiry_at_the_expiry_finds_the_payment() {
    let mut world = world(&[AnswerLost, RequestLost, RequestLost]);
    let asked = world.asked("a", 100);
    assert_eq!(world.authorise(&asked), approved("a"));
    assert_eq!(world.provider.seen().last(), Some(&"inquiryPayment"));
}

#[test]
fn a_notice_ends_the_waiting() {
    let mut world = world(&[InProcess]);
    let asked = world.asked("a", 100);
    world.gateway.take(&SchemeEvent::Authorisation(asked)).unwrap();
    world.work();
    assert_eq!(world.gateway.verdict(&id("a")).unwrap(), None);

    assert!(world.gateway.hear(&success("pay-a", &world)).unwrap().is_success());
    assert_eq!(world.gateway.verdict(&id("a")).unwrap(), Some(approved("a")));
    let unknown = world.gateway.hear(&success("pay-b", &world)).unwrap();
    assert_eq!(unknown.result_code, ResultCode::OrderNotExist);
}

#[test]
fn a_success_that_comes_late_loses() {
    let mut world = world(&[AnswerLost, RequestLost, RequestLost, RequestLost, RequestLost]);
    let asked = world.asked("a", 100);
    assert_eq!(world.authorise(&asked), declined(ResultCode::OrderIsClosed));

    world.gateway.hear(&success("pay-a", &world)).unwrap();
    assert_eq!(world.sum(Account::Provider), 100);
    world.settle();
    assert_eq!(world.gateway.verdict(&id("a")).unwrap(), Some(declined(ResultCode::OrderIsClosed)));
    assert_eq!((world.state("a"), world.sum(Account::Provider)), (PaymentState::Cancelled, 0));
    assert_eq!(world.provider.balance("alice"), WEALTH);
}

#[test]
fn a_success_after_a_failure_is_cancelled() {
    let mut world = World::new(GatewayConfig::default(), &[("alice", 99)], &[]);
    let asked = world.asked("a", 100);
    world.authorise(&asked);
    world.gateway.hear(&success("pay-a", &world)).unwrap();
    assert_eq!(world.state("a"), PaymentState::Cancelling);
    world.settle();
    assert_eq!((world.state("a"), world.sum(Account::Owed)), (PaymentState::Cancelled, 0));
}

#[test]
fn calls_without_an_answer_are_repeated_further_and_further_apart() {
    let mut world = paid(GatewayConfig::default());
    world.provider.set_fates(&[RequestLost; 11]);
    let event = world.reversal("a", Some(40));
    world.gateway.take(&event).unwrap();

    let mut pauses = Vec::new();
    for _ in 0..11 {
        let next = world.work().unwrap();
        pauses.push((next - world.clock.wall_ms()) / 1000);
        world.clock.set_ms(next);
    }
    assert_eq!(pauses, [4, 4, 30, 60, 60, 60, 300, 300, 3600, 3600, 3600]);
    world.settle();
    assert_eq!(world.provider.balance("alice"), WEALTH - 60);
}

#[test]
fn a_whole_reversal_is_a_cancel_until_midnight_and_a_refund_from_then_on() {
    for (later_ms, kind, row) in
        [(12 * 3_600_000 - 1, CallKind::Cancel, RowId::R6), (12 * 3_600_000, CallKind::Refund, RowId::R7)]
    {
        let mut world = paid(GatewayConfig::default());
        world.clock.advance_ms(later_ms);
        let event = world.reversal("a", None);
        assert_eq!(world.gateway.take(&event).unwrap(), row);
        world.settle();
        let last = calls(&world).pop().unwrap();
        assert_eq!((last.0, last.2), (kind, row));
        assert_eq!(world.provider.balance("alice"), WEALTH);
    }
}

#[test]
fn a_cancel_that_comes_too_late_becomes_a_refund() {
    let mut world = paid(GatewayConfig::default());
    world.clock.advance_ms(11 * 3_600_000);
    // The provider is away until half past midnight.
    world.provider.set_fates(&[RequestLost; 10]);
    let event = world.reversal("a", None);
    world.gateway.take(&event).unwrap();
    world.settle();

    assert_eq!(calls(&world).pop(), Some((CallKind::Refund, 100, RowId::P12)));
    assert_eq!(world.state("a"), PaymentState::Reclaimed);
    assert_eq!((world.provider.balance("alice"), world.sum(Account::Owed)), (WEALTH, 0));
}

#[test]
fn an_authorisation_that_nobody_clears_is_refunded_after_seven_days() {
    let mut world = paid(GatewayConfig::default());
    let part = world.clearing("a", 30, false);
    world.gateway.take(&part).unwrap();
    assert_eq!(world.work(), Some(NOON_MS + 7 * DAY_MS));

    world.clock.advance_ms(7 * DAY_MS - 1);
    world.work();
    assert_eq!(world.provider.balance("alice"), WEALTH - 100);
    world.clock.advance_ms(1);
    world.work();
    assert_eq!(calls(&world).pop(), Some((CallKind::Refund, 70, RowId::X4)));
    assert_eq!(world.provider.balance("alice"), WEALTH - 30);
    let expiry = world.expiry("a");
    assert_eq!(world.gateway.take(&expiry).unwrap(), RowId::X3);
}

#[test]
fn time_comes_before_an_event_even_if_nobody_looked_at_the_clock() {
    let mut world = paid(GatewayConfig::default());
    world.clock.advance_ms(7 * DAY_MS);
    let late = world.clearing("a", 100, true);
    assert_eq!(world.gateway.take(&late).unwrap(), RowId::C9);
    world.settle();
    assert_eq!(calls(&world).pop(), Some((CallKind::Refund, 100, RowId::X4)));
    assert_eq!(world.sum(Account::Shortfall), 100);
}

#[test]
fn nothing_is_paid_after_the_expiry() {
    // The inquiry is cut off by a kill, and the next repeat of `pay` would be due meanwhile.
    let mut world = world(&[RequestLost, RequestLost, RequestLost, KilledBefore]);
    let asked = world.asked("a", 100);
    world.gateway.take(&SchemeEvent::Authorisation(asked)).unwrap();
    for _ in 0..4 {
        let next = world.work().unwrap();
        world.clock.set_ms(next);
    }
    world.clock.advance_ms(DAY_MS);
    world.settle();
    let seen = world.provider.seen();
    assert_eq!(seen.iter().rposition(|name| *name == "pay"), Some(2), "{seen:?}");
    assert_eq!(world.provider.balance("alice"), WEALTH);
}

#[test]
fn parts_at_a_rate_give_back_exactly_what_was_paid() {
    let quote = Quote {
        quote_id: Some("Q1".to_owned()),
        quote_currency_pair: "EUR/JPY".parse().unwrap(),
        quote_price: "161.23".parse().unwrap(),
        ..Quote::default()
    };
    let mut world = paid(GatewayConfig { rates: Rates::new(vec![quote]), ..GatewayConfig::default() });
    // 1.00 EUR is 161.23 JPY.
    assert_eq!(world.provider.balance("alice"), WEALTH - 161);
    for minor in [33, 33, 33, 1] {
        let event = world.reversal("a", Some(minor));
        world.gateway.take(&event).unwrap();
        world.settle();
    }
    assert_eq!(world.provider.balance("alice"), WEALTH);
    let payment = world.gateway.books().payments().unwrap().remove(0);
    assert_eq!((payment.refunded_to, payment.standing.refunded), (161, 100));
}

#[test]
fn what_is_cleared_beyond_is_short_or_paid_as_the_switch_says() {
    let mut config = GatewayConfig::default();
    for (over_capture, wealth, shortfall) in [
        (OverCapture::None, WEALTH, 30),
        (OverCapture::PayDifference, WEALTH, 0),
        // Enough for the payment, too little for the rest.
        (OverCapture::PayDifference, 110, 30),
    ] {
        config.conversion.over_capture = over_capture;
        let mut world = World::new(config.clone(), &[("alice", wealth)], &[]);
        let asked = world.asked("a", 100);
        assert_eq!(world.authorise(&asked), approved("a"));
        let event = world.clearing("a", 130, true);
        world.gateway.take(&event).unwrap();
        world.settle();
        assert_eq!(world.provider.balance("alice"), wealth - 130 + shortfall);
        assert_eq!((world.sum(Account::Shortfall), world.sum(Account::Scheme)), (shortfall, -130));
        let shortfalls: Vec<_> = world.gateway.books().shortfalls().unwrap().into_iter().collect();
        let expected = u64::try_from(shortfall).ok().filter(|minor| *minor > 0).map(|minor| (id("a"), minor));
        assert_eq!(shortfalls, Vec::from_iter(expected));
    }
}

#[test]
fn a_refund_beyond_the_payment_is_two_calls_and_one_without_payment_names_the_user() {
    let mut world = paid(GatewayConfig::default());
    for event in [world.refund(Some("a"), 130), world.refund(None, 20), world.refund(Some("nobody"), 5)] {
        world.gateway.take(&event).unwrap();
    }
    world.settle();

    assert_eq!(
        calls(&world)[1..],
        [
            (CallKind::Refund, 100, RowId::M6),
            (CallKind::AdjustExceed, 30, RowId::M6),
            (CallKind::AdjustUnlinked, 20, RowId::M1),
            (CallKind::AdjustUnlinked, 5, RowId::M1),
        ]
    );
    assert_eq!(world.provider.balance("alice"), WEALTH + 55);
    let requests: Vec<_> = world.gateway.books().calls().unwrap().into_iter().map(|call| call.request).collect();
    assert!(requests[2].contains(r#""paymentId":"mpp-pay-a""#) && requests[2].contains("EXCEED_REFUND"));
    assert!(requests[3].contains(r#""customerId":"alice""#) && !requests[3].contains("paymentId"));
}

#[test]
fn what_overtakes_its_authorisation_waits_for_it() {
    let mut world = world(&[]);
    for event in [world.clearing("a", 60, true), world.reversal("b", None)] {
        world.gateway.take(&event).unwrap();
    }
    let asked = [world.asked("a", 100), world.asked("b", 100)];

    assert_eq!(world.authorise(&asked[0]), approved("a"));
    assert_eq!(world.authorise(&asked[1]), declined(ResultCode::OrderIsClosed));
    world.settle();
    assert_eq!(calls(&world), [(CallKind::Pay, 100, RowId::A1), (CallKind::Refund, 40, RowId::C6)]);
}

#[test]
fn the_same_event_counts_once_and_a_changed_one_is_refused() {
    let mut world = paid(GatewayConfig::default());
    let event = world.reversal("a", Some(40));
    assert_eq!(world.gateway.take(&event).unwrap(), RowId::R8);
    assert_eq!(world.gateway.take(&event).unwrap(), RowId::R8);
    let SchemeEvent::Reversal(mut changed) = event else { unreachable!() };
    changed.time_ms += 1;
    assert_eq!(world.gateway.take(&SchemeEvent::Reversal(changed.clone())).unwrap(), RowId::R8);
    changed.part = Some(eur(41));
    let refused = world.gateway.take(&SchemeEvent::Reversal(changed));
    assert!(matches!(refused, Err(GatewayError::Changed { .. })), "{refused:?}");

    world.settle();
    assert_eq!(world.provider.balance("alice"), WEALTH - 60);
}

#[test]
fn a_kill_at_any_call_changes_nothing() {
    for killed_at in 0..6 {
        for kill in [KilledBefore, KilledAfter] {
            let mut fates = vec![Fine; killed_at];
            fates.push(kill);
            let mut world = world(&fates);
            let events = [
                SchemeEvent::Authorisation(world.asked("a", 100)),
                world.clearing("a", 70, true),
                world.refund(Some("a"), 80),
            ];
            for event in &events {
                world.gateway.take(event).unwrap();
                world.work();
            }
            world.settle();
            assert_eq!(world.provider.balance("alice"), WEALTH - 70 + 80, "{kill:?} at {killed_at}");
            assert_eq!((world.sum(Account::Owed), world.sum(Account::Scheme)), (0, 10));
        }
    }
}

#[test]
fn a_call_under_way_is_not_made_again_until_it_is_dropped() {
    let mut world = world(&[KilledBefore]);
    let asked = world.asked("a", 100);
    world.gateway.take(&SchemeEvent::Authorisation(asked)).unwrap();
    let mut under_way = Box::pin(world.gateway.work());
    assert!(under_way.as_mut().now_or_never().is_none());
    world.clock.advance_ms(5_000);

    world.gateway.work().now_or_never().unwrap().unwrap();
    assert_eq!(world.provider.seen(), ["pay"]);
    drop(under_way);
    world.gateway.work().now_or_never().unwrap().unwrap();
    assert_eq!(world.provider.seen(), ["pay", "pay"]);
}

#[test]
fn a_file_is_opened_again_and_one_of_another_version_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let mut world = world(&[]);
    let open = |world: &World| {
        let books = Arc::new(Books::open(&path)?);
        Ok::<_, GatewayError>(Gateway::new(
            GatewayConfig::default(),
            books,
            world.provider.clone(),
            world.clock.clone(),
        ))
    };
    let asked = world.asked("a", 100);
    let event = SchemeEvent::Authorisation(asked);
    open(&world).unwrap().take(&event).unwrap();

    let gateway = open(&world).unwrap();
    gateway.work().now_or_never().unwrap().unwrap();
    assert_eq!(gateway.verdict(&id("a")).unwrap(), Some(approved("a")));
    drop(gateway);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    let refused = open(&world).map(drop);
    assert!(matches!(refused, Err(GatewayError::Version { found: 9, known: 1 })), "{refused:?}");
}

#[test]
fn amounts_and_fields_that_cannot_travel_are_refused_and_leave_nothing() {
    let mut world = world(&[]);
    let nothing = world.refund(None, 0);
    assert!(matches!(world.gateway.take(&nothing), Err(GatewayError::Amount { value: 0 })));
    let mut asked = world.asked("a", 100);
    asked.user = "x".repeat(65);
    assert!(matches!(world.gateway.take(&SchemeEvent::Authorisation(asked)), Err(GatewayError::Request(_))));
    assert_eq!(world.gateway.books().conversions().unwrap(), []);
    assert_eq!(world.gateway.books().calls().unwrap(), []);
}
