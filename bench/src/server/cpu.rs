//! Where the processors' time goes, as Linux tells it: that says what limits.

use std::ops::Add;
use std::time::Duration;

/// The unit of `/proc`: `USER_HZ` is 100 on every Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Of the servers.
    pub servers: Duration,
    /// Of this program, which makes the load.
    pub load: Duration,
    /// Of everything on this machine.
    pub machine: Duration,
    /// That there was: of all processors together.
    pub there: Duration,
}

impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            servers: self.servers + other.servers,
            load: self.load + other.load,
            machine: self.machine + other.machine,
            there: self.there + other.there,
        }
    }
}

/// A reading.
#[derive(Debug, Clone, Copy)]
pub struct Busy(Spent);

impl Busy {
    /// Of the processes `servers`, this one and the machine; `None` where there is no `/proc`.
    #[must_use]
    pub fn now(servers: &[u32]) -> Option<Self> {
        let read = |path: String| std::fs::read_to_string(path).ok();
        let mut spent = Spent::default();
        for server in servers {
            spent.servers += of_process(&read(format!("/proc/{server}/stat"))?)?;
        }
        spent.load = of_process(&read("/proc/self/stat".to_owned())?)?;
        (spent.machine, spent.there) = of_machine(&read("/proc/stat".to_owned())?)?;
        Some(Self(spent))
    }

    /// What was spent between two readings.
    #[must_use]
    pub fn since(self, before: Self) -> Spent {
        let (after, before) = (self.0, before.0);
        Spent {
            servers: after.servers.saturating_sub(before.servers),
            load: after.load.saturating_sub(before.load),
            machine: after.machine.saturating_sub(before.machine),
            there: after.there.saturating_sub(before.there),
        }
    }
}

/// `utime` and `stime`, the 14th and 15th field. The second, in brackets, may hold spaces.
fn of_process(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
    Some(TICK * ticks)
}

/// Busy and all: `user nice system idle iowait irq softirq steal`. What a virtual machine's host took is
/// not there for anybody here.
fn of_machine(stat: &str) -> Option<(Duration, Duration)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).take(7).collect();
    let idle: u64 = ticks.get(3..5)?.iter().sum();
    let all: u64 = ticks.iter().sum();
    let time = |ticks: u64| Duration::from_millis(ticks * 10);
    Some((time(all - idle), time(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_process_has_its_user_and_its_system_time() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194304 500 0 0 0 12 30 0 0 20 0 9 0 1000 0 0";
        assert_eq!(of_process(stat), Some(MS(420)));
        assert_eq!(of_process("77 (a) S 1"), None);
    }

    #[test]
    fn waiting_for_the_disk_is_not_busy() {
        let stat = "cpu  10 1 5 100 20 2 3 50 0 0\ncpu0 1 1\n";
        assert_eq!(of_machine(stat), Some((MS(210), MS(1410))));
        assert_eq!(of_machine("intr 1"), None);
    }
}
