//! Two server processes on one database: each request is decided once, whoever gets it, and no account goes
//! below zero.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod processes;

use alipayplus::ResultCode;
use alipayplus::client::Client;
use alipayplus::payment::mpp::{CancelPayment, Pay, PayAnswer, Refund};
use mpp_server::store::Store;
use tokio::task::JoinSet;

use processes::{Place, Server, ask, cancel, pay, refund};

/// Two processes, and the gateway's client to each.
struct Two {
    place: Place,
    clients: [Client; 2],
    _servers: [Server; 2],
}

impl Two {
    fn start(place: Place) -> Self {
        // At once: on an empty database both want to make the schema.
        let mut servers = [place.spawn(), place.spawn()];
        servers.iter_mut().for_each(|server| place.wait_until_it_listens(server));
        let clients = servers.each_ref().map(|server| place.gateway(server));
        Self { place, clients, _servers: servers }
    }

    /// On each kind of database that is there.
    fn of_each_kind() -> Vec<Self> {
        let places = [Some(processes::sqlite()), processes::postgres()];
        places.into_iter().flatten().map(Self::start).collect()
    }

    /// In cents.
    async fn balance(&self, user: &'static str) -> u64 {
        let store = Store::open(&self.place.url).unwrap();
        let read = store.read(move |tx| {
            let row = tx.query_one("SELECT balance FROM users WHERE customer_id = $1", &[user.into()])?;
            row.unwrap().unsigned()
        });
        read.await.unwrap()
    }
}

/// The answers to all of `requests`, which run at once.
async fn all<T: Send + 'static>(requests: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    requests.collect::<JoinSet<T>>().join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_payment_that_both_get_at_once_is_taken_once() {
    for two in Two::of_each_kind() {
        two.place.add_user("ann", "100.00");
        for number in 0..30 {
            let id = format!("payment-{number}");
            let request = pay(&id, "ann", 100);
            let callers = two.clients.iter().cycle().take(4).cloned();
            let answers = all(callers.map(|client| {
                let request = request.clone();
                async move { ask::<Pay>(&client, &request).await }
            }))
            .await;
            assert!(answers[0].result.is_success(), "{:?}", answers[0]);
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{}: {answers:?}", two.place.url);
        }
        assert_eq!(two.balance("ann").await, 10_000 - 30 * 100);
        two.place.assert_clean_books();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_for_two_payments_takes_one_of_them() {
    for two in Two::of_each_kind() {
        two.place.add_user("ann", "100.00");
        two.place.add_user("bob", "100.00");
        for number in 0..20 {
            let id = format!("payment-{number}");
            let requests = [pay(&id, "ann", 100), pay(&id, "bob", 100)];
            let answers = all(two
                .clients
                .iter()
                .cloned()
                .zip(requests)
                .map(|(client, request)| async move { ask::<Pay>(&client, &request).await.result.result_code }))
            .await;
            let count = |code: &ResultCode| answers.iter().filter(|answer| *answer == code).count();
            let (paid, refused) = (count(&ResultCode::Success), count(&ResultCode::RepeatReqInconsistent));
            assert_eq!((paid, refused), (1, 1), "{}: {answers:?}", two.place.url);
        }
        assert_eq!(two.balance("ann").await + two.balance("bob").await, 20_000 - 20 * 100);
        two.place.assert_clean_books();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_callers_spend_an_account_to_its_end_and_no_further() {
    for two in Two::of_each_kind() {
        two.place.add_user("ann", "10.00");
        let callers = (0..8).map(|caller| {
            let client = two.clients[caller % 2].clone();
            async move {
                let mut answers: Vec<(u64, PayAnswer)> = Vec::new();
                for number in 0..12_u64 {
                    let cents = 7 + 3 * number;
                    let request = pay(&format!("payment-{caller}-{number}"), "ann", cents);
                    answers.push((cents, ask::<Pay>(&client, &request).await));
                }
                answers
            }
        });
        let answers: Vec<_> = all(callers).await.into_iter().flatten().collect();
        let paid: u64 = answers.iter().filter(|(_, answer)| answer.result.is_success()).map(|(cents, _)| cents).sum();
        let refused: Vec<_> = answers.iter().filter(|(_, answer)| !answer.result.is_success()).collect();
        assert!(refused.iter().all(|(_, answer)| answer.result.result_code == ResultCode::UserBalanceNotEnough));
        assert!(paid <= 1_000, "{paid} of 1000 cents were spent on {}", two.place.url);
        let left = 1_000 - paid;
        assert_eq!(two.balance("ann").await, left, "{}", two.place.url);
        // What was refused last was more than what was left then.
        assert!(refused.iter().any(|(cents, _)| *cents > left) && left < 40, "{left} left, refused {refused:?}");
        two.place.assert_clean_books();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_once_give_back_no_more_than_was_paid() {
    for two in Two::of_each_kind() {
        two.place.add_user("ann", "100.00");
        let paid = ask::<Pay>(&two.clients[0], &pay("payment", "ann", 1_000)).await;
        let payment_id = paid.payment_id.unwrap();
        let callers = (0..16).map(|caller| {
            // Two callers of each refund, one at each process.
            let request = refund("payment", &payment_id, &format!("refund-{}", caller / 2), 300);
            let client = two.clients[caller % 2].clone();
            async move { (caller / 2, ask::<Refund>(&client, &request).await) }
        });
        let mut answers = all(callers).await;
        answers.sort_by_key(|(number, _)| *number);
        assert!(answers.chunks(2).all(|pair| pair[0] == pair[1]), "{}: {answers:?}", two.place.url);
        let given = answers.iter().step_by(2).filter(|(_, answer)| answer.result.is_success()).count();
        assert_eq!(given, 3, "{answers:?}");
        assert_eq!(two.balance("ann").await, 10_000 - 1_000 + 3 * 300);
        two.place.assert_clean_books();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_wins_over_its_payment_at_the_other_process() {
    for two in Two::of_each_kind() {
        two.place.add_user("ann", "100.00");
        for number in 0..20 {
            let id = format!("payment-{number}");
            let [here, there] = two.clients.clone();
            let (payment, cancellation) = (pay(&id, "ann", 500), cancel(&id));
            let (paid, cancelled) =
                tokio::join!(ask::<Pay>(&here, &payment), ask::<CancelPayment>(&there, &cancellation));
            assert_eq!(cancelled.result.result_code, ResultCode::Success);
            let code = paid.result.result_code;
            assert!([ResultCode::Success, ResultCode::OrderIsClosed].contains(&code), "{code:?}");
            assert_eq!(ask::<Pay>(&here, &payment).await.result.result_code, ResultCode::OrderIsClosed);
        }
        assert_eq!(two.balance("ann").await, 10_000, "{}", two.place.url);
        two.place.assert_clean_books();
    }
}
