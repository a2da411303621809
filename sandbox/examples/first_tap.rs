//! The shortest way from nothing to an approved tap, in one process.
//!
//! `cargo run --release -p nfcwallet-sandbox --example first_tap`
//!
//! What an app replaces is the host: here a simulated phone stands in for Keystore, screen and HTTP
//! client (`sandbox/src/device`).

#![allow(clippy::print_stdout, reason = "an example that prints")]

use std::sync::Arc;

use nfcwallet_core::activation::ActivationProgress;
use nfcwallet_core::host::{ActivationListener, Delivered, HostError};
use nfcwallet_core::{ActivationMode, Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::pos::Purchase;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};

/// A progress bar in three lines.
struct Bar;

impl ActivationListener for Bar {
    fn on_progress(&self, progress: ActivationProgress) -> Result<Delivered, HostError> {
        eprintln!("{:>3} %  {:?}", progress.percent, progress.phase);
        Ok(Delivered::Done)
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }
}

fn main() -> anyhow::Result<()> {
    // The servers that the field has: the app's own, the gateway, the token service, the issuer.
    let sandbox = Sandbox::start(SandboxConfig::default())?;
    let runtime = sandbox.runtime().clone();
    let folder = tempfile::tempdir()?;

    // The app: it knows its server, its id, and the key that signs the token service's keys.
    let proxy = Arc::new(sandbox.proxy("alice")?);
    let phone = SimPhone::new(&folder.path().join("hardware"), proxy, runtime.clone())?;
    let config = WalletConfig::new(folder.path().join("wallet"), "my-mpp", sandbox.trust_key());
    let wallet = Wallet::init(config, phone.host())?;

    runtime.block_on(wallet.connect("alice"))?;
    println!("page: {:?}", wallet.page());
    runtime.block_on(wallet.activate(ActivationMode::Manual, Arc::new(Bar)))?;
    println!("page: {:?}, {} credentials", wallet.page(), wallet.credentials()?.usable);

    // The terminal sends APDUs; the platform hands each to `process_apdu`.
    let purchase = Purchase::new(12_50, 978, sandbox.service().clock().now_ms(), [1, 2, 3, 4]);
    let payment = sandbox.checkout().pay(&mut |apdu| Ok(wallet.process_apdu(apdu)), &purchase)?;
    println!("12.50 EUR: {}, signature verified: {:?}", payment.outcome, payment.cda_verified);
    Ok(())
}
