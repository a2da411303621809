//! PostgreSQL: each thread owns a connection and runs one job a transaction.
//!
//! What is known to go together travels together: `BEGIN` with the first statements, and the statements
//! of one [`Tx::run`] in one round trip.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{join, join_all};
use futures_util::{TryStreamExt, pin_mut};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreError;
use super::migrate::migrate;
use super::queue::{Job, Queue, Wish};
use super::tls;
use super::tx::{Done, Link, Statement, Tx};
use super::value::{Cell, Row, Value};

/// Runs of a job that meets a deadlock, a taken key or a broken connection.
const RUNS: u32 = 5;
/// Before the second run; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// For the database to answer. Longer than its own limits below, so that they speak first.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What this program needs of a session, whatever the server's defaults are.
const SETUP: &str = "SET synchronous_commit = on; \
    SET statement_timeout = '15s'; \
    SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '60s'";
const BEGIN: &str = "BEGIN";
const MIGRATIONS_ALONE: &str = "SELECT pg_advisory_xact_lock(5567221908)";

/// `libpq` knows more modes. What it calls `verify-full` is the only TLS here.
const UNREADABLE: &str = "it cannot be read as an address of PostgreSQL, or an option in it is not known; signs such as \
    # and / in a password are written %23 and %2F; sslmode is disable, prefer or require, which checks certificate \
    and name; for sslrootcert there is store.ca_file";

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Sees what others have committed, statement by statement; what it writes it holds first.
    Writer,
    /// Sees one moment.
    Reader,
}

impl Role {
    /// Of the session, so that `BEGIN` alone is enough, which nothing can refuse: what follows it is on its
    /// way already.
    fn setup(self) -> &'static str {
        match self {
            Self::Writer => {
                "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off"
            }
            Self::Reader => {
                "SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on"
            }
        }
    }
}

/// Reads an address. Another machine is spoken to by TLS, unless the address says `sslmode=disable`.
///
/// # Errors
/// [`StoreError::Address`].
pub(super) fn parse(url: &str) -> Result<Config, StoreError> {
    let mut config: Config = url.parse().map_err(|_| StoreError::Address { reason: UNREADABLE })?;
    if config.get_ssl_mode() == SslMode::Prefer {
        // Not "if the server can": who sits on the way would say that it cannot.
        config.ssl_mode(if stays_here(&config) { SslMode::Disable } else { SslMode::Require });
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_LIMIT);
    }
    if config.get_application_name().is_none() {
        config.application_name("mpp-server");
    }
    Ok(config)
}

/// Database and hosts, without user and password.
pub(super) fn describe(config: &Config) -> String {
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    };
    // None for the usual one, one for all hosts, or one each.
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| format!("{}:{}", name(host), port(at)));
    let hosts: Vec<_> = hosts.collect();
    format!("PostgreSQL's database {} at {}", config.get_dbname().unwrap_or_default(), hosts.join(", "))
}

/// All hosts are sockets or addresses of this machine.
fn stays_here(config: &Config) -> bool {
    let is_loopback = |name: &str| name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let is_local = |host: &Host| match host {
        Host::Tcp(name) => is_loopback(name),
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    // Where addresses are given, nobody looks the names up.
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(is_local),
        addresses => addresses.iter().all(IpAddr::is_loopback),
    }
}

/// A server, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Server {
    /// The one at the address that [`parse`] read.
    ///
    /// # Errors
    /// [`StoreError::Tls`].
    pub(super) fn new(config: Config, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        let needs_tls = config.get_ssl_mode() != SslMode::Disable;
        if !needs_tls && ca_file.is_some() {
            // Who names an authority believes that it is asked.
            return Err(StoreError::Address {
                reason: "store.ca_file is set, and this address uses no TLS: write sslmode=require, or leave the file out",
            });
        }
        let tls = needs_tls.then(|| tls::connector(ca_file)).transpose()?;
        Ok(Self { config, tls })
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        match self.tls.clone() {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await.map_err(tls::refusal)?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }
}

/// Makes the schema. Must not run on a thread of an asynchronous runtime.
///
/// # Errors
/// Those of the migrations, [`StoreError::Setup`], [`StoreError::Unreachable`].
pub(super) fn prepare(server: Server) -> Result<(), StoreError> {
    let mut session = Session::new(server, Role::Writer)?;
    session.connect()?;
    let fsync = session.run(&[Statement::new("SHOW fsync", &[])])?;
    for mut row in fsync.into_iter().flat_map(|done| done.rows) {
        if row.text()? != "on" {
            return Err(StoreError::Setup { reason: "fsync is off: a power cut would lose payments" });
        }
    }
    session.batch(MIGRATIONS_ALONE)?;
    migrate(&mut session)?;
    session.commit()
}

/// Serves jobs until the queue is closed and empty.
pub(super) fn serve_all(mut session: Session, queue: &Queue) {
    while let Some(job) = queue.take() {
        session.serve(job);
    }
}

/// A thread's connection, which is made again when it breaks.
pub(super) struct Session {
    runtime: Runtime,
    server: Server,
    role: Role,
    connected: Option<Connected>,
}

struct Connected {
    client: Client,
    statements: HashMap<&'static str, tokio_postgres::Statement>,
    /// `BEGIN` has been sent.
    began: bool,
}

impl Connected {
    /// The values are as many and of the kind that the server expects. Looked at before anything is sent:
    /// a statement that cannot be sent must not leave those around it to be committed.
    fn takes(&self, statement: &Statement<'_>) -> bool {
        let Some(prepared) = self.statements.get(statement.sql) else { return false };
        let fits = |(value, kind): (&Value<'_>, &Type)| match value {
            Value::Null => true,
            Value::Int(_) | Value::Unsigned(_) => *kind == Type::INT8,
            Value::Text(_) => *kind == Type::TEXT,
        };
        let kinds = prepared.params();
        kinds.len() == statement.values.len() && statement.values.iter().zip(kinds).all(fits)
    }
}

impl Session {
    /// Connects when it is first needed.
    pub(super) fn new(server: Server, role: Role) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|_| StoreError::Setup { reason: "no runtime can be made" })?;
        Ok(Self { runtime, server, role, connected: None })
    }

    fn serve(&mut self, mut job: Box<dyn Job>) {
        let mut pause = FIRST_PAUSE;
        for run in 1.. {
            let ended = self.run_once(&mut *job);
            match ended {
                Err(error) if error.is_passing() && run < RUNS => {
                    tracing::debug!(%error, run, "a job runs again");
                    // A job that lost a race against another one can look at once what became of it.
                    if error != StoreError::Conflict || run > 1 {
                        std::thread::sleep(pause);
                        pause *= 2;
                    }
                }
                ended => return job.answer(ended),
            }
        }
    }

    fn run_once(&mut self, job: &mut dyn Job) -> Result<(), StoreError> {
        let mut tx = Tx::new(self);
        let wish = job.run(&mut tx);
        match (wish, tx.into_failure()) {
            (Wish::Commit, None) => self.commit(),
            (Wish::RollBack, None) => {
                self.roll_back();
                Ok(())
            }
            (_, Some(failure)) => {
                // After anything but a known conflict a new connection is the safer ground.
                match failure {
                    StoreError::Conflict | StoreError::Busy => self.roll_back(),
                    _ => self.connected = None,
                }
                Err(failure)
            }
        }
    }

    fn connect(&mut self) -> Result<(), StoreError> {
        if self.connected.as_ref().is_some_and(|connected| !connected.client.is_closed()) {
            return Ok(());
        }
        self.connected = None;
        let connecting = async {
            let client = self.server.connect().await?;
            client.batch_execute(SETUP).await?;
            client.batch_execute(self.role.setup()).await?;
            Ok::<_, StoreError>(client)
        };
        let client = within(&self.runtime, connecting)?;
        self.connected = Some(Connected { client, statements: HashMap::new(), began: false });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.connected.as_ref().is_some_and(|connected| connected.began) {
            self.finish(&[])?;
        }
        Ok(())
    }

    /// Connects if need be, and makes sure that the server knows `statements`.
    fn prepare(&mut self, statements: &[Statement<'_>]) -> Result<(), StoreError> {
        if !self.connected.as_ref().is_some_and(|connected| connected.began) {
            self.connect()?;
        }
        let connected = self.connected.as_mut().ok_or(StoreError::Unreachable)?;
        for statement in statements {
            if !connected.statements.contains_key(statement.sql) {
                let prepared = within(&self.runtime, connected.client.prepare(statement.sql))?;
                connected.statements.insert(statement.sql, prepared);
            }
        }
        if statements.iter().all(|statement| connected.takes(statement)) {
            return Ok(());
        }
        Err(StoreError::Statement { code: "other values than it takes".to_owned() })
    }

    fn roll_back(&mut self) {
        let Some(connected) = self.connected.as_mut().filter(|connected| connected.began) else {
            return;
        };
        connected.began = false;
        if within(&self.runtime, connected.client.batch_execute("ROLLBACK")).is_err() {
            self.connected = None;
        }
    }
}

impl Link for Session {
    fn run(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
        self.prepare(statements)?;
        let connected = self.connected.as_mut().ok_or(StoreError::Unreachable)?;
        let begins = !std::mem::replace(&mut connected.began, true);
        within(&self.runtime, send(connected, begins, statements))
    }

    /// The commit follows the statements without waiting for them: if one fails, it ends the transaction as
    /// a rollback does.
    fn finish(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
        self.prepare(statements)?;
        let connected = self.connected.as_mut().ok_or(StoreError::Unreachable)?;
        let begins = !std::mem::replace(&mut connected.began, false);
        let sent = async { join(send(connected, begins, statements), connected.client.batch_execute("COMMIT")).await };
        let answered = self.runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, sent).await });
        match answered {
            Ok((Ok(done), Ok(()))) => Ok(done),
            // The server says that it did not commit, and goes on living.
            Ok((Err(refused), Ok(()))) if !matches!(refused, StoreError::Column { .. }) => Err(refused),
            Ok((_, Err(error))) if is_refusal(&error) => Err(error.into()),
            Ok(_) | Err(_) => {
                self.connected = None;
                Err(if self.role == Role::Reader { StoreError::Unreachable } else { StoreError::Unknown })
            }
        }
    }

    fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.connect()?;
        let connected = self.connected.as_mut().ok_or(StoreError::Unreachable)?;
        if !std::mem::replace(&mut connected.began, true) {
            within(&self.runtime, connected.client.batch_execute(BEGIN))?;
        }
        within(&self.runtime, connected.client.batch_execute(sql))
    }
}

/// Requests leave in the order in which their futures are first polled.
async fn send(connected: &Connected, begins: bool, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
    let work = join_all(statements.iter().map(|statement| run_one(connected, statement)));
    if !begins {
        return work.await.into_iter().collect();
    }
    let (begun, done) = join(connected.client.batch_execute(BEGIN), work).await;
    begun?;
    done.into_iter().collect()
}

/// The server refused this request, and goes on serving the connection.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
}

async fn run_one(connected: &Connected, statement: &Statement<'_>) -> Result<Done, StoreError> {
    let prepared = connected.statements.get(statement.sql).ok_or(StoreError::Unreachable)?;
    let found = connected.client.query_raw(prepared, statement.values).await?;
    pin_mut!(found);
    let mut rows = Vec::new();
    while let Some(row) = found.try_next().await? {
        let cells: Result<_, StoreError> = (0..row.len()).map(|column| cell(&row, column)).collect();
        rows.push(Row::new(cells?));
    }
    Ok(Done { rows, changed: found.rows_affected().unwrap_or_default() })
}

fn cell(row: &tokio_postgres::Row, column: usize) -> Result<Cell, StoreError> {
    let kind = row.columns().get(column).map(tokio_postgres::Column::type_);
    let cell = match kind {
        Some(&Type::INT8) => row.try_get::<_, Option<i64>>(column)?.map(Cell::Int),
        Some(&Type::INT4) => row.try_get::<_, Option<i32>>(column)?.map(i64::from).map(Cell::Int),
        Some(&Type::TEXT | &Type::VARCHAR) => row.try_get::<_, Option<String>>(column)?.map(Cell::Text),
        _ => return Err(StoreError::Column { expected: "text or a number" }),
    };
    Ok(cell.unwrap_or(Cell::Null))
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Text(text) => text.to_sql(kind, out),
            other => other.integer()?.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT].contains(kind)
    }

    to_sql_checked!();
}

/// Waits for `work`, and not for ever: a server that has gone without a word says nothing.
fn within<T, E>(runtime: &Runtime, work: impl Future<Output = Result<T, E>>) -> Result<T, StoreError>
where
    E: Into<StoreError>,
{
    let limited = runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, work).await });
    limited.map_err(|_| StoreError::Unreachable)?.map_err(Into::into)
}
