//! The measured servers, each a process of its own that says on its first line where it listens.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alipayplus::mobile::{SdkProxy, SdkProxyAnswer, SdkProxyRequest};
use alipayplus::payment::mpp::{Pay, PayAnswer, PayRequest};
use alipayplus::server::{ApiRouter, Caller, ServerOptions};
use alipayplus::{DateTime, ResultInfo};
use anyhow::{Context, Result};
use mpp_server::config::VARIABLE_PREFIX;
use serde::Deserialize;

use super::party::Party;

/// The argument that makes the benchmark program the handler that does nothing.
pub const EMPTY_HANDLER: &str = "empty-handler";

/// A server in a process. Dropped, it is gone.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub addresses: Addresses,
}

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    app: String,
    partner: String,
    ops: String,
}

impl Addresses {
    fn read(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("a server says {line:?}"))
    }

    /// Where the app is served.
    ///
    /// # Errors
    /// If that is no address.
    pub fn app(&self) -> Result<SocketAddr> {
        socket(&self.app)
    }

    /// Where the gateway is served.
    ///
    /// # Errors
    /// If that is no address.
    pub fn partner(&self) -> Result<SocketAddr> {
        socket(&self.partner)
    }
}

fn socket(url: &str) -> Result<SocketAddr> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    address.parse().with_context(|| format!("{url} is no address"))
}

impl Server {
    /// An `mpp-server` on `database`, which calls the gateway at `gateway`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn mpp(program: &Path, folder: &Path, party: &Party, database: &str, gateway: SocketAddr) -> Result<Self> {
        party.write(folder)?;
        let [key, public] = ["key", "public"].map(|name| folder.join(name).display().to_string());
        let mut command = Command::new(program);
        // The configuration of whoever runs this is not what is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(VARIABLE_PREFIX)) {
            command.env_remove(name);
        }
        command.args(["serve", "--log-level", "error", "--database", database]).current_dir(folder);
        for (field, value) in [
            ("listen.app", "127.0.0.1:0"),
            ("listen.partner", "127.0.0.1:0"),
            ("listen.ops", "127.0.0.1:0"),
            ("accounts.sign_up", "open"),
            ("identity.client_id", party.client_id.as_str()),
            ("identity.signing_key_file", &key),
            ("gateway.key_files.1", &public),
            ("gateway.url", &format!("http://{gateway}")),
        ] {
            command.arg("--set").arg(format!("{field}={value}"));
        }
        Self::start(command)
    }

    /// This program, as the handler that does nothing; see [`serve_nothing`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn empty(folder: &Path, party: &Party) -> Result<Self> {
        party.write(folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(EMPTY_HANDLER).arg(folder);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{program} does not start"))?;
        let output = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let addresses = read.map_err(Into::into).and_then(|_| Addresses::read(&line));
        match addresses {
            Ok(addresses) => Ok(Self { process, addresses }),
            Err(error) => {
                // It may have ended by itself.
                drop(process.kill());
                drop(process.wait());
                Err(error)
            }
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Serves `pay` and `sdkProxy`, verified, checked and signed as every API is, without doing anything: what
/// HTTP and signatures alone cost. The benchmark program must call it when its first argument is
/// [`EMPTY_HANDLER`].
///
/// # Errors
/// If there is no key in the folder, or nothing to listen on.
pub fn serve_nothing(arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { anyhow::bail!("expected: the folder with the key") };
    let party = Party::read(&PathBuf::from(folder))?;
    let router: axum::Router = ApiRouter::new(party.identity()?, party.ring()?, ServerOptions::default())
        .api::<Pay, _, _>(None, |caller, request| async move { Ok(paid(&caller, &request)) })
        .api::<SdkProxy, _, _>(None, |_, request| async move { Ok(echoed(request)) })
        .build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        println!("{{\"app\":\"\",\"partner\":\"http://{address}\",\"ops\":\"\"}}");
        Ok(axum::serve(listener, router).await?)
    })
}

fn paid(caller: &Caller, request: &PayRequest) -> PayAnswer {
    PayAnswer {
        result: ResultInfo::success(),
        payment_id: Some(request.payment_request_id.clone()),
        payment_time: DateTime::from_ms(caller.received_ms),
        customer_id: request.user().map(str::to_owned),
        payment_url: None,
    }
}

fn echoed(request: SdkProxyRequest) -> SdkProxyAnswer {
    SdkProxyAnswer { result: ResultInfo::success(), sdk_response: request.sdk_request_body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_where_it_listens() {
        let line = r#"{"app":"http://127.0.0.1:1","partner":"http://127.0.0.1:2","ops":"http://127.0.0.1:3"}"#;
        let addresses = Addresses::read(line).unwrap();
        assert_eq!((addresses.app().unwrap().port(), addresses.partner().unwrap().port()), (1, 2));
        assert!(Addresses::read("").is_err());
        assert!(Addresses { app: String::new(), ..addresses }.app().is_err());
    }

    #[test]
    fn a_program_that_says_nothing_is_no_server() {
        assert!(Server::start(Command::new("true")).is_err());
        assert!(Server::start(Command::new("not/there")).is_err());
    }
}
