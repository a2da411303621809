//! The key parameters of every API, as the pages list them (fact sheet, section 5).

use super::Direction::{AcquirerToAlipayPlus, AlipayPlusToAcquirer, AlipayPlusToMpp, MppToAlipayPlus};
use super::{Compared, Direction, Edition, KeyRule};

/// The rule for an API; that of the newest edition where an older one has none of its own. `None` for an
/// API without an id.
#[must_use]
pub fn key_rule(api: &str, direction: Direction, edition: Edition) -> Option<&'static KeyRule> {
    let of = |edition| {
        KEY_RULES.iter().find(|rule| rule.api == api && rule.direction == direction && rule.edition == edition)
    };
    of(edition).or_else(|| of(Edition::Newest))
}

/// Every rule. `adjustRefund` is our choice; so is that the acquirer's refund compares both of a payment's
/// ids, and that nothing is compared where a page leaves it to the acquirer.
pub const KEY_RULES: &[KeyRule] = &[
    newest(
        "pay",
        AcquirerToAlipayPlus,
        &["paymentRequestId"],
        &["paymentAmount", "paymentMethod.paymentMethodType", "order.orderAmount"],
    ),
    KeyRule {
        api: "pay",
        direction: AcquirerToAlipayPlus,
        edition: Edition::Older,
        id: &["paymentRequestId"],
        compared: Compared::Fields(&[
            "paymentAmount",
            "paymentFactor",
            "settlementStrategy",
            "paymentMethod.paymentMethodType",
        ]),
    },
    newest("refund", AcquirerToAlipayPlus, &["refundRequestId"], &["refundAmount", "paymentRequestId", "paymentId"]),
    newest("cancelPayment", AcquirerToAlipayPlus, &["paymentRequestId"], &[]),
    KeyRule {
        api: "prepare",
        direction: AcquirerToAlipayPlus,
        edition: Edition::Newest,
        id: &["authClientId", "referenceAgreementId"],
        compared: Compared::AllOthers,
    },
    newest("cancelToken", AcquirerToAlipayPlus, &["accessToken"], &[]),
    newest("registration", AcquirerToAlipayPlus, &["registrationRequestId"], &[]),
    newest("declare", AcquirerToAlipayPlus, &["customsDeclarationRequestId"], &[]),
    newest("responseRetrieval", AcquirerToAlipayPlus, &["disputeRequestId"], &[]),
    newest("responseEscalation", AcquirerToAlipayPlus, &["disputeRequestId"], &["refundType", "refundAmount"]),
    newest("userInitiatedPay", AlipayPlusToAcquirer, &["codeValue"], &[]),
    newest("initiateRetrieval", AlipayPlusToAcquirer, &["disputeRequestId"], &["paymentRequestId"]),
    newest("initiateEscalation", AlipayPlusToAcquirer, &["disputeRequestId"], &["paymentRequestId"]),
    newest(
        "pay",
        AlipayPlusToMpp,
        &["paymentRequestId"],
        &["paymentAmount", "payToAmount", "surchargeInfo", "paymentMethod", "paymentPromoInfo"],
    ),
    newest(
        "refund",
        AlipayPlusToMpp,
        &["refundRequestId"],
        &["refundAmount", "refundFromAmount", "refundPromoInfo", "surchargeInfo"],
    ),
    newest(
        "adjustRefund",
        AlipayPlusToMpp,
        &["refundRequestId"],
        &["subScenarioType", "refundAmount", "refundFromAmount"],
    ),
    newest("cancelPayment", AlipayPlusToMpp, &["paymentRequestId"], &[]),
    newest(
        "prepare",
        AlipayPlusToMpp,
        &["authClientId", "referenceAgreementId"],
        &["authClientName", "referenceMerchantId", "authRedirectUrl", "scopes"],
    ),
    newest("cancelToken", AlipayPlusToMpp, &["accessToken"], &[]),
    newest(
        "notifyPayment",
        MppToAlipayPlus,
        &["paymentRequestId"],
        &["paymentAmount", "paymentResult", "paymentId", "payToAmount", "customerId", "customsDeclarationAmount"],
    ),
    newest("userInitiatedPay", MppToAlipayPlus, &["codeValue"], &["customerId"]),
];

const fn newest(
    api: &'static str,
    direction: Direction,
    id: &'static [&'static str],
    fields: &'static [&'static str],
) -> KeyRule {
    KeyRule { api, direction, edition: Edition::Newest, id, compared: Compared::Fields(fields) }
}
