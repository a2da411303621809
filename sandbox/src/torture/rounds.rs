//! The rounds: start, recover, break, look again.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nfcwallet_core::host::RequestType;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::patient::{Action, Patient, Stop};
use super::{Kind, Part, Plan, Tally, TortureError, Violation, drift};
use crate::issuer::{Authority, Issuer, IssuerConfig};
use crate::phone::{Call, Phone};
use crate::relay::{Fault, FaultRule};
use crate::servers::{Sandbox, SandboxConfig};
use crate::with_causes;

/// After so many breaks, another wallet and other servers: their books stay short.
const BREAKS_PER_WALLET: u64 = 100;

/// Every so many breaks the wallet is left in peace, and all books are compared.
const BREAKS_PER_AUDIT: u64 = 4;

/// A power cut strikes at the latest at this write or sync after the start; an opening takes about
/// ten, a tap about five.
const LATEST_CUT: u64 = 400;

/// Actions after which a wallet that waits for its power cut is killed instead.
const ACTIONS_PER_CUT: u32 = 40;

/// How far a part has come: its kind, what is done, and of how much.
pub type Progress<'a> = dyn Fn(Kind, u64, u64) + Sync + 'a;

/// Does the plan, part by part, and ends with the first violation.
///
/// # Errors
/// [`TortureError`]: the torture could not be done; that says nothing about the wallet.
pub fn run(plan: &Plan, progress: &Progress<'_>) -> Result<Vec<Part>, TortureError> {
    let mut parts = Vec::new();
    let amounts = [
        (Kind::Kill, plan.kills),
        (Kind::PowerCut, plan.power_cuts),
        (Kind::Processes, plan.processes.as_secs()),
        (Kind::Drift, plan.drift),
    ];
    for (kind, amount) in amounts {
        if amount > 0 {
            let part = part(plan, kind, amount, progress)?;
            let is_broken = part.violation.is_some();
            parts.push(part);
            if is_broken {
                break;
            }
        }
    }
    Ok(parts)
}

fn part(plan: &Plan, kind: Kind, amount: u64, progress: &Progress<'_>) -> Result<Part, TortureError> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut violation = None;
    let mut samples = Vec::new();
    let mut done = 0;
    while done < amount && violation.is_none() {
        let share = match kind {
            Kind::Kill | Kind::PowerCut => BREAKS_PER_WALLET.min(amount - done),
            Kind::Processes | Kind::Drift => amount,
        };
        let sandbox = servers()?;
        let directory = plan.folder.join(format!("{kind:?}-{done}").to_lowercase());
        let patient = Patient::new(plan, &sandbox, directory, "torture".to_owned());
        let advance = |count: u64| progress(kind, done + count, amount);
        let outcome = match kind {
            Kind::Kill => one_after_another(&patient, kind, done, share, kill_once, &advance),
            Kind::PowerCut => one_after_another(&patient, kind, done, share, cut_once, &advance),
            Kind::Processes => side_by_side(&patient, plan.processes, &advance),
            Kind::Drift => drift::endure(&patient, amount, &mut samples, &|rounds| progress(kind, rounds, 2 * amount)),
        };
        tally = sum(tally, patient.tally());
        done += share;
        match outcome {
            Ok(()) => drop(std::fs::remove_dir_all(&patient.directory)),
            Err((round, promise)) => {
                let steps = patient.steps();
                violation = Some(Violation { promise, round, seed: plan.seed, steps, folder: patient.directory });
            }
        }
    }
    let verdicts = drift::verdicts(&samples);
    Ok(Part { kind, tally, seconds: began.elapsed().as_secs_f64(), samples, verdicts, violation })
}

fn servers() -> Result<Sandbox, TortureError> {
    let setup = |error: &(dyn std::error::Error + 'static)| TortureError::Setup(with_causes(error));
    let authority = Authority::shared().map_err(|error| setup(&error))?;
    let issuer = Issuer::under(authority, IssuerConfig::default()).map_err(|error| setup(&error))?;
    Sandbox::start_with(SandboxConfig::default(), issuer).map_err(|error| setup(&error))
}

/// The round and the promise that it broke.
pub(super) type Broken = (u64, String);

type Round = fn(&Patient<'_>, &mut ChaCha12Rng) -> Result<(), Stop>;

fn one_after_another(
    patient: &Patient<'_>,
    kind: Kind,
    first: u64,
    count: u64,
    round: Round,
    advance: &dyn Fn(u64),
) -> Result<(), Broken> {
    for number in first..first + count {
        patient.note(format!("round {number}"));
        let mut rng = rng(patient.plan.seed, kind, number);
        tolerate_gone(round(patient, &mut rng)).map_err(|promise| (number, promise))?;
        patient.sandbox.faults().clear();
        if (number + 1) % BREAKS_PER_AUDIT == 0 || number + 1 == first + count {
            look_again(patient, &mut rng).map_err(|promise| (number, promise))?;
        }
        advance(number - first + 1);
    }
    Ok(())
}

/// Without any break: the wallet opens, gets ready, pays, and the books agree.
fn look_again(patient: &Patient<'_>, rng: &mut ChaCha12Rng) -> Result<(), String> {
    patient.note("in peace");
    let gone = || "the process ended by itself".to_owned();
    let said = |stop| match stop {
        Stop::Gone => gone(),
        Stop::Broken(promise) => promise,
    };
    let phone = patient.start(&[]).map_err(said)?.ok_or("nobody else has the store, and it is busy")?;
    patient.recover(&phone).map_err(said)?;
    let before = patient.tally().taps;
    patient.act(&phone, Action::Tap, rng).map_err(said)?;
    if patient.tally().taps == before {
        return Err("a ready wallet did not pay".to_owned());
    }
    patient.audit(&phone).map_err(said)?;
    // A process that ends by itself costs nothing; a kill could.
    drop(phone.call(Call::Shutdown));
    Ok(())
}

/// One action, and SIGKILL somewhere in it; or a start, and SIGKILL somewhere in that.
fn kill_once(patient: &Patient<'_>, rng: &mut ChaCha12Rng) -> Result<(), Stop> {
    if rng.next_u32().is_multiple_of(10) {
        return kill_a_start(patient, rng);
    }
    let phone = patient.start(&[])?.ok_or_else(|| Stop::Broken("the store is busy without reason".to_owned()))?;
    patient.recover(&phone)?;
    disturb_the_network(patient, rng);
    let action = Action::draw(rng);
    let delay = part_of(action.span(), rng);
    patient.note(format!("{action:?}, killed after {} us", delay.as_micros()));
    let mut theirs = ChaCha12Rng::seed_from_u64(rng.next_u64());
    std::thread::scope(|scope| {
        let work = scope.spawn(|| patient.act(&phone, action, &mut theirs));
        std::thread::sleep(delay);
        patient.broke(!work.is_finished());
        phone.kill();
        work.join().unwrap_or_else(|_| Err(Stop::Broken("the torture panicked".to_owned())))
    })
}

fn kill_a_start(patient: &Patient<'_>, rng: &mut ChaCha12Rng) -> Result<(), Stop> {
    let delay = part_of(Duration::from_millis(12), rng);
    patient.note(format!("a start, killed after {} us", delay.as_micros()));
    let program = &patient.plan.program;
    let mut child = Command::new(&program.path)
        .args(&program.arguments)
        .args(patient.options())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Stop::Broken(format!("the phone's process does not start: {error}")))?;
    std::thread::sleep(delay);
    patient.broke(true);
    // It may have ended by itself.
    drop(child.kill());
    drop(child.wait());
    Ok(())
}

/// Actions until the power is gone.
fn cut_once(patient: &Patient<'_>, rng: &mut ChaCha12Rng) -> Result<(), Stop> {
    // Small numbers as often as large ones: each opening is cut too.
    let magnitude = rng.next_u64() % (LATEST_CUT.ilog2() as u64 + 1);
    let operation = ((1 << magnitude) + rng.next_u64() % (1 << magnitude)).min(LATEST_CUT);
    let cut_seed = rng.next_u64();
    patient.note(format!("the power goes at operation {operation}, seed {cut_seed}"));
    let options = ["--cut-power-at", &operation.to_string(), "--cut-seed", &cut_seed.to_string()].map(str::to_owned);
    patient.broke(true);
    let phone = patient.start(&options)?.ok_or_else(|| Stop::Broken("the store is busy without reason".to_owned()))?;
    patient.recover(&phone)?;
    disturb_the_network(patient, rng);
    for _ in 0..ACTIONS_PER_CUT {
        let action = Action::draw(rng);
        patient.act(&phone, action, rng)?;
    }
    phone.kill();
    Ok(())
}

/// One in four rounds loses, doubles or swaps a request on its way.
fn disturb_the_network(patient: &Patient<'_>, rng: &mut ChaCha12Rng) {
    const FAULTS: [Fault; 8] = [
        Fault::DropRequest,
        Fault::DropAnswer,
        Fault::Late,
        Fault::Duplicate,
        Fault::Truncate,
        Fault::Replay,
        Fault::OtherWallet,
        Fault::Offline,
    ];
    if !rng.next_u32().is_multiple_of(4) {
        return;
    }
    let Some(fault) = pick(&FAULTS, rng) else { return };
    let kinds = [None, Some(RequestType::Transfer), Some(RequestType::SyncToken), Some(RequestType::Apply)];
    let Some(kind) = pick(&kinds, rng) else { return };
    patient.note(format!("{fault:?} on the way"));
    patient.sandbox.faults().add(FaultRule { kind, fault, skip: rng.next_u32() % 3, times: 1 });
}

/// Two processes take turns at one folder, each by opening, doing a little, and ending or being killed.
fn side_by_side(patient: &Patient<'_>, span: Duration, advance: &(dyn Fn(u64) + Sync)) -> Result<(), Broken> {
    let until = Instant::now() + span;
    let is_broken = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    let began = Instant::now();
    let outcome = std::thread::scope(|scope| {
        let process = |number: u64| {
            let (is_broken, rounds) = (&is_broken, &rounds);
            scope.spawn(move || {
                let mut rng = rng(patient.plan.seed, Kind::Processes, number);
                while Instant::now() < until && !is_broken.load(Ordering::Relaxed) {
                    let round = rounds.fetch_add(1, Ordering::Relaxed);
                    if let Err(promise) = tolerate_gone(take_a_turn(patient, number, &mut rng)) {
                        is_broken.store(true, Ordering::Relaxed);
                        return Err((round, promise));
                    }
                    if number == 0 {
                        advance(began.elapsed().as_secs());
                    }
                }
                Ok(())
            })
        };
        let both = [process(0), process(1)];
        both.map(|process| process.join().unwrap_or_else(|_| Err((0, "the torture panicked".to_owned()))))
    });
    outcome.into_iter().collect::<Result<(), _>>()?;
    let mut rng = rng(patient.plan.seed, Kind::Processes, 2);
    look_again(patient, &mut rng).map_err(|promise| (rounds.load(Ordering::Relaxed), promise))
}

fn take_a_turn(patient: &Patient<'_>, number: u64, rng: &mut ChaCha12Rng) -> Result<(), Stop> {
    let Some(phone) = patient.start(&[])? else {
        std::thread::sleep(Duration::from_millis(u64::from(rng.next_u32() % 4)));
        return Ok(());
    };
    patient.note(format!("process {number} has the store"));
    patient.recover(&phone)?;
    for _ in 0..1 + rng.next_u32() % 4 {
        patient.act(&phone, Action::draw(rng), rng)?;
    }
    if rng.next_u32().is_multiple_of(2) {
        // Its end is not waited for: the other process may come in between.
        drop(phone.call(Call::Shutdown));
    } else {
        kill_while_it_taps(patient, phone, rng);
    }
    Ok(())
}

fn kill_while_it_taps(patient: &Patient<'_>, phone: Phone, rng: &mut ChaCha12Rng) {
    let delay = part_of(Action::Tap.span(), rng);
    let phone = Arc::new(phone);
    let mut theirs = ChaCha12Rng::seed_from_u64(rng.next_u64());
    std::thread::scope(|scope| {
        let work = scope.spawn(|| patient.act(&phone, Action::Tap, &mut theirs));
        std::thread::sleep(delay);
        patient.broke(!work.is_finished());
        phone.kill();
    });
}

fn tolerate_gone(result: Result<(), Stop>) -> Result<(), String> {
    match result {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Broken(promise)) => Err(promise),
    }
}

/// Early moments are drawn more often than late ones.
fn part_of(span: Duration, rng: &mut ChaCha12Rng) -> Duration {
    let fraction = f64::from(rng.next_u32()) / f64::from(u32::MAX);
    span.mul_f64(fraction * fraction)
}

fn pick<T: Copy>(from: &[T], rng: &mut ChaCha12Rng) -> Option<T> {
    let index = usize::try_from(rng.next_u32()).ok()? % from.len().max(1);
    from.get(index).copied()
}

pub(super) fn rng(seed: u64, kind: Kind, number: u64) -> ChaCha12Rng {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    rng.set_stream((number << 2) | kind as u64);
    rng
}

fn sum(a: Tally, b: Tally) -> Tally {
    Tally {
        breaks: a.breaks + b.breaks,
        at_work: a.at_work + b.at_work,
        starts: a.starts + b.starts,
        busy: a.busy + b.busy,
        taps: a.taps + b.taps,
        activations: a.activations + b.activations,
        audits: a.audits + b.audits,
        lost: a.lost + b.lost,
    }
}
