//! `notifyPayment`.

use std::sync::Arc;

use alipayplus::{ResultCode, ResultStatus};

use super::world::{DAY, MINUTE, World, key, pay, play};
use crate::notices::{Notices, Sent};
use crate::payments::{NoRisk, Notify, Policy};

fn telling_all(story: impl AsyncFn(&World)) {
    play(Arc::new(NoRisk), Policy { notify: Notify::Always, ..Policy::default() }, story);
}

#[test]
fn a_notice_is_sent_until_it_is_acknowledged() {
    telling_all(async |world| {
        world.payments.pay(pay("P1", 1250)).await.unwrap();
        let [notice] = &world.notices.lease(10).await.unwrap()[..] else { panic!("not one notice") };
        assert_eq!((notice.payment.result(), notice.attempts), (ResultCode::Success, 0));
        assert!(world.notices.settle(notice, Sent::Failed).await.unwrap());
        world.clock.advance_ms(3999);
        assert!(world.notices.lease(10).await.unwrap().is_empty());
        world.clock.advance_ms(1);
        let [notice] = &world.notices.lease(10).await.unwrap()[..] else { panic!("not one notice") };
        assert_eq!(notice.attempts, 1);
        assert!(world.notices.settle(notice, Sent::Acknowledged).await.unwrap());
        assert_eq!(world.notices.next_due_ms().await.unwrap(), None);
    });
}

#[test]
fn a_notice_belongs_to_one_sender_at_a_time() {
    telling_all(async |world| {
        let others = Notices::new(world.store.clone(), world.clock.clone());
        for number in 0..3 {
            world.payments.pay(pay(&format!("P{number}"), 1)).await.unwrap();
        }
        let mine = world.notices.lease(2).await.unwrap();
        let theirs = others.lease(10).await.unwrap();
        assert_eq!((mine.len(), theirs.len()), (2, 1));
        // The first sender does not come back in time.
        world.clock.advance_ms(MINUTE);
        let taken_over = others.lease(2).await.unwrap();
        assert_eq!(taken_over.len(), 2);
        for notice in &mine {
            let is_mine = taken_over.iter().all(|taken| taken.payment.key != notice.payment.key);
            assert_eq!(world.notices.settle(notice, Sent::Failed).await.unwrap(), is_mine);
        }
    });
}

#[test]
fn a_cancelled_payment_is_not_told() {
    telling_all(async |world| {
        world.payments.pay(pay("P1", 1)).await.unwrap();
        world.payments.pay(pay("P2", 1)).await.unwrap();
        let leased = world.notices.lease(10).await.unwrap();
        world.payments.cancel(key("P1")).await.unwrap();
        world.payments.cancel(key("P2")).await.unwrap();
        for notice in &leased {
            assert!(!world.notices.settle(notice, Sent::Failed).await.unwrap());
        }
        world.clock.advance_ms(DAY);
        assert!(world.notices.lease(10).await.unwrap().is_empty());
    });
}

#[test]
fn a_notice_is_given_up_after_a_day_and_never_says_in_process() {
    telling_all(async |world| {
        world.payments.pay(pay("P1", 9000)).await.unwrap();
        let mut sent = 0;
        while let Some(due) = world.notices.next_due_ms().await.unwrap() {
            world.clock.set_ms(due);
            for notice in world.notices.lease(10).await.unwrap() {
                assert_eq!(notice.payment.result().status(), ResultStatus::Failure);
                world.notices.settle(&notice, Sent::Failed).await.unwrap();
                sent += 1;
            }
        }
        assert!((30..=33).contains(&sent), "{sent}");
    });
}
