//! Which event becomes which call: one [`TABLE`], and what follows from its row for the amounts.
//!
//! Pure: an event and what stands of its payment go in, a row and a plan come out. The books write the
//! plan down; the dispatcher makes the calls. `docs/conversion.md` shows the table; a test compares the two.
//!
//! Whatever the order of events, the sum stands: what the user paid in the end is what the scheme cleared
//! (or still holds), less what merchants gave back.

mod case;
mod config;
mod page;
mod table;
#[cfg(test)]
mod tests;

pub(super) use case::Case;
pub use case::{PaymentState, Standing, Trigger};
pub use config::{ConversionConfig, OverCapture, SameDay, Switch, SwitchError};
pub use page::markdown;
pub use table::{CallKind, Row, RowId, Source, TABLE};

use table::Effect;

/// What one row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Which call.
    pub call: CallKind,
    /// Over how much, in the smallest unit of the merchant's currency; 0 for calls without an amount.
    pub minor: u64,
}

/// What an event comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The row that fits.
    pub row: RowId,
    /// The event waits until its payment is final.
    pub kept: bool,
    /// The calls, in their order.
    pub asks: Vec<Ask>,
    /// How the payment stands afterwards; `None` if there is none.
    pub standing: Option<Standing>,
    /// What moves in the books.
    pub moved: Moved,
}

/// Amounts that an event moves, in the smallest unit of the merchant's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Collected from what was held.
    pub cleared: u64,
    /// Collected beyond what was held.
    pub over: u64,
    /// No longer held: the user gets it back.
    pub released: u64,
    /// Given by the merchant.
    pub given: u64,
}

/// The plan for `case`: the first row of the table that fits; a test proves that it is also the only one.
pub(super) fn plan(case: &Case) -> Option<Plan> {
    let row = TABLE.iter().find(|row| row.fits(case))?;
    let moved = match row.effect {
        Effect::Keep | Effect::Ignore => Moved::default(),
        _ => case.moved(),
    };
    let asks = row.calls.iter().map(|&call| Ask { call, minor: case.minor_of(call) }).collect();
    let standing = case.standing.map(|standing| after(standing, row, moved, case));
    Some(Plan { row: row.id, kept: row.effect == Effect::Keep, asks, standing, moved })
}

/// How a payment stands after `row`.
fn after(mut standing: Standing, row: &Row, moved: Moved, case: &Case) -> Standing {
    standing.held = standing.held.saturating_sub(moved.released);
    standing.cleared = standing.cleared.saturating_add(moved.cleared);
    if row.calls.contains(&CallKind::Refund) {
        standing.refunded = standing.refunded.saturating_add(case.minor_of(CallKind::Refund));
    }
    standing.taken |= case.trigger == Trigger::PaySucceeded;
    if let Effect::Become(state) = row.effect {
        standing.state = state;
    }
    match row.effect {
        Effect::Become(PaymentState::Paid) if !standing.beyond => standing.held = standing.amount,
        Effect::Become(_) => standing.held = standing.cleared,
        _ => {}
    }
    standing
}
