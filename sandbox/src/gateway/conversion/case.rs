//! One event against what stands of its payment: the questions that the table's rows ask.

use super::{CallKind, ConversionConfig, OverCapture};

/// What has come of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentState {
    /// `pay` has no final result yet.
    Pending,
    /// `pay` succeeded.
    Paid,
    /// `pay` failed, or was never asked.
    Declined,
    /// A cancel is asked for until it succeeds.
    Cancelling,
    /// Cancelled.
    Cancelled,
    /// It was too late to cancel, and the result of `pay` is not known: it is inquired.
    Reclaiming,
    /// It was too late to cancel: given back by a refund, or found not to have been paid.
    Reclaimed,
}

impl PaymentState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Paid,
        Self::Declined,
        Self::Cancelling,
        Self::Cancelled,
        Self::Reclaiming,
        Self::Reclaimed,
    ];

    /// In the books.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Reclaiming => "reclaiming",
            Self::Reclaimed => "reclaimed",
        }
    }
}

/// How a payment stands. Amounts are in the smallest unit of the merchant's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What has come of it.
    pub state: PaymentState,
    /// It is for what was cleared beyond an authorisation: nothing of it is ever held.
    pub beyond: bool,
    /// Its money was taken: `pay` is known to have succeeded, now or once.
    pub taken: bool,
    /// What `pay` asked for.
    pub amount: u64,
    /// What the authorisation still holds, with what of it is cleared.
    pub held: u64,
    /// What of it is cleared.
    pub cleared: u64,
    /// The sum of all refunds asked for: never more than `amount`.
    pub refunded: u64,
    /// When it was authorised, in milliseconds since 1970.
    pub authorised_at_ms: i64,
}

impl Standing {
    /// Held and not cleared.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.held.saturating_sub(self.cleared)
    }

    /// What a reversal of all gives up: what is open, or what `pay` asks for while it is not final.
    #[must_use]
    pub fn reversible(&self) -> u64 {
        match self.state {
            PaymentState::Pending => self.amount,
            _ => self.open(),
        }
    }

    /// Nothing of it was cleared, released or refunded.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.cleared == 0 && self.refunded == 0 && self.held == self.amount
    }

    /// What may still be refunded.
    #[must_use]
    pub fn refundable(&self) -> u64 {
        match self.state {
            PaymentState::Paid | PaymentState::Reclaiming | PaymentState::Cancelling => {
                self.amount.saturating_sub(self.refunded)
            }
            _ => 0,
        }
    }
}

/// What happens to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A terminal asks.
    Authorisation,
    /// The merchant gives up `None`: all, or a part.
    Reversal {
        /// How much; `None` for all.
        part: Option<u64>,
    },
    /// The merchant collects.
    Clearing {
        /// How much.
        minor: u64,
        /// No further clearing will come.
        last: bool,
    },
    /// The authorisation expires.
    Expiry,
    /// The merchant gives.
    Refund {
        /// How much.
        minor: u64,
    },
    /// `pay` is known to have succeeded.
    PaySucceeded,
    /// `pay` is known to have failed.
    PayFailed,
    /// `pay` has no final result within the payment's expiry.
    PayExpired,
    /// `cancelPayment` succeeded.
    CancelSucceeded,
    /// `cancelPayment` was answered `CANCEL_WINDOW_EXCEED`.
    CancelTooLate,
}

/// One event against one payment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) trigger: Trigger,
    /// When it happened, in milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// Its payment; `None` if the gateway has none.
    pub(crate) standing: Option<Standing>,
    /// A whole reversal or an expiry came before the authorisation.
    pub(crate) overtaken: bool,
    /// The event names another currency than the authorisation.
    pub(crate) other_currency: bool,
    pub(crate) config: ConversionConfig,
}

impl Case {
    pub(crate) fn known(&self) -> bool {
        self.standing.is_some()
    }

    pub(crate) fn is(&self, states: &[PaymentState]) -> bool {
        self.standing.is_some_and(|standing| states.contains(&standing.state))
    }

    /// The payment failed, or is given back as a whole.
    pub(crate) fn is_void(&self) -> bool {
        self.known() && !self.is(&[PaymentState::Pending, PaymentState::Paid])
    }

    pub(crate) fn open(&self) -> u64 {
        self.standing.map_or(0, |standing| standing.open())
    }

    pub(crate) fn refundable(&self) -> u64 {
        self.standing.map_or(0, |standing| standing.refundable())
    }

    /// Nothing of the payment was cleared, released or refunded.
    pub(crate) fn is_untouched(&self) -> bool {
        self.standing.is_some_and(|standing| standing.is_untouched())
    }

    pub(crate) fn is_same_day(&self) -> bool {
        self.standing.is_some_and(|s| self.config.same_day.holds(s.authorised_at_ms, self.time_ms))
    }

    /// A reversal of all, by its kind or by its amount.
    pub(crate) fn reverses_all(&self) -> bool {
        let all = self.standing.map_or(0, |standing| standing.reversible());
        matches!(self.trigger, Trigger::Reversal { part } if part.is_none_or(|part| part >= all))
    }

    /// A clearing of more than is open.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.trigger, Trigger::Clearing { minor, .. } if minor > self.open())
    }

    /// A clearing of exactly what is open.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.trigger, Trigger::Clearing { minor, .. } if minor == self.open())
    }

    /// A clearing of less than is open.
    pub(crate) fn is_below(&self) -> bool {
        matches!(self.trigger, Trigger::Clearing { minor, .. } if minor < self.open())
    }

    pub(crate) fn is_last(&self) -> bool {
        matches!(self.trigger, Trigger::Clearing { last: true, .. })
    }

    pub(crate) fn pays_difference(&self) -> bool {
        self.config.over_capture == OverCapture::PayDifference
    }

    /// What the user gets back: what is released, or what the merchant gives.
    pub(crate) fn back(&self) -> u64 {
        let moved = self.moved();
        match self.trigger {
            Trigger::CancelTooLate | Trigger::PaySucceeded => self.refundable(),
            _ => moved.released.saturating_add(moved.given),
        }
    }

    /// The payment has enough left to refund it.
    pub(crate) fn has_enough(&self) -> bool {
        self.refundable() >= self.back()
    }

    /// The payment has something left, and not enough.
    pub(crate) fn has_too_little(&self) -> bool {
        (1..self.back()).contains(&self.refundable())
    }

    /// The payment has nothing left.
    pub(crate) fn has_nothing(&self) -> bool {
        self.refundable() == 0 && self.back() > 0
    }

    /// What moves, if the event counts.
    pub(crate) fn moved(&self) -> super::Moved {
        let open = self.open();
        let mut moved = super::Moved::default();
        match self.trigger {
            Trigger::Reversal { part } => moved.released = part.map_or(open, |part| part.min(open)),
            Trigger::Expiry => moved.released = open,
            Trigger::Refund { minor } => moved.given = minor,
            Trigger::Clearing { minor, last } => {
                moved.cleared = minor.min(open);
                moved.over = minor.saturating_sub(open);
                moved.released = if last { open.saturating_sub(minor) } else { 0 };
            }
            _ => {}
        }
        moved
    }

    /// Over how much `call` is.
    pub(crate) fn minor_of(&self, call: CallKind) -> u64 {
        match call {
            CallKind::Pay if self.trigger == Trigger::Authorisation => 0,
            CallKind::Pay => self.moved().over,
            CallKind::Refund => self.back().min(self.refundable()),
            CallKind::AdjustExceed => self.back().saturating_sub(self.refundable()),
            CallKind::AdjustUnlinked => self.back(),
            CallKind::Cancel | CallKind::Inquiry => 0,
        }
    }
}
