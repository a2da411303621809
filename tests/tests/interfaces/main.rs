//! Hosts that call back, block, hang or panic: a wallet in this process and its app.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]
#![allow(clippy::panic, reason = "some hosts here panic")]

mod desk;
mod key_stores;
mod listeners;
mod openings;
mod permits;
mod proxies;
mod readers;
mod readiness;
mod references;
mod runtimes;
