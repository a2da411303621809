//! What the command line asks for.

use std::path::PathBuf;

use anyhow::{Result, bail};
use nfcwallet_bench::{reference, store};

/// The jobs of this program.
pub(crate) enum Command {
    /// End at once: what any process costs.
    EmptyProcess,
    /// Answer one APDU and end.
    ColdProcess(Vec<String>),
    /// Make what callgrind will measure.
    WriteSubjects(PathBuf),
    /// Measure and print the table.
    Measure(Options),
}

/// What is measured, and where.
pub(crate) struct Options {
    pub(crate) card: bool,
    pub(crate) store: bool,
    pub(crate) leak: bool,
    pub(crate) data_directory: PathBuf,
    /// What gungraun wrote.
    pub(crate) instructions: Option<PathBuf>,
    /// Why there are no instructions.
    pub(crate) no_instructions: String,
}

impl Command {
    pub(crate) fn parse(args: Vec<String>) -> Result<Self> {
        match args.split_first() {
            Some((first, [])) if first == reference::EMPTY_PROCESS => Ok(Self::EmptyProcess),
            Some((first, rest)) if first == store::COLD_PROCESS => Ok(Self::ColdProcess(rest.to_vec())),
            Some((first, [file])) if first == "write-subjects" => Ok(Self::WriteSubjects(file.into())),
            _ => Options::parse(args).map(Self::Measure),
        }
    }
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut options = Self {
            card: false,
            store: false,
            leak: false,
            data_directory: env!("CARGO_TARGET_TMPDIR").into(),
            instructions: None,
            no_instructions: "not asked for".to_owned(),
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match (arg.as_str(), args.as_slice()) {
                ("card", _) => options.card = true,
                ("store", _) => options.store = true,
                ("leak", _) => options.leak = true,
                ("--data-directory", [folder, ..]) => {
                    options.data_directory = folder.into();
                    args.next();
                }
                ("--instructions", [file, ..]) => {
                    options.instructions = Some(file.into());
                    args.next();
                }
                ("--no-instructions", [why, ..]) => {
                    options.no_instructions.clone_from(why);
                    args.next();
                }
                _ => bail!("unknown argument {arg}; `cargo xtask bench --help` knows them"),
            }
        }
        if !options.card && !options.store && !options.leak {
            (options.card, options.store, options.leak) = (true, true, true);
        }
        Ok(options)
    }
}
