//! What happened to a payment, and the code that a user can scan to pay.

use crate::wire::object::{object, parts, words};
use crate::wire::{DateTime, Rule};
use crate::{Amount, ResultInfo};

words! {
    /// What a transaction does.
    pub enum TransactionType {
        /// Takes money.
        Payment = "PAYMENT";
        /// Gives it back.
        Refund = "REFUND";
        /// Reserves it.
        Authorization = "AUTHORIZATION";
        /// Takes what was reserved.
        Capture = "CAPTURE";
        /// Undoes a payment.
        Cancel = "CANCEL";
        /// Undoes a reservation.
        Void = "VOID";
    }
}

words! {
    /// How far a transaction is.
    pub enum TransactionStatus {
        /// Done.
        Success = "SUCCESS";
        /// Not done.
        Fail = "FAIL";
        /// Being done.
        Processing = "PROCESSING";
        /// Undone.
        Cancelled = "CANCELLED";
        /// Being done, in one SDK.
        Pending = "PENDING";
    }
}

object! {
    /// One thing that happened to a payment.
    pub struct Transaction => {
        /// How it ended.
        pub transaction_result: Option<ResultInfo> = "transactionResult";
        /// Its id at Alipay+, at most 64 characters.
        pub transaction_id: Option<String> = "transactionId", Rule::ID;
        /// The id of the request, at most 64 characters.
        pub transaction_request_id: Option<String> = "transactionRequestId", Rule::ID;
        /// What it does.
        pub transaction_type: Option<TransactionType> = "transactionType";
        /// How far it is.
        pub transaction_status: Option<TransactionStatus> = "transactionStatus";
        /// How much.
        pub transaction_amount: Option<Amount> = "transactionAmount";
        /// When.
        pub transaction_time: Option<DateTime> = "transactionTime";
    }
}

object! {
    /// A code that the user scans to pay one order.
    pub struct OrderCodeForm => {
        /// For which means of payment.
        pub payment_method_type: Option<String> = "paymentMethodType", Rule::ID;
        /// Until when.
        pub expire_time: Option<DateTime> = "expireTime";
        /// The code in its forms.
        pub code_details: Vec<CodeDetail> = "codeDetails";
        /// JSON in a text.
        pub extend_info: Option<String> = "extendInfo";
    }
}

object! {
    /// A code in one form.
    pub struct CodeDetail => {
        /// `BARCODE` or `QRCODE`.
        pub code_value_type: Option<String> = "codeValueType";
        /// What is in it.
        pub code_value: Option<String> = "codeValue", Rule::PRIVATE;
        /// `TEXT`, `SMALLIMAGE`, `MIDDLEIMAGE` or `BIGIMAGE`.
        pub display_type: Option<String> = "displayType";
    }
}

parts!(Transaction, OrderCodeForm, CodeDetail);
