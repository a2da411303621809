//! The servers and the phone around a wallet, on one laptop.
//!
//! One folder is one room: `token_service` is what the wallet talks to, `relay` is the way there
//! (the app's proxy, the payment provider's server, the gateway), `control` lets tests in any
//! language steer both, `device` is a simulated phone, and `servers` starts everything on loopback.

pub mod device;
pub mod relay;
pub mod token_service;
