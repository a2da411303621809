use super::*;
use CallKind::{AdjustExceed, AdjustUnlinked, Cancel, Inquiry, Pay, Refund};
use PaymentState::{Cancelled, Cancelling, Declined, Paid, Pending, Reclaimed, Reclaiming};

const DAY_MS: i64 = 86_400_000;

fn standing(state: PaymentState) -> Standing {
    let held = if state == Paid { 100 } else { 0 };
    let taken = matches!(state, Paid | Reclaimed);
    Standing { state, beyond: false, taken, amount: 100, held, cleared: 0, refunded: 0, authorised_at_ms: 0 }
}

fn case(trigger: Trigger, standing: Option<Standing>) -> Case {
    let config = ConversionConfig::default();
    Case { trigger, time_ms: 0, standing, overtaken: false, other_currency: false, config }
}

fn of(trigger: Trigger, state: PaymentState) -> Case {
    case(trigger, Some(standing(state)))
}

/// A paid payment of 100 of which so much is still held, cleared and refunded.
fn paid(trigger: Trigger, held: u64, cleared: u64, refunded: u64) -> Case {
    case(trigger, Some(Standing { held, cleared, refunded, ..standing(Paid) }))
}

fn taken(mut case: Case) -> Case {
    case.standing = case.standing.map(|standing| Standing { taken: true, ..standing });
    case
}

fn next_day(case: Case) -> Case {
    Case { time_ms: DAY_MS, ..case }
}

fn other_currency(case: Case) -> Case {
    Case { other_currency: true, ..case }
}

fn paying_differences(mut case: Case) -> Case {
    case.config.over_capture = OverCapture::PayDifference;
    case
}

const ALL: Trigger = Trigger::Reversal { part: None };

fn part(minor: u64) -> Trigger {
    Trigger::Reversal { part: Some(minor) }
}

fn more(minor: u64) -> Trigger {
    Trigger::Clearing { minor, last: false }
}

fn last(minor: u64) -> Trigger {
    Trigger::Clearing { minor, last: true }
}

fn given(minor: u64) -> Trigger {
    Trigger::Refund { minor }
}

type Example = (RowId, Case, &'static [(CallKind, u64)]);

/// At least one case a row, with what must be called.
fn examples() -> Vec<Example> {
    let mut examples = provider_examples();
    examples.extend(reversal_examples());
    examples.extend(clearing_and_expiry_examples());
    examples.extend(refund_examples());
    examples
}

fn provider_examples() -> Vec<Example> {
    use Trigger::{Authorisation, CancelSucceeded, CancelTooLate, PayExpired, PayFailed, PaySucceeded};
    vec![
        (RowId::A1, case(Authorisation, None), &[(Pay, 0)]),
        (RowId::A2, Case { overtaken: true, ..case(Authorisation, None) }, &[]),
        (RowId::A3, of(Authorisation, Pending), &[]),
        (RowId::A3, of(Authorisation, Cancelled), &[]),
        (RowId::P1, of(PaySucceeded, Pending), &[]),
        (RowId::P2, of(PaySucceeded, Cancelling), &[]),
        (RowId::P2, of(PaySucceeded, Cancelled), &[]),
        (RowId::P3, of(PaySucceeded, Declined), &[(Cancel, 0)]),
        (RowId::P4, of(PaySucceeded, Reclaiming), &[(Refund, 100)]),
        (RowId::P5, of(PaySucceeded, Paid), &[]),
        (RowId::P5, of(PaySucceeded, Reclaimed), &[]),
        (RowId::P6, of(PayFailed, Pending), &[]),
        (RowId::P7, of(PayFailed, Reclaiming), &[]),
        (RowId::P8, of(PayFailed, Cancelling), &[]),
        (RowId::P8, of(PayFailed, Paid), &[]),
        (RowId::P9, of(PayExpired, Pending), &[(Cancel, 0)]),
        (RowId::P10, of(PayExpired, Paid), &[]),
        (RowId::P11, of(CancelSucceeded, Cancelling), &[]),
        (RowId::P12, taken(of(CancelTooLate, Cancelling)), &[(Refund, 100)]),
        (RowId::P13, of(CancelTooLate, Cancelling), &[(Inquiry, 0)]),
    ]
}

fn reversal_examples() -> Vec<Example> {
    vec![
        (RowId::R1, case(ALL, None), &[]),
        (RowId::R1, case(part(1), None), &[]),
        (RowId::R2, other_currency(paid(part(40), 100, 0, 0)), &[]),
        (RowId::R3, of(ALL, Pending), &[(Cancel, 0)]),
        (RowId::R3, next_day(of(part(100), Pending)), &[(Cancel, 0)]),
        (RowId::R4, of(part(99), Pending), &[]),
        (RowId::R5, of(ALL, Declined), &[]),
        (RowId::R5, of(part(40), Cancelling), &[]),
        (RowId::R5, paid(ALL, 100, 100, 0), &[]),
        (RowId::R5, paid(ALL, 0, 0, 100), &[]),
        (RowId::R6, of(ALL, Paid), &[(Cancel, 0)]),
        (RowId::R6, of(part(100), Paid), &[(Cancel, 0)]),
        (RowId::R6, of(part(999), Paid), &[(Cancel, 0)]),
        (RowId::R7, next_day(of(ALL, Paid)), &[(Refund, 100)]),
        (RowId::R8, of(part(40), Paid), &[(Refund, 40)]),
        (RowId::R8, next_day(paid(part(30), 60, 0, 40)), &[(Refund, 30)]),
        (RowId::R9, paid(ALL, 60, 0, 40), &[(Refund, 60)]),
        (RowId::R9, paid(part(900), 100, 30, 0), &[(Refund, 70)]),
        (RowId::R10, paid(ALL, 100, 0, 80), &[(Refund, 20), (AdjustExceed, 80)]),
        (RowId::R11, paid(part(40), 100, 0, 100), &[(AdjustExceed, 40)]),
    ]
}

fn clearing_and_expiry_examples() -> Vec<Example> {
    vec![
        (RowId::C1, case(last(100), None), &[]),
        (RowId::C2, other_currency(paid(last(60), 100, 0, 0)), &[]),
        (RowId::C3, of(last(60), Pending), &[]),
        (RowId::C4, of(last(100), Paid), &[]),
        (RowId::C4, paid(more(40), 100, 60, 0), &[]),
        (RowId::C5, of(more(60), Paid), &[]),
        (RowId::C6, of(last(60), Paid), &[(Refund, 40)]),
        (RowId::C6, paid(last(0), 80, 50, 20), &[(Refund, 30)]),
        (RowId::C7, paid(last(60), 100, 0, 70), &[(Refund, 30), (AdjustExceed, 10)]),
        (RowId::C8, paid(last(60), 100, 0, 100), &[(AdjustExceed, 40)]),
        (RowId::C9, of(last(130), Paid), &[]),
        (RowId::C9, of(last(10), Cancelled), &[]),
        (RowId::C10, paying_differences(of(last(130), Paid)), &[(Pay, 30)]),
        (RowId::C10, paying_differences(of(more(10), Declined)), &[(Pay, 10)]),
        (RowId::X1, case(Trigger::Expiry, None), &[]),
        (RowId::X2, of(Trigger::Expiry, Pending), &[(Cancel, 0)]),
        (RowId::X3, of(Trigger::Expiry, Cancelled), &[]),
        (RowId::X3, paid(Trigger::Expiry, 60, 60, 40), &[]),
        (RowId::X4, of(Trigger::Expiry, Paid), &[(Refund, 100)]),
        (RowId::X4, paid(Trigger::Expiry, 80, 50, 20), &[(Refund, 30)]),
        (RowId::X5, paid(Trigger::Expiry, 100, 0, 70), &[(Refund, 30), (AdjustExceed, 70)]),
        (RowId::X6, paid(Trigger::Expiry, 100, 0, 100), &[(AdjustExceed, 100)]),
    ]
}

fn refund_examples() -> Vec<Example> {
    vec![
        (RowId::M1, case(given(30), None), &[(AdjustUnlinked, 30)]),
        (RowId::M2, other_currency(of(given(30), Paid)), &[(AdjustUnlinked, 30)]),
        (RowId::M3, of(given(30), Pending), &[]),
        (RowId::M4, of(given(30), Cancelled), &[(AdjustUnlinked, 30)]),
        (RowId::M4, of(given(30), Reclaimed), &[(AdjustUnlinked, 30)]),
        (RowId::M5, of(given(100), Paid), &[(Refund, 100)]),
        (RowId::M5, paid(given(30), 60, 60, 40), &[(Refund, 30)]),
        (RowId::M6, of(given(130), Paid), &[(Refund, 100), (AdjustExceed, 30)]),
        (RowId::M7, paid(given(30), 60, 60, 100), &[(AdjustExceed, 30)]),
    ]
}

#[test]
fn every_row_has_an_example_and_asks_for_what_it_says() {
    for (row, case, wanted) in examples() {
        let plan = plan(&case).unwrap();
        let asked: Vec<_> = plan.asks.iter().map(|ask| (ask.call, ask.minor)).collect();
        assert_eq!((plan.row, asked.as_slice()), (row, wanted), "{case:?}");
    }
    let shown: std::collections::BTreeSet<RowId> = examples().into_iter().map(|(row, ..)| row).collect();
    let missing: Vec<_> = RowId::ALL.iter().filter(|row| !shown.contains(row)).collect();
    assert!(missing.is_empty(), "rows without example: {missing:?}");
}

const OF_PROVIDER: [Trigger; 5] =
    [Trigger::PaySucceeded, Trigger::PayFailed, Trigger::PayExpired, Trigger::CancelSucceeded, Trigger::CancelTooLate];

/// Every event against every payment of 3 or 4 units, in every way it can stand.
fn every_case() -> Vec<Case> {
    let mut triggers = vec![Trigger::Authorisation, Trigger::Expiry, ALL];
    triggers.extend(OF_PROVIDER);
    for minor in 1..=5 {
        triggers.extend([part(minor), more(minor), last(minor), given(minor)]);
    }
    triggers.push(last(0));
    let mut cases = Vec::new();
    for trigger in triggers {
        // The provider tells of payments that the gateway asked for, and of no others.
        let must_be_known = OF_PROVIDER.contains(&trigger);
        for standing in every_standing().into_iter().filter(|standing| standing.is_some() || !must_be_known) {
            for (time_ms, other_currency, paying) in
                [(0, false, false), (DAY_MS, false, false), (0, true, false), (0, false, true)]
            {
                let case = Case { time_ms, other_currency, ..case(trigger, standing) };
                cases.push(if paying { paying_differences(case) } else { case });
            }
            cases.push(Case { overtaken: true, ..case(trigger, standing) });
        }
    }
    cases
}

fn every_standing() -> Vec<Option<Standing>> {
    let mut all = vec![None];
    for state in PaymentState::ALL {
        for taken in [false, true] {
            all.push(Some(Standing { amount: 3, held: 0, taken, ..standing(state) }));
        }
    }
    for (held, refunded) in (0..=3).flat_map(|held| (3 - held..=3).map(move |refunded| (held, refunded))) {
        for cleared in 0..=held {
            all.push(Some(Standing { amount: 3, held, cleared, refunded, ..standing(Paid) }));
        }
    }
    all
}

#[test]
fn exactly_one_row_fits_whatever_happens() {
    for case in every_case() {
        let fitting: Vec<_> = TABLE.iter().filter(|row| row.fits(&case)).map(|row| row.id).collect();
        assert_eq!(fitting.len(), 1, "{fitting:?} fit {case:?}");
    }
}

#[test]
fn no_refund_exceeds_its_payment_and_nothing_given_back_is_lost() {
    // Only what is being cancelled can be too late to cancel.
    let possible = |case: &Case| case.trigger != Trigger::CancelTooLate || case.is(&[Cancelling]);
    for case in every_case().into_iter().filter(possible) {
        let plan = plan(&case).unwrap();
        let after = plan.standing;
        assert!(after.is_none_or(|s| s.refunded <= s.amount && s.cleared <= s.held && s.held <= s.amount), "{case:?}");
        let back: u64 = plan.asks.iter().map(|ask| ask.minor).sum();
        let with_amount = |ask: &&Ask| matches!(ask.call, Refund | AdjustExceed | AdjustUnlinked);
        assert!(plan.asks.iter().filter(with_amount).all(|ask| ask.minor > 0), "{case:?}");
        let cancels = plan.asks.iter().any(|ask| ask.call == Cancel);
        let moved = plan.moved.released + plan.moved.given;
        let of_scheme = !matches!(case.trigger, Trigger::PaySucceeded | Trigger::CancelTooLate);
        if of_scheme && !cancels && plan.row != RowId::C10 {
            assert_eq!(back, moved, "{case:?}");
        }
    }
}

/// An answer names its row in the words of the page.
#[test]
fn a_rows_name_leads_to_its_words() {
    for row in TABLE {
        assert_eq!(row.id.words(), format!("{}: {}", row.event, row.when));
        assert_eq!(row.id.effect(), row.effect.to_string());
    }
    let effects = [RowId::R8, RowId::R4, RowId::R5, RowId::R6].map(RowId::effect);
    assert_eq!(
        effects,
        [
            "booked",
            "kept, and converted when the payment is final",
            "changes nothing",
            "the payment becomes cancelling"
        ]
    );
}

#[test]
fn the_page_shows_the_table() {
    let page = include_str!("../../../../docs/conversion.md");
    let table = markdown();
    assert!(page.contains(&table), "docs/conversion.md must hold this table:\n{table}");
}
