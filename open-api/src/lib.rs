//! The Open API between a payment provider (MPP), an acquirer and the Alipay+ gateway: typed messages,
//! signatures over the exact bytes, a client and a server layer.
//!
//! One folder is one room. `signature` knows bytes and keys and no message; the message rooms are laid
//! out by API family and know no HTTP; `client` and `server` bring the two together.

pub mod amount;
pub mod api;
pub mod clock;
pub mod field;
pub mod result;
pub mod signature;

pub use amount::{Amount, Currency};
pub use api::{Answer, Api, Message};
pub use clock::{Clock, ManualClock, SystemClock};
pub use field::{FieldError, FieldProblem};
pub use result::{ResultCode, ResultInfo, ResultStatus};
