//! The objects that several APIs share (fact sheet, section 6; docs: api_acq and api_mpp, "Common model").
//!
//! Field names come from the API pages and the vendor's open-source SDKs, partly from what was seen on
//! the wire. A length is given where a page gives one; a field without one is as long as its sender likes.

mod order;
mod people;
mod place;
pub mod quote;
mod terms;
mod transaction;

pub use order::{Goods, Merchant, Order, Store};
pub use people::{Address, Buyer, Shipping, UserName};
pub use place::{Env, OsType, TerminalType};
pub use quote::Quote;
pub use terms::{
    InStorePaymentScenario, PaymentFactor, PaymentMethod, PaymentMethodMetaData, PaymentPromoDetail, PaymentPromoInfo,
    PresentmentMode, SettlementStrategy, SurchargeInfo,
};
pub use transaction::{CodeDetail, OrderCodeForm, Transaction, TransactionStatus, TransactionType};
