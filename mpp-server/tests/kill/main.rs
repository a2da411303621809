//! SIGKILL under load: what was answered is there once, what is asked again is answered the same, and the
//! money is conserved.
//!
//! Callers pay, refund and cancel at one or two server processes, which are killed at drawn moments, some
//! of them while they start. `MPP_KILLS=200 MPP_KILL_SEED=7 cargo test -p mpp-server --test kill` kills more
//! often; a run prints its seed, which draws the same requests and pauses, if not the same races.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

#[path = "../processes/mod.rs"]
mod processes;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mpp_server::store::{Store, StoreError};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::runtime::Runtime;

use processes::{Place, Server};
use worker::{Line, USERS, Worker, balances, below};

/// Kills of one story, unless `MPP_KILLS` says otherwise.
const KILLS: u64 = 5;
const WORKERS: u64 = 6;
/// A server is killed after fewer answers than this; counted, since machines differ in speed.
const LIFE_ANSWERS: u64 = 40;
/// And fewer milliseconds after the last of them, so that kills hit every moment of a request.
const LIFE_MS: u64 = 30;
/// Callers that have had no answer for so long have failed, or never will have one.
const PATIENCE: Duration = Duration::from_secs(90);
/// A start takes about so long, in milliseconds.
const START_MS: u64 = 120;

#[test]
fn kills_lose_and_double_nothing_on_sqlite() {
    story("sqlite", &processes::sqlite(), 1);
}

#[test]
fn kills_of_two_processes_in_turn_lose_and_double_nothing_on_sqlite() {
    story("sqlite, two processes", &processes::sqlite(), 2);
}

#[test]
fn kills_lose_and_double_nothing_on_postgresql() {
    if let Some(place) = processes::postgres() {
        story("postgresql", &place, 1);
    }
}

#[test]
fn kills_of_two_processes_in_turn_lose_and_double_nothing_on_postgresql() {
    if let Some(place) = processes::postgres() {
        story("postgresql, two processes", &place, 2);
    }
}

fn story(name: &str, place: &Place, servers: usize) {
    let (seed, kills) = (number("MPP_KILL_SEED").unwrap_or_else(drawn_seed), number("MPP_KILLS").unwrap_or(KILLS));
    eprintln!("{name}: seed {seed}, {kills} kills");
    for (user, minor) in USERS {
        place.add_user(user, &format!("{}.{:02}", minor / 100, minor % 100));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let line = Arc::new(Line::default());
    let mut running: Vec<Server> = (0..servers).map(|_| place.start()).collect();
    running.iter().enumerate().for_each(|(slot, server)| line.connect(slot, place.gateway(server)));
    let workers: Vec<_> =
        (0..WORKERS).map(|number| runtime.spawn(Worker::new(Arc::clone(&line), seed, number).work())).collect();

    kill_in_turn(place, &line, &mut running, kills, &mut ChaCha20Rng::seed_from_u64(!seed));
    line.stop.store(true, Ordering::SeqCst);
    let mut workers: Vec<Worker> = workers.into_iter().map(|worker| runtime.block_on(worker).unwrap()).collect();

    runtime.block_on(async {
        for worker in &mut workers {
            worker.repeat_all().await;
        }
    });
    drop(running);
    place.assert_clean_books();
    let books = Books::read(&runtime, &place.url).unwrap();
    compare(&books, &workers);
    let (cut_off, answered) = (line.cut_off.load(Ordering::SeqCst), line.final_answers.load(Ordering::SeqCst));
    let payments = books.payments.len();
    eprintln!("{name}: {payments} payments, {answered} answers, {cut_off} requests cut off, seed {seed}");
    assert!(cut_off > 0, "no kill hit a request");
    assert!(payments as u64 > 2 * kills, "there was hardly any load");
}

/// Kills the servers one after the other, each at a drawn moment of its life or of its start.
fn kill_in_turn(place: &Place, line: &Line, running: &mut [Server], kills: u64, rng: &mut ChaCha20Rng) {
    for kill in 0..kills {
        let slot = kill as usize % running.len();
        let until = line.final_answers.load(Ordering::SeqCst) + below(rng, LIFE_ANSWERS);
        let began = Instant::now();
        while line.final_answers.load(Ordering::SeqCst) < until {
            assert!(began.elapsed() < PATIENCE, "the callers are not answered any more");
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(below(rng, LIFE_MS)));
        // Assigning drops, and so kills, the one before.
        if below(rng, 3) == 0 {
            running[slot] = place.spawn();
            sleep(Duration::from_millis(below(rng, START_MS)));
        }
        running[slot] = place.spawn();
        place.wait_until_it_listens(&mut running[slot]);
        line.connect(slot, place.gateway(&running[slot]));
    }
}

/// What the database holds, read past the server.
struct Books {
    /// Status by `paymentRequestId`.
    payments: BTreeMap<String, String>,
    /// Refunds by result.
    refunds: BTreeMap<String, u64>,
    /// In cents, by user.
    balances: BTreeMap<String, u64>,
    /// Entries of the journal that took money for a payment.
    taken: u64,
}

impl Books {
    fn read(runtime: &Runtime, url: &str) -> Result<Self, StoreError> {
        let store = Store::open(url)?;
        let books = store.read(|tx| {
            let mut payments = BTreeMap::new();
            for mut row in tx.query_all("SELECT payment_request_id, status FROM payments", &[])? {
                payments.insert(row.text()?, row.text()?);
            }
            let mut refunds = BTreeMap::new();
            for mut row in tx.query_all("SELECT result_code, COUNT(*) FROM refunds GROUP BY result_code", &[])? {
                refunds.insert(row.text()?, row.unsigned()?);
            }
            let mut balances = BTreeMap::new();
            for mut row in tx.query_all("SELECT customer_id, balance FROM users", &[])? {
                balances.insert(row.text()?, row.unsigned()?);
            }
            let taken = tx.query_one("SELECT COUNT(*) FROM journal WHERE entry LIKE 'pay:%'", &[])?;
            Ok(Self { payments, refunds, balances, taken: taken.map_or(Ok(0), |mut row| row.unsigned())? })
        });
        runtime.block_on(books)
    }
}

/// The callers' memory and the database are the same: nothing is missing, nothing is more, no cent moved.
fn compare(books: &Books, workers: &[Worker]) {
    let known = || workers.iter().flat_map(|worker| &worker.payments);
    let payments: BTreeMap<_, _> =
        known().map(|known| (known.request.payment_request_id.clone(), known.status().to_owned())).collect();
    assert_eq!(books.payments, payments);
    let mut refunds = BTreeMap::new();
    for (_, answer) in known().flat_map(|known| &known.refunds) {
        *refunds.entry(answer.result.result_code.as_str().to_owned()).or_default() += 1;
    }
    assert_eq!(books.refunds, refunds);
    assert_eq!(books.balances, balances(workers));
    // A payment that was abandoned may have taken money before it was cancelled; its caller cannot know.
    let paid = known().filter(|known| known.is_paid()).count() as u64;
    let closed = books.payments.values().filter(|status| *status == "CLOSED").count() as u64;
    assert!((paid..=paid + closed).contains(&books.taken), "{} taken, {paid} paid", books.taken);
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Short enough to be typed again.
fn drawn_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 % 100_000
}
