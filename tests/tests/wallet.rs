//! Wallets in this process: `init` on directories of every kind, and the end of a wallet.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::path::Path;
use std::sync::Arc;

use nfcwallet_core::payment::CdcvmMethod;
use nfcwallet_core::token::TokenStatus;
use nfcwallet_core::{Advice, Wallet, WalletConfig, WalletError};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::phone::PhoneError;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_tests::unit::{PhoneUnit, Surroundings};
use tempfile::TempDir;

struct Desk {
    sandbox: Sandbox,
    folder: TempDir,
    phone: SimPhone,
}

impl Desk {
    fn new() -> Self {
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let sandbox = Sandbox::start_with(SandboxConfig::default(), issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let proxy = Arc::new(sandbox.proxy("alice").unwrap());
        let phone = SimPhone::new(&folder.path().join("hardware"), proxy, sandbox.runtime().clone()).unwrap();
        Self { sandbox, folder, phone }
    }

    fn config(&self) -> WalletConfig {
        WalletConfig::new(self.folder.path().join("wallet"), "sandbox-mpp", self.sandbox.trust_key())
    }

    fn open(&self, config: WalletConfig) -> Result<Wallet, WalletError> {
        Wallet::init(config, self.phone.host())
    }
}

#[test]
fn a_second_init_on_one_directory_is_the_same_wallet() {
    let desk = Desk::new();
    let first = desk.open(desk.config()).unwrap();
    let second = desk.open(desk.config()).unwrap();
    desk.sandbox.runtime().block_on(first.connect("alice")).unwrap();
    assert_eq!(second.token_status(), TokenStatus::NoToken);
    // Spelt another way, the directory is still the same.
    let roundabout = desk.folder.path().join("wallet").join("..").join("wallet");
    let third = desk.open(WalletConfig { data_directory: roundabout, ..desk.config() });
    assert!(matches!(third, Err(WalletError::InvalidInput { field: "config", .. })), "{third:?}");
}

#[test]
fn a_second_init_with_another_configuration_is_refused() {
    let desk = Desk::new();
    let _first = desk.open(desk.config()).unwrap();
    let other = WalletConfig { replenish_threshold: 5, ..desk.config() };
    let refused = desk.open(other).unwrap_err();
    assert_eq!(refused.code(), 10011);
    assert!(refused.to_string().starts_with("config: "), "{refused}");
}

#[test]
fn a_directory_that_another_process_holds_is_busy_until_it_ends() {
    let desk = Desk::new();
    let surroundings = Surroundings {
        program: nfcwallet_sandbox::phone::PhoneProgram {
            path: env!("CARGO_BIN_EXE_phone").into(),
            arguments: Vec::new(),
        },
        mpp: desk.sandbox.addresses().mpp.to_string(),
        trust_key: hex::encode(desk.sandbox.trust_key()),
        options: Vec::new(),
    };
    let mut other = PhoneUnit::new(surroundings, desk.folder.path().to_owned());
    other.start(&[]).unwrap();
    let busy = desk.open(desk.config()).unwrap_err();
    assert_eq!((busy.code(), busy.advice()), (19030, Advice::Retry));
    other.kill();
    assert_eq!(desk.open(desk.config()).unwrap().token_status(), TokenStatus::Disconnected);
}

#[test]
fn a_directory_that_is_a_file_is_unusable() {
    let desk = Desk::new();
    std::fs::write(desk.folder.path().join("wallet"), b"in the way").unwrap();
    let unusable = desk.open(desk.config()).unwrap_err();
    assert_eq!((unusable.code(), unusable.advice()), (19032, Advice::FreeSpace));
    assert_eq!(std::fs::read(desk.folder.path().join("wallet")).unwrap(), b"in the way");
}

#[test]
fn a_configuration_out_of_range_is_refused_before_anything_is_made() {
    let desk = Desk::new();
    let refused = desk.open(WalletConfig { target_stock: 101, ..desk.config() }).unwrap_err();
    assert_eq!(refused.to_string(), "target_stock: is 101, limit 11 to 100");
    assert!(!Path::new(&desk.config().data_directory).exists());
}

#[test]
fn after_shutdown_every_call_says_so_and_the_directory_is_free() {
    let desk = Desk::new();
    let wallet = desk.open(desk.config()).unwrap();
    let runtime = desk.sandbox.runtime();
    runtime.block_on(wallet.connect("alice")).unwrap();
    wallet.shutdown();
    wallet.shutdown();
    assert_eq!(runtime.block_on(wallet.connect("alice")).unwrap_err(), WalletError::ShutDown);
    assert_eq!(wallet.authenticate(CdcvmMethod::Fingerprint).unwrap_err(), WalletError::ShutDown);
    assert_eq!(runtime.block_on(wallet.replenish()).unwrap_err(), WalletError::ShutDown);
    assert_eq!(wallet.process_apdu(&[0x00, 0xA4, 0x04, 0x00]), [0x69, 0x85]);
    assert_eq!(wallet.token_status(), TokenStatus::QueryFailed);
    let again = desk.open(desk.config()).unwrap();
    assert_eq!(again.token_status(), TokenStatus::NoToken);
}

/// Starts a phone whose wallet folder was mounted by `mount` (with `$WALLET` as the folder) in a mount
/// namespace of its own. `None` where this machine lets nobody mount.
fn start_on_mount(desk: &Desk, mount: &str) -> Option<Result<(), u32>> {
    let allowed = std::process::Command::new("unshare").args(["--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("NOT CHECKED: this machine lets nobody mount");
        return None;
    }
    let folder = desk.folder.path().join("wallet");
    std::fs::create_dir_all(&folder).unwrap();
    let script = format!("WALLET='{}'; {mount} && exec \"$0\" \"$@\"", folder.display());
    let arguments = ["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_phone")].map(Into::into).to_vec();
    let surroundings = Surroundings {
        program: nfcwallet_sandbox::phone::PhoneProgram { path: "unshare".into(), arguments },
        mpp: desk.sandbox.addresses().mpp.to_string(),
        trust_key: hex::encode(desk.sandbox.trust_key()),
        options: Vec::new(),
    };
    let mut phone = PhoneUnit::new(surroundings, desk.folder.path().to_owned());
    Some(match phone.start(&[]) {
        Ok(_) => Ok(()),
        Err(PhoneError::NotOpened(error)) => Err(error.code),
        Err(other) => panic!("{other}"),
    })
}

#[test]
fn a_full_disk_is_told_at_init() {
    let full = "mount -t tmpfs -o size=16k tmpfs \"$WALLET\"";
    if let Some(outcome) = start_on_mount(&Desk::new(), full) {
        assert_eq!(outcome, Err(19031));
    }
}

#[test]
fn a_read_only_directory_is_told_at_init_and_stays_as_it_was() {
    let desk = Desk::new();
    drop(desk.open(desk.config()).unwrap());
    let before = std::fs::read(desk.folder.path().join("wallet/wallet.db")).unwrap();
    let read_only = "mount --bind \"$WALLET\" \"$WALLET\" && mount -o remount,ro,bind \"$WALLET\"";
    if let Some(outcome) = start_on_mount(&desk, read_only) {
        assert_eq!(outcome, Err(19032));
        assert_eq!(std::fs::read(desk.folder.path().join("wallet/wallet.db")).unwrap(), before);
    }
}
