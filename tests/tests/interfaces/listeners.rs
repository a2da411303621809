//! Listeners that hang, and what the others hear meanwhile.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use nfcwallet_core::activation::{ActivationMode, ActivationProgress};
use nfcwallet_core::host::{ActivationListener, Delivered, Host, HostError, Monitor, MonitorEvent};
use nfcwallet_core::payment::{FieldLoss, TapFailure};
use nfcwallet_sandbox::device::AppEvent;

use crate::desk::{Desk, Till, select_ppse};

/// Hangs until the test ends.
struct Hung(Mutex<Receiver<()>>);

impl Hung {
    fn hang(&self) -> Result<Delivered, HostError> {
        let _ended = self.0.lock().unwrap().recv();
        Ok(Delivered::Done)
    }
}

impl ActivationListener for Hung {
    fn on_progress(&self, _: ActivationProgress) -> Result<Delivered, HostError> {
        self.hang()
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        self.hang()
    }
}

impl Monitor for Hung {
    fn track(&self, _: MonitorEvent) -> Result<Delivered, HostError> {
        self.hang()
    }
}

#[test]
fn a_hung_activation_listener_and_monitor_silence_no_tap() {
    let desk = Desk::new();
    let (_end, wait) = channel();
    let hung = Arc::new(Hung(Mutex::new(wait)));
    let host = Host { activation: hung.clone(), monitor: hung.clone(), ..desk.phone.host() };
    let wallet = desk.open(host);
    desk.run(wallet.connect("alice")).unwrap();
    desk.run(wallet.activate(ActivationMode::Manual, hung)).unwrap();
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
    desk.completed();
}

#[test]
fn a_refusal_is_told_again_after_the_field_was_lost() {
    let desk = Desk::new();
    let wallet = desk.open(desk.phone.host());
    for _ in 0..2 {
        // A reader that tries again at once is the same reader.
        assert_eq!(wallet.process_apdu(&select_ppse()), [0x6A, 0x82]);
        assert_eq!(wallet.process_apdu(&select_ppse()), [0x6A, 0x82]);
        wallet.field_lost(FieldLoss::LinkLost);
    }
    assert_eq!(desk.failures(2), [TapFailure::NotConnected; 2]);
}

#[test]
fn another_refusal_is_told_at_once() {
    let desk = Desk::new();
    let wallet = desk.open(desk.phone.host());
    assert_eq!(wallet.process_apdu(&select_ppse()), [0x6A, 0x82]);
    desk.run(wallet.connect("alice")).unwrap();
    assert_eq!(wallet.process_apdu(&select_ppse()), [0x6A, 0x82]);
    assert_eq!(desk.failures(2), [TapFailure::NotConnected, TapFailure::NoToken]);
}

#[test]
fn events_keep_their_order_when_a_second_thread_ends_the_tap() {
    let desk = Desk::new();
    let wallet = desk.ready(desk.phone.host());
    let other = wallet.clone();
    let ender = std::thread::spawn(move || {
        for _ in 0..2_000 {
            other.field_lost(FieldLoss::LinkLost);
        }
    });
    loop {
        // A second reader is refused only while the first is really served.
        assert_ne!(wallet.process_apdu(&select_ppse()), [0x69, 0x85]);
        if ender.is_finished() {
            break;
        }
    }
    ender.join().unwrap();
    wallet.field_lost(FieldLoss::LinkLost);
    let of_taps = |events: &[AppEvent]| -> Vec<(bool, u64)> {
        let of = |event: &AppEvent| match event {
            AppEvent::Started(tap) => Some((true, tap.0)),
            AppEvent::Failed(tap, ..) => Some((false, tap.0)),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    desk.hears("the last tap's end", |events| {
        let events = of_taps(events);
        events.len() % 2 == 0 && !events.is_empty()
    });
    for pair in of_taps(&desk.phone.recorder.events()).chunks(2) {
        let [(true, started), (false, failed)] = pair else { panic!("out of order: {pair:?}") };
        assert_eq!(started, failed);
    }
}
