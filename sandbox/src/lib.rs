//! The servers and the terminal around a wallet, on one laptop.

pub mod token_service;
