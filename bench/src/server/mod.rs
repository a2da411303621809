//! The provider's server: `pay` over HTTP beside what the machine can do, and what the relay adds.
//!
//! The servers are processes of the release build. All measured things are prepared first and then run in
//! turns, a few seconds each, so that a busy machine is busy for all of them. The load is made on the same
//! processors, so it is kept cheap: its requests are signed before the clock starts, it reads no more of an
//! answer than its outcome, and it verifies the signature of one answer in 64 after the clock has stopped.
//!
//! * `signing`: RSA beside OpenSSL. `inserts`: bare inserts into the same kind of database.
//! * `process`: the servers, and a handler that does nothing. `load`: payments over HTTP (`http`, `party`).
//! * `relay`: a wallet's request with and without the server in between.
//! * `table`: what is held against what. `cpu`: what limits.

pub mod cpu;
pub mod http;
pub mod inserts;
pub mod load;
pub mod party;
pub mod process;
pub mod relay;
#[cfg(feature = "openssl")]
pub mod signing;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alipayplus::{Amount, Currency};
use anyhow::{Context, Result};
use mpp_server::accounts::{Accounts, Limits, NewUser, TopUp};
use mpp_server::clock::SystemClock;
use mpp_server::config::Config;
use mpp_server::ledger;
use mpp_server::store::Store;
use mpp_server::testing::Database;
use tempfile::TempDir;

use crate::{Row, reference};
use http::Post;
use inserts::{Plain, Stored};
use load::{Run, Target};
use party::{Party, USERS, user};
use process::Server;

/// Minor units on each account: nobody runs out of money.
const BALANCE: u64 = 1_000_000_000_000;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Turns of everything.
    pub turns: u32,
    /// Payments a turn, of each arrangement, after as long a time that does not count before the first turn.
    pub pay: Duration,
    /// Inserts a turn, likewise.
    pub inserts: Duration,
    /// Connections that pay at once, and callers of the store.
    pub at_once: usize,
    /// Payments that are signed before; an arrangement that has done all of them does no more.
    pub payments: usize,
    /// Relayed requests.
    pub relays: usize,
}

/// Measures the servers that `program` starts, on databases in this process's temporary folder.
///
/// # Errors
/// If nothing can be measured. An arrangement that fails is a row that was not run.
pub async fn measure(program: &Path, effort: Effort) -> Result<Vec<Row>> {
    let party = Party::new()?;
    let mut rows = Vec::new();
    #[cfg(feature = "openssl")]
    rows.extend(signing::rows(&party)?);
    let disk = reference::durable_append(&tempfile::env::temp_dir(), 200)?;
    rows.push(Row::of("reference: 64 bytes appended, fdatasync", &disk));
    eprintln!("signing {} payments", effort.payments);
    let requests = party.payments(effort.payments)?;
    let empty = Empty::start(&party)?;
    let mut stage = Stage { program, party: &party, effort, gateway: &empty, requests };
    let mut handler = Subject::of("an empty handler", stage.empty().await);
    let mut kinds = Vec::new();
    for (name, open) in [("SQLite", sqlite as Open), ("PostgreSQL", postgres)] {
        eprintln!("starting the servers on {name}");
        kinds.push(Kind::prepare(&stage, name, open).await);
    }
    for turn in 0..=effort.turns {
        let begun = std::time::Instant::now();
        stage.turn(&mut handler, turn).await;
        for subject in kinds.iter_mut().flat_map(Kind::subjects) {
            stage.turn(subject, turn).await;
        }
        eprintln!("turn {turn} of {}: {:.0} s", effort.turns, begun.elapsed().as_secs_f64());
    }
    let key = party.verifying()?;
    for subject in std::iter::once(&mut handler).chain(kinds.iter_mut().flat_map(Kind::subjects)) {
        subject.verify(&party, &key);
    }
    rows.extend(table::rows(&handler, &kinds)?);
    for kind in &kinds {
        rows.extend(kind.books(stage.requests.len()).await);
    }
    eprintln!("relaying {} requests", effort.relays);
    rows.extend(relayed(&stage, &kinds).await);
    Ok(rows)
}

type Open = fn() -> Result<Database>;

fn sqlite() -> Result<Database> {
    Ok(Database::sqlite()?)
}

fn postgres() -> Result<Database> {
    Ok(Database::postgres()?)
}

/// The handler that does nothing: also the gateway of all servers.
struct Empty {
    server: Server,
    _folder: TempDir,
}

impl Empty {
    fn start(party: &Party) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { server: Server::empty(folder.path(), party)?, _folder: folder })
    }
}

/// What all arrangements share.
struct Stage<'a> {
    program: &'a Path,
    party: &'a Party,
    effort: Effort,
    gateway: &'a Empty,
    requests: Vec<Post>,
}

/// Something that is measured in turns.
struct Subject {
    name: String,
    work: Option<Work>,
    run: Run,
    failure: Option<String>,
}

enum Work {
    Pay(Target),
    Plain(Plain),
    Stored(Stored),
}

impl Subject {
    fn of(name: &str, prepared: Result<Work>) -> Self {
        let (work, failure) = match prepared {
            Ok(work) => (Some(work), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self { name: name.to_owned(), work, run: Run::default(), failure }
    }

    fn fail(&mut self, error: &anyhow::Error) {
        self.work = None;
        self.failure = Some(format!("{error:#}"));
    }

    /// The sample of answers that was kept.
    fn verify(&mut self, party: &Party, key: &alipayplus::signature::VerifyingKey) {
        let checked = self.run.kept.iter().try_for_each(|answer| party.check(key, answer));
        if let Err(error) = checked {
            self.fail(&error);
        }
    }
}

impl Stage<'_> {
    async fn empty(&self) -> Result<Work> {
        let server = &self.gateway.server;
        let address = server.addresses.partner()?;
        Ok(Work::Pay(Target::connect(&[address], vec![server.pid()], self.effort.at_once).await?))
    }

    /// Turn 0 warms up.
    async fn turn(&mut self, subject: &mut Subject, turn: u32) {
        let Effort { pay, inserts, .. } = self.effort;
        let run = match &mut subject.work {
            None => return,
            Some(Work::Pay(target)) => target.pay(&self.requests, pay).await,
            Some(Work::Plain(plain)) => plain.run(inserts).await,
            Some(Work::Stored(stored)) => stored.run(inserts).await,
        };
        match run {
            Ok(_) if turn == 0 => {}
            Ok(run) => subject.run.add(run),
            Err(error) => subject.fail(&error),
        }
    }
}

/// Servers on a database of their own.
struct Arrangement {
    servers: Vec<Server>,
    database: Database,
    _folder: TempDir,
}

impl Arrangement {
    async fn start(stage: &Stage<'_>, open: Open, processes: usize) -> Result<Self> {
        let (database, folder) = (open()?, tempfile::tempdir()?);
        make_users(&database.url).await?;
        let gateway = stage.gateway.server.addresses.partner()?;
        let start = |_| Server::mpp(stage.program, folder.path(), stage.party, &database.url, gateway);
        let servers = (0..processes).map(start).collect::<Result<_>>()?;
        Ok(Self { servers, database, _folder: folder })
    }

    async fn target(&self, at_once: usize) -> Result<Work> {
        let addresses: Vec<_> = self.servers.iter().map(|one| one.addresses.partner()).collect::<Result<_>>()?;
        let pids = self.servers.iter().map(Server::pid).collect();
        Ok(Work::Pay(Target::connect(&addresses, pids, at_once).await?))
    }
}

/// A kind of database, and all that is measured on it.
struct Kind {
    plain: Subject,
    /// By one connection, where `plain` has several.
    single: Option<Subject>,
    stored: Subject,
    pays: Vec<(Subject, Option<Arrangement>)>,
    _bare: Option<Bare>,
}

impl Kind {
    async fn prepare(stage: &Stage<'_>, name: &'static str, open: Open) -> Self {
        let mut pays = Vec::new();
        for (processes, words) in [(1, "one process"), (2, "two processes")] {
            let (arrangement, work) = match Arrangement::start(stage, open, processes).await {
                Ok(arrangement) => {
                    let work = arrangement.target(stage.effort.at_once).await;
                    (Some(arrangement), work)
                }
                Err(error) => (None, Err(error)),
            };
            pays.push((Subject::of(&format!("pay, {name}, {words}"), work), arrangement));
        }
        let (bare, failure) = match Bare::start(open) {
            Ok(bare) => (Some(bare), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let url = |pick: fn(&Bare) -> &Database| match &bare {
            Some(bare) => Ok(pick(bare).url.clone()),
            None => Err(anyhow::anyhow!(failure.clone().unwrap_or_default())),
        };
        // The store makes the schema of the database that it shares with the plain driver.
        let stored = url(|bare| &bare.shared).and_then(|url| Stored::open(&url, writers(), stage.effort.at_once));
        let (several, one) =
            (plain(url(|bare| &bare.shared), writers()).await, plain(url(|bare| &bare.single), 1).await);
        let has_one_writer = matches!(several, Ok(Work::Plain(Plain::Sqlite(..))));
        Self {
            plain: Subject::of(&format!("bare inserts, {name}"), several),
            single: (!has_one_writer).then(|| Subject::of(&format!("bare inserts, {name}, one connection"), one)),
            stored: Subject::of(&format!("the same inserts through the store, {name}"), stored.map(Work::Stored)),
            pays,
            _bare: bare,
        }
    }

    fn subjects(&mut self) -> impl Iterator<Item = &mut Subject> {
        let pays = self.pays.iter_mut().map(|(subject, _)| subject);
        [&mut self.plain, &mut self.stored].into_iter().chain(&mut self.single).chain(pays)
    }

    /// Money is neither made nor lost at any speed.
    async fn books(&self, signed: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for (subject, arrangement) in &self.pays {
            let Some((arrangement, Work::Pay(target))) = arrangement.as_ref().zip(subject.work.as_ref()) else {
                continue;
            };
            let name = format!("books after {} of {}: findings", target.sent(signed), subject.name);
            rows.push(match findings(&arrangement.database.url).await {
                Ok(count) => Row::exactly(&name, count, 0),
                Err(error) => Row::not_run(&name, &format!("{error:#}")),
            });
        }
        rows
    }
}

/// Databases for inserts alone.
struct Bare {
    shared: Database,
    single: Database,
}

impl Bare {
    fn start(open: Open) -> Result<Self> {
        Ok(Self { shared: open()?, single: open()? })
    }
}

async fn plain(url: Result<String>, connections: usize) -> Result<Work> {
    Ok(Work::Plain(Plain::open(&url?, connections).await?))
}

/// Connections of a server that write, unless it is told otherwise.
fn writers() -> usize {
    Config::default().store.connections
}

async fn open_store(url: &str) -> Result<Store> {
    let url = url.to_owned();
    Ok(tokio::task::spawn_blocking(move || Store::open(&url)).await??)
}

async fn make_users(url: &str) -> Result<()> {
    let store = open_store(url).await?;
    let accounts = Accounts::new(store.clone(), Arc::new(SystemClock));
    let currency = Currency::from_code("EUR").context("EUR is a currency")?;
    let (accounts, amount) = (&accounts, Amount::new(currency, BALANCE));
    inserts::all((0..USERS).map(|number| async move {
        let customer_id = user(number);
        let new = NewUser { customer_id: customer_id.clone(), currency, kyc: true, limits: Limits::default() };
        accounts.create(new).await?;
        accounts.top_up(TopUp { id: format!("first-{number}"), customer_id, amount }).await?;
        Ok(())
    }))
    .await?;
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(())
}

async fn findings(url: &str) -> Result<u64> {
    let store = open_store(url).await?;
    let audit = ledger::audit(&store).await?;
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(audit.findings.iter().map(|found| found.count).sum())
}

/// Through the server on SQLite that is alone on its database.
async fn relayed(stage: &Stage<'_>, kinds: &[Kind]) -> Vec<Row> {
    let arrangement = kinds.iter().flat_map(|kind| &kind.pays).find_map(|(_, arrangement)| arrangement.as_ref());
    let measured = async {
        let server = arrangement.and_then(|one| one.servers.first()).context("no server started")?;
        let (app, gateway) = (server.addresses.app()?, stage.gateway.server.addresses.partner()?);
        relay::rows(app, gateway, stage.party, stage.effort.relays).await
    };
    measured.await.unwrap_or_else(|error| vec![Row::not_run("relay", &format!("{error:#}"))])
}
