//! The rows of the card: APDUs, taps, RSA.

use std::time::Duration;

use anyhow::Result;
use criterion::Criterion;
use nfcwallet_bench::bare_card::BareCard;
use nfcwallet_bench::card::{Taps, taps};
use nfcwallet_bench::conversation::{CHECKSUM, Cryptogram, EXCHANGE, NOW_MS};
use nfcwallet_bench::counted::Counts;
use nfcwallet_bench::rsa::PrivateOperation;
use nfcwallet_bench::timed::{criterion, timed};
use nfcwallet_bench::{Row, Samples, measure_apart, phone, reference, rsa};
use nfcwallet_core::card::Card;
use nfcwallet_sandbox::issuer::CardShape;

use crate::ICC_KEY_BITS;
use crate::command_line::Options;

/// Between two APDUs of a tap, about: time for a processor to do other things.
const RHYTHM: Duration = Duration::from_millis(15);

const TAPS: usize = 200;

pub(crate) fn rows(options: &Options, counts: Counts) -> Result<Vec<Row>> {
    let mut measured = Measured { criterion: criterion(), counts, rows: Vec::new() };
    let references = References::measure(options)?;
    measured.rows.extend(references.rows());
    measured.bare_card()?;
    measured.rsa()?;
    measured.taps(options, &references)?;
    measured.rows.push(Row::not_run(
        "whole tap, no CDA, no durability, ≤ jCardSim with an EMV applet",
        "jCardSim is on Maven Central, but no open EMV applet is on any package registry",
    ));
    measured.rows.push(match &options.instructions {
        Some(_) => Row::noted("instructions", "by callgrind, of one operation, on its own thread"),
        None => Row::not_run("instructions", &options.no_instructions),
    });
    measured.criterion.final_summary();
    Ok(measured.rows)
}

struct Measured {
    criterion: Criterion,
    counts: Counts,
    rows: Vec<Row>,
}

impl Measured {
    fn bare_card(&mut self) -> Result<()> {
        let profile = phone::profile(CardShape::Phone)?;
        let card = BareCard::new(&profile)?;
        for (at, ready) in card.apdus()?.iter().enumerate() {
            let prepare = || Ok(card.apdus()?.swap_remove(at));
            let samples = timed(&mut self.criterion, &ready.name, prepare, |ready| ready.answer())?;
            self.push(&ready.name, &samples);
        }
        for (name, cryptogram) in [
            ("whole tap without burn, CDA", Cryptogram::Signed),
            ("whole tap without burn, no CDA", Cryptogram::Unsigned),
        ] {
            let samples = timed(&mut self.criterion, name, || Ok(card.tap(cryptogram)), |tap| tap.pay())?;
            self.push(name, &samples);
        }
        for (shape, name, command) in [
            (CardShape::MagStripe, "COMPUTE CRYPTOGRAPHIC CHECKSUM", CHECKSUM),
            (CardShape::RelayResistance, "EXCHANGE RELAY RESISTANCE DATA", EXCHANGE),
        ] {
            let card = BareCard::new(&phone::profile(shape)?)?;
            let samples =
                timed(&mut self.criterion, name, || card.after_options(name, command), |ready| ready.answer())?;
            self.push(name, &samples);
        }
        let name = "profile validation, from the store";
        let samples = timed(&mut self.criterion, name, || Ok(()), |()| Card::compile(&profile).is_ok())?;
        self.push(name, &samples);
        let name = "profile validation, at its arrival";
        let samples = timed(&mut self.criterion, name, || Ok(()), |()| Card::admit(&profile, NOW_MS).is_ok())?;
        self.push(name, &samples);
        Ok(())
    }

    /// Ours beside OpenSSL's, on the same modulus.
    fn rsa(&mut self) -> Result<()> {
        for bits in rsa::KEY_BITS {
            let parts = rsa::key(bits)?;
            let name = format!("RSA-CRT, {bits} bits");
            let (mut ours, mut theirs) = (rsa::ours(&parts)?, rsa::openssl(&parts)?);
            let ours = timed(&mut self.criterion, &name, || Ok(()), |()| ours.sign().is_ok())?;
            let by_openssl = format!("{name}, by OpenSSL");
            let theirs = timed(&mut self.criterion, &by_openssl, || Ok(()), |()| theirs.sign().is_ok())?;
            self.rows.push(Row::of(&by_openssl, &theirs));
            let row = Row::of(&name, &ours).counted(self.counts.of(&name));
            self.rows.push(row.beside(ours.p50(), theirs.p50()));
        }
        Ok(())
    }

    fn taps(&mut self, options: &Options, references: &References) -> Result<()> {
        let unsigned = taps(&options.data_directory, Cryptogram::Unsigned, TAPS)?;
        let signed = taps(&options.data_directory, Cryptogram::Signed, TAPS)?;
        let plain = &signed.plain_apdu;
        self.rows.push(
            Row::of("APDU without crypto, through the wallet, p99", plain)
                .within(plain.p99(), Duration::from_micros(20)),
        );
        self.tap_rows("no CDA", &unsigned);
        self.tap_rows("CDA", &signed);
        let whole = format!("whole tap: {} APDUs, CDA, durable burn", signed.apdus);
        let p50 = signed.whole.p50();
        let loops = references.append.p50() + references.rsa.p50();
        let apart = references.append_apart.p50() + references.rsa_apart.p50();
        self.rows.push(Row::of(&format!("{whole}, p50"), &signed.whole).at_most_times(p50, loops, 1.5));
        let name = format!("{whole}, p50, over the references in its rhythm");
        self.rows.push(Row::of(&name, &signed.whole).at_most_times(p50, apart, 1.5));
        self.rows.push(Row::noted(
            "the anchor of these taps",
            "two files a tap on the same disk, written durably beside the radio",
        ));
        let airtime = [106_000, 424_000].map(|speed| signed.airtime(speed).as_millis());
        self.rows.push(Row::noted(
            "bytes over the air a tap",
            format!("{}: {} ms at 106 kbit/s, {} ms at 424", signed.bytes, airtime[0], airtime[1]),
        ));
        Ok(())
    }

    fn tap_rows(&mut self, kind: &str, taps: &Taps) {
        self.rows.push(Row::of(&format!("first SELECT of a tap, {kind}"), &taps.first_select));
        self.rows.push(Row::of(&format!("GENERATE AC with rules, permit, burn, {kind}"), &taps.generate_ac));
        self.push(&format!("whole tap with burn, {kind}"), &taps.whole);
        if taps.declined > 0 {
            let text = format!("{} left out: the machine is too busy for a deadline of 100 ms", taps.declined);
            self.rows.push(Row::noted(&format!("declined taps, {kind}"), text));
        }
    }

    fn push(&mut self, name: &str, samples: &Samples) {
        self.rows.push(Row::of(name, samples).counted(self.counts.of(name)));
    }
}

/// What the machine can do, measured in the same run as the wallet: one after the other without a
/// pause, and each 15 ms after other work, as a tap's are.
struct References {
    append: Samples,
    overwrite: Samples,
    rsa: Samples,
    append_apart: Samples,
    overwrite_apart: Samples,
    rsa_apart: Samples,
}

impl References {
    fn measure(options: &Options) -> Result<Self> {
        let folder = &options.data_directory;
        let mut key = rsa::openssl(&rsa::key(ICC_KEY_BITS)?)?;
        let mut operation = || key.sign().map(drop);
        Ok(Self {
            rsa_apart: measure_apart(RHYTHM, 200, &mut operation)?,
            append_apart: reference::durable_append_apart(folder, RHYTHM, 200)?,
            overwrite_apart: reference::durable_overwrite_apart(folder, RHYTHM, 200)?,
            append: reference::durable_append(folder, 500)?,
            overwrite: reference::durable_overwrite(folder, 500)?,
            rsa: nfcwallet_bench::measure(200, 2_000, &mut operation)?,
        })
    }

    fn rows(&self) -> Vec<Row> {
        vec![
            Row::of("reference: 64 bytes appended, fdatasync", &self.append),
            Row::of("reference: 64 bytes overwritten, fdatasync", &self.overwrite),
            Row::of(&format!("reference: one RSA-CRT operation by OpenSSL, {ICC_KEY_BITS} bits"), &self.rsa),
            Row::of("the append again, 15 ms after other work", &self.append_apart),
            Row::of("the overwrite again, 15 ms after other work", &self.overwrite_apart),
            Row::of("the RSA-CRT operation again, 15 ms after other work", &self.rsa_apart),
        ]
    }
}
