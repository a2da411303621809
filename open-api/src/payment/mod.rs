//! Paying, asking, cancelling, giving back, and telling the outcome.
//!
//! The same names mean two different things: [`mpp`] is between Alipay+ and a wallet, [`acquirer`]
//! between an acquirer and Alipay+. Their messages differ, so they are two sets of types.

pub mod acquirer;
pub mod mpp;

use crate::{FieldError, ResultInfo};

/// An inquiry that could be answered says how the payment stands.
fn says_how_it_stands(result: &ResultInfo, payment_result: Option<&ResultInfo>) -> Result<(), FieldError> {
    match result.is_success() && payment_result.is_none() {
        true => Err(FieldError::missing("paymentResult")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{acquirer, mpp};
    use crate::model::{Env, OsType, TerminalType};
    use crate::{Answer, FieldError, Message, ResultCode, ResultInfo, wire};

    const PAY: &str = r#"{
        "acquirerId":"A1","pspId":"P1","unknown":{"deep":[1,2]},
        "order":{"referenceOrderId":"O1","orderDescription":"Tea","orderAmount":{"currency":"JPY","value":"100"},
            "goods":[{"goodsName":"Tea","goodsQuantity":2}],"env":""},
        "paymentRequestId":"R1","paymentAmount":{"currency":"JPY","value":100},
        "payToAmount":{"currency":"KRW","value":"1000"},
        "paymentQuote":{"quoteCurrencyPair":"JPY/KRW","quotePrice":"10.0000"},
        "paymentMethod":{"paymentMethodType":"CONNECT_WALLET","customerId":"2088"},
        "paymentFactor":{"isInStorePayment":true,"isPaymentEvaluation":"false"},
        "paymentExpiryTime":"2025-02-20T16:51:49+08:00","paymentRedirectURL":"","passThroughInfo":null}"#;

    #[test]
    fn a_payment_is_read_from_texts_and_native_values_alike() {
        let pay: mpp::PayRequest = wire::parse(PAY.as_bytes()).unwrap();
        assert_eq!(pay.user(), Some("2088"));
        assert_eq!(pay.payment_amount.value, 100);
        assert_eq!(pay.order.goods[0].goods_quantity, Some(2));
        assert_eq!(pay.payment_factor.is_in_store_payment, Some(true));
        assert!(!pay.is_evaluation());
        assert_eq!((pay.payment_redirect_url.as_ref(), pay.order.env.as_ref()), (None, None));
    }

    #[test]
    fn what_is_written_holds_texts_only() {
        let pay: mpp::PayRequest = wire::parse(PAY.as_bytes()).unwrap();
        let bytes = wire::to_bytes(&pay).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(r#""goodsQuantity":"2""#) && text.contains(r#""isInStorePayment":"true""#), "{text}");
        assert!(text.contains(r#""paymentExpiryTime":"2025-02-20T08:51:49Z""#), "{text}");
        assert!(!text.contains("unknown") && !text.contains("null") && !text.contains(r#""""#), "{text}");
        assert_eq!(wire::parse::<mpp::PayRequest>(&bytes).unwrap(), pay);
    }

    #[test]
    fn an_error_names_the_field_and_not_its_value() {
        for (from, to, error) in [
            (r#""acquirerId":"A1""#, r#""acquirerId":"""#, "acquirerId is required"),
            (r#""acquirerId":"A1","#, "", "acquirerId is required"),
            (r#""acquirerId":"A1""#, r#""acquirerId":7"#, "acquirerId is not a text"),
            (
                r#""value":100"#,
                r#""value":0"#,
                "paymentAmount.value is not an amount of 1 to 9223372036854775807 of the smallest unit",
            ),
            (r#""value":100"#, r#""value":"1.5""#, "paymentAmount.value is not an integer of 0 to 9223372036854775807"),
            (
                r#""goodsQuantity":2"#,
                r#""goodsQuantity":-2"#,
                "order.goods.0.goodsQuantity is not an integer of 0 to 9223372036854775807",
            ),
            (
                r#""isInStorePayment":true"#,
                r#""isInStorePayment":"yes""#,
                "paymentFactor.isInStorePayment is not true or false",
            ),
            (
                "2025-02-20T16:51:49+08:00",
                "tomorrow",
                "paymentExpiryTime is not a time in ISO 8601 with a year of four digits and a zone",
            ),
            (
                "2025-02-20T16:51:49+08:00",
                "+010000-01-01T00:00:00Z",
                "paymentExpiryTime is not a time in ISO 8601 with a year of four digits and a zone",
            ),
            (r#""env":"""#, r#""env":[]"#, "order.env is not an object"),
            (r#""currency":"KRW""#, r#""currency":"WON""#, "payToAmount.currency is not a currency of ISO 4217"),
        ] {
            let body = PAY.replacen(from, to, 1);
            assert_ne!(body, PAY);
            assert_eq!(wire::parse::<mpp::PayRequest>(body.as_bytes()).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_text_of_64_characters_is_an_id_and_one_more_is_not() {
        let with = |id: &str| wire::parse::<mpp::PayRequest>(PAY.replace("R1", id).as_bytes());
        assert!(with(&"é".repeat(64)).is_ok());
        assert_eq!(with(&"é".repeat(65)).unwrap_err().to_string(), "paymentRequestId is longer than 64 characters");
    }

    #[test]
    fn debug_shows_neither_users_nor_tokens() {
        let pay: mpp::PayRequest = wire::parse(PAY.as_bytes()).unwrap();
        let shown = format!("{pay:?}");
        assert!(shown.contains("R1") && !shown.contains("2088"), "{shown}");
    }

    #[test]
    fn a_success_says_who_paid_and_how_the_payment_stands() {
        let missing = |name| Err(FieldError::missing(name));
        assert_eq!(mpp::PayAnswer::of(ResultInfo::success()).check(), missing("customerId"));
        assert_eq!(mpp::InquiryPaymentAnswer::of(ResultInfo::success()).check(), missing("paymentResult"));
        assert_eq!(acquirer::InquiryPaymentAnswer::of(ResultInfo::success()).check(), missing("paymentResult"));
        for code in [ResultCode::OrderNotExist, ResultCode::PaymentInProcess] {
            assert_eq!(mpp::PayAnswer::of(code.clone().into()).check(), Ok(()));
            assert_eq!(mpp::InquiryPaymentAnswer::of(code.clone().into()).check(), Ok(()));
            assert_eq!(acquirer::InquiryPaymentAnswer::of(code.into()).check(), Ok(()));
        }
    }

    #[test]
    fn nobody_is_told_that_a_payment_has_not_ended() {
        let told = |result: ResultCode| {
            let payment_request_id = "P1".to_owned();
            mpp::NotifyPaymentRequest { payment_result: result.into(), payment_request_id, ..Default::default() }
        };
        let error = FieldError::malformed("paymentResult.resultStatus", "S or F");
        assert_eq!(told(ResultCode::PaymentInProcess).check(), Err(error));
        assert_eq!(told(ResultCode::Success).check(), Err(FieldError::missing("paymentId")));
        assert_eq!(told(ResultCode::OrderIsClosed).check(), Ok(()));
    }

    #[test]
    fn a_payment_is_named_by_one_of_its_two_ids() {
        let none = acquirer::InquiryPaymentRequest::default();
        assert_eq!(none.check(), Err(FieldError::missing("paymentRequestId")));
        let by_ours = acquirer::InquiryPaymentRequest { payment_id: Some("A1".to_owned()), ..none };
        assert_eq!(by_ours.check(), Ok(()));
    }

    #[test]
    fn an_order_from_a_phone_names_its_system() {
        let mut pay: acquirer::PayRequest = wire::parse(PAY.as_bytes()).unwrap();
        pay.order.env = Some(Env { terminal_type: Some(TerminalType::App), ..Env::default() });
        assert_eq!(pay.check(), Err(FieldError::missing("order.env.osType")));
        pay.order.env = Some(Env { os_type: Some(OsType::Android), ..pay.order.env.unwrap_or_default() });
        assert_eq!(pay.check(), Ok(()));
    }

    #[test]
    fn a_refund_beyond_a_payment_needs_somebody_to_give_it_to() {
        let refund = |kind: &str, more: &str| {
            let body = format!(
                r#"{{"pspId":"P1","subScenarioType":"{kind}","refundRequestId":"R1",
                    "refundAmount":{{"currency":"JPY","value":"100"}}{more}}}"#
            );
            wire::parse::<mpp::AdjustRefundRequest>(body.as_bytes()).map(drop)
        };
        let missing = |name| Err(FieldError::missing(name));
        assert_eq!(refund("UNLINKED_REFUND", r#","paymentRequestId":"P1""#), missing("customerId"));
        assert_eq!(refund("UNLINKED_REFUND", r#","customerId":"2088""#), Ok(()));
        assert_eq!(refund("EXCEED_REFUND", ""), missing("paymentRequestId"));
        assert_eq!(refund("EXCEED_REFUND", r#","paymentId":"P1""#), Ok(()));
    }
}
