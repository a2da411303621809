//! The table.

use super::PaymentState::{Cancelled, Cancelling, Declined, Paid, Pending, Reclaimed, Reclaiming};
use super::{Case, PaymentState, Trigger};

/// A call to the payment provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    /// `pay`.
    Pay,
    /// `inquiryPayment`.
    Inquiry,
    /// `cancelPayment`.
    Cancel,
    /// `refund`.
    Refund,
    /// `adjustRefund` with `EXCEED_REFUND`.
    AdjustExceed,
    /// `adjustRefund` with `UNLINKED_REFUND`.
    AdjustUnlinked,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Pay, Self::Inquiry, Self::Cancel, Self::Refund, Self::AdjustExceed, Self::AdjustUnlinked];

    /// On the page, and in the books.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Inquiry => "inquiryPayment",
            Self::Cancel => "cancelPayment",
            Self::Refund => "refund",
            Self::AdjustExceed => "adjustRefund EXCEED_REFUND",
            Self::AdjustUnlinked => "adjustRefund UNLINKED_REFUND",
        }
    }
}

/// Where a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A public page of the vendor, by its section in the facts.
    Fact(&'static str),
    /// Read between the lines of one.
    Inferred(&'static str),
    /// The vendor is silent, or not public: what this project does.
    OurChoice,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fact(page) => f.write_str(page),
            Self::Inferred(page) => write!(f, "{page} (inferred)"),
            Self::OurChoice => f.write_str("our choice"),
        }
    }
}

/// What a row does beside its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Its amounts are booked.
    Book,
    /// The event waits until the payment is final, or until its authorisation comes.
    Keep,
    /// Nothing.
    Ignore,
    /// Its amounts are booked, and the payment becomes this.
    Become(PaymentState),
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Book => f.write_str("booked"),
            Self::Keep => f.write_str("kept, and converted when the payment is final"),
            Self::Ignore => f.write_str("changes nothing"),
            Self::Become(state) => write!(f, "the payment becomes {}", state.name()),
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub id: RowId,
    /// What happens.
    pub event: &'static str,
    /// To which payment.
    pub when: &'static str,
    /// What is called, in this order.
    pub calls: &'static [CallKind],
    /// Where it comes from.
    pub source: Source,
    /// The switch of [`ConversionConfig`](super::ConversionConfig) that turns it.
    pub switch: Option<&'static str>,
    pub(crate) effect: Effect,
    fits: fn(&Case) -> bool,
}

impl Row {
    pub(crate) fn fits(&self, case: &Case) -> bool {
        (self.fits)(case)
    }
}

const CANCEL_GUIDE: Source = Source::Fact("pos_tap_mpp/cancel_a_payment");
const REFUND_GUIDE: Source = Source::Fact("pos_tap_mpp/refund_integration");
const ADJUST_PAGE: Source = Source::Fact("api_mpp/adjust-refund");
const RESULTS: Source = Source::Fact("integration_merchant_mode_mpp/obtain_payment_results");
const CHOICE: Source = Source::OurChoice;

/// Writes the names and the rows at once.
macro_rules! rows {
    ($($id:ident $event:literal, $when:literal => [$($call:ident),*] $effect:expr, $source:expr, $switch:expr, $fits:expr;)*) => {
        /// The name of a row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RowId { $(
            #[doc = concat!($event, ": ", $when)]
            $id,
        )* }

        impl RowId {
            /// Every name.
            pub const ALL: &[Self] = &[$(Self::$id),*];

            /// On the page, and in the books.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$id => stringify!($id)),* }
            }

            /// Event and payment, as the row's line on the page names them.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Self::$id => concat!($event, ": ", $when)),* }
            }

            /// What the row does beside its calls, in words.
            #[must_use]
            pub fn effect(self) -> String {
                let effect: Effect = match self { $(Self::$id => $effect),* };
                effect.to_string()
            }

            /// The name that is written so.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|id| id.name() == name)
            }
        }

        /// Every row. Exactly one fits each event.
        pub const TABLE: &[Row] = &[$(Row {
            id: RowId::$id, event: $event, when: $when, calls: &[$(CallKind::$call),*],
            source: $source, switch: $switch, effect: $effect, fits: $fits,
        }),*];
    };
}

use Effect::{Become, Book, Ignore, Keep};

rows! {
    A1 "authorisation", "new" => [Pay] Become(Pending), Source::Fact("pos_tap_mpp/integration_overview"), None,
        |c| authorisation(c) && !c.known() && !c.overtaken;
    A2 "authorisation", "a whole reversal or an expiry of it came first: declined" => [] Become(Declined), CHOICE, None,
        |c| authorisation(c) && !c.known() && c.overtaken;
    A3 "authorisation", "of a known payment: the same answer" => [] Ignore, CHOICE, None,
        |c| authorisation(c) && c.known();

    P1 "`pay` succeeded", "waited for: approved" => [] Become(Paid), CHOICE, None,
        |c| c.trigger == Trigger::PaySucceeded && c.is(&[Pending]);
    P2 "`pay` succeeded", "cancelled, or being cancelled: the late success loses" => [] Ignore, RESULTS, None,
        |c| c.trigger == Trigger::PaySucceeded && c.is(&[Cancelling, Cancelled]);
    P3 "`pay` succeeded", "declined before" => [Cancel] Become(Cancelling), RESULTS, None,
        |c| c.trigger == Trigger::PaySucceeded && c.is(&[Declined]);
    P4 "`pay` succeeded", "too late to cancel, and not known until now" => [Refund] Become(Reclaimed), CHOICE, None,
        |c| c.trigger == Trigger::PaySucceeded && c.is(&[Reclaiming]);
    P5 "`pay` succeeded", "known already" => [] Ignore, CHOICE, None,
        |c| c.trigger == Trigger::PaySucceeded && c.is(&[Paid, Reclaimed]);
    P6 "`pay` failed", "waited for: declined" => [] Become(Declined), CHOICE, None,
        |c| c.trigger == Trigger::PayFailed && c.is(&[Pending]);
    P7 "`pay` failed", "too late to cancel, and not known until now" => [] Become(Reclaimed), CHOICE, None,
        |c| c.trigger == Trigger::PayFailed && c.is(&[Reclaiming]);
    P8 "`pay` failed", "otherwise: what is known stands" => [] Ignore, CHOICE, None,
        |c| c.trigger == Trigger::PayFailed && !c.is(&[Pending, Reclaiming]);
    P9 "`pay` without a final result", "waited for, expiry reached, one inquiry without a result: declined"
        => [Cancel] Become(Cancelling), CANCEL_GUIDE, Some("inquire_before_cancel"),
        |c| c.trigger == Trigger::PayExpired && c.is(&[Pending]);
    P10 "`pay` without a final result", "no longer waited for" => [] Ignore, CHOICE, None,
        |c| c.trigger == Trigger::PayExpired && !c.is(&[Pending]);
    P11 "`cancelPayment` succeeded", "any" => [] Become(Cancelled), CANCEL_GUIDE, None,
        |c| c.trigger == Trigger::CancelSucceeded;
    P12 "`cancelPayment` too late", "its money was taken" => [Refund] Become(Reclaimed),
        Source::Fact("integration_auto_debit_mpp/cancel_payment"), None,
        |c| c.trigger == Trigger::CancelTooLate && taken(c);
    P13 "`cancelPayment` too late", "whether its money was taken is not known" => [Inquiry] Become(Reclaiming), CHOICE, None,
        |c| c.trigger == Trigger::CancelTooLate && !taken(c);

    R1 "reversal", "before its authorisation: kept" => [] Keep, CHOICE, None,
        |c| reversal(c) && !c.known();
    R2 "reversal", "in another currency than the authorisation: for people" => [] Ignore, CHOICE, None,
        |c| reversal(c) && c.known() && c.other_currency;
    R3 "reversal", "of all, `pay` not final" => [Cancel] Become(Cancelling), CHOICE, None,
        |c| same_reversal(c) && c.is(&[Pending]) && c.reverses_all();
    R4 "reversal", "of a part, `pay` not final: kept" => [] Keep, CHOICE, None,
        |c| same_reversal(c) && c.is(&[Pending]) && !c.reverses_all();
    R5 "reversal", "nothing is open: declined, cancelled, cleared or released" => [] Ignore, CHOICE, None,
        |c| same_reversal(c) && !c.is(&[Pending]) && c.open() == 0;
    R6 "reversal", "of all, same day, nothing cleared, released or refunded" => [Cancel] Become(Cancelling), CANCEL_GUIDE, Some("same_day"),
        |c| reversal_of_open(c) && whole_on_its_day(c);
    R7 "reversal", "of all, another day, nothing cleared, released or refunded" => [Refund] Book, REFUND_GUIDE, Some("same_day"),
        |c| reversal_of_open(c) && c.reverses_all() && c.is_untouched() && !c.is_same_day();
    R8 "reversal", "of a part, any day" => [Refund] Book, REFUND_GUIDE, None,
        |c| reversal_of_open(c) && !c.reverses_all() && c.has_enough();
    R9 "reversal", "of all that is left of it, any day" => [Refund] Book, CHOICE, None,
        |c| reversal_of_open(c) && c.reverses_all() && !c.is_untouched() && c.has_enough();
    R10 "reversal", "merchant refunds have used up a part of the payment" => [Refund, AdjustExceed] Book, CHOICE, None,
        |c| reversal_of_open(c) && c.has_too_little();
    R11 "reversal", "merchant refunds have used up the payment" => [AdjustExceed] Book, CHOICE, None,
        |c| reversal_of_open(c) && c.has_nothing();

    C1 "clearing", "before its authorisation: kept" => [] Keep, CHOICE, None,
        |c| clearing(c) && !c.known();
    C2 "clearing", "in another currency than the authorisation: for people" => [] Ignore, CHOICE, None,
        |c| clearing(c) && c.known() && c.other_currency;
    C3 "clearing", "`pay` not final: kept" => [] Keep, CHOICE, None,
        |c| same_clearing(c) && c.is(&[Pending]);
    C4 "clearing", "equal to what is open" => [] Book, Source::Inferred("pos_tap_mpp/refund_integration"), None,
        |c| final_clearing(c) && c.is_exact();
    C5 "clearing", "below what is open, more to come" => [] Book, CHOICE, None,
        |c| final_clearing(c) && c.is_below() && !c.is_last();
    C6 "clearing", "below what is open, the last" => [Refund] Book, REFUND_GUIDE, None,
        |c| last_below(c) && c.has_enough();
    C7 "clearing", "below, the last; merchant refunds have used up a part of the payment" => [Refund, AdjustExceed] Book, CHOICE, None,
        |c| last_below(c) && c.has_too_little();
    C8 "clearing", "below, the last; merchant refunds have used up the payment" => [AdjustExceed] Book, CHOICE, None,
        |c| last_below(c) && c.has_nothing();
    C9 "clearing", "above what is open, or of a payment that is void: a shortfall" => [] Book, CHOICE, Some("over_capture"),
        |c| final_clearing(c) && c.is_over() && !c.pays_difference();
    C10 "clearing", "above what is open, or of a payment that is void" => [Pay] Book, CHOICE, Some("over_capture"),
        |c| final_clearing(c) && c.is_over() && c.pays_difference();

    X1 "expiry", "before its authorisation: kept" => [] Keep, CHOICE, None,
        |c| expiry(c) && !c.known();
    X2 "expiry", "`pay` not final" => [Cancel] Become(Cancelling), CHOICE, None,
        |c| expiry(c) && c.is(&[Pending]);
    X3 "expiry", "nothing is open: declined, cancelled, cleared or released" => [] Ignore, CHOICE, None,
        |c| expiry(c) && c.known() && !c.is(&[Pending]) && c.open() == 0;
    X4 "expiry", "by the scheme or by itself, of what is open" => [Refund] Book, REFUND_GUIDE, Some("auth_expiry_days"),
        |c| expiry_of_open(c) && c.has_enough();
    X5 "expiry", "merchant refunds have used up a part of the payment" => [Refund, AdjustExceed] Book, CHOICE, None,
        |c| expiry_of_open(c) && c.has_too_little();
    X6 "expiry", "merchant refunds have used up the payment" => [AdjustExceed] Book, CHOICE, None,
        |c| expiry_of_open(c) && c.has_nothing();

    M1 "merchant refund", "tied to no payment" => [AdjustUnlinked] Book, ADJUST_PAGE, None,
        |c| refund(c) && !c.known();
    M2 "merchant refund", "in another currency than the authorisation" => [AdjustUnlinked] Book, CHOICE, None,
        |c| refund(c) && c.known() && c.other_currency;
    M3 "merchant refund", "`pay` not final: kept" => [] Keep, CHOICE, None,
        |c| same_refund(c) && c.is(&[Pending]);
    M4 "merchant refund", "of a payment that is void: declined or given back as a whole" => [AdjustUnlinked] Book, CHOICE, None,
        |c| same_refund(c) && c.is_void();
    M5 "merchant refund", "no more than the payment has left, cleared or not" => [Refund] Book, REFUND_GUIDE, None,
        |c| same_refund(c) && c.is(&[Paid]) && c.has_enough();
    M6 "merchant refund", "more than the payment has left" => [Refund, AdjustExceed] Book, ADJUST_PAGE, None,
        |c| same_refund(c) && c.is(&[Paid]) && c.has_too_little();
    M7 "merchant refund", "nothing of the payment is left" => [AdjustExceed] Book, CHOICE, None,
        |c| same_refund(c) && c.is(&[Paid]) && c.has_nothing();
}

fn authorisation(c: &Case) -> bool {
    c.trigger == Trigger::Authorisation
}

fn taken(c: &Case) -> bool {
    c.standing.is_some_and(|standing| standing.taken)
}

fn reversal(c: &Case) -> bool {
    matches!(c.trigger, Trigger::Reversal { .. })
}

fn same_reversal(c: &Case) -> bool {
    reversal(c) && c.known() && !c.other_currency
}

fn reversal_of_open(c: &Case) -> bool {
    same_reversal(c) && !c.is(&[Pending]) && c.open() > 0
}

fn whole_on_its_day(c: &Case) -> bool {
    c.reverses_all() && c.is_untouched() && c.is_same_day()
}

fn clearing(c: &Case) -> bool {
    matches!(c.trigger, Trigger::Clearing { .. })
}

fn same_clearing(c: &Case) -> bool {
    clearing(c) && c.known() && !c.other_currency
}

/// A clearing of a payment whose result is known.
fn final_clearing(c: &Case) -> bool {
    same_clearing(c) && !c.is(&[Pending])
}

fn last_below(c: &Case) -> bool {
    final_clearing(c) && c.is_below() && c.is_last()
}

fn expiry(c: &Case) -> bool {
    c.trigger == Trigger::Expiry
}

fn expiry_of_open(c: &Case) -> bool {
    expiry(c) && c.known() && !c.is(&[Pending]) && c.open() > 0
}

fn refund(c: &Case) -> bool {
    matches!(c.trigger, Trigger::Refund { .. })
}

fn same_refund(c: &Case) -> bool {
    refund(c) && c.known() && !c.other_currency
}
