//! What makes two messages an API.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{FieldError, ResultInfo};

/// One call: its name, its path, what is asked and what is answered.
pub trait Api: Send + Sync + 'static {
    /// As it is written on the wire, for example `inquiryPayment`.
    const NAME: &'static str;
    /// The default path, for example `/aps/api/v1/payments/inquiryPayment`. Partners may listen
    /// elsewhere; the path that is signed is the one that is called.
    const PATH: &'static str;
    /// What is asked.
    type Request: Message;
    /// What is answered.
    type Answer: Answer;
}

/// A JSON object that travels. Its schema describes what is written; native integers and booleans are
/// read too, and an optional `null` or `""`.
///
/// ```
/// use alipayplus::payment::mpp::CancelPayment;
/// use alipayplus::Api;
/// use schemars::SchemaGenerator;
///
/// let schema = SchemaGenerator::default().into_root_schema_for::<<CancelPayment as Api>::Request>();
/// assert_eq!(schema.to_value()["properties"]["paymentRequestId"]["maxLength"], 64);
/// ```
pub trait Message: Serialize + DeserializeOwned + JsonSchema + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Whether it keeps the rules of its page: required fields, lengths, formats.
    ///
    /// # Errors
    /// [`FieldError`] names the first field that does not, and why.
    fn check(&self) -> Result<(), FieldError>;
}

/// A [`Message`] with the outcome of the call.
pub trait Answer: Message {
    /// The outcome of the call, not of the payment.
    fn result(&self) -> &ResultInfo;

    /// An answer that says `result` and nothing else.
    fn of(result: ResultInfo) -> Self;
}
