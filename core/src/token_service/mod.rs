//! The token service as typed calls: sealed envelope, operations and their answers.
//!
//! Nothing else knows the wire (`docs/wire.md`). May touch `host`; what it remembers (the signed key
//! set, the distance between the clocks) it keeps through [`ServiceCache`], which `storage`
//! implements.
//!
//! * `client` sends an operation and gives back the authenticated answer; the only public way in.
//! * `envelope` seals one request and opens its one answer (RFC 9180).
//! * `key_set` reads the service's keys and chooses one of them.
//! * `signature` makes one form of the signatures of key stores, and checks them.
//! * `service_clock` knows what time it is at the service.
//! * `operations` are the types that travel.

mod client;
mod encoding;
mod envelope;
mod key_set;
pub mod operations;
mod request_id;
mod service_clock;
mod session;
mod signature;
#[cfg(test)]
mod vectors;

pub use client::{CacheKey, ClientSettings, ServiceCache, TokenServiceClient};
pub use operations::{Answer, Operation};
pub use request_id::RequestId;
pub use service_clock::ServiceTime;
pub(crate) use session::Sessions;
