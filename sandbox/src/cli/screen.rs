//! Where the words go: standard output, in colour only where a person watches.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use nfcwallet_sandbox::pos::{Exchange, pretty};
use nfcwallet_sandbox::with_causes;
use owo_colors::{OwoColorize, Style};

/// The story's page.
#[derive(Debug)]
pub(crate) struct Screen {
    target: Target,
    live: bool,
    coloured: bool,
    verbose: bool,
}

/// Where a story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// For a person.
    Stdout,
    /// Beside a report on standard output.
    Stderr,
    /// Only the report is wanted.
    Nowhere,
}

impl Target {
    /// With a report on standard output, the story is told beside it, and only if it is asked for.
    pub(crate) fn beside_report(json: bool, verbose: bool) -> Self {
        match (json, verbose) {
            (false, _) => Self::Stdout,
            (true, true) => Self::Stderr,
            (true, false) => Self::Nowhere,
        }
    }
}

impl Screen {
    pub(crate) fn new(target: Target, verbose: bool) -> Self {
        let live = match target {
            Target::Stdout => std::io::stdout().is_terminal(),
            Target::Stderr => std::io::stderr().is_terminal(),
            Target::Nowhere => false,
        };
        Self { target, live, coloured: live && wants_colour(), verbose }
    }

    /// A person watches: bars may move.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Every command and answer is wanted.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// The start of a numbered step.
    pub(crate) fn step(&self, number: u32, title: &str) {
        let number = format!("{number:>2}");
        self.line(&format!("{}  {}", self.paint(&number, Style::new().cyan()), self.paint(title, Style::new().bold())));
    }

    /// Something that happened within a step.
    pub(crate) fn fact(&self, text: &str) {
        self.line(&format!("    {text}"));
    }

    /// Something that happened and was right.
    pub(crate) fn good(&self, text: &str) {
        self.fact(&format!("{} {text}", self.paint("ok", Style::new().green())));
    }

    /// Text without an end of line, at once.
    pub(crate) fn write(&self, text: &str) {
        // A story goes on, whoever listens.
        drop(match self.target {
            Target::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Target::Stderr => std::io::stderr().lock().write_all(text.as_bytes()),
            Target::Nowhere => Ok(()),
        });
    }

    /// What went over the air, if it is wanted.
    pub(crate) fn trace(&self, exchanges: &[Exchange]) {
        if self.verbose {
            for line in format!("{:#}", pretty(exchanges)).lines() {
                self.fact(&self.paint(line, Style::new().dimmed()));
            }
        }
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.coloured { text.style(style).to_string() } else { text.to_owned() }
    }
}

/// One JSON object, the only thing on standard output.
pub(crate) fn report(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// One JSON object on a line of its own, at once.
pub(crate) fn report_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// What was asked for, on standard output, at once. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("standard output cannot be written"),
        _ => Ok(()),
    }
}

/// What went wrong, with its causes, on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    let coloured = std::io::stderr().is_terminal() && wants_colour();
    let label = "error:";
    let label = if coloured { label.red().bold().to_string() } else { label.to_owned() };
    // Nobody is left to tell if standard error is closed.
    drop(writeln!(std::io::stderr(), "{label} {}", with_causes(error.as_ref())));
}

/// The arguments cannot be used: said as above, and the exit code with which clap ends too.
pub(crate) fn wrong_usage(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(2)
}

/// A word to the person beside a report on standard output.
pub(crate) fn hint(text: &str) {
    // As above.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// <https://no-color.org>: set and not empty means no colour; a dumb terminal has none.
pub(crate) fn wants_colour() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
