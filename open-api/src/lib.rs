//! The Open API between a payment provider (MPP), an acquirer and the Alipay+ gateway: typed messages,
//! signatures over the exact bytes, a client and a server layer.
//!
//! One folder is one room. `wire` knows the rules of JSON here and no API; `model` holds the objects that
//! APIs share; the API families, such as `payment`, are declared with both, and know no HTTP.
//! `business_time` knows days and windows, `idempotency` when a request is a repeat. `signature` knows bytes
//! and keys and no message; `client` and `server` bring the two together.
//!
//! A wallet that answers inquiries, and Alipay+ that asks it:
//!
//! ```
//! use alipayplus::client::{CallOptions, Client, Outcome};
//! use alipayplus::payment::mpp::{InquiryPayment, InquiryPaymentAnswer, InquiryPaymentRequest};
//! use alipayplus::server::{ApiRouter, Identity, ServerOptions};
//! use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity};
//! use alipayplus::{ResultCode, ResultInfo};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Each side has a key of its own, and the public half of the other's.
//! let client_id = ClientId::parse("SANDBOX_EXAMPLE")?;
//! let (wallet, gateway) = (SigningKey::generate()?, SigningKey::generate()?);
//! let ring_with = |key: &SigningKey| {
//!     KeyRing::new().with(client_id.clone(), 1, Validity::ALWAYS, key.verifying_key().clone())
//! };
//! let (known_to_wallet, known_to_gateway) = (ring_with(&gateway), ring_with(&wallet));
//!
//! // The wallet. Its handler sees verified and checked requests only.
//! let identity = Identity { client_id: client_id.clone(), keys: SigningKeys::single(1, wallet) };
//! let router: axum::Router = ApiRouter::new(identity, known_to_wallet, ServerOptions::default())
//!     .api::<InquiryPayment, _, _>(None, |caller, request| async move {
//!         assert_eq!(caller.client_id.as_str(), "SANDBOX_EXAMPLE");
//!         if request.payment_request_id != "PAYMENT-1" {
//!             return Err(ResultCode::OrderNotExist.into());
//!         }
//!         let payment_result = Some(ResultCode::PaymentInProcess.into());
//!         Ok(InquiryPaymentAnswer { result: ResultInfo::success(), payment_result, ..Default::default() })
//!     })
//!     .build()?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async move { axum::serve(listener, router).await });
//!
//! // Alipay+. What is not verified is never a final outcome.
//! let client = Client::builder(&format!("http://{address}"), client_id)
//!     .signing_key(1, gateway)
//!     .peer_keys(known_to_gateway)
//!     .build()?;
//! let request = InquiryPaymentRequest {
//!     acquirer_id: "ACQUIRER".to_owned(),
//!     psp_id: "WALLET".to_owned(),
//!     payment_request_id: "PAYMENT-1".to_owned(),
//! };
//! match client.call::<InquiryPayment>(&request, CallOptions::default()).await? {
//!     Outcome::Final(answer) => assert_eq!(answer.payment_result, Some(ResultCode::PaymentInProcess.into())),
//!     Outcome::Unknown(unknown) => panic!("ask again later: {}", unknown.last),
//! }
//! # Ok(())
//! # }
//! ```

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
