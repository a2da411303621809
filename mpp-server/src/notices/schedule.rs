//! When a notice that nobody acknowledged is sent again (open-api facts, 7.5: our choice).

/// When to send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Pauses after the first attempts, in milliseconds.
    pub pauses_ms: Vec<i64>,
    /// The pause after those, in milliseconds.
    pub then_every_ms: i64,
    /// No more after this, in milliseconds after the payment was decided.
    pub until_ms: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            pauses_ms: vec![4_000, 4_000, 30_000, 60_000, 60_000, 60_000, 300_000, 300_000],
            then_every_ms: 3_600_000,
            until_ms: 86_400_000,
        }
    }
}

impl Schedule {
    /// When to send a notice again that was written at `created_at_ms` and has failed `attempts` times, the
    /// last time at `now`. `None`: never.
    pub(super) fn next(&self, created_at_ms: i64, attempts: u64, now: i64) -> Option<i64> {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause = self.pauses_ms.get(index).copied().unwrap_or(self.then_every_ms);
        let due = now.saturating_add(pause);
        (due <= created_at_ms.saturating_add(self.until_ms)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_sent_ever_more_rarely_for_a_day() {
        let schedule = Schedule::default();
        let mut sent_at = vec![0];
        while let Some(due) = schedule.next(0, sent_at.len() as u64, sent_at[sent_at.len() - 1]) {
            sent_at.push(due);
        }
        let pauses: Vec<_> = sent_at.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        assert_eq!(pauses[..9], [4, 4, 30, 60, 60, 60, 300, 300, 3600]);
        assert_eq!(pauses[8..].iter().filter(|pause| **pause == 3600).count(), pauses.len() - 8);
        let last = sent_at[sent_at.len() - 1];
        assert!(last <= schedule.until_ms && last + 3600 * 1000 > schedule.until_ms);
    }
}
