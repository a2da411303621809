//! The wallet for Kotlin, Swift and Python: one crate, exported by UniFFI.
//!
//! Nothing here decides anything: a value is converted, the wallet is called, its answer is converted.
//! What the wallet needs of a platform and every platform has (time, threads, randomness, logs) is
//! given to it here; what only the app has (network, key store, screen) it gives through the traits of
//! [`host`].
//!
//! Names, docs and errors of this crate are the public surface in three languages: `bindings/api.txt`
//! lists it, and `cargo xtask test bindings` compares. `docs/adr/0009-bindings.md` says why it has this
//! form.

mod activation;
mod build_info;
mod calls;
mod cancellation;
mod clock;
mod config;
mod credentials;
mod error;
mod error_reasons;
pub mod host;
mod logs;
mod payment;
mod readiness;
mod runtime;
mod terminal;
mod test_clock;
mod token;
mod wallet;

pub use activation::{ActivationMode, ActivationPhase, ActivationProgress};
pub use build_info::{BuildInfo, build_info};
pub use cancellation::Cancellation;
pub use config::{CvmLimit, Deadlines, WalletConfig};
pub use credentials::CredentialStock;
pub use error::{Advice, ErrorInfo, WalletError};
pub use error_reasons::{ActivationFailure, KeyStoreProblem, NetworkProblem, ServiceProblem, TokenProblem};
pub use logs::{LogBatch, LogLevel, LogRecord, LogSink, set_log_sink};
pub use payment::{
    CdcvmMethod, FieldLoss, TapFailure, TransactionInformation, TransactionKind, TransactionOutcome, TransactionPage,
    TransactionRange, TransactionRecord,
};
pub use readiness::{Condition, Obstacle, Readiness};
pub use terminal::{RiskManagement, TerminalCapabilities, TerminalInformation, TerminalOperator, TerminalType};
pub use test_clock::TestClock;
pub use token::{Page, Suspender, TokenStatus};
pub use wallet::{Connection, Wallet};

uniffi::setup_scaffolding!();

/// Whole milliseconds; what is beyond 584 million years counts as that.
fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
