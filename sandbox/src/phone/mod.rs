//! A wallet in a process of its own, driven line by line.
//!
//! The demo, the scenario runner and the torture tests drive a phone through JSON lines on its
//! standard input and output (`docs/phone-protocol.md`), so that it can be killed for real, and so
//! that a phone in another language can take its place.

mod commands;
mod driver;
mod hooks;
mod process;
mod protocol;

pub use driver::{CallError, PendingCall, Phone, PhoneError, PhoneProgram};
pub use process::{PhoneOptions, run};
pub use protocol::{Call, ClockChange, ErrorLine, Event, Fault, HoldAt, HoldWhen, HostChange, Line, Request};
