//! The budgets of the wallet, as ratios of one run on one machine. `cargo xtask bench` runs it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use nfcwallet_bench::{Row, Samples, card, print, reference, store};

/// The length of the card's key in the profiles of the sandbox.
const ICC_KEY_BITS: u32 = 1152;

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    // Cargo adds it to what it runs for `cargo bench`.
    args.retain(|arg| arg != "--bench");
    if args.first().is_some_and(|arg| arg == reference::EMPTY_PROCESS) {
        return Ok(());
    }
    if let Some((first, rest)) = args.split_first()
        && first == store::COLD_PROCESS
    {
        return store::cold_process(rest);
    }
    let options = Options::parse(args)?;
    let references = References::measure(&options)?;
    let mut rows = references.rows(&options);
    if options.card {
        rows.extend(card_rows(&options, &references)?);
    }
    if options.store {
        rows.extend(store_rows(&options, &references)?);
    }
    print(&rows);
    Ok(())
}

fn card_rows(options: &Options, references: &References) -> Result<Vec<Row>> {
    let taps = card::taps(&options.data_directory, 200)?;
    let whole = format!("whole tap: {} APDUs, CDA, durable burn", taps.apdus);
    let airtime = [106_000, 424_000].map(|speed| taps.airtime(speed).as_millis());
    Ok(vec![
        Row::within("APDU without crypto, p99", taps.plain_apdu.p99(), Duration::from_micros(20)),
        Row::reported("APDU without crypto", &taps.plain_apdu),
        Row::reported("first SELECT of a tap", &taps.first_select),
        Row::reported("GENERATE AC: rules, permit, burn, ARQC, CDA", &taps.generate_ac),
        Row::reported(&whole, &taps.whole),
        match &references.rsa {
            Some(rsa) => {
                let reference = references.durable_append.p50() + rsa.p50();
                Row::at_most_times(&format!("{whole}, p50"), taps.whole.p50(), reference, 1.5)
            }
            None => Row::missing(&whole, "no RSA reference"),
        },
        match &references.apart {
            Some((append, rsa)) => {
                let name = format!("{whole}, p50, over the references in its rhythm");
                Row::at_most_times(&name, taps.whole.p50(), append.p50() + rsa.p50(), 1.5)
            }
            None => Row::missing("the references in the rhythm of APDUs", "no RSA reference"),
        },
        Row::noted("the anchor of these taps", "two files a tap on the same disk, written durably beside the radio"),
        Row::noted(
            "bytes over the air a tap",
            format!("{}: {} ms at 106 kbit/s, {} ms at 424", taps.bytes, airtime[0], airtime[1]),
        ),
    ])
}

fn store_rows(options: &Options, references: &References) -> Result<Vec<Row>> {
    let cold = store::cold_start(&options.data_directory, 1_000, 100)?;
    let replenished = store::replenish(&options.data_directory)?;
    let name = format!("replenish of {}", replenished.credentials);
    let requests = replenished.operations.get("replenish").copied().unwrap_or(0);
    let took = format!("{:.1} ms, operations {:?}", replenished.took.as_secs_f64() * 1e3, replenished.operations);
    let mut rows = vec![Row::reported("cold: process start to first answer, 1,000 credentials", &cold)];
    if let Some(empty) = &references.empty_process {
        let bar = Duration::from_millis(10);
        rows.push(Row::at_most_above("cold, p50, over an empty process", cold.p50(), empty.p50(), bar));
    }
    rows.push(Row::exactly(&format!("{name}: round trips besides the session"), requests, 1));
    rows.push(Row::noted(&name, took));
    Ok(rows)
}

/// Between two APDUs of a tap, about: time for a processor to do other things.
const RHYTHM: Duration = Duration::from_millis(15);

/// What the command line asks for.
struct Options {
    card: bool,
    store: bool,
    data_directory: PathBuf,
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut options = Self { card: false, store: false, data_directory: env!("CARGO_TARGET_TMPDIR").into() };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match (arg.as_str(), args.as_slice()) {
                ("card", _) => options.card = true,
                ("store", _) => options.store = true,
                ("--data-directory", [folder, ..]) => {
                    options.data_directory = folder.into();
                    args.next();
                }
                _ => bail!("unknown argument {arg}; known are card, store and --data-directory FOLDER"),
            }
        }
        if !options.card && !options.store {
            (options.card, options.store) = (true, true);
        }
        Ok(options)
    }
}

/// What the machine can do, measured in the same run as the wallet.
struct References {
    durable_append: Samples,
    durable_overwrite: Samples,
    /// By OpenSSL; for the card.
    rsa: Option<Samples>,
    /// Append and RSA, in the rhythm of APDUs; for the card.
    apart: Option<(Samples, Samples)>,
    /// For the store.
    empty_process: Option<Samples>,
}

impl References {
    fn measure(options: &Options) -> Result<Self> {
        let folder = &options.data_directory;
        std::fs::create_dir_all(folder)?;
        let apart = if options.card { rsa(RHYTHM, 200)? } else { None };
        let apart =
            apart.map(|rsa| Ok::<_, anyhow::Error>((reference::durable_append_apart(folder, RHYTHM, 200)?, rsa)));
        Ok(Self {
            durable_append: reference::durable_append(folder, 500)?,
            durable_overwrite: reference::durable_overwrite(folder, 500)?,
            rsa: if options.card { rsa(Duration::ZERO, 2_000)? } else { None },
            apart: apart.transpose()?,
            empty_process: options.store.then(|| reference::empty_process(200)).transpose()?,
        })
    }

    fn rows(&self, options: &Options) -> Vec<Row> {
        let mut rows = vec![
            Row::reported("reference: 64 bytes appended, fdatasync", &self.durable_append),
            Row::reported("reference: 64 bytes overwritten, fdatasync", &self.durable_overwrite),
        ];
        if options.card {
            let name = format!("reference: one RSA-CRT operation by OpenSSL, {ICC_KEY_BITS} bits");
            rows.push(match &self.rsa {
                Some(samples) => Row::reported(&name, samples),
                None => Row::missing(&name, "built without the feature openssl"),
            });
        }
        if let Some((append, rsa)) = &self.apart {
            rows.push(Row::reported("the append again, 15 ms after other work", append));
            rows.push(Row::reported("the RSA-CRT operation again, 15 ms after other work", rsa));
        }
        rows.extend(self.empty_process.iter().map(|samples| Row::reported("reference: an empty process", samples)));
        rows
    }
}

#[cfg(feature = "openssl")]
fn rsa(pause: Duration, runs: usize) -> Result<Option<Samples>> {
    reference::openssl_rsa_crt(ICC_KEY_BITS, pause, runs).map(Some)
}

#[cfg(not(feature = "openssl"))]
fn rsa(_: Duration, _: usize) -> Result<Option<Samples>> {
    Ok(None)
}
