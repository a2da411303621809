//! `mpp-server`: the reference server of a payment provider.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cli::{ConfigCommand, ConfigFlags, KeysCommand, OpenApiSide, UserCommand};

/// The server of a payment provider whose users pay with their phones: it relays their wallets' requests
/// to the Alipay+ gateway, takes the gateway's payments, cancellations and refunds, and keeps the books.
///
/// What can be set, and where it comes from: `mpp-server config --example`.
#[derive(Debug, Parser)]
#[command(
    name = "mpp-server",
    version,
    after_help = "Start here:\n  mpp-server keys new\n  mpp-server keys new --private keys/gateway.key --public \
                  keys/gateway.pub    (a gateway that you play yourself)\n  mpp-server config \
                  --example > mpp-server.toml\n  mpp-server config --check\n  mpp-server user add ann --currency EUR \
                  --balance 100.00 --password-stdin\n  mpp-server serve\n\nEach field of the configuration can also be \
                  set by --set section.field=value, or by the variable MPP_SERVER__SECTION__FIELD. Flags win over \
                  variables, which win over the file, which wins over the defaults.\n\nExit codes: 0 done, 1 failed \
                  (the reason is on standard error), 2 wrong arguments.\nThe whole way: docs/mpp-server.md"
)]
struct Arguments {
    #[command(flatten)]
    config: ConfigFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (this is what happens without a command, too)
    Serve,
    /// Make the key with which this server signs
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Add, show and change users
    #[command(subcommand)]
    User(UserCommand),
    /// Compute every balance anew from the journal; exit code 1 if anything differs
    Audit,
    /// Print an example of the configuration, or check the one in use
    Config(ConfigCommand),
    /// Print the OpenAPI description of one side as JSON
    Openapi {
        /// For the provider's app, or for the gateway
        side: OpenApiSide,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let flags = &arguments.config;
    let outcome = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => cli::serve(flags),
        Command::Keys(command) => cli::keys(&command),
        Command::User(command) => cli::user(flags, command),
        Command::Audit => cli::audit(flags),
        Command::Config(command) => cli::config(flags, &command),
        Command::Openapi { side } => cli::openapi(side),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("mpp-server: {error:#}");
        ExitCode::FAILURE
    })
}
