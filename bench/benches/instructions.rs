//! Instructions of each operation of the card, counted by callgrind: the same number in every run, on
//! every machine of one architecture. `cargo xtask bench card` runs it and puts the numbers into its
//! table, by the identifiers after `bench::`.

#![allow(missing_docs, reason = "gungraun's macros write modules without any")]

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use gungraun::prelude::*;
use nfcwallet_bench::bare_card::{BareCard, Ready, WholeTap};
use nfcwallet_bench::conversation::{CHECKSUM, Cryptogram, EXCHANGE, NOW_MS, Step, conversation};
use nfcwallet_bench::counted::{SUBJECTS_FILE, identifier, subjects};
use nfcwallet_bench::phone::Handset;
use nfcwallet_bench::rsa::{PrivateOperation, ours};
use nfcwallet_core::Wallet;
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::Profile;

/// A setup that fails ends the benchmark, which then has no number.
fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        std::process::exit(1)
    })
}

fn ready(wanted: &str) -> Ready {
    let find = || {
        let ready = BareCard::new(&subjects()?.phone)?.apdus()?;
        ready.into_iter().find(|ready| identifier(&ready.name) == wanted).context("there is no such APDU")
    };
    must(find())
}

fn checksum() -> Ready {
    let ready = || BareCard::new(&subjects()?.mag_stripe)?.after_options("", CHECKSUM);
    must(ready())
}

fn exchange() -> Ready {
    let ready = || BareCard::new(&subjects()?.relay_resistance)?.after_options("", EXCHANGE);
    must(ready())
}

fn bare_tap(cryptogram: Cryptogram) -> WholeTap {
    let tap = || Ok(BareCard::new(&subjects()?.phone)?.tap(cryptogram));
    must(tap())
}

/// A wallet in memory of one paid tap, and the commands of the next.
fn wallet_tap(cryptogram: Cryptogram) -> (Handset, Wallet, Vec<Step>) {
    let tap = || {
        let profile = subjects()?.phone;
        let handset = Handset::offline(&std::env::temp_dir())?;
        handset.stock_made_up(&profile, 3)?;
        let wallet = handset.wallet(handset.config())?;
        let commands = conversation(&profile, cryptogram)?;
        for (_, command) in &commands {
            let answer = wallet.process_apdu(command);
            ensure!(answer.ends_with(&[0x90, 0x00]), "the tap before the measured one is not paid");
        }
        // What follows a tap, follows now.
        std::thread::sleep(std::time::Duration::from_millis(500));
        Ok((handset, wallet, commands))
    };
    must(tap())
}

fn profile() -> Profile {
    must(subjects()).phone
}

fn key(bits: usize) -> Box<dyn PrivateOperation> {
    let find = || {
        let keys = subjects()?.keys;
        let parts = keys.iter().find(|parts| parts.modulus.len() * 8 == bits).context("there is no such key")?;
        let mut key = ours(parts)?;
        // The first use draws the blinding; the usual one squares it.
        key.sign()?;
        Ok(Box::new(key) as Box<dyn PrivateOperation>)
    };
    must(find())
}

#[library_benchmark]
#[bench::select_ppse(args = ("select_ppse"), setup = ready)]
#[bench::select_aid(args = ("select_aid"), setup = ready)]
#[bench::get_processing_options(args = ("get_processing_options"), setup = ready)]
#[bench::read_record_2_1(args = ("read_record_2_1"), setup = ready)]
#[bench::read_record_2_2(args = ("read_record_2_2"), setup = ready)]
#[bench::read_record_2_3(args = ("read_record_2_3"), setup = ready)]
#[bench::get_data(args = ("get_data"), setup = ready)]
#[bench::generate_ac_declined(args = ("generate_ac_declined"), setup = ready)]
#[bench::generate_ac_no_cda(args = ("generate_ac_no_cda"), setup = ready)]
#[bench::generate_ac_cda(args = ("generate_ac_cda"), setup = ready)]
#[bench::compute_cryptographic_checksum(setup = checksum)]
#[bench::exchange_relay_resistance_data(setup = exchange)]
fn apdu(mut ready: Ready) -> (Vec<u8>, Ready) {
    (black_box(ready.answer()), ready)
}

#[library_benchmark]
#[bench::whole_tap_without_burn_cda(args = (Cryptogram::Signed), setup = bare_tap)]
#[bench::whole_tap_without_burn_no_cda(args = (Cryptogram::Unsigned), setup = bare_tap)]
fn without_burn(tap: WholeTap) -> (Vec<u8>, WholeTap) {
    (black_box(tap.pay()), tap)
}

// On the thread of the tap; what workers do for it is not counted.
#[library_benchmark]
#[bench::whole_tap_with_burn_cda(args = (Cryptogram::Signed), setup = wallet_tap)]
#[bench::whole_tap_with_burn_no_cda(args = (Cryptogram::Unsigned), setup = wallet_tap)]
fn with_burn((handset, wallet, commands): (Handset, Wallet, Vec<Step>)) -> (Vec<Vec<u8>>, Wallet, Handset) {
    let answers = commands.iter().map(|(_, command)| wallet.process_apdu(command)).collect();
    (black_box(answers), wallet, handset)
}

#[library_benchmark]
#[bench::profile_validation_from_the_store(setup = profile)]
fn validation(profile: Profile) -> (Option<Card>, Profile) {
    (black_box(Card::compile(&profile).ok()), profile)
}

#[library_benchmark]
#[bench::profile_validation_at_its_arrival(setup = profile)]
fn arrival(profile: Profile) -> (Option<Card>, Profile) {
    (black_box(Card::admit(&profile, NOW_MS).ok()), profile)
}

#[library_benchmark]
#[bench::rsa_crt_1024_bits(args = (1024), setup = key)]
#[bench::rsa_crt_1152_bits(args = (1152), setup = key)]
#[bench::rsa_crt_1408_bits(args = (1408), setup = key)]
fn private_operation(mut key: Box<dyn PrivateOperation>) -> (Option<Vec<u8>>, Box<dyn PrivateOperation>) {
    (black_box(key.sign().ok()), key)
}

library_benchmark_group!(
    name = card,
    benchmarks = [apdu, without_burn, with_burn, validation, arrival, private_operation]
);
main!(
    config = LibraryBenchmarkConfig::default().pass_through_env(SUBJECTS_FILE).pass_through_env("PATH"),
    library_benchmark_groups = card
);
