//! `explain`: APDUs, data objects and whole taps in words.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nfcwallet_sandbox::explain::render::{self, Style};
use nfcwallet_sandbox::explain::{self, Form, FoundKeys, Input, Node, Options, dictionary, input};
use nfcwallet_sandbox::issuer::CaPublicKey;

use super::screen;
use super::serve::DEFAULT_DATA;

/// Input that cannot be read as what it is, or is said to be: what could be decoded was printed.
const MALFORMED: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  nfcwallet-sandbox explain 9F3403010002
  nfcwallet-sandbox explain 80 CA 9F 36 00
  nfcwallet-sandbox explain --as tvr 0000040002
  nfcwallet-sandbox explain --tag 9F6E
  nfcwallet-sandbox tap --amount 12.50 --verbose | nfcwallet-sandbox explain
  nfcwallet-sandbox explain --file trace.txt --ca-key ca.json

Exit codes: 0 decoded, also with lines passed over, unknown tags, or a wrong signature; 1 malformed: something
cannot be read as what it is or is said to be (cut short, of a wrong length, half a byte, no digits), and all
the rest is printed; 2 wrong usage: no hex, no such file, no such option.";

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainOptions {
    /// Commands, answers, objects or lists. Spaces, colons and 0x are allowed, and one piece may be spread
    /// over several arguments; `-` is standard input
    #[arg(value_name = "HEX", conflicts_with_all = ["file", "tag", "tags"])]
    hex: Vec<String>,
    /// A trace of `tap --verbose` or `demo --verbose`, a reader's log, hex line by line, or JSON with
    /// `command` and `response`; `-` is standard input, which is also read without any argument
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tag", "tags"])]
    file: Option<PathBuf>,
    // Help: below, since the names are the library's.
    #[arg(long = "as", value_name = "FORM", value_parser = str::parse::<Form>, help = form_help())]
    form: Option<Form>,
    /// Say what a tag is
    #[arg(long, value_name = "TAG", conflicts_with = "tags", value_parser = known_tag)]
    tag: Option<u32>,
    /// List all tags
    #[arg(long)]
    tags: bool,
    /// Keys that open certificates: JSON as `serve` prints it. Without it, keys beside the exchanges in
    /// JSON, else those in DIR
    #[arg(long, value_name = "FILE")]
    ca_key: Option<PathBuf>,
    /// The folder of `serve`, whose serve.json has keys
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, conflicts_with = "ca_key")]
    data: PathBuf,
    /// Show card numbers and discretionary data in full
    #[arg(long)]
    show_pan: bool,
    /// Say at which byte each line starts
    #[arg(long)]
    offsets: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value = "auto")]
    color: Colour,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also into a file
    Always,
    /// Not at all
    Never,
}

impl Colour {
    fn is_wanted(self) -> bool {
        match self {
            Self::Auto => std::io::stdout().is_terminal() && screen::wants_colour(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

fn form_help() -> String {
    format!("What the hex is: a tag whose value it is, or one of {}. Guessed by default", Form::words())
}

fn known_tag(text: &str) -> Result<u32, String> {
    let tag = explain::tag(text).map_err(|error| error.to_string())?;
    match dictionary::find(tag, None) {
        Some(_) => Ok(tag),
        None => Err(format!("the dictionary has no tag {}; --tags lists all", dictionary::shown(tag))),
    }
}

/// Whatever keeps it from reading its input is wrong usage; malformed input is told in the explanation.
pub(crate) fn run(options: &ExplainOptions) -> ExitCode {
    tell(options).unwrap_or_else(|error| screen::wrong_usage(&error))
}

fn tell(options: &ExplainOptions) -> Result<ExitCode> {
    let style = Style { coloured: options.color.is_wanted(), offsets: options.offsets };
    if let Some(nodes) = options.dictionary() {
        match options.json {
            true => screen::report(&nodes)?,
            false => {
                screen::print(&format!("{}\n", render::lines(&nodes, Style { offsets: false, ..style }).join("\n")))?
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let input = options.input()?;
    let (ca_keys, found_keys) = (options.given_keys()?, options.found_keys());
    let how = Options { show_pan: options.show_pan, form: options.form, ca_keys, found_keys };
    let explanation = explain::explain(&input, &how);
    match options.json {
        true => screen::report(&explanation)?,
        false => screen::print(&render::text(&explanation, style))?,
    }
    Ok(if explanation.is_malformed() { ExitCode::from(MALFORMED) } else { ExitCode::SUCCESS })
}

impl ExplainOptions {
    /// What the dictionary says, if that is asked for.
    fn dictionary(&self) -> Option<Vec<Node>> {
        match self.tag {
            Some(tag) => Some(dictionary::describe(tag)),
            None => self.tags.then(dictionary::overview),
        }
    }

    fn input(&self) -> Result<Input> {
        let dash = Path::new("-");
        let is_dash = self.hex == ["-"];
        if !self.hex.is_empty() && !is_dash {
            return Ok(input::arguments(&self.hex)?);
        }
        let bytes = match self.file.as_deref() {
            Some(file) if file != dash => {
                let bytes = File::open(file).and_then(read);
                let bytes = bytes.with_context(|| format!("{} cannot be read", file.display()))?;
                return input::text(&bytes).with_context(|| file.display().to_string());
            }
            None if !is_dash && std::io::stdin().is_terminal() => return Err(input::InputError::Empty.into()),
            _ => read(std::io::stdin().lock()).context("standard input cannot be read")?,
        };
        input::text(&bytes).context("standard input")
    }

    /// Those of `--ca-key`.
    fn given_keys(&self) -> Result<Vec<CaPublicKey>> {
        let Some(file) = &self.ca_key else { return Ok(Vec::new()) };
        let name = file.display();
        let text = std::fs::read(file).with_context(|| format!("{name} cannot be read"))?;
        let value = serde_json::from_slice(&text).with_context(|| format!("{name} is no JSON"))?;
        let keys = input::ca_keys(&value);
        if keys.is_empty() {
            bail!("{name} holds no CA key: JSON with rid, index, modulus and exponent in hex, as `serve` prints it");
        }
        Ok(keys)
    }

    /// Those of the servers that run here, or ran; none if a key was given, or nothing lies there.
    fn found_keys(&self) -> Option<FoundKeys> {
        let file = self.data.join("serve.json");
        let value = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok())?;
        let keys = input::ca_keys(&value);
        self.ca_key.is_none().then(|| FoundKeys { keys, place: file.display().to_string() })
    }
}

/// One byte above the limit is enough to see that it is exceeded.
fn read(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(input::TEXT_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
