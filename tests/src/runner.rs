//! Tells a story: servers on loopback, phones as processes, a platform and a terminal between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::phone::{Call, CallError, Event, PendingCall, PhoneError, PhoneProgram};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_sandbox::with_causes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files;
use crate::invariants::Watch;
use crate::pattern::mismatch;
use crate::scenario::{Asked, ControlStep, EventsStep, FilesStep, Kind, Scenario, StartStep, Step};
use crate::till;
use crate::unit::{PhoneUnit, Surroundings};

/// How long `until` asks.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hanging relay costs a story this long, not the field's 15 s. No shorter: an exchange that does not hang
/// takes a phone whose virtual machine has just started 0.2 s on an idle machine, and ten times that on a
/// busy one.
const PROXY_DEADLINE_MS: u32 = 5_000;

/// Permit and device state get longer than the field's 100 ms: what a tap decides counts in a story,
/// not how fast a busy machine is.
const TAP_DEADLINE_MS: u32 = 1_000;

/// The phone that a step means when it names none.
const FIRST: &str = "phone";

/// Runs every story of a file.
///
/// # Errors
/// Which story and step went wrong, and how.
pub fn run_file(path: &Path, program: &PhoneProgram) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let scenario: Scenario = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    for (variant, steps) in scenario.stories().map_err(|error| error.to_string())? {
        let mut story = Story::new(program, &scenario)?;
        story.tell(&steps).map_err(|problem| match variant.as_str() {
            "" => problem,
            variant => format!("[{variant}] {problem}"),
        })?;
    }
    Ok(())
}

/// One story.
struct Story {
    sandbox: Sandbox,
    folder: TempDir,
    surroundings: Surroundings,
    phones: BTreeMap<String, PhoneUnit>,
    watches: BTreeMap<String, Watch>,
    begun: BTreeMap<String, (String, PendingCall)>,
    remembered: Vec<(PathBuf, Vec<u8>)>,
    taps: u32,
}

impl Story {
    fn new(program: &PhoneProgram, scenario: &Scenario) -> Result<Self, String> {
        let authority = Authority::shared().map_err(|error| error.to_string())?;
        let issuer = Issuer::under(authority, IssuerConfig::default()).map_err(|error| error.to_string())?;
        let config = SandboxConfig::default();
        let sandbox = Sandbox::start_with(config, issuer).map_err(|error| with_causes(&error))?;
        let mut options = vec!["--proxy-deadline-ms".into(), PROXY_DEADLINE_MS.to_string().into()];
        options.extend(["--tap-deadline-ms".into(), TAP_DEADLINE_MS.to_string().into()]);
        options.extend(scenario.phone_options.iter().map(Into::into));
        let surroundings = Surroundings {
            program: program.clone(),
            mpp: sandbox.addresses().mpp.to_string(),
            trust_key: hex::encode(sandbox.trust_key()),
            options,
        };
        Ok(Self {
            sandbox,
            folder: tempfile::tempdir().map_err(|error| error.to_string())?,
            surroundings,
            phones: BTreeMap::new(),
            watches: BTreeMap::new(),
            begun: BTreeMap::new(),
            remembered: Vec::new(),
            taps: 0,
        })
    }

    fn tell(&mut self, steps: &[Step]) -> Result<(), String> {
        for (number, step) in steps.iter().enumerate() {
            let at = |problem: String| format!("step {}: {problem}\n  {:?}", number + 1, step.kind);
            let found = self.act(step).map_err(at)?;
            if let (Some(expected), false) = (&step.expect, matches!(step.kind, Kind::Until(_))) {
                mismatch(expected, &found).map_or(Ok(()), |problem| Err(at(problem)))?;
            } else if let Some(error) = found.get("error").filter(|error| !error.is_null()) {
                return Err(at(format!("unexpected error {error}: {}", found["text"])));
            }
            self.watch_all().map_err(at)?;
        }
        let violations = self.sandbox.issuer().ledger().violations().map_err(|error| error.to_string())?;
        if violations.is_empty() { Ok(()) } else { Err(format!("the issuer's ledger: {violations:?}")) }
    }

    fn act(&mut self, step: &Step) -> Result<Value, String> {
        let on = step.on.as_deref().unwrap_or(FIRST);
        match &step.kind {
            Kind::Call(call) => self.call(on, call),
            Kind::Begin(begin) => {
                let call = parse(&begin.call)?;
                let pending = self.phone(on).running()?.begin(call).map_err(|error| error.to_string())?;
                self.begun.insert(begin.name.clone(), (on.to_owned(), pending));
                Ok(Value::Null)
            }
            Kind::Finish(name) => {
                let (on, pending) = self.begun.remove(name).ok_or_else(|| format!("no call {name} was begun"))?;
                let phone = self.phone(&on).process().ok_or("its phone does not run")?;
                answer(phone.finish(pending))
            }
            Kind::Tap(tap) => {
                self.taps += 1;
                let number = self.taps;
                let Self { sandbox, phones, .. } = self;
                let phone = phones.get_mut(on).ok_or("that phone is not there yet")?;
                till::tap(sandbox, phone, tap, number)
            }
            Kind::Taps(count) => self.approved_taps(on, *count),
            Kind::Kill {} => {
                self.phone(on).kill();
                self.watch_all()?;
                self.watches.entry(on.to_owned()).or_default().restarted();
                Ok(Value::Null)
            }
            Kind::Start(start) => self.start(on, start),
            Kind::Control(control) => self.control(control),
            Kind::Await(pattern) => self.await_event(on, pattern),
            Kind::Events(events) => self.events(on, events),
            Kind::Files(action) => self.files(on, action),
            Kind::Until(asked) => self.until(on, asked, step.expect.as_ref()),
            Kind::Repeat(repeat) => {
                for _ in 0..repeat.times {
                    self.tell(&repeat.steps)?;
                }
                Ok(Value::Null)
            }
        }
    }

    fn call(&mut self, on: &str, call: &Value) -> Result<Value, String> {
        let call = parse(call)?;
        let phone = self.phone(on);
        match &call {
            Call::Connect { user } => phone.user = Some(user.clone()),
            Call::Disconnect => phone.user = None,
            Call::Host(change) => phone.device.follow(change),
            _ => {}
        }
        answer(phone.running()?.call(call))
    }

    fn approved_taps(&mut self, on: &str, count: u32) -> Result<Value, String> {
        for number in 1..=count {
            let step = Step {
                kind: Kind::Tap(till::small_purchase()),
                expect: Some(json!({ "outcome": "approved" })),
                on: Some(on.to_owned()),
            };
            self.tell(&[step]).map_err(|problem| format!("tap {number} of {count}: {problem}"))?;
        }
        Ok(Value::Null)
    }

    fn start(&mut self, on: &str, start: &StartStep) -> Result<Value, String> {
        let phone = self.phone(on);
        if let Some(user) = &start.user {
            phone.user = Some(user.clone());
        }
        match phone.start(&start.options) {
            Ok(phone) => answer(phone.call(Call::Status)),
            Err(PhoneError::NotOpened(error)) => Ok(json!({ "error": error.code, "text": error.text })),
            Err(error) => Err(with_causes(&error)),
        }
    }

    fn control(&self, step: &ControlStep) -> Result<Value, String> {
        let token = self.newest_token();
        let path = step.path.replace("{token}", token.as_deref().unwrap_or("none"));
        let url = format!("http://{}/control/{path}", self.sandbox.addresses().control);
        let default = if step.body.is_some() { "POST" } else { "GET" };
        let method = step.method.as_deref().unwrap_or(default);
        let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let mut request = client.request(method.clone(), url);
        if method != reqwest::Method::GET {
            request = request.json(step.body.as_ref().unwrap_or(&Value::Null));
        }
        let exchange = async {
            let reply = request.send().await.map_err(|error| error.to_string())?;
            let status = reply.status();
            let value: Value = reply.json().await.map_err(|error| error.to_string())?;
            if status.is_success() { Ok(value) } else { Err(format!("{status}: {value}")) }
        };
        self.sandbox.runtime().block_on(exchange)
    }

    fn newest_token(&self) -> Option<String> {
        let state = self.sandbox.service().state().ok()?;
        state.tokens.last().map(|token| token.token_reference.clone())
    }

    fn await_event(&mut self, on: &str, pattern: &Value) -> Result<Value, String> {
        let phone = self.phone(on);
        let matches = |event: &Event| mismatch(pattern, &value_of(event)).is_none();
        if phone.events.iter().any(matches) {
            return Ok(Value::Null);
        }
        let process = phone.process().ok_or("the phone does not run")?;
        let event = process.wait_for(matches).ok_or("the event never came")?;
        phone.events.extend(process.events());
        phone.events.push(event);
        Ok(Value::Null)
    }

    fn events(&mut self, on: &str, step: &EventsStep) -> Result<Value, String> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            self.collect(on);
            let phone = self.phone(on);
            let found: Vec<Value> = phone.events.iter().map(value_of).filter(|event| is_of(event, &step.of)).collect();
            let patterns: Vec<Value> = step.are.iter().cloned().map(Value::Object).collect();
            let problem = mismatch(&patterns.into(), &found.clone().into());
            match problem {
                // Late events of the event thread get a moment.
                Some(problem) if Instant::now() > until => return Err(format!("{problem}; all: {found:?}")),
                Some(_) => std::thread::sleep(Duration::from_millis(5)),
                None => {
                    phone.events.clear();
                    return Ok(Value::Null);
                }
            }
        }
    }

    fn files(&mut self, on: &str, step: &FilesStep) -> Result<Value, String> {
        let other = step.to.as_ref().map(|name| self.phone(name).directory().to_owned());
        let phone = self.phone(on);
        if phone.process().is_some() {
            return Err("the phone still runs".to_owned());
        }
        match step.action.as_str() {
            "remember" => {
                let bytes = files::fingerprint(phone).map_err(|error| error.to_string())?;
                self.remembered = bytes;
            }
            "are_untouched" => {
                let bytes = files::fingerprint(phone).map_err(|error| error.to_string())?;
                if bytes != self.remembered {
                    return Err("a file was changed".to_owned());
                }
            }
            action => files::act(phone, other.as_deref(), action).map_err(|error| error.to_string())?,
        }
        Ok(Value::Null)
    }

    fn until(&mut self, on: &str, asked: &Asked, expected: Option<&Value>) -> Result<Value, String> {
        let expected = expected.ok_or("`until` needs `expect`")?;
        let end = Instant::now() + PATIENCE;
        loop {
            let found = match asked {
                Asked::Call(call) => self.call(on, call)?,
                Asked::Control(request) => self.control(request)?,
            };
            match mismatch(expected, &found) {
                None => return Ok(found),
                Some(problem) if Instant::now() > end => return Err(format!("{problem}; {}", self.last_events(on))),
                Some(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// What the phone told last, for a failure's message.
    fn last_events(&mut self, on: &str) -> String {
        self.collect(on);
        let events = &self.phone(on).events;
        let last: Vec<String> = events.iter().rev().take(8).map(|event| value_of(event).to_string()).collect();
        format!("the last events, newest first: {}", last.join(" "))
    }

    fn phone(&mut self, name: &str) -> &mut PhoneUnit {
        let (surroundings, folder) = (&self.surroundings, self.folder.path());
        self.phones.entry(name.to_owned()).or_insert_with(|| PhoneUnit::new(surroundings.clone(), folder.join(name)))
    }

    fn collect(&mut self, on: &str) {
        let phone = self.phone(on);
        if let Some(process) = phone.process() {
            let new = process.events();
            phone.events.extend(new);
        }
    }

    /// The promises that hold in every story.
    fn watch_all(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.phones.keys().cloned().collect();
        for name in names {
            let seen = self.phone(&name).watched;
            self.collect(&name);
            let watch = self.watches.entry(name.clone()).or_default();
            let Some(phone) = self.phones.get_mut(&name) else { continue };
            let from = seen.min(phone.events.len());
            for event in phone.events.iter().skip(from) {
                watch.see(event)?;
            }
            phone.watched = phone.events.len();
        }
        Ok(())
    }
}

fn parse(call: &Value) -> Result<Call, String> {
    serde_json::from_value(call.clone()).map_err(|error| format!("no call: {error}"))
}

fn answer(answer: Result<Value, CallError>) -> Result<Value, String> {
    match answer {
        Ok(value) => Ok(value),
        Err(CallError::Refused(error)) => {
            Ok(json!({ "error": error.code, "text": error.text, "advice": error.advice }))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn value_of(event: &Event) -> Value {
    serde_json::to_value(event).unwrap_or(Value::Null)
}

fn is_of(event: &Value, kinds: &[String]) -> bool {
    event.get("event").and_then(Value::as_str).is_some_and(|kind| kinds.iter().any(|wanted| wanted == kind))
}
