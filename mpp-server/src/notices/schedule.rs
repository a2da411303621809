//! When a notice that nobody acknowledged is sent again (open-api facts, 7.5: our choice).

const SECOND_MS: i64 = 1000;
/// After the first attempts.
const FIRST_PAUSES: [i64; 8] = [4, 4, 30, 60, 60, 60, 300, 300];
const LATER_PAUSE: i64 = 3600;
/// After the payment was decided.
const LAST_MS: i64 = 24 * 3600 * SECOND_MS;

/// When to send a notice again that was written at `created_at_ms` and has failed `attempts` times, the last
/// time at `now`. `None`: never.
pub(super) fn next(created_at_ms: i64, attempts: u64, now: i64) -> Option<i64> {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = FIRST_PAUSES.get(index).copied().unwrap_or(LATER_PAUSE);
    let due = now.saturating_add(pause * SECOND_MS);
    (due <= created_at_ms.saturating_add(LAST_MS)).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_sent_ever_more_rarely_for_a_day() {
        let mut sent_at = vec![0];
        while let Some(due) = next(0, sent_at.len() as u64, sent_at[sent_at.len() - 1]) {
            sent_at.push(due);
        }
        let pauses: Vec<_> = sent_at.windows(2).map(|pair| (pair[1] - pair[0]) / SECOND_MS).collect();
        assert_eq!(pauses[..9], [4, 4, 30, 60, 60, 60, 300, 300, 3600]);
        assert_eq!(pauses[8..].iter().filter(|pause| **pause == 3600).count(), pauses.len() - 8);
        let last = sent_at[sent_at.len() - 1];
        assert!(last <= LAST_MS && last + 3600 * SECOND_MS > LAST_MS);
    }
}
