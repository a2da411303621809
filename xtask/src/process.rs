//! Commands: shown before they run, streamed while they run, repeatable by hand.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

/// A command of one job, in the root of the repository.
#[derive(Debug, Clone)]
pub(crate) struct Cmd {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// What a command wrote.
#[derive(Debug)]
pub(crate) struct Output {
    /// It ended with 0.
    pub(crate) success: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error; empty where it was not kept.
    pub(crate) stderr: String,
}

impl Cmd {
    /// `program`, followed by the words of `args`.
    pub(crate) fn new(program: impl Into<String>, args: &str) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new() }.args(args)
    }

    /// `cargo`, followed by the words of `args`.
    pub(crate) fn cargo(args: &str) -> Self {
        Self::new("cargo", args)
    }

    /// Followed by the words of `args`.
    pub(crate) fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// One more argument, whatever characters it holds.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it on the terminal. True if it ended with 0.
    pub(crate) fn run(&self, root: &Path) -> Result<bool> {
        println!("$ {self}");
        let status = self.command(root).status().with_context(|| format!("cannot start `{self}`"))?;
        Ok(status.success())
    }

    /// Runs it on the terminal and keeps what it writes to standard output.
    pub(crate) fn run_and_keep_stdout(&self, root: &Path) -> Result<Output> {
        println!("$ {self}");
        let mut child = self.spawn(root, Stdio::inherit())?;
        let stdout = copy(child.stdout.take(), &mut std::io::stdout())?;
        Ok(Output { success: child.wait()?.success(), stdout, stderr: String::new() })
    }

    /// Runs it on the terminal and keeps all that it writes.
    pub(crate) fn run_and_keep(&self, root: &Path) -> Result<Output> {
        println!("$ {self}");
        let mut child = self.spawn(root, Stdio::piped())?;
        let errors = child.stderr.take();
        let errors = thread::spawn(move || copy(errors, &mut std::io::stderr()));
        let stdout = copy(child.stdout.take(), &mut std::io::stdout())?;
        let stderr = errors.join().map_err(|_| anyhow::anyhow!("the reader of standard error panicked"))??;
        Ok(Output { success: child.wait()?.success(), stdout, stderr })
    }

    /// Runs it unseen. Fails unless it ends with 0.
    pub(crate) fn read(&self, root: &Path) -> Result<String> {
        let output = self.command(root).output().with_context(|| format!("cannot start `{self}`"))?;
        ensure!(output.status.success(), "`{self}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn spawn(&self, root: &Path, stderr: Stdio) -> Result<std::process::Child> {
        let mut command = self.command(root);
        command.stdout(Stdio::piped()).stderr(stderr);
        command.spawn().with_context(|| format!("cannot start `{self}`"))
    }

    fn command(&self, root: &Path) -> Command {
        // The cargo that runs this job, so that a chosen toolchain stays chosen.
        let program = match self.program.as_str() {
            "cargo" => std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
            other => other.to_owned(),
        };
        let mut command = Command::new(program);
        command.args(&self.args).envs(self.env.iter().cloned()).current_dir(root).stdin(Stdio::null());
        command
    }
}

impl fmt::Display for Cmd {
    /// As a line for a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Makes a file a program.
#[cfg(unix)]
pub(crate) fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}

#[cfg(not(unix))]
pub(crate) fn make_executable(_: &Path) -> Result<()> {
    anyhow::bail!(crate::report::Unavailable("phones in other languages are started by a shell".to_owned()))
}

/// Copies a stream to `sink` as it comes, and returns it as text.
fn copy(source: Option<impl Read>, sink: &mut impl Write) -> Result<String> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    let Some(mut source) = source else { return Ok(String::new()) };
    loop {
        let read = source.read(&mut buffer)?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        sink.write_all(chunk)?;
        sink.flush()?;
        kept.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_a_line_for_a_shell() {
        let command = Cmd::cargo("doc --no-deps").env("RUSTDOCFLAGS", "-D warnings").arg("a b").arg("it's");
        assert_eq!(command.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b' 'it'\''s'");
    }

    #[test]
    fn both_streams_and_the_end_of_a_command_are_kept() {
        let command = Cmd::new("sh", "-c").arg("echo out; echo err >&2; exit 3");
        let output = command.run_and_keep(Path::new(".")).unwrap();
        assert_eq!((output.success, &*output.stdout, &*output.stderr), (false, "out\n", "err\n"));
    }

    #[test]
    fn a_failed_command_that_is_read_fails_with_its_words() {
        let error = Cmd::new("sh", "-c").arg("echo because >&2; exit 1").read(Path::new(".")).unwrap_err();
        assert!(error.to_string().ends_with("because"));
    }
}
