use futures_util::FutureExt;

use super::*;
use crate::gateway::tests::provider::Fate;
use crate::gateway::tests::world::{DAY_MS, NOON_MS, World, eur};
use crate::gateway::{ConversionConfig, GatewayConfig, SameDay};

/// A payment of 100.
fn paid(config: GatewayConfig) -> World {
    let mut world = World::new(config, &[("alice", 1000)], &[]);
    let asked = world.asked("a", 100);
    world.authorise(&asked);
    assert_eq!(world.provider.balance("alice"), 900);
    world
}

fn desk(world: &World) -> Acquiring {
    Acquiring { gateway: Arc::clone(&world.gateway) }
}

fn code<T>(answer: Result<T, ResultInfo>) -> ResultCode {
    answer.map_or_else(|refused| refused.result_code, |_| ResultCode::Success)
}

fn cancel(world: &World) -> ResultCode {
    let request = CancelPaymentRequest { payment_request_id: Some("a".to_owned()), ..CancelPaymentRequest::default() };
    code(desk(world).cancel(request).now_or_never().expect("a simulated wait never ends"))
}

fn give(id: &str, minor: u64) -> RefundRequest {
    RefundRequest {
        payment_id: Some("pay-a".to_owned()),
        refund_request_id: id.to_owned(),
        refund_amount: eur(minor),
        ..RefundRequest::default()
    }
}

fn refund(world: &World, id: &str, minor: u64) -> ResultCode {
    code(desk(world).refund(give(id, minor)).now_or_never().expect("a simulated wait never ends"))
}

#[test]
fn a_payment_that_is_given_back_in_part_is_not_cancelled() {
    let world = paid(GatewayConfig::default());
    assert_eq!(refund(&world, "r1", 10), ResultCode::Success);
    assert_eq!(cancel(&world), ResultCode::ProcessFail);
    assert_eq!(world.provider.balance("alice"), 910);
    assert_eq!(refund(&world, "r2", 90), ResultCode::Success);
    assert_eq!((world.provider.balance("alice"), world.provider.seen()), (1000, vec!["pay", "refund", "refund"]));
}

#[test]
fn a_cancel_by_refund_has_succeeded_now_and_when_it_is_repeated_later() {
    let conversion = ConversionConfig { same_day: SameDay::Never, ..ConversionConfig::default() };
    let world = paid(GatewayConfig { conversion, ..GatewayConfig::default() });
    assert_eq!(cancel(&world), ResultCode::Success);
    world.clock.advance_ms(2 * DAY_MS);
    assert_eq!(cancel(&world), ResultCode::Success);
    assert_eq!((world.provider.balance("alice"), world.provider.seen()), (1000, vec!["pay", "refund"]));
}

#[test]
fn an_acquirer_cancels_until_a_quarter_past_midnight() {
    let end_ms = NOON_MS + DAY_MS / 2 + 15 * 60_000;
    for (at_ms, told) in [(end_ms - 1, ResultCode::Success), (end_ms, ResultCode::CancelWindowExceed)] {
        let world = paid(GatewayConfig::default());
        world.clock.set_ms(at_ms);
        assert_eq!(cancel(&world), told);
    }
}

#[test]
fn a_refund_after_its_window_is_refused() {
    let mut world = paid(GatewayConfig::default());
    let clearing = world.clearing("a", 100, true);
    world.gateway.take(&clearing).unwrap();
    world.clock.set_ms(NOON_MS + 365 * DAY_MS);
    assert_eq!(refund(&world, "r1", 10), ResultCode::Success);
    world.clock.set_ms(NOON_MS + 365 * DAY_MS + DAY_MS / 2);
    assert_eq!(refund(&world, "r2", 10), ResultCode::RefundWindowExceed);
    assert_eq!(world.provider.balance("alice"), 910);
}

#[test]
fn a_refund_that_is_asked_again_later_is_the_same_one() {
    let world = paid(GatewayConfig::default());
    world.provider.set_fates(&[Fate::AnswerLost]);
    assert_eq!(refund(&world, "r1", 70), ResultCode::PaymentInProcess);
    world.clock.advance_ms(5000);
    assert_eq!(refund(&world, "r1", 70), ResultCode::Success);
    assert_eq!(refund(&world, "r1", 60), ResultCode::RepeatReqInconsistent);
    assert_eq!(world.provider.balance("alice"), 970);
}

#[test]
fn refunds_at_once_stay_within_the_payment() {
    let world = paid(GatewayConfig::default());
    let ask = |id: &'static str| {
        let desk = desk(&world);
        move || code(desk.refund(give(id, 60)).now_or_never().expect("a simulated wait never ends"))
    };
    let asked = ["r1", "r2", "r1", "r2"].map(|id| std::thread::spawn(ask(id)));
    let told = asked.map(|thread| thread.join().unwrap());
    let allowed = [ResultCode::Success, ResultCode::RefundAmountExceed];
    assert!(told.iter().all(|code| allowed.contains(code)), "{told:?}");
    assert_eq!(told.iter().filter(|code| **code == ResultCode::Success).count(), 2, "{told:?}");
    assert_eq!((world.provider.balance("alice"), world.provider.seen().len()), (960, 2));
}
