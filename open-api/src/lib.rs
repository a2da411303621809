//! The Open API between a payment provider (MPP), an acquirer and the Alipay+ gateway: typed messages,
//! signatures over the exact bytes, a client and a server layer.
//!
//! One folder is one room. `wire` knows the rules of JSON here and no API; `model` holds the objects that
//! APIs share; the API families, such as `payment`, are declared with both, and know no HTTP.
//! `business_time` knows days and windows, `idempotency` when a request is a repeat. `signature` knows bytes
//! and keys and no message; `client` and `server` bring the two together.

pub mod amount;
pub mod api;
pub mod business_time;
pub mod client;
pub mod clock;
pub mod field;
pub mod idempotency;
pub mod mobile;
pub mod model;
pub mod payment;
pub mod result;
pub mod server;
pub mod signature;
mod transport;
pub mod wire;

pub use amount::{Amount, Currency};
pub use api::{Answer, Api, Message};
pub use clock::{Clock, ManualClock, SystemClock};
pub use field::{FieldError, FieldProblem};
pub use result::{ResultCode, ResultInfo, ResultStatus};
pub use wire::DateTime;
