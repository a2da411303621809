//! Stories that are drawn: any commands in any order, several at once, each perhaps twice, and what must be
//! true of the money whatever happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use alipayplus::ResultCode;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::world::{DAY, World, eur, key, pay, refund};
use crate::ledger::audit;
use crate::payments::{
    AdjustRefund, Decision, Pay, PayAnswer, PaymentStatus, Policy, RefundAnswer, Risk, Scenario, Verdict,
};
use crate::testing::databases;

const PAYMENTS: u8 = 4;
const USERS: [&str; 2] = ["carol", "dave"];
const START: u64 = 60;

/// One thing that somebody does. Ids are few, so that commands meet.
#[derive(Debug, Clone, Copy)]
enum Command {
    Pay { id: u8, user: usize, value: u64 },
    Cancel { id: u8 },
    Refund { payment: u8, id: u8, value: u64 },
    Adjust { id: u8, user: usize, value: u64 },
    Decide { id: u8, decision: Decision },
    Wait { hours: i64 },
}

fn command() -> impl Strategy<Value = Command> {
    let (id, user) = (0..PAYMENTS, 0..USERS.len());
    let value = prop_oneof![Just(7_u64), Just(10), Just(25), Just(40)];
    let decision = prop_oneof![Just(Decision::Accept), Just(Decision::Reject)];
    prop_oneof![
        5 => (id.clone(), user.clone(), value.clone()).prop_map(|(id, user, value)| Command::Pay { id, user, value }),
        2 => id.clone().prop_map(|id| Command::Cancel { id }),
        4 => (id.clone(), 0_u8..4, value.clone()).prop_map(|(payment, id, value)| Command::Refund { payment, id, value }),
        1 => (0_u8..2, user, value).prop_map(|(id, user, value)| Command::Adjust { id, user, value }),
        2 => (id, decision).prop_map(|(id, decision)| Command::Decide { id, decision }),
        1 => (1_i64..20).prop_map(|hours| Command::Wait { hours }),
    ]
}

/// Looks at 25, refuses 7.
struct Careful;

impl Risk for Careful {
    fn assess(&self, pay: &Pay) -> Verdict {
        match pay.amount.value {
            7 => Verdict::Reject,
            25 => Verdict::Review,
            _ => Verdict::Accept,
        }
    }
}

/// What was answered. Answers to equal commands must not contradict each other.
#[derive(Debug)]
enum Answer {
    Pay(Command, PayAnswer),
    Refund(Command, RefundAnswer),
    Other,
}

/// One drawn story in a world that has seen others: its users and ids have the story's number.
struct Story<'a> {
    world: &'a World,
    number: u32,
}

impl Story<'_> {
    fn id(&self, kind: &str, id: u8) -> String {
        format!("{kind}{}-{id}", self.number)
    }

    fn user(&self, user: usize) -> String {
        format!("{}{}", USERS[user], self.number)
    }

    async fn play(&self, command: Command) -> Answer {
        let payments = &self.world.payments;
        match command {
            Command::Pay { id, user, value } => {
                let pay = Pay {
                    customer_id: self.user(user),
                    expires_at_ms: None,
                    key_parameters: format!("{value} of {user}"),
                    ..pay(&self.id("P", id), value)
                };
                Answer::Pay(command, payments.pay(pay).await.unwrap())
            }
            Command::Cancel { id } => {
                payments.cancel(key(&self.id("P", id))).await.unwrap();
                Answer::Other
            }
            Command::Refund { payment, id, value } => {
                let refund = refund(&self.id("P", payment), &self.id("R", id), value);
                Answer::Refund(command, payments.refund(refund).await.unwrap())
            }
            Command::Adjust { id, user, value } => {
                let adjust = AdjustRefund {
                    acquirer_id: Some("ACQ1".to_owned()),
                    psp_id: "PSP1".to_owned(),
                    scenario: Scenario::Unlinked,
                    refund_request_id: self.id("A", id),
                    payment_request_id: None,
                    payment_id: None,
                    customer_id: Some(self.user(user)),
                    amount: eur(value),
                    from_amount: None,
                    key_parameters: format!("{value} for {user}"),
                };
                Answer::Refund(command, payments.adjust_refund(adjust).await.unwrap())
            }
            Command::Decide { id, decision } => {
                payments.decide(&self.id("P", id), decision).await.unwrap();
                Answer::Other
            }
            Command::Wait { hours } => {
                self.world.clock.advance_ms(hours * DAY / 24);
                Answer::Other
            }
        }
    }

    /// Money is where the answers say, by the public calls alone.
    async fn check_balances(&self, answers: &[Answer]) {
        let mut balances = HashMap::from([(self.user(0), START), (self.user(1), START)]);
        let mut adjusted = HashMap::new();
        for answer in answers {
            if let Answer::Refund(Command::Adjust { id, user, value }, RefundAnswer { result, .. }) = answer
                && *result == ResultCode::Success
            {
                adjusted.insert(*id, (self.user(*user), *value));
            }
        }
        for (user, value) in adjusted.into_values() {
            *balances.get_mut(&user).unwrap() += value;
        }
        for id in 0..PAYMENTS {
            let payment = self.world.payments.inquiry(key(&self.id("P", id))).await.unwrap();
            let Some(payment) = payment else { continue };
            let Some(order) = payment.order else { continue };
            let kept = match payment.status {
                PaymentStatus::Success | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => {
                    order.charged.value - order.refunded_charged
                }
                PaymentStatus::Processing | PaymentStatus::Failed | PaymentStatus::Closed => 0,
            };
            let balance = balances.get_mut(&order.customer_id).unwrap();
            *balance = balance.checked_sub(kept).unwrap();
        }
        for (user, balance) in balances {
            assert_eq!(self.world.balance(&user).await, balance, "{user}");
        }
    }
}

/// A payment under one id is one payment, and a refund under one id one refund.
fn check_answers(answers: &[Answer]) {
    let mut refunds = HashMap::new();
    let mut paid = HashMap::new();
    for answer in answers {
        match answer {
            Answer::Refund(command, answer) if answer.refund.is_some() => {
                let first = refunds.entry(format!("{command:?}")).or_insert(answer);
                assert_eq!(first, &answer, "{command:?}");
            }
            Answer::Pay(command @ Command::Pay { id, .. }, answer) => {
                let Some(order) = answer.payment.as_ref().and_then(|payment| payment.order.as_ref()) else { continue };
                let first = paid.entry(*id).or_insert((format!("{command:?}"), &order.payment_id));
                assert_eq!(first, &(format!("{command:?}"), &order.payment_id));
            }
            Answer::Refund(..) | Answer::Pay(..) | Answer::Other => {}
        }
    }
}

async fn tell(world: &World, number: u32, hands: &[Vec<Command>]) {
    let story = Story { world, number };
    for user in 0..USERS.len() {
        world.user_without_limits(&story.user(user), START).await;
    }
    let at_once = hands.iter().map(async |commands| {
        let mut answers = Vec::new();
        for command in commands {
            answers.push(story.play(*command).await);
        }
        answers
    });
    let mut answers: Vec<_> = join_all(at_once).await.into_iter().flatten().collect();
    check_answers(&answers);
    story.check_balances(&answers).await;
    // Everything once more: nobody hears something else.
    for command in hands.iter().flatten() {
        if let Command::Pay { id, .. } | Command::Refund { payment: id, .. } = command
            && world.payments.inquiry(key(&story.id("P", *id))).await.unwrap().is_some()
        {
            answers.push(story.play(*command).await);
        }
    }
    check_answers(&answers);
    story.check_balances(&answers).await;
    assert_eq!(audit(&world.store).await.unwrap().findings, []);
}

#[test]
fn money_is_where_the_answers_say_whatever_happens() {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let hand = || prop::collection::vec(command(), 1..12);
    let hands = prop_oneof![hand().prop_map(|one| vec![one]), prop::collection::vec(hand(), 2..5)];
    for database in databases().unwrap() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = runtime.block_on(World::new(database, Arc::new(Careful), Policy::default()));
        let mut runner = TestRunner::default();
        runner
            .run(&hands, |hands| {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                runtime.block_on(tell(&world, number, &hands));
                Ok(())
            })
            .unwrap();
    }
}
