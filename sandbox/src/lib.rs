//! The servers, the phone and the terminal around a wallet, on one laptop.
//!
//! One folder is one room: `token_service` is what the wallet talks to, `relay` is the app's part of the way
//! there and what goes wrong on it, `gateway` is Alipay+ between payment provider, token service and card
//! scheme, `issuer` makes cards and judges cryptograms, `pos` is the terminal, `checkout` is one payment at
//! it, `control` lets tests in any language steer the servers, `device` is a simulated phone's hardware,
//! `phone` is a wallet in a process of its own, `explain` puts APDUs into words, `vpcd` puts a card into a
//! virtual PC/SC reader, and `servers` starts everything on loopback.

mod causes;
pub mod checkout;
pub mod control;
pub mod device;
pub mod explain;
pub mod gateway;
pub mod issuer;
pub mod phone;
pub mod pos;
pub mod relay;
pub mod servers;
pub mod token_service;
pub mod torture;
pub mod vpcd;
mod wait;

pub use causes::with_causes;
