//! What is bought, and from whom.

use crate::Amount;
use crate::model::{Address, Buyer, Env, Shipping};
use crate::wire::object::{object, parts};
use crate::wire::{DateTime, Rule};

object! {
    /// The order behind a payment, as the merchant knows it. `indirectAcquirer`, of which only the name is
    /// known, is passed over.
    pub struct Order => {
        /// The order's id at the merchant, at most 64 characters.
        pub reference_order_id: String = "referenceOrderId", Rule::ID;
        /// What it is, for the user's bill, at most 256 characters.
        pub order_description: String = "orderDescription", Rule::max(256);
        /// What it costs, in the merchant's currency. Not less than the payment, where promotions reduce it.
        pub order_amount: Amount = "orderAmount", Rule::POSITIVE;
        /// Who sells.
        pub merchant: Option<Merchant> = "merchant";
        /// What is sold.
        pub goods: Vec<Goods> = "goods";
        /// Where it goes.
        pub shipping: Option<Shipping> = "shipping";
        /// Who buys.
        pub buyer: Option<Buyer> = "buyer";
        /// Where and by what device it is ordered.
        pub env: Option<Env> = "env";
    }
}

object! {
    /// Who sells.
    pub struct Merchant => {
        /// The merchant's id at the acquirer. One page allows 32 characters, ids in general 64: at most 64.
        pub reference_merchant_id: Option<String> = "referenceMerchantId", Rule::ID;
        /// The merchant category code (ISO 18245).
        pub merchant_mcc: Option<String> = "merchantMCC";
        /// The legal name.
        pub merchant_name: Option<String> = "merchantName";
        /// The name that the user knows.
        pub merchant_display_name: Option<String> = "merchantDisplayName";
        /// Where it is registered.
        pub merchant_address: Option<Address> = "merchantAddress";
        /// Since when it has been registered.
        pub merchant_register_date: Option<DateTime> = "merchantRegisterDate";
        /// The shop.
        pub store: Option<Store> = "store";
    }
}

object! {
    /// The shop in which it is sold.
    pub struct Store => {
        /// The shop's id at the merchant.
        pub reference_store_id: Option<String> = "referenceStoreId";
        /// Its name.
        pub store_name: Option<String> = "storeName";
        /// Its category code (ISO 18245).
        pub store_mcc: Option<String> = "storeMCC";
        /// The name that the user knows.
        pub store_display_name: Option<String> = "storeDisplayName";
        /// The terminal.
        pub store_terminal_id: Option<String> = "storeTerminalId";
        /// Who works at it.
        pub store_operator_id: Option<String> = "storeOperatorId";
        /// Its telephone number.
        pub store_phone_no: Option<String> = "storePhoneNo";
        /// Where it is.
        pub store_address: Option<Address> = "storeAddress";
    }
}

object! {
    /// One thing that is sold.
    pub struct Goods => {
        /// Its id at the merchant.
        pub reference_goods_id: Option<String> = "referenceGoodsId";
        /// Its name.
        pub goods_name: Option<String> = "goodsName";
        /// Its category.
        pub goods_category: Option<String> = "goodsCategory";
        /// Its brand.
        pub goods_brand: Option<String> = "goodsBrand";
        /// What one of it costs.
        pub goods_unit_amount: Option<Amount> = "goodsUnitAmount";
        /// How many.
        pub goods_quantity: Option<u64> = "goodsQuantity";
    }
}

parts!(Order, Merchant, Store, Goods);
