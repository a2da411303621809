//! Any bytes as what strangers send over the Open API: a body, a `Signature` header, a client id, a time.
//! What is accepted is written and read again to the same value, and is no larger than the bytes were.

use std::collections::HashSet;

use alipayplus::idempotency::{Compared, Direction, Edition, KEY_RULES, KeyRule};
use alipayplus::model::quote::Rounding;
use alipayplus::signature::{ClientId, SignatureHeader};
use alipayplus::wire::{self, DateTime, Json};
use alipayplus::{Amount, Message, ResultInfo, clock, mobile, payment};

/// What a message may grow by when it is written: names in our spelling, times with all their digits.
const MARGIN: usize = 64;

/// The longest name of a field is shorter, and so is a list's index.
const LONGEST_NAME: usize = 40;

/// All fields as key parameters.
const WHOLE: KeyRule = KeyRule {
    api: "any",
    direction: Direction::AlipayPlusToMpp,
    edition: Edition::Newest,
    id: &[],
    compared: Compared::AllOthers,
};

pub(crate) fn run(input: &[u8]) {
    body(input);
    header(input);
    if let Ok(text) = std::str::from_utf8(input) {
        client_id(text);
        time(text);
    }
}

fn body(input: &[u8]) {
    let json = Json::parse(input);
    if let Ok(json) = &json {
        assert!(weight(json) <= 2 * input.len(), "JSON of {} bytes weighs {}", input.len(), weight(json));
        keys(json, input.len());
    }
    macro_rules! each {
        ($($message:ty),* $(,)?) => { $( drop(message::<$message>(input, json.is_ok())); )* };
    }
    each! {
        payment::mpp::PayRequest, payment::mpp::PayAnswer, payment::mpp::InquiryPaymentRequest,
        payment::mpp::InquiryPaymentAnswer, payment::mpp::CancelPaymentRequest, payment::mpp::RefundRequest,
        payment::mpp::AdjustRefundRequest, payment::mpp::NotifyPaymentRequest, payment::mpp::NotifyPaymentAnswer,
        payment::acquirer::PayRequest, payment::acquirer::PayAnswer, payment::acquirer::NotifyPaymentRequest,
        mobile::SdkProxyRequest, mobile::SdkProxyAnswer, mobile::TokenActivationNotificationRequest, ResultInfo,
    }
    if let Ok(pay) = wire::parse::<payment::mpp::PayRequest>(input) {
        conversion(&pay);
    }
    if let Some(amount) = message::<Amount>(input, json.is_ok()) {
        assert!(amount.value <= Amount::MAX);
        assert!(amount.to_string().ends_with(amount.currency.code()));
    }
}

/// Values and bytes of text.
fn weight(json: &Json<'_>) -> usize {
    1 + match json {
        Json::Text(text) => text.len(),
        Json::List(items) => items.iter().map(weight).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

/// The normal form is JSON in normal form, and every rule finds the same id in it as in the body.
fn keys(json: &Json<'_>, length: usize) {
    let whole = WHOLE.keys(json).expect("no id is asked for");
    // A number can be a few digits of an exponent.
    assert!(whole.canonical().len() <= 32 * length + MARGIN);
    let normal = Json::parse(whole.canonical().as_bytes()).expect("the normal form is JSON");
    assert_eq!(WHOLE.keys(&normal).unwrap().canonical(), whole.canonical());
    for rule in KEY_RULES {
        match (rule.keys(json), rule.keys(&normal)) {
            (Ok(one), Ok(other)) => assert_eq!(one, other),
            (one, other) => assert_eq!(one.is_ok(), other.is_ok(), "{} of {json:?}", rule.api),
        }
    }
}

fn message<M: Message + PartialEq>(input: &[u8], is_json: bool) -> Option<M> {
    let read = wire::parse::<M>(input).inspect_err(|error| {
        assert!(!error.path.is_empty());
        // The path is made of names that we know and of indices, so nothing of the sender's is in it.
        assert!(error.path.split('.').all(|name| name.len() <= LONGEST_NAME), "{error}");
        assert!(is_json || error.path == "body", "{error}");
    });
    let read = read.ok()?;
    assert!(is_json, "{read:?} out of what is not JSON");
    let written = wire::to_bytes(&read).expect("what is accepted can be sent");
    assert!(written.len() <= 2 * input.len() + MARGIN, "{} bytes became {}", input.len(), written.len());
    assert_eq!(wire::parse::<M>(&written).as_ref(), Ok(&read));
    assert_eq!(wire::to_bytes(&read).as_ref(), Ok(&written));
    Some(read)
}

/// Whatever price somebody sends, both directions end with an amount or an error.
fn conversion(pay: &payment::mpp::PayRequest) {
    let Some(quote) = &pay.payment_quote else { return };
    let (one, other) = (pay.payment_amount, pay.pay_to_amount);
    for (from, to) in [(one, other), (other, one)] {
        if let Ok(converted) = quote.convert(from, to.currency, Rounding::HalfEven) {
            assert!(converted.currency == to.currency && converted.value <= Amount::MAX);
        }
    }
}

fn header(input: &[u8]) {
    let Ok(read) = SignatureHeader::parse(input) else { return };
    assert!(read.signature().len() <= input.len());
    let written = read.to_string();
    assert_eq!(SignatureHeader::parse(written.as_bytes()).as_ref(), Ok(&read), "{written}");
}

fn client_id(text: &str) {
    let Ok(read) = ClientId::parse(text) else { return };
    assert_eq!(read.as_str(), text);
    assert!((1..=ClientId::MAX_CHARS).contains(&text.len()));
    // It can be a header, and moves no part of what is signed.
    let found: HashSet<u8> = text.bytes().filter(|byte| b".\n\r \0".contains(byte)).collect();
    assert!(found.is_empty(), "{text:?}");
}

fn time(text: &str) {
    if let Ok(read) = text.parse::<DateTime>() {
        assert_eq!(DateTime::from_ms(read.ms()), Some(read));
        assert_eq!(read.to_string().parse(), Ok(read));
    }
    if let Some(ms) = clock::from_header(text) {
        assert_eq!(clock::from_header(&clock::to_header(ms)), Some(ms), "{text}");
    }
}
