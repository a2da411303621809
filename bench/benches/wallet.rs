//! The budgets of the wallet, as ratios of one run on one machine. `cargo xtask bench` runs it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use nfcwallet_bench::{Row, Samples, print, reference};

/// The length of the card's key in the profiles of the sandbox.
const ICC_KEY_BITS: u32 = 1152;

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    // Cargo adds it to what it runs for `cargo bench`.
    args.retain(|arg| arg != "--bench");
    if args.first().is_some_and(|arg| arg == reference::EMPTY_PROCESS) {
        return Ok(());
    }
    let options = Options::parse(args)?;
    let references = References::measure(&options)?;
    print(&references.rows(&options));
    Ok(())
}

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
    /// For the store.
    empty_process: Option<Samples>,
}

impl References {
    fn measure(options: &Options) -> Result<Self> {
        let folder = &options.data_directory;
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            durable_append: reference::durable_append(folder, 500)?,
            durable_overwrite: reference::durable_overwrite(folder, 500)?,
            rsa: if options.card { rsa()? } else { None },
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
        rows.extend(self.empty_process.iter().map(|samples| Row::reported("reference: an empty process", samples)));
        rows
    }
}

#[cfg(feature = "openssl")]
fn rsa() -> Result<Option<Samples>> {
    reference::openssl_rsa_crt(ICC_KEY_BITS, 2_000).map(Some)
}

#[cfg(not(feature = "openssl"))]
fn rsa() -> Result<Option<Samples>> {
    Ok(None)
}
