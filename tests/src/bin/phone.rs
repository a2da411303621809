//! The Rust phone: a wallet behind the phone protocol.

use clap::Parser;
use nfcwallet_sandbox::phone::{PhoneOptions, run};

/// A wallet in a process of its own, driven by JSON lines (`docs/phone-protocol.md`).
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: PhoneOptions,
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    run(&Arguments::parse().options)
}
