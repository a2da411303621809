//! What a user's app shows.

use super::world::{key, on_each, pay, refund};
use crate::payments::{Cursor, HistoryItem, Pay};

#[test]
fn pages_show_everything_once_newest_first() {
    on_each(async |world| {
        world.user("bob", 100).await;
        world.payments.pay(Pay { customer_id: "bob".to_owned(), ..pay("of-bob", 1) }).await.unwrap();
        for number in 0..5 {
            world.payments.pay(pay(&format!("P{number}"), 100)).await.unwrap();
            world.payments.refund(refund(&format!("P{number}"), &format!("R{number}"), 10)).await.unwrap();
            // Several in one millisecond, and several not.
            world.clock.advance_ms(number % 2);
        }
        let (mut seen, mut times, mut start) = (Vec::new(), Vec::new(), Some(Cursor::default()));
        while let Some(from) = start {
            let page = world.payments.history("alice", from, 3).await.unwrap();
            assert!((1..=3).contains(&page.items.len()));
            for item in page.items {
                let (id, at) = match item {
                    HistoryItem::Payment(payment) => (payment.key.payment_request_id, payment.created_at_ms),
                    HistoryItem::Refund(refund) => (refund.refund_request_id, refund.refund_time_ms),
                };
                seen.push(id);
                times.push(at);
            }
            start = page.next;
        }
        assert!(times.is_sorted_by(|newer, older| newer >= older));
        seen.sort();
        assert_eq!(seen, ["P0", "P1", "P2", "P3", "P4", "R0", "R1", "R2", "R3", "R4"]);
    });
}

#[test]
fn a_tap_finds_its_payment() {
    on_each(async |world| {
        let reference = Some("4F524445522D3031".to_owned());
        world.payments.pay(Pay { reference: reference.clone(), ..pay("P1", 100) }).await.unwrap();
        let found = world.payments.by_reference("alice", "4F524445522D3031").await.unwrap().unwrap();
        assert!(found.key == key("P1") && found.order.unwrap().reference == reference);
        assert_eq!(world.payments.by_reference("bob", "4F524445522D3031").await.unwrap(), None);
        assert_eq!(world.payments.by_reference("alice", "0000000000000000").await.unwrap(), None);
    });
}
