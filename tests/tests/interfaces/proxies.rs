//! Proxies that block their thread, panic early, or are given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nfcwallet_core::error::NetworkProblem;
use nfcwallet_core::host::{Deadlines, Host, HostError, NFCRequestProxy, Reply, RequestType};
use nfcwallet_core::{Wallet, WalletConfig, WalletError};
use nfcwallet_sandbox::device::TokioClock;

use crate::desk::{Desk, Till};

const LIMIT: Duration = Duration::from_millis(200);

type Call<'a> = Pin<Box<dyn Future<Output = Result<Reply, HostError>> + Send + 'a>>;

/// Makes its own futures, as a binding does: what it does first is done before there is one.
struct Foreign(Box<dyn Fn() -> Call<'static> + Send + Sync>);

impl NFCRequestProxy for Foreign {
    fn send_request<'life, 'call>(&'life self, _: RequestType, _: Vec<u8>) -> Call<'call>
    where
        'life: 'call,
        Self: 'call,
    {
        (self.0)()
    }
}

fn host(desk: &Desk, act: impl Fn() -> Call<'static> + Send + Sync + 'static) -> Host {
    Host { proxy: Arc::new(Foreign(Box::new(act))), ..desk.phone.host() }
}

fn open(desk: &Desk, act: impl Fn() -> Call<'static> + Send + Sync + 'static) -> Wallet {
    open_with(desk, LIMIT, act)
}

fn open_with(desk: &Desk, proxy: Duration, act: impl Fn() -> Call<'static> + Send + Sync + 'static) -> Wallet {
    let deadlines = Deadlines { proxy, ..Deadlines::default() };
    Wallet::init(WalletConfig { deadlines, ..desk.config() }, host(desk, act)).unwrap()
}

/// Blocks until the test ends.
fn blocking(end: Receiver<()>) -> impl Fn() -> Call<'static> + Send + Sync {
    let end = Mutex::new(end);
    move || {
        let _ended = end.lock().unwrap().recv();
        Box::pin(async { Err(HostError::Offline) })
    }
}

#[test]
fn a_proxy_that_blocks_its_thread_costs_its_deadline() {
    let desk = Desk::new();
    let (_end, wait) = channel();
    let wallet = open(&desk, blocking(wait));
    let started = Instant::now();
    let connection = desk.run(wallet.connect("alice")).unwrap();
    assert_eq!(connection.service, Some(WalletError::Network { reason: NetworkProblem::TimedOut { limit: LIMIT } }));
    assert!(started.elapsed() < 10 * LIMIT, "{:?}", started.elapsed());
}

#[test]
fn a_proxy_that_panics_before_there_is_a_future_is_a_typed_failure() {
    let desk = Desk::new();
    // Printing the panic's backtrace takes its time.
    let wallet = open_with(&desk, Duration::from_secs(30), || panic!("the app's bug"));
    let failure = desk.run(wallet.connect("alice")).unwrap().service;
    assert_eq!(failure.map(|error| error.code()), Some(19_022));
}

#[test]
fn a_call_that_is_given_up_is_dropped() {
    struct Told(Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _nobody_waits = self.0.send(());
        }
    }
    let desk = Desk::new();
    let (sender, dropped) = channel();
    let sender = Mutex::new(sender);
    let wallet = open(&desk, move || {
        let told = Told(sender.lock().unwrap().clone());
        Box::pin(async move {
            let _told = told;
            std::future::pending().await
        })
    });
    desk.run(wallet.connect("alice")).unwrap();
    dropped.recv_timeout(10 * LIMIT).unwrap();
}

#[test]
fn a_call_whose_timer_has_lost_its_executor_is_given_up_at_once() {
    let desk = Desk::new();
    let executor = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(TokioClock::new(executor.handle().clone()));
    executor.shutdown_background();
    let (_end, wait) = channel();
    let host = Host { clock, ..host(&desk, blocking(wait)) };
    let wallet = Wallet::init(desk.config(), host).unwrap();
    let connection = desk.run(wallet.connect("alice")).unwrap();
    let limit = Deadlines::default().proxy;
    assert_eq!(connection.service, Some(WalletError::Network { reason: NetworkProblem::TimedOut { limit } }));
}

#[test]
fn proxies_that_hang_take_no_thread_from_a_tap() {
    let desk = Desk::new();
    drop(desk.ready(desk.phone.host()));
    let (_end, wait) = channel();
    let config = WalletConfig { deadlines: Deadlines { proxy: LIMIT, ..Deadlines::default() }, ..desk.config() };
    let host = host(&desk, blocking(wait));
    let wallet = until_free(|| Wallet::init(config.clone(), host.clone()));
    for _ in 0..20 {
        assert!(desk.run(wallet.sync_token()).is_err());
    }
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
}

/// The store is let go when the last background task of the wallet before has ended.
fn until_free(open: impl Fn() -> Result<Wallet, WalletError>) -> Wallet {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match open() {
            Ok(wallet) => return wallet,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
