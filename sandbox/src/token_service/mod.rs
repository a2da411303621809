//! The token service: decides applications, personalises cards, hands out credentials.
//!
//! Owns the service's state (embedded SQLite), its policy, its clock and the logic behind every
//! [`Operation`](nfcwallet_core::token_service::operations::Operation). The sealed envelope
//! (`docs/wire.md`) is opened and closed in `envelope`; nothing else here sees a sealed byte. What a
//! card is made of comes through [`CardIssuer`].
//!
//! It stands in for what a scheme and a gateway run in the field, so it is strict where they would
//! be: a request that the rules of the wire forbid is refused here too.

mod activation;
mod admin;
mod clock;
mod endpoint;
pub mod envelope;
mod inbox;
mod issuer;
pub mod keys;
mod names;
mod policy;
mod service;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;

pub use admin::{AdminError, ApplicationView, CredentialView, MessageView, ServiceState, TokenView};
pub use clock::ServiceClock;
pub use endpoint::ServiceEndpoint;
pub use issuer::{CardIssuer, IssuerError};
pub use policy::{DecisionPolicy, Policy, ScheduledRefusal};
pub(crate) use service::locked;
pub use service::{Request, TokenService};
pub use store::StoreError;
