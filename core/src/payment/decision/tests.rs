//! The rules, one after the other as `docs/flows/decisions.md` lists them, and what demands presence.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use super::*;
use crate::card::profile::CvmLimit;
use crate::card::test_card;
use crate::config::{RemoteConfig, WalletConfig};
use crate::host::{Deadlines, Host, TransactionPermit};
use crate::payment::{RiskManagement, TerminalInformation};
use crate::storage::test_host::TestKeys;

const TABLE: &str = include_str!("../../../../docs/flows/decisions.md");

/// What the permit does.
enum Answer {
    Say(Result<PermitDecision, HostError>),
    Panic,
    /// Until the test ends.
    Hang(Receiver<()>),
}

struct Permit(Mutex<Answer>, Mutex<Vec<(bool, RiskControl)>>);

impl TransactionPermit for Permit {
    fn is_allowed(
        &self,
        auth: bool,
        _: TransactionInformation,
        risk: RiskControl,
    ) -> Result<PermitDecision, HostError> {
        self.1.lock().unwrap().push((auth, risk));
        match &*self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Answer::Say(answer) => answer.clone(),
            Answer::Panic => panic!("the app's bug"),
            Answer::Hang(end) => {
                let _ended = end.recv();
                Ok(PermitDecision::Proceed)
            }
        }
    }
}

/// A tap that would be paid, until something is made wrong with it.
struct Tap {
    calls: HostCalls,
    permit: Arc<Permit>,
    configuration: Configuration,
    window: CdcvmWindow,
    card: Arc<Card>,
    request: CryptogramRequest,
    device: Result<DeviceState, HostError>,
}

impl Tap {
    fn new() -> Self {
        let permit = Arc::new(Permit(Mutex::new(Answer::Say(Ok(PermitDecision::Proceed))), Mutex::default()));
        let host = Host { permit: permit.clone(), ..TestKeys::default().calls().host().clone() };
        let app = WalletConfig::new("wallet".into(), "mpp-1", Vec::new());
        Self {
            calls: HostCalls::new(host, Deadlines::default()),
            permit,
            configuration: Configuration::new(app, RemoteConfig::default()),
            window: CdcvmWindow::default(),
            card: test_card::card(),
            request: CryptogramRequest {
                requested: CryptogramRequested::Arqc,
                transaction: TransactionInformation::of(100),
                terminal_demands_cdcvm: false,
                allowed_by_card: true,
                contradictory: false,
                unpredictable_number: [0; 4],
            },
            device: Ok(DeviceState {
                nfc_on: true,
                default_payment_app: true,
                screen_on: true,
                unlocked: true,
                integrity: IntegrityVerdict::Safe,
            }),
        }
    }

    fn decide(&self) -> Result<Option<CdcvmMethod>, TapFailure> {
        let rules = Rules {
            calls: &self.calls,
            configuration: &self.configuration,
            window: &self.window,
            card: &self.card,
            risk: RiskControl { proceed: false },
        };
        rules.decide(&self.request, self.device.clone())
    }

    fn prove(&self) {
        self.window.open(CdcvmMethod::Fingerprint, self.calls.clock().monotonic());
    }

    fn answer(&self, answer: Answer) {
        *self.permit.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = answer;
    }

    fn asked(&self) -> Vec<(bool, RiskControl)> {
        self.permit.1.lock().unwrap().clone()
    }

    fn lock_device(&mut self) {
        self.device.as_mut().unwrap().unlocked = false;
    }

    fn transit(configuration: &str) -> Self {
        let mut tap = Self::new();
        tap.request.transaction.kind = TransactionKind::Transit;
        tap.request.transaction.amount_minor = 0;
        tap.configure(configuration);
        tap
    }

    fn configure(&self, transaction_config: &str) {
        let text = format!(r#"{{"nfc_transaction_config":{transaction_config}}}"#);
        self.configuration.set_remote(serde_json::from_str(&text).unwrap()).unwrap();
    }

    fn always_cdcvm(&mut self) {
        let mut profile = test_card::profile();
        profile.rules.always_cdcvm = true;
        self.card = Arc::new(Card::compile(&profile).unwrap());
    }
}

/// Code and answer to the terminal, by the number of the rule.
fn table() -> BTreeMap<u32, (u32, bool)> {
    let rows = TABLE.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", number, _, code, terminal, ""] = &cells[..] else { return None };
        let code = code.split(' ').next()?.parse().ok()?;
        Some((number.parse().ok()?, (code, terminal.contains("DF4B"))))
    });
    rows.collect()
}

type Step = (u32, fn(&mut Tap));

/// Each rule with the mending of what it objects to. The tap begins with everything wrong.
const MENDED: [Step; 7] = [
    (1, |tap| tap.request.requested = CryptogramRequested::Arqc),
    (2, |tap| {
        tap.request.contradictory = false;
        tap.request.transaction.other_amount_minor = 0;
    }),
    (3, |tap| {
        tap.device = Tap::new().device;
        tap.device.as_mut().unwrap().integrity = IntegrityVerdict::Unsafe { reason: "rooted".to_owned() };
    }),
    (4, |tap| tap.device.as_mut().unwrap().integrity = IntegrityVerdict::Safe),
    (5, |tap| tap.request.transaction.kind = TransactionKind::Purchase),
    (6, |tap| tap.window.close()),
    (7, |tap| tap.prove()),
];

impl Tap {
    fn with_everything_wrong() -> Self {
        let mut tap = Self::new();
        tap.request.requested = CryptogramRequested::Aac;
        tap.request.contradictory = true;
        tap.request.transaction.other_amount_minor = 101;
        tap.device = Err(HostError::Panicked);
        tap.request.transaction.kind = TransactionKind::Cash;
        tap.request.transaction.range = TransactionRange::HighValue;
        tap.window.ask_for(&TransactionInformation::of(99), tap.calls.clock().monotonic());
        tap.prove();
        tap
    }
}

#[test]
fn the_first_rule_of_the_table_that_objects_decides() {
    let table = table();
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let mut tap = Tap::with_everything_wrong();
    tap.answer(Answer::Say(Ok(PermitDecision::NeedAuth)));
    for (number, mend) in MENDED {
        let failure = tap.decide().unwrap_err();
        assert_eq!(table[&number], (failure.code(), failure == TapFailure::CdcvmRequired), "rule {number}");
        assert_eq!(tap.asked(), [], "the app was asked in spite of rule {number}");
        mend(&mut tap);
    }
    let (_end, hang) = channel();
    let failed = HostError::Failed { reason: "no".to_owned() };
    let answers = [
        (8, Answer::Say(Ok(PermitDecision::NeedAuth))),
        (9, Answer::Say(Ok(PermitDecision::Decline))),
        (9, Answer::Say(Ok(PermitDecision::CustomDecline(0)))),
        (9, Answer::Say(Ok(PermitDecision::CustomDecline(5)))),
        (10, Answer::Say(Ok(PermitDecision::CustomDecline(1)))),
        (11, Answer::Say(Err(failed))),
        (12, Answer::Hang(hang)),
    ];
    for (number, answer) in answers {
        tap.answer(answer);
        let failure = tap.decide().unwrap_err();
        assert_eq!(table[&number], (failure.code(), failure == TapFailure::CdcvmRequired), "rule {number}");
    }
}

#[test]
fn a_permit_that_panics_declines() {
    let tap = Tap::new();
    tap.answer(Answer::Panic);
    assert_eq!(tap.decide(), Err(TapFailure::DeclinedByApp));
}

#[test]
fn each_custom_reason_keeps_its_number() {
    let tap = Tap::new();
    for reason in 1..=4 {
        tap.answer(Answer::Say(Ok(PermitDecision::CustomDecline(reason))));
        assert_eq!(tap.decide().unwrap_err().code(), 19_010 + u32::from(reason));
    }
}

#[test]
fn the_app_is_told_of_the_proof_and_of_the_risk() {
    let tap = Tap::new();
    assert_eq!(tap.decide(), Ok(None));
    tap.prove();
    assert_eq!(tap.decide(), Ok(Some(CdcvmMethod::Fingerprint)));
    let risk = RiskControl { proceed: false };
    assert_eq!(tap.asked(), [(false, risk), (true, risk)]);
}

type Demand = (&'static str, fn(&mut Tap));

#[test]
fn each_demand_for_presence_stands_alone() {
    let demands: [Demand; 7] = [
        ("the terminal", |tap| tap.request.terminal_demands_cdcvm = true),
        ("high value", |tap| tap.request.transaction.range = TransactionRange::HighValue),
        ("unknown value", |tap| tap.request.transaction.range = TransactionRange::Unknown),
        ("a locked device", Tap::lock_device),
        ("the profile", Tap::always_cdcvm),
        ("the app's limit", |tap| {
            let limit = CvmLimit { currency: 978, amount_minor: 99 };
            let app = WalletConfig { password_free_limits: vec![limit], ..tap.configuration.app().clone() };
            tap.configuration = Configuration::new(app, RemoteConfig::default());
        }),
        ("the service's limit", |tap| {
            let amounts = r#"[{"currency":978,"amount_minor":99}]"#;
            tap.configure(&format!(r#"{{"asyncAmountLimitSwitch":true,"passwordFreeAmounts":{amounts}}}"#));
        }),
    ];
    for (name, demand) in demands {
        let mut tap = Tap::new();
        assert_eq!(tap.decide(), Ok(None));
        demand(&mut tap);
        assert_eq!(tap.decide(), Err(TapFailure::CdcvmRequired), "{name}");
        tap.prove();
        assert_eq!(tap.decide(), Ok(Some(CdcvmMethod::Fingerprint)), "{name}");
    }
}

#[test]
fn what_the_card_does_not_allow_is_declined_whatever_its_kind() {
    for kind in [TransactionKind::Purchase, TransactionKind::Refund, TransactionKind::Transit] {
        let mut tap = Tap::transit(r#"{"isSupportTransit":true}"#);
        tap.request.transaction.kind = kind;
        assert_eq!(tap.decide(), Ok(None));
        tap.request.allowed_by_card = false;
        tap.prove();
        assert_eq!(tap.decide(), Err(TapFailure::NotAllowed), "{kind:?}");
    }
    // Rule 5 of the table; the app is not asked.
    assert_eq!(table()[&5], (TapFailure::NotAllowed.code(), false));
}

#[test]
fn cash_back_above_the_amount_cannot_be_true() {
    let mut tap = Tap::new();
    tap.request.transaction.other_amount_minor = 100;
    assert_eq!(tap.decide(), Ok(None));
    tap.request.transaction.other_amount_minor = 101;
    assert_eq!(tap.decide(), Err(TapFailure::TerminalProtocol));
}

#[test]
fn transit_needs_its_switch_and_consent_or_a_second_switch() {
    const OFF: &str = "{}";
    const ON: &str = r#"{"isSupportTransit":true}"#;
    const LOCKED_TOO: &str = r#"{"isSupportTransit":true,"isSupportTransitWithoutConsent":true}"#;
    const LOCKED_ONLY: &str = r#"{"isSupportTransitWithoutConsent":true}"#;
    let refused = Err(TapFailure::NotAllowed);
    for (switches, unlocked, locked) in [
        (OFF, refused, refused),
        (ON, Ok(None), refused),
        (LOCKED_TOO, Ok(None), Ok(None)),
        (LOCKED_ONLY, refused, refused),
    ] {
        let mut tap = Tap::transit(switches);
        assert_eq!(tap.decide(), unlocked, "{switches}");
        tap.lock_device();
        assert_eq!(tap.decide(), locked, "{switches}, locked");
    }
    // Who has just proved presence consents.
    let mut tap = Tap::transit(ON);
    tap.lock_device();
    tap.prove();
    assert_eq!(tap.decide(), Ok(Some(CdcvmMethod::Fingerprint)));
}

#[test]
fn at_a_gate_a_terminal_can_take_back_its_own_demand_and_no_other() {
    let gate = |byte_4| {
        let mut tap = Tap::transit(r#"{"isSupportTransit":true}"#);
        let risk_management = Some(RiskManagement([0x04, 0x80, 0, byte_4, 0, 0, 0, 0]));
        tap.request.transaction.terminal = TerminalInformation { risk_management, ..TerminalInformation::default() };
        tap.request.transaction.range = TransactionRange::HighValue;
        tap.request.terminal_demands_cdcvm = true;
        tap
    };
    assert_eq!(gate(0x00).decide(), Err(TapFailure::CdcvmRequired));
    for waived in [0x80, 0x40, 0xC0] {
        assert_eq!(gate(waived).decide(), Ok(None), "{waived:02X}");
        let mut strict = gate(waived);
        strict.always_cdcvm();
        assert_eq!(strict.decide(), Err(TapFailure::CdcvmRequired), "{waived:02X}");
        let mut fare = gate(waived);
        fare.request.transaction.kind = TransactionKind::Purchase;
        fare.request.transaction.range = TransactionRange::LowValue;
        fare.request.terminal_demands_cdcvm = false;
        fare.lock_device();
        assert_eq!(fare.decide(), Err(TapFailure::CdcvmRequired), "an amount, {waived:02X}");
    }
}

/// A reader in mag-stripe mode could say 0.00, and ask the issuer for more.
#[test]
fn a_checksum_needs_presence_whatever_the_amount_and_is_never_transit() {
    let mut tap = Tap::new();
    tap.request.requested = CryptogramRequested::Checksum;
    assert_eq!(tap.decide(), Err(TapFailure::CdcvmRequired));
    tap.window.open(CdcvmMethod::Fingerprint, tap.calls.clock().monotonic());
    assert_eq!(tap.decide(), Ok(Some(CdcvmMethod::Fingerprint)));
    tap.request.transaction.kind = TransactionKind::Transit;
    assert_eq!(tap.decide(), Err(TapFailure::NotAllowed));
}
