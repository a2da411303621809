//! What can happen to a wallet, and stories made of it.

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::RequestType;
use nfcwallet_core::token::Suspender;
use nfcwallet_faults::FaultKind;
use nfcwallet_sandbox::device::KeyCall;
use nfcwallet_sandbox::relay::Fault;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Who holds the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    Alice,
    Bob,
}

impl User {
    pub(crate) const ALL: [Self; 2] = [Self::Alice, Self::Bob];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
        }
    }
}

/// How a reader behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Whole,
    /// The field is lost after so many answers.
    LostAfter(u32),
    /// Says nothing more after so many answers; the phone stays in the field for six seconds.
    SilentAfter(u32),
}

/// Low needs no proof of presence, high does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    Low,
    High,
}

/// How the key store fails, until it is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyTrouble {
    Locked,
    Fails(Option<KeyCall>),
    Panics(KeyCall),
    /// Each call takes 40 ms: slower than a terminal reads, faster than the deadline.
    Slow,
    /// The next call outlives its deadline, and works all the same.
    Late,
    /// The keys are gone for good.
    Invalidated,
}

/// How the disk fails, until it is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskTrouble {
    pub(crate) kind: FaultKind,
    pub(crate) from: u64,
    pub(crate) count: u64,
}

/// One step of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Connect(User),
    Disconnect,
    Activate(ActivationMode),
    Confirm,
    Tap(Amount, Reader),
    Authenticate,
    Replenish,
    Lock,
    Unlock,
    Delete,
    Sync,
    NetworkAvailable,
    ServiceSuspends(Suspender),
    ServiceResumes(Suspender),
    ServiceDeletes,
    ServicePushesReplenish,
    ServicePushesProfile,
    /// The next `times` requests of this type, or of any, after `skip` that pass.
    Relay {
        kind: Option<RequestType>,
        fault: Fault,
        skip: u32,
        times: u32,
    },
    Disk(DiskTrouble),
    Keys(KeyTrouble),
    /// Relay, disk and key store work again; keys that are gone stay gone.
    Mend,
    /// Time passes for everybody.
    Pass {
        seconds: u32,
    },
    /// Somebody sets the phone's wall clock.
    WallJumps {
        seconds: i64,
    },
    /// The phone's monotonic clock goes back, which it must not.
    MonotonicFallsBack {
        seconds: u32,
    },
    /// `shutdown` and `init`.
    Restart,
    /// The process ends where it stands.
    Kill,
    /// The power goes: unsynced writes are lost, torn or reordered as the seed decides.
    PowerCut {
        seed: u64,
    },
}

/// From an empty phone.
#[derive(Debug, Clone)]
pub(crate) struct Story(pub(crate) Vec<Op>);

/// Stories of at most `longest` steps. Most begin with an active token: an empty phone has little to
/// lose.
pub(crate) fn stories(longest: usize) -> impl Strategy<Value = Story> {
    let active = vec![Op::Connect(User::Alice), Op::Activate(ActivationMode::Manual)];
    let prepared = vec![Op::Connect(User::Alice), Op::Activate(ActivationMode::Silent)];
    let beginning = prop_oneof![1 => Just(Vec::new()), 1 => Just(prepared), 6 => Just(active)];
    (beginning, vec(op(), 1..=longest)).prop_map(|(mut beginning, rest)| {
        beginning.extend(rest);
        Story(beginning)
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => user().prop_map(Op::Connect),
        2 => Just(Op::Disconnect),
        5 => mode().prop_map(Op::Activate),
        3 => Just(Op::Confirm),
        24 => (amount(), reader()).prop_map(|(amount, reader)| Op::Tap(amount, reader)),
        6 => Just(Op::Authenticate),
        6 => Just(Op::Replenish),
        5 => Just(Op::Lock),
        6 => Just(Op::Unlock),
        2 => Just(Op::Delete),
        6 => Just(Op::Sync),
        3 => Just(Op::NetworkAvailable),
        3 => party().prop_map(Op::ServiceSuspends),
        4 => party().prop_map(Op::ServiceResumes),
        1 => Just(Op::ServiceDeletes),
        2 => Just(Op::ServicePushesReplenish),
        1 => Just(Op::ServicePushesProfile),
        8 => relay(),
        8 => disk().prop_map(Op::Disk),
        7 => keys().prop_map(Op::Keys),
        10 => Just(Op::Mend),
        6 => select(vec![1, 20, 31, 61, 3_600, 90_000, 2_678_400]).prop_map(|seconds| Op::Pass { seconds }),
        4 => select(vec![-31_536_000, -3_600, 0, 3_600, 31_536_000]).prop_map(|seconds| Op::WallJumps { seconds }),
        2 => select(vec![1, 40, 1_800]).prop_map(|seconds| Op::MonotonicFallsBack { seconds }),
        3 => Just(Op::Restart),
        3 => Just(Op::Kill),
        3 => any::<u64>().prop_map(|seed| Op::PowerCut { seed }),
    ]
}

fn user() -> impl Strategy<Value = User> {
    prop_oneof![3 => Just(User::Alice), 1 => Just(User::Bob)]
}

fn mode() -> impl Strategy<Value = ActivationMode> {
    prop_oneof![2 => Just(ActivationMode::Manual), 1 => Just(ActivationMode::Silent)]
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![3 => Just(Amount::Low), 2 => Just(Amount::High)]
}

/// A whole tap has about eight APDUs.
fn reader() -> impl Strategy<Value = Reader> {
    prop_oneof![
        8 => Just(Reader::Whole),
        1 => (1_u32..9).prop_map(Reader::LostAfter),
        1 => (1_u32..9).prop_map(Reader::SilentAfter),
    ]
}

fn party() -> impl Strategy<Value = Suspender> {
    select(vec![Suspender::Issuer, Suspender::Scheme])
}

fn relay() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(None), select(RequestType::ALL.to_vec()).prop_map(Some)];
    // Duplicates, losses and replays matter most, what only garbles an answer less. A hang takes its
    // time, and leaves what a lost request leaves.
    let fault = prop_oneof![
        3 => Just(Fault::DropRequest),
        5 => Just(Fault::DropAnswer),
        4 => Just(Fault::Duplicate),
        4 => Just(Fault::Replay),
        3 => Just(Fault::OtherWallet),
        3 => Just(Fault::Offline),
        2 => select(vec![Fault::Truncate, Fault::Garbage, Fault::NotUtf8, Fault::Empty, Fault::Oversize]),
        1 => Just(Fault::Http500),
    ];
    (kind, fault, 0_u32..3, 1_u32..4).prop_map(|(kind, fault, skip, times)| Op::Relay { kind, fault, skip, times })
}

fn disk() -> impl Strategy<Value = DiskTrouble> {
    let kind = select(vec![FaultKind::Full, FaultKind::Io, FaultKind::ReadOnly]);
    (kind, 1_u64..20, select(vec![1, 2, u64::MAX])).prop_map(|(kind, from, count)| DiskTrouble { kind, from, count })
}

fn keys() -> impl Strategy<Value = KeyTrouble> {
    let calls = [KeyCall::Sign, KeyCall::Wrap, KeyCall::Unwrap, KeyCall::Renew, KeyCall::Anchor, KeyCall::SetAnchor];
    let call = select(calls.to_vec());
    prop_oneof![
        3 => Just(KeyTrouble::Locked),
        4 => proptest::option::weighted(0.8, call.clone()).prop_map(KeyTrouble::Fails),
        1 => call.prop_map(KeyTrouble::Panics),
        2 => Just(KeyTrouble::Slow),
        1 => Just(KeyTrouble::Late),
        2 => Just(KeyTrouble::Invalidated),
    ]
}
