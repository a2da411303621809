//! When to ask again.

use std::time::Duration;

/// The pauses between attempts, and when to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Before the second attempt, the third, and so on. When they are used up, so is the policy.
    pub schedule: Vec<Duration>,
    /// Each pause is lengthened by up to this many per cent of itself, at random, so that callers that
    /// failed together do not come back together.
    pub jitter_percent: u32,
    /// From the first attempt to the end of the last.
    pub deadline: Duration,
}

impl RetryPolicy {
    /// One attempt, 15 s: as long as official clients wait.
    #[must_use]
    pub fn none() -> Self {
        Self::seconds(&[], 15)
    }

    /// As the vendor's client inquires: 2, 3, 3, then 5 s six times; one minute in all.
    #[must_use]
    pub fn inquiry() -> Self {
        Self::seconds(&[2, 3, 3, 5, 5, 5, 5, 5, 5], 60)
    }

    /// As the vendor's client cancels: 2, 3, 3, 5, 5 s; 40 s in all.
    #[must_use]
    pub fn cancel() -> Self {
        Self::seconds(&[2, 3, 3, 5, 5], 40)
    }

    /// For notices that wait for an acknowledgement: 4, 4, 30, 60, 60, 60, 300, 300 s, then hourly for a day.
    #[must_use]
    pub fn notification() -> Self {
        const DAY: u64 = 24 * 3600;
        let first = [4, 4, 30, 60, 60, 60, 300, 300];
        Self::seconds(&[first.as_slice(), &[3600; 23]].concat(), DAY)
    }

    /// These pauses in seconds, this deadline in seconds, and 20 % of jitter.
    fn seconds(schedule: &[u64], deadline: u64) -> Self {
        let schedule = schedule.iter().copied().map(Duration::from_secs).collect();
        Self { schedule, jitter_percent: 20, deadline: Duration::from_secs(deadline) }
    }

    pub(super) fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let jitter = self.jitter_percent;
        self.schedule.clone().into_iter().map(move |pause| lengthened(pause, jitter, random()))
    }
}

impl Default for RetryPolicy {
    /// [`Self::none`]: what a repetition means is the caller's to know.
    fn default() -> Self {
        Self::none()
    }
}

/// `pause`, and `percent` of it times `random` of 2^32.
fn lengthened(pause: Duration, percent: u32, random: u32) -> Duration {
    let share = pause.as_nanos().saturating_mul(u128::from(percent)).saturating_mul(u128::from(random));
    let more = u64::try_from(share / 100 / (1 << 32)).unwrap_or(u64::MAX);
    pause.saturating_add(Duration::from_nanos(more))
}

/// Without the system's generator there is no jitter, and still a pause.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_lengthens_a_pause_by_its_share_at_most() {
        let second = Duration::from_secs(1);
        assert_eq!(lengthened(second, 20, 0), second);
        assert_eq!(lengthened(second, 20, 1 << 31), Duration::from_millis(1100));
        assert!(lengthened(second, 20, u32::MAX) < Duration::from_millis(1200));
        assert!(lengthened(Duration::MAX, u32::MAX, u32::MAX) == Duration::MAX);
    }

    #[test]
    fn notices_are_repeated_for_a_day() {
        let policy = RetryPolicy::notification();
        let sum: Duration = policy.schedule.iter().sum();
        assert!(sum < policy.deadline && sum + Duration::from_hours(1) > policy.deadline);
    }
}
