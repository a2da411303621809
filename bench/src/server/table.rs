//! What is held against what.

use anyhow::Result;

use super::load::Run;
use super::{Kind, Subject};
use crate::{Row, Samples};

/// Payments in a second, of the bare inserts into the same kind of database.
const BAR: f64 = 0.6;

/// The handler that does nothing, then for each kind of database the bare inserts and the payments.
pub(super) fn rows(handler: &Subject, kinds: &[Kind]) -> Result<Vec<Row>> {
    let mut rows = vec![row("reference: an empty handler, verified and signed", handler)?];
    rows.extend(spent(handler));
    for kind in kinds {
        let bare = format!("reference: {}, one a commit", kind.plain.name);
        rows.push(row(&bare, &kind.plain)?);
        if let Some(single) = &kind.single {
            rows.push(row(&format!("reference: {}, one a commit", single.name), single)?);
        }
        rows.push(beside(row(&kind.stored.name, &kind.stored)?, &kind.stored, &kind.plain));
        for (subject, _) in &kind.pays {
            let judged = judged(row(&subject.name, subject)?, subject, &kind.plain, handler);
            rows.push(also(judged, subject, kind.single.as_ref(), "one connection's inserts"));
            rows.extend(spent(subject));
        }
    }
    Ok(rows)
}

fn row(name: &str, subject: &Subject) -> Result<Row> {
    match &subject.failure {
        Some(why) => Ok(Row::not_run(name, why)),
        None => Ok(Row::of(name, &Samples::new(subject.run.latencies.clone())?).per_second(subject.run.rate())),
    }
}

fn rate(subject: &Subject) -> Option<f64> {
    subject.failure.is_none().then(|| subject.run.rate())
}

fn beside(row: Row, subject: &Subject, reference: &Subject) -> Row {
    match (rate(subject), rate(reference)) {
        (Some(rate), Some(reference)) => row.rate_beside(rate, reference),
        _ => row,
    }
}

fn judged(row: Row, subject: &Subject, bare: &Subject, handler: &Subject) -> Row {
    let row = match (rate(subject), rate(bare)) {
        (Some(rate), Some(bare)) => row.at_least_share(rate, bare, BAR),
        _ => return row,
    };
    also(row, subject, Some(handler), "the empty handler")
}

/// Beside something that has no bar.
fn also(row: Row, subject: &Subject, other: Option<&Subject>, what: &str) -> Row {
    match (rate(subject), other.and_then(rate)) {
        (Some(rate), Some(other)) => row.and_also(&format!("{:.0} % of {what}", rate / other * 100.0)),
        _ => row,
    }
}

/// What one operation takes of the processors, and how much of them was taken.
fn spent(subject: &Subject) -> Option<Row> {
    let Run { spent, latencies, .. } = &subject.run;
    let spent = spent.filter(|_| subject.failure.is_none() && !latencies.is_empty())?;
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / latencies.len() as f64;
    let others = spent.machine.saturating_sub(spent.servers + spent.load);
    let busy = spent.machine.as_secs_f64() / spent.there.as_secs_f64() * 100.0;
    let text = format!(
        "servers {:.0} µs, load {:.0} µs, all others {:.0} µs; {busy:.0} % busy",
        each(spent.servers),
        each(spent.load),
        each(others)
    );
    Some(Row::noted(&format!("  of the processors, each: {}", subject.name), text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn subject(per_second: usize) -> Subject {
        let run = Run {
            latencies: vec![Duration::from_millis(1); per_second],
            took: Duration::from_secs(1),
            ..Run::default()
        };
        Subject { run, ..Subject::of("pay", Err(anyhow::anyhow!("nothing"))) }
    }

    fn measured(per_second: usize) -> Subject {
        Subject { failure: None, ..subject(per_second) }
    }

    fn line(pay: &Subject, bare: &Subject, handler: &Subject) -> String {
        format!("{:?}", judged(row("pay", pay).unwrap(), pay, bare, handler))
    }

    #[test]
    fn payments_stand_against_the_bare_inserts() {
        let met = line(&measured(600), &measured(1000), &measured(1200));
        assert!(met.contains("60 %, met") && met.contains("50 % of the empty handler"), "{met}");
        assert!(line(&measured(590), &measured(1000), &measured(1200)).contains("59 %, MISSED"));
    }

    #[test]
    fn what_was_not_run_is_not_judged() {
        let failed = line(&subject(600), &measured(1000), &measured(1200));
        assert!(failed.contains("NOT RUN: nothing") && !failed.contains("met"), "{failed}");
        let without = line(&measured(600), &subject(1000), &measured(1200));
        assert!(without.contains("reported") && !without.contains("met"), "{without}");
    }
}
