//! What a dump of the process's memory shows: no credential's key at rest, and no key of the card once
//! its user or its token is gone.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::phone::{Call, PhoneProgram};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_tests::till;
use nfcwallet_tests::unit::{PhoneUnit, Surroundings};

const USER: &str = "customer-44817-planted";

/// Everything that the process can write to: heap, stacks, data.
fn dump(process: u32) -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A page that the kernel keeps to itself cannot be read.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            regions.push(bytes);
        }
    }
    regions
}

fn holds(dump: &[Vec<u8>], needle: &[u8]) -> bool {
    let finder = memchr::memmem::Finder::new(needle);
    dump.iter().any(|bytes| finder.find(bytes).is_some())
}

/// As bytes in both orders, and as text.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut reversed = secret.to_vec();
    reversed.reverse();
    // Half of it would be enough to guess the rest, and catches a copy whose end was overwritten.
    let head = secret[..secret.len() / 2].to_vec();
    vec![secret.to_vec(), reversed, head, hex::encode(secret).into_bytes(), hex::encode_upper(secret).into_bytes()]
}

fn assert_gone(dump: &[Vec<u8>], secrets: &[(String, Vec<u8>)], when: &str) {
    for (name, secret) in secrets {
        for form in forms(secret) {
            assert!(!holds(dump, &form), "{when}, the memory holds {name}");
        }
    }
}

struct Desk {
    sandbox: Sandbox,
    phone: PhoneUnit,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let sandbox = Sandbox::start_with(SandboxConfig::default(), issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            program: PhoneProgram { path: env!("CARGO_BIN_EXE_phone").into(), arguments: Vec::new() },
            mpp: sandbox.addresses().mpp.to_string(),
            trust_key: hex::encode(sandbox.trust_key()),
            options: Vec::new(),
        };
        let mut phone = PhoneUnit::new(surroundings, folder.path().join("phone"));
        phone.start(&[]).unwrap();
        let mut desk = Self { sandbox, phone, _folder: folder };
        desk.say(Call::Connect { user: USER.to_owned() });
        desk.say(Call::Activate { silent: false });
        desk
    }

    fn say(&mut self, call: Call) {
        self.phone.process().unwrap().call(call).unwrap();
    }

    fn tap(&mut self, number: u32) {
        let outcome = till::tap(&self.sandbox, &mut self.phone, &till::small_purchase(), number).unwrap();
        assert_eq!(outcome["outcome"], "approved");
    }

    fn dump(&self) -> Vec<Vec<u8>> {
        // What follows a tap in the background has a moment to end.
        std::thread::sleep(std::time::Duration::from_millis(300));
        dump(self.phone.process().unwrap().process_id())
    }

    fn token(&self) -> String {
        self.sandbox.service().state().unwrap().tokens[0].token_reference.clone()
    }

    /// The keys of all credentials that were ever given out.
    fn credential_keys(&self) -> Vec<(String, Vec<u8>)> {
        let token = self.token();
        let views = self.sandbox.service().credentials(&token).unwrap();
        let keys = views.iter().map(|view| {
            let again = self.sandbox.issuer().credentials(&token, view.atc, 1, view.expires_at_ms).unwrap();
            (format!("the key of credential {}", view.atc), again[0].session_key.expose().to_vec())
        });
        keys.collect()
    }

    fn card_keys(&self) -> Vec<(String, Vec<u8>)> {
        let profile = self.sandbox.issuer().personalise(&self.token(), USER).unwrap();
        let key = profile.applications[0].icc_key.clone().unwrap();
        vec![
            ("a factor of the card's key".to_owned(), key.prime_p.expose().to_vec()),
            ("a factor of the card's key".to_owned(), key.prime_q.expose().to_vec()),
        ]
    }
}

#[test]
fn a_dump_shows_no_key_of_any_credential_spent_or_not() {
    let mut desk = Desk::new();
    for number in 1..=3 {
        desk.tap(number);
    }
    let dump = desk.dump();
    assert!(holds(&dump, USER.as_bytes()), "the user is in memory: else the search would prove nothing");
    assert_gone(&dump, &desk.credential_keys(), "after three taps");
}

#[test]
fn a_dump_after_disconnect_shows_no_key_of_the_card() {
    let mut desk = Desk::new();
    desk.tap(1);
    desk.say(Call::Disconnect);
    let dump = desk.dump();
    assert_gone(&dump, &desk.card_keys(), "after disconnect");
    assert_gone(&dump, &desk.credential_keys(), "after disconnect");
}

#[test]
fn a_dump_after_delete_shows_no_key_of_the_card() {
    let mut desk = Desk::new();
    desk.tap(1);
    let (card, credentials) = (desk.card_keys(), desk.credential_keys());
    desk.say(Call::Delete);
    let dump = desk.dump();
    assert_gone(&dump, &card, "after delete");
    assert_gone(&dump, &credentials, "after delete");
}

#[test]
fn a_dump_after_shutdown_shows_no_key_of_the_card() {
    let mut desk = Desk::new();
    desk.tap(1);
    desk.say(Call::Shutdown);
    let dump = desk.dump();
    assert_gone(&dump, &desk.card_keys(), "after shutdown");
    assert_gone(&dump, &desk.credential_keys(), "after shutdown");
}
