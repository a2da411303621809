//! Risk control, from outside.

use super::command::Pay;

/// What risk control thinks of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The account decides.
    Accept,
    /// `RISK_REJECT`.
    Reject,
    /// Somebody has to look at it: the payment stays in process until it is decided.
    Review,
}

/// Looks at each payment before it is decided.
pub trait Risk: Send + Sync {
    /// Must be quick. Called outside of any transaction, on the caller's thread, and also for repeats of
    /// a payment: their verdict changes nothing.
    fn assess(&self, pay: &Pay) -> Verdict;
}

/// Accepts everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRisk;

impl Risk for NoRisk {
    fn assess(&self, _pay: &Pay) -> Verdict {
        Verdict::Accept
    }
}
