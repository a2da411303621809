//! The reference server of a payment provider (MPP).
//!
//! One folder is one room. `store` owns the database and its transactions; `ledger` owns money; both
//! know no HTTP. `payments` owns what a payment may become; `app` and `gateway` are the two sides of HTTP.
