//! `nfcwallet-sandbox`: the demo, the servers, a tap, a card in a reader, APDUs in words, and a phone for
//! other programs to drive.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nfcwallet_sandbox::phone::{self, PhoneOptions};

/// The servers, the phone and the terminal around an NFC wallet, on one laptop.
///
/// Everything listens on 127.0.0.1 and uses test keys and test card numbers only.
#[derive(Debug, Parser)]
#[command(
    name = "nfcwallet-sandbox",
    version,
    after_help = "Start here:\n  nfcwallet-sandbox demo\n\nOr by hand, in two terminals:\n  nfcwallet-sandbox serve\n  \
                  nfcwallet-sandbox tap --amount 12.50 --currency EUR\n\nNFCWALLET_LOG=debug prints the wallet's and \
                  the sandbox's log records on standard error (off, error, warn, info, debug, trace); \
                  NFCWALLET_LOG=debug,hyper=trace those of others too."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a wallet's whole life against servers and a terminal, each step checked
    Demo(cli::demo::DemoOptions),
    /// Run the servers until Ctrl-C and print their addresses as JSON
    Serve(cli::serve::ServeOptions),
    /// Pay once with a phone of its own, against a running `serve`
    Tap(cli::tap::TapOptions),
    /// Put a wallet into a PC/SC reader as a card, until Ctrl-C (docs/pcsc.md)
    ///
    /// The reader is virtual: vpcd, a driver that pcscd loads. Every program that reads smart cards
    /// through PC/SC then reads the wallet. The card prints what becomes of each tap.
    #[command(after_help = cli::card::EXAMPLE)]
    Card(cli::card::CardOptions),
    /// Check a card profile as a wallet does, or print one to start from (docs/profile.md)
    Profile(cli::profile::ProfileOptions),
    /// Put APDUs, data objects and whole taps into words (docs/explain.md)
    Explain(cli::explain::ExplainOptions),
    /// Kill wallets and cut their power, hundreds of times a minute, and check that it keeps its promises
    Torture(cli::torture::TortureOptions),
    /// A wallet that other programs drive, line by line (docs/phone-protocol.md)
    Phone(PhoneOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A phone with a log file of its own logs there only.
    if !matches!(&arguments.command, Command::Phone(PhoneOptions { log_file: Some(_), .. })) {
        cli::log_to_stderr();
    }
    let outcome = match arguments.command {
        Command::Demo(options) => cli::demo::run(options),
        Command::Serve(options) => cli::serve::run(&options),
        Command::Tap(options) => cli::tap::run(&options),
        Command::Card(options) => cli::card::run(options),
        Command::Profile(options) => cli::profile::run(&options),
        Command::Explain(options) => Ok(cli::explain::run(&options)),
        Command::Torture(options) => cli::torture::run(&options),
        Command::Phone(options) => phone::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        cli::screen::complain(&error);
        ExitCode::FAILURE
    })
}
