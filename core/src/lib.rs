//! A phone-side NFC payment wallet.
//!
//! The wallet keeps a tokenised card, a stock of single-use payment credentials, and the card
//! application that a contactless terminal talks to. It knows no HTTP, no socket, no UniFFI and no
//! platform: the app implements the traits of [`host`], and every network call leaves through
//! [`host::NFCRequestProxy`].
//!
//! One folder is one room; `docs/architecture.md` draws how they lean on each other.

pub mod activation;
pub mod card;
pub mod config;
mod context;
pub mod credentials;
pub mod error;
pub mod host;
pub mod payment;
pub mod secret;
pub mod storage;
mod sync;
pub mod token;
pub mod token_service;
pub mod wallet;

pub use activation::ActivationMode;
pub use config::WalletConfig;
pub use error::{Advice, Result, WalletError};
pub use host::Host;
pub use token::Page;
pub use wallet::Wallet;

/// The snippet of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
