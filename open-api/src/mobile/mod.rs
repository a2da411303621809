//! The calls behind a phone's card: the relay of the wallet's requests, and news of tokens (docs:
//! api_mpp/sdk_proxy, alipayplus_nfc_ios/token_activation_notification).

use crate::ResultInfo;
use crate::wire::Rule;
use crate::wire::object::{answers, api, object, words};

api! {
    /// The wallet operator hands a phone's request to A+. A+ gives up after 10 seconds, so the caller must
    /// wait longer.
    SdkProxy = "sdkProxy" at "/aps/api/v1/mobile/sdkProxy": SdkProxyRequest => SdkProxyAnswer
}

object! {
    /// What the phone said, unread, and who the user is. Of the names only `sdkRequestHeader` is stated.
    pub struct SdkProxyRequest => {
        /// The head that the phone's library built.
        pub sdk_request_header: String = "sdkRequestHeader", Rule::PRIVATE;
        /// The body that it built (our assumption). Its characters are not touched.
        pub sdk_request_body: Option<String> = "sdkRequestBody", Rule::PRIVATE;
        /// The user who is logged in, never what the phone says; at most 64 characters (name: our assumption).
        pub customer_id: String = "customerId", Rule::ID.private();
    }
}

object! {
    /// What goes back to the phone, unread.
    pub struct SdkProxyAnswer => {
        /// The outcome of the call.
        pub result: ResultInfo = "result";
        /// The answer for the phone's library (name: our assumption).
        pub sdk_response: Option<String> = "sdkResponse", Rule::PRIVATE;
    }
}

words! {
    /// Where a token lives.
    pub enum TokenType {
        /// In a secure element.
        EmbeddedSe = "EMBEDDED_SE";
        /// In the cloud and, a few credentials at a time, on the phone.
        Cloud = "CLOUD";
        /// On a server, for payments without a card.
        Static = "STATIC";
    }
}

api! {
    /// A+ tells the wallet operator that a token can be used now. The path is our assumption. Fields beyond
    /// those declared are not known to us and passed over.
    TokenActivationNotification = "tokenActivationNotification"
        at "/aps/api/v1/mobile/tokenActivationNotification":
        TokenActivationNotificationRequest => TokenActivationNotificationAnswer
}

object! {
    /// Which token.
    pub struct TokenActivationNotificationRequest => {
        /// The token's reference, at most 64 characters.
        pub token_reference_id: String = "tokenReferenceId", Rule::ID;
        /// Whose it is, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// Where it lives.
        pub token_type: Option<TokenType> = "tokenType";
        /// The wallet on the phone, at most 16 characters.
        pub wallet_id: Option<String> = "walletId", Rule::max(16);
        /// Who asked for the token, at most 16 characters.
        pub token_requestor_id: Option<String> = "tokenRequestorId", Rule::max(16);
        /// The secure element, at most 128 characters.
        pub secure_element_id: Option<String> = "secureElementId", Rule::max(128).private();
        /// Where the account came from.
        pub account_source: Option<String> = "accountSource";
    }
}

object! {
    /// The acknowledgement.
    pub struct TokenActivationNotificationAnswer => {
        /// `S`: it arrived.
        pub result: ResultInfo = "result";
    }
}

answers!(SdkProxyAnswer, TokenActivationNotificationAnswer);
