//! Who buys, and where it goes. All of it is personal.

use crate::wire::Rule;
use crate::wire::object::{object, parts};

object! {
    /// An address.
    pub struct Address => {
        /// The country or region: two letters of ISO 3166.
        pub region: String = "region", Rule::max(2);
        /// The state or province, at most 8 characters.
        pub state: Option<String> = "state", Rule::max(8).private();
        /// The city, at most 32 characters.
        pub city: Option<String> = "city", Rule::max(32).private();
        /// Street and number, at most 256 characters.
        pub address1: Option<String> = "address1", Rule::max(256).private();
        /// What else it takes to find it, at most 256 characters.
        pub address2: Option<String> = "address2", Rule::max(256).private();
        /// The postal code, at most 32 characters.
        pub zip_code: Option<String> = "zipCode", Rule::max(32).private();
    }
}

object! {
    /// A person's name.
    pub struct UserName => {
        /// The given name.
        pub first_name: Option<String> = "firstName", Rule::PRIVATE;
        /// What stands between.
        pub middle_name: Option<String> = "middleName", Rule::PRIVATE;
        /// The family name.
        pub last_name: Option<String> = "lastName", Rule::PRIVATE;
        /// All of it.
        pub full_name: Option<String> = "fullName", Rule::PRIVATE;
    }
}

object! {
    /// Who buys, as the merchant knows them.
    pub struct Buyer => {
        /// Their id at the merchant.
        pub reference_buyer_id: Option<String> = "referenceBuyerId", Rule::PRIVATE;
        /// Their name.
        pub buyer_name: Option<UserName> = "buyerName", Rule::PRIVATE;
        /// Their telephone number.
        pub buyer_phone_no: Option<String> = "buyerPhoneNo", Rule::PRIVATE;
        /// Their e-mail address.
        pub buyer_email: Option<String> = "buyerEmail", Rule::PRIVATE;
    }
}

object! {
    /// Where the goods go.
    pub struct Shipping => {
        /// To whom.
        pub shipping_name: Option<UserName> = "shippingName", Rule::PRIVATE;
        /// Whereto.
        pub shipping_address: Option<Address> = "shippingAddress", Rule::PRIVATE;
        /// By whom.
        pub shipping_carrier: Option<String> = "shippingCarrier";
        /// The telephone number there.
        pub shipping_phone_no: Option<String> = "shippingPhoneNo", Rule::PRIVATE;
    }
}

parts!(Address, UserName, Buyer, Shipping);
