//! What a measured phone is told and answers, in JSON lines, and the process behind it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// What a phone does next, timing each call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Request {
    /// `prewarm`.
    Prewarm,
    /// Answers `apdus` in order, `rounds` times, each `apart_ms` after what was before it.
    Apdus {
        /// In hex.
        apdus: Vec<String>,
        /// How often.
        rounds: usize,
        /// Pause before each, not counted.
        apart_ms: u64,
    },
    /// `sync_token`, of which the host says at once that the phone is offline.
    Sync {
        /// How often.
        rounds: usize,
    },
}

/// A phone's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// Until the library has answered its first call; absent where it is a part of the program.
    pub load_ns: Option<u64>,
    /// The wallet's constructor.
    pub open_ns: u64,
}

/// How long each call took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timed {
    /// In order.
    pub nanos: Vec<u64>,
    /// The last answer of each round of APDUs, in hex.
    pub ends: Vec<String>,
    /// How often the host was asked to send a request.
    pub requests: usize,
}

impl Timed {
    /// The times of each round of `length` calls; rounds whose end is not `wanted` are left out.
    ///
    /// # Errors
    /// If calls or ends are missing.
    pub fn rounds(&self, length: usize, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<Duration>>> {
        let times = self.times();
        ensure!(length > 0 && times.len() == length * self.ends.len(), "times and ends do not fit: {self:?}");
        let mut all = Vec::new();
        for (round, end) in times.chunks(length).zip(&self.ends) {
            if wanted(&hex::decode(end)?) {
                all.push(round.to_vec());
            }
        }
        Ok(all)
    }

    /// The times one by one.
    #[must_use]
    pub fn times(&self) -> Vec<Duration> {
        self.nanos.iter().copied().map(Duration::from_nanos).collect()
    }
}

/// A phone in a process of its own. Dropped, the process is gone.
pub struct Phone {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Its first line.
    pub opened: Opened,
    /// From the start of the process to that line.
    pub started: Duration,
}

impl Phone {
    /// Starts `program` with `arguments`, the store's folders and `trust_key`.
    ///
    /// # Errors
    /// If it does not start, or does not open its wallet.
    pub fn start(program: &str, arguments: &[&str], folders: [&Path; 2], trust_key: &str) -> Result<Self> {
        let start = Instant::now();
        let mut process = Command::new(program)
            .args(arguments)
            .args(folders)
            .arg(trust_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} does not start"))?;
        let input = process.stdin.take().context("no standard input")?;
        let mut output = BufReader::new(process.stdout.take().context("no standard output")?).lines();
        let opened = read(&mut output)?;
        Ok(Self { process, input, output, opened, started: start.elapsed() })
    }

    /// Has it do one thing.
    ///
    /// # Errors
    /// If it is gone, or answers something else.
    pub fn ask(&mut self, request: &Request) -> Result<Timed> {
        writeln!(self.input, "{}", serde_json::to_string(request)?)?;
        self.input.flush()?;
        read(&mut self.output)
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn read<T: for<'de> Deserialize<'de>>(output: &mut Lines<BufReader<ChildStdout>>) -> Result<T> {
    let line = output.next().context("the phone is gone, see above")??;
    serde_json::from_str(&line).with_context(|| format!("the phone says {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declined_round_is_left_out() {
        let line = r#"{"nanos":[1,2,10,20],"ends":["9000","6985"],"requests":0}"#;
        let timed: Timed = serde_json::from_str(line).unwrap();
        let paid = timed.rounds(2, |end| end == [0x90, 0x00]).unwrap();
        assert_eq!(paid, [[1, 2].map(Duration::from_nanos)]);
        assert_eq!(timed.times().len(), 4);
        assert!(timed.rounds(3, |_| true).is_err());
        assert!(timed.rounds(0, |_| true).is_err());
    }

    #[test]
    fn a_phone_that_says_something_else_is_an_error() {
        assert!(serde_json::from_str::<Timed>(r#"{"micros":[1]}"#).is_err());
        assert!(serde_json::from_str::<Opened>(r#"{"load_ns":7}"#).is_err());
        let opened: Opened = serde_json::from_str(r#"{"load_ns":7,"open_ns":8}"#).unwrap();
        assert_eq!(opened, Opened { load_ns: Some(7), open_ns: 8 });
    }

    #[test]
    fn a_program_that_ends_at_once_is_no_phone() {
        let nowhere = Path::new("nowhere");
        assert!(Phone::start("true", &[], [nowhere, nowhere], "").is_err());
    }
}
