//! What the border to another language costs: the same store and the same bytes of a terminal, answered
//! through Kotlin, through Swift, and in Rust, in one run.
//!
//! Each language is a program that opens a wallet on a copy of one store and does what it is told
//! (`lines`); it times its own calls. They are told in turns, so that a busy machine is busy for all.
//! Who sends what, and whether a tap was paid, is decided here alone.

pub mod lines;
pub mod rust_phone;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nfcwallet_core::secret::Secret;
use nfcwallet_sandbox::issuer::CardShape;
use serde::Deserialize;

use crate::conversation::{Cryptogram, SELECT_PPSE, conversation};
use crate::phone::{self, Handset};
use crate::store::copy_folder;
use crate::{Row, Samples};
use lines::{Phone, Request, Timed};

/// The argument that makes the benchmark program the phone in Rust.
pub const RUST_PHONE: &str = "phone";

/// The language that the others are held against.
pub const RUST: &str = "Rust";

/// The payment provider in every phone's configuration.
pub const MPP: &str = "bench-mpp";

/// The deadline of the permit and the device's state in every phone: a busy machine declines no tap.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What Kotlin may add to one APDU.
const APDU_BAR: Duration = Duration::from_micros(60);

/// Between two APDUs of a measured tap: the terminal's own time and the radio's.
const RHYTHM_MS: u64 = 15;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Processes that are started for the cold figures.
    pub starts: usize,
    /// Turns of each language.
    pub turns: usize,
    /// Taps a turn, in the rhythm of a terminal.
    pub taps: usize,
    /// Rounds of plain APDUs a turn, back to back; twenty times as many before the first turn, uncounted.
    pub plain: usize,
    /// Syncs a turn; as many before the first one, uncounted.
    pub syncs: usize,
}

/// A measured phone's program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The language, as the table names it.
    pub language: String,
    /// What is started.
    pub path: String,
    /// Its first arguments.
    pub arguments: Vec<String>,
}

/// Times by what was done.
type Figures = BTreeMap<What, Vec<Duration>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Plain,
    Tap,
    FirstSelect,
    GenerateAc,
    Sync,
    Start,
    Load,
    Open,
    Prewarm,
    FirstTap,
}

impl What {
    const ALL: [Self; 10] = [
        Self::Plain,
        Self::Tap,
        Self::FirstSelect,
        Self::GenerateAc,
        Self::Sync,
        Self::Start,
        Self::Load,
        Self::Open,
        Self::Prewarm,
        Self::FirstTap,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "one APDU without crypto, bytes in and out",
            Self::Tap => "whole tap, CDA, durable burn",
            Self::FirstSelect => "first SELECT of a tap",
            Self::GenerateAc => "GENERATE AC of a tap",
            Self::Sync => "async call with two async host callbacks",
            Self::Start => "process start to open wallet",
            Self::Load => "library load and first call",
            Self::Open => "open",
            Self::Prewarm => "prewarm of a new process",
            Self::FirstTap => "first tap after it, without pauses",
        }
    }
}

/// Measures `programs`, of which one is [`RUST`]'s, on stores below `folder`.
///
/// # Errors
/// If the store cannot be made, or the phone in Rust fails. Another phone that fails is a row that was
/// not run.
pub fn measure(programs: &[Program], folder: &Path, effort: Effort) -> Result<Vec<Row>> {
    let stage = Stage::new(folder, effort)?;
    let mut running = Vec::new();
    let mut rows = Vec::new();
    for program in programs {
        eprintln!("{}: {} new processes", program.language, effort.starts);
        match stage.begin(program) {
            Ok(begun) => running.push(begun),
            Err(error) if program.language == RUST => return Err(error),
            Err(error) => rows.push(Row::not_run(&program.language, &format!("{error:#}"))),
        }
    }
    for turn in 1..=effort.turns {
        for language in &mut running {
            eprintln!("turn {turn} of {}: {}", effort.turns, language.name);
            stage.turn(language)?;
        }
    }
    rows.extend(table(&running.iter().map(|one| (one.name.as_str(), &one.figures)).collect::<Vec<_>>())?);
    for language in running.iter().filter(|language| language.declined > 0) {
        let name = format!("declined taps, left out, {}", language.name);
        rows.push(Row::noted(&name, language.declined.to_string()));
    }
    Ok(rows)
}

/// The store that everyone gets a copy of, and what the terminal sends.
struct Stage<'a> {
    folder: &'a Path,
    handset: Handset,
    tap: Vec<String>,
    effort: Effort,
}

/// A language whose phone runs.
struct Running {
    name: String,
    phone: Phone,
    /// Its store, for as long as it runs.
    _copy: tempfile::TempDir,
    figures: Figures,
    declined: usize,
}

impl<'a> Stage<'a> {
    fn new(folder: &'a Path, effort: Effort) -> Result<Self> {
        let handset = Handset::offline(folder)?;
        let profile = phone::profile(CardShape::Phone)?;
        // The wallet looks for the service once the stock is low; this one never is.
        handset.stock_made_up(&profile, u16::try_from(effort.turns * effort.taps + 100)?)?;
        let [_, keys] = handset.folders();
        write_wrapping_key(&keys)?;
        let tap = conversation(&profile, Cryptogram::Signed)?.iter().map(|(_, apdu)| hex::encode(apdu)).collect();
        Ok(Self { folder, handset, tap, effort })
    }

    /// The cold figures, each of a process of its own; the last one stays, warmed up.
    fn begin(&self, program: &Program) -> Result<Running> {
        let mut figures = Figures::new();
        let mut last = None;
        // The first one brings the program into memory.
        for start in 0..=self.effort.starts {
            drop(last.take());
            let (mut phone, copy) = self.start(program)?;
            let prewarm = phone.ask(&Request::Prewarm)?.times();
            let first = phone.ask(&self.taps(1, 0))?.rounds(self.tap.len(), is_paid)?;
            let first = first.first().context("the first tap was declined")?;
            if start > 0 {
                let load = phone.opened.load_ns.map(Duration::from_nanos);
                figures.entry(What::Start).or_default().push(phone.started);
                figures.entry(What::Load).or_default().extend(load);
                figures.entry(What::Open).or_default().push(Duration::from_nanos(phone.opened.open_ns));
                figures.entry(What::Prewarm).or_default().extend(prewarm);
                figures.entry(What::FirstTap).or_default().push(first.iter().sum());
            }
            last = Some((phone, copy));
        }
        let (phone, copy) = last.context("no process was started")?;
        let mut begun = Running { name: program.language.clone(), phone, _copy: copy, figures, declined: 0 };
        // A virtual machine compiles what it has run often.
        self.plain(&mut begun.phone, self.effort.plain * 20)?;
        self.sync(&mut begun.phone)?;
        Ok(begun)
    }

    fn start(&self, program: &Program) -> Result<(Phone, tempfile::TempDir)> {
        let copy = tempfile::tempdir_in(self.folder)?;
        let folders = ["data", "keys"].map(|name| copy.path().join(name));
        for (from, to) in self.handset.folders().iter().zip(&folders) {
            copy_folder(from, to)?;
        }
        let arguments: Vec<&str> = program.arguments.iter().map(String::as_str).collect();
        let trust_key = hex::encode(self.handset.config().service_trust_key);
        let phone = Phone::start(&program.path, &arguments, folders.each_ref().map(|path| path.as_path()), &trust_key)?;
        Ok((phone, copy))
    }

    fn turn(&self, running: &mut Running) -> Result<()> {
        let plain = self.plain(&mut running.phone, self.effort.plain)?;
        let taps = running.phone.ask(&self.taps(self.effort.taps, RHYTHM_MS))?.rounds(self.tap.len(), is_paid)?;
        let sync = self.sync(&mut running.phone)?;
        running.declined += self.effort.taps - taps.len();
        for (what, times) in [
            (What::Plain, plain),
            (What::Tap, taps.iter().map(|tap| tap.iter().sum()).collect()),
            (What::FirstSelect, taps.iter().filter_map(|tap| tap.first().copied()).collect()),
            (What::GenerateAc, taps.iter().filter_map(|tap| tap.last().copied()).collect()),
            (What::Sync, sync),
        ] {
            running.figures.entry(what).or_default().extend(times);
        }
        Ok(())
    }

    fn taps(&self, rounds: usize, apart_ms: u64) -> Request {
        Request::Apdus { apdus: self.tap.clone(), rounds, apart_ms }
    }

    /// The APDUs between the first SELECT and GENERATE AC, back to back within one tap.
    fn plain(&self, phone: &mut Phone, rounds: usize) -> Result<Vec<Duration>> {
        let begin = Request::Apdus { apdus: vec![hex::encode(SELECT_PPSE)], rounds: 1, apart_ms: RHYTHM_MS };
        phone.ask(&begin)?;
        let apdus = self.tap.get(1..self.tap.len() - 1).context("a tap has a beginning and an end")?.to_vec();
        let timed = phone.ask(&Request::Apdus { apdus, rounds, apart_ms: 0 })?;
        let good = |end: &String| end.to_lowercase().ends_with("9000");
        ensure!(timed.ends.len() == rounds && timed.ends.iter().all(good), "a plain APDU was refused");
        Ok(timed.times())
    }

    fn sync(&self, phone: &mut Phone) -> Result<Vec<Duration>> {
        let timed: Timed = phone.ask(&Request::Sync { rounds: self.effort.syncs })?;
        let asked = timed.requests;
        // Each asks twice; the wallet may look after itself besides.
        ensure!(asked >= 2 * self.effort.syncs, "{} syncs asked the host {asked} times", self.effort.syncs);
        Ok(timed.times())
    }
}

fn is_paid(end: &[u8]) -> bool {
    Cryptogram::Signed.is_in(end)
}

/// The sandbox's key store keeps this key in `keys.json`, the ones of Kotlin and Swift in a file of its
/// own; they seal alike, and share the anchor's file.
fn write_wrapping_key(keys: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Kept {
        wrapping: Secret<32>,
    }
    let kept: Kept = serde_json::from_slice(&fs::read(keys.join("keys.json"))?)?;
    Ok(fs::write(keys.join("wrapping.key"), kept.wrapping.expose())?)
}

/// One row for each figure of each language, beside Rust's; what stands against a bar, judged.
fn table(languages: &[(&str, &Figures)]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for what in What::ALL {
        let samples = |figures: &Figures| {
            let times = figures.get(&what).filter(|times| !times.is_empty());
            times.map(|times| Samples::new(times.clone())).transpose()
        };
        let rust = languages.iter().find(|(name, _)| *name == RUST).context("Rust was not measured")?;
        let rust = samples(rust.1)?.map(|samples| samples.p50());
        for (name, figures) in languages {
            let Some(samples) = samples(figures)? else { continue };
            let row = Row::of(&format!("{}, {name}", what.name()), &samples);
            rows.push(match rust.filter(|_| *name != RUST) {
                Some(rust) if what == What::Plain && *name == "Kotlin" => {
                    row.at_most_above(samples.p50(), rust, APDU_BAR)
                }
                Some(rust) => row.beside(samples.p50(), rust),
                None => row,
            });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(micros: u64) -> Figures {
        let times = |factor: u64| vec![Duration::from_micros(micros * factor)];
        BTreeMap::from([(What::Plain, times(1)), (What::Tap, times(100))])
    }

    fn lines(languages: &[(&str, &Figures)]) -> Vec<String> {
        table(languages).unwrap().iter().map(|row| format!("{row:?}")).collect()
    }

    #[test]
    fn kotlin_stands_against_the_bar_and_swift_is_only_beside_rust() {
        let (rust, near, far) = (figures(4), figures(64), figures(65));
        let met = lines(&[(RUST, &rust), ("Kotlin", &near), ("Swift", &far)]);
        assert_eq!(met.len(), 6);
        assert!(met[1].contains("60 µs above, met") && !met[2].contains("MISSED"), "{met:?}");
        assert!(met[4].contains("16.00"), "a tap is beside Rust's: {met:?}");
        let missed = lines(&[(RUST, &rust), ("Kotlin", &far)]);
        assert!(missed[1].contains("MISSED"), "{missed:?}");
        assert!(!missed[0].contains("above"), "Rust stands against nothing: {missed:?}");
    }

    #[test]
    fn without_rust_there_is_nothing_to_be_held_against() {
        assert!(table(&[("Kotlin", &figures(1))]).is_err());
    }

    #[test]
    fn every_phone_finds_the_wrapping_key() {
        let folder = tempfile::tempdir().unwrap();
        let effort = Effort { starts: 1, turns: 1, taps: 1, plain: 1, syncs: 1 };
        let stage = Stage::new(folder.path(), effort).unwrap();
        let [_, keys] = stage.handset.folders();
        assert_eq!(fs::read(keys.join("wrapping.key")).unwrap().len(), 32);
        assert!(keys.join("anchor.bin").exists());
        assert_eq!(stage.tap.len(), 7);
    }
}
