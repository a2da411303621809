//! An activation while it runs: a bar where a person watches, a line for each phase elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nfcwallet_sandbox::phone::{Call, Event, Phone};

use super::screen::{Screen, Target};

/// How often a running phone is looked at, and the bar's clock goes on.
const GLANCE: Duration = Duration::from_millis(20);

/// What an activation told its listener.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    /// The phases, in the order in which they were entered.
    pub(crate) phases: Vec<String>,
    /// How many phases the run said it has.
    pub(crate) total: u32,
    /// The percentage never fell.
    pub(crate) percent_never_fell: bool,
    /// The last one.
    pub(crate) percent: u8,
    /// The listener heard that the local token became active.
    pub(crate) activated: bool,
    /// The status code that an app saw while it ran.
    pub(crate) status_meanwhile: Option<i64>,
    /// Wall clock.
    pub(crate) took: Duration,
}

/// Runs `activate` or `confirm` on the phone and shows its progress until it ends.
pub(crate) fn run(phone: &Phone, call: Call, screen: &Screen) -> Result<Activation> {
    let started = Instant::now();
    let mut activation = Activation { percent_never_fell: true, ..Activation::default() };
    let view = View::new(screen);
    let pending = phone.begin(call)?;
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| phone.finish(pending));
        while !answer.is_finished() {
            for event in phone.events() {
                activation.hear(&event, &view);
            }
            if activation.status_meanwhile.is_none() && !activation.phases.is_empty() {
                let status = phone.call(Call::Status).ok();
                activation.status_meanwhile = status.and_then(|status| status.get("status")?.as_i64());
            }
            view.tick();
            std::thread::sleep(GLANCE);
        }
        answer.join()
    });
    let answer = answer.map_err(|_| anyhow::anyhow!("the thread that waits for the activation panicked"))?;
    // Events travel on their own thread: the last ones may come after the answer.
    while answer.is_ok() && activation.phases.last().is_none_or(|phase| phase != "done") {
        let event = phone.wait_for(|_| true).context("the activation ended without its last progress")?;
        activation.hear(&event, &view);
    }
    view.end();
    answer?;
    activation.took = started.elapsed();
    Ok(activation)
}

impl Activation {
    fn hear(&mut self, event: &Event, view: &View<'_>) {
        match event {
            Event::Progress { phase, percent, total, .. } => {
                self.percent_never_fell &= *percent >= self.percent;
                (self.percent, self.total) = (*percent, *total);
                if self.phases.last() != Some(phase) {
                    self.phases.push(phase.clone());
                    view.phase(event);
                }
                view.progress(event);
            }
            Event::Activated => self.activated = true,
            _ => {}
        }
    }
}

/// Who sees the progress.
struct View<'a> {
    screen: &'a Screen,
    bar: Option<ProgressBar>,
    /// When the run ends, by the wallet's last estimate.
    estimate: std::cell::Cell<Option<Instant>>,
}

impl<'a> View<'a> {
    fn new(screen: &'a Screen) -> Self {
        let bar = screen.is_live().then(|| {
            let target = match screen.target() {
                Target::Stderr => ProgressDrawTarget::stderr(),
                Target::Stdout | Target::Nowhere => ProgressDrawTarget::stdout(),
            };
            let bar = ProgressBar::with_draw_target(Some(100), target);
            // A template that does not parse leaves the built-in one.
            if let Ok(style) = ProgressStyle::with_template("    [{bar:30}] {pos:>3}%  {elapsed:>3}  {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { screen, bar, estimate: std::cell::Cell::new(None) }
    }

    /// A phase begins: a line of its own where no bar moves.
    fn phase(&self, event: &Event) {
        if let (None, Event::Progress { phase, percent, elapsed_ms, .. }) = (&self.bar, event) {
            let seconds = Duration::from_millis(*elapsed_ms).as_secs_f64();
            self.screen.fact(&format!("{percent:>3}%  {seconds:>4.1} s  {}", in_words(phase)));
        }
    }

    fn progress(&self, event: &Event) {
        let Event::Progress { phase, percent, remaining_ms, step_up_required, .. } = event else { return };
        let now = Instant::now();
        self.estimate.set(remaining_ms.and_then(|left| now.checked_add(Duration::from_millis(left))));
        if let Some(bar) = &self.bar {
            bar.set_position(u64::from(*percent));
            let step_up = if *step_up_required { " (a check at the app's server is due)" } else { "" };
            bar.set_prefix(format!("{}{step_up}", in_words(phase)));
            self.tick();
        }
    }

    /// The estimate counts down between two events.
    fn tick(&self) {
        if let Some(bar) = &self.bar {
            let left =
                self.estimate.get().map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64().ceil());
            let left = left.filter(|left| *left > 0.0).map(|left| format!(", about {left:.0} s left"));
            bar.set_message(format!("{}{}", bar.prefix(), left.unwrap_or_default()));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What an app could show for a phase.
fn in_words(phase: &str) -> &str {
    match phase {
        "preparing" => "fetching the service's keys",
        "checking_device" => "checking the device",
        "applying" => "applying for a token",
        "awaiting_approval" => "waiting for approval",
        "opening_session" => "opening a session",
        "provisioning" => "fetching card and credentials",
        "storing" => "storing them, sealed",
        "reporting" => "reporting to the service",
        "activating_at_service" => "activating at the service",
        "activating_locally" => "activating on the phone",
        "done" => "done",
        other => other,
    }
}
