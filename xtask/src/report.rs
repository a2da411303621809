//! The steps of a job: run in order, timed, summed up in a table.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Well; with a remark, or an empty one.
    Passed(String),
    /// It could not be tried, and says why. Counts neither way.
    NotRun(String),
    /// Badly, and says why.
    Failed(String),
}

impl Outcome {
    /// Passed without a remark.
    pub(crate) fn passed() -> Self {
        Self::Passed(String::new())
    }

    /// By a command's end.
    pub(crate) fn of(success: bool) -> Self {
        if success { Self::passed() } else { Self::Failed("the command failed, see above".to_owned()) }
    }

    /// Passed if there is nothing to complain about; otherwise every complaint is printed.
    pub(crate) fn of_complaints(complaints: &[String]) -> Self {
        for complaint in complaints {
            println!("  {complaint}");
        }
        match complaints {
            [] => Self::passed(),
            [only] => Self::Failed(only.clone()),
            [first, rest @ ..] => Self::Failed(format!("{first} (and {} more)", rest.len())),
        }
    }
}

/// What a step needs and this machine does not have. As the error of a step it means "not run",
/// never "passed".
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) String);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Is this continuous integration? There, steps that prove another language must run.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

/// What became of each step.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    outcome: Outcome,
    took: Duration,
    repeat: String,
}

impl Report {
    /// Runs a step; an error is a failure of that step and of no other. [`Unavailable`] is none: that
    /// step was not run.
    pub(crate) fn step(&mut self, name: &str, repeat: String, body: impl FnOnce() -> Result<Outcome>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = body().unwrap_or_else(|error| match error.is::<Unavailable>() {
            true => Outcome::NotRun(format!("{error:#}")),
            false => Outcome::Failed(format!("{error:#}")),
        });
        let took = start.elapsed();
        match &outcome {
            Outcome::Passed(_) => {}
            Outcome::NotRun(why) => println!("{name} was not run: {why}"),
            Outcome::Failed(why) => println!("{name} FAILED: {why}\nrepeat with: {repeat}"),
        }
        self.lines.push(Line { name: name.to_owned(), outcome, took, repeat });
    }

    /// True if no step failed.
    pub(crate) fn is_good(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    /// The table, the failures with their commands, and the sum as the last line.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::from("\n");
        for line in &self.lines {
            let (word, remark) = match &line.outcome {
                Outcome::Passed(remark) => ("passed", remark),
                Outcome::NotRun(remark) => ("not run", remark),
                Outcome::Failed(remark) => ("FAILED", remark),
            };
            let row = format!("{:<12} {word:<8} {:>7.1} s  {remark}", line.name, line.took.as_secs_f64());
            text.push_str(row.trim_end());
            text.push('\n');
        }
        for line in &self.lines {
            if matches!(line.outcome, Outcome::Failed(_)) {
                text.push_str(&format!("\n{} failed; repeat with: {}\n", line.name, line.repeat));
            }
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        text.push_str(&format!("\nxtask: {passed} passed, {failed} failed\n"));
        text
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| wanted(&line.outcome)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.step("good", "true".to_owned(), || Ok(Outcome::Passed("12 tests".to_owned())));
        report.step("away", "ping".to_owned(), || Ok(Outcome::NotRun("no network".to_owned())));
        report.step("bad", "cargo xtask test bad".to_owned(), || anyhow::bail!("boom"));
        report
    }

    #[test]
    fn the_last_line_counts_what_passed_and_what_failed() {
        assert_eq!(report().summary().lines().last(), Some("xtask: 1 passed, 1 failed"));
    }

    #[test]
    fn a_failed_step_is_named_with_the_command_to_repeat_it() {
        let report = report();
        assert!(!report.is_good());
        assert!(report.summary().contains("bad failed; repeat with: cargo xtask test bad"));
    }

    #[test]
    fn a_step_that_could_not_be_tried_counts_neither_way() {
        let mut report = Report::default();
        report.step("bare", "python3".to_owned(), || Err(Unavailable("no Python".to_owned()).into()));
        report.step("away", "ping".to_owned(), || Ok(Outcome::NotRun("no network".to_owned())));
        assert!(report.is_good());
        assert_eq!(report.summary().lines().last(), Some("xtask: 0 passed, 0 failed"));
    }
}
