//! Promises that hold for every message.

use proptest::prelude::*;
use serde_json::Value;

use super::{Json, reader::Reader};
use crate::{FieldError, Message, mobile, model, payment, wire};

/// Runs one promise for every message, with values of any content.
macro_rules! every_message {
    ($promise:ident: $($message:ty),* $(,)?) => {
        $( $promise(<$message>::any_fields()); )*
    };
    ($promise:ident) => {
        every_message! { $promise:
            payment::mpp::PayRequest, payment::mpp::PayAnswer, payment::mpp::InquiryPaymentRequest,
            payment::mpp::InquiryPaymentAnswer, payment::mpp::CancelPaymentRequest,
            payment::mpp::CancelPaymentAnswer, payment::mpp::RefundRequest, payment::mpp::RefundAnswer,
            payment::mpp::AdjustRefundRequest, payment::mpp::AdjustRefundAnswer,
            payment::mpp::NotifyPaymentRequest, payment::mpp::NotifyPaymentAnswer,
            payment::acquirer::PayRequest, payment::acquirer::PayAnswer,
            payment::acquirer::InquiryPaymentRequest, payment::acquirer::InquiryPaymentAnswer,
            payment::acquirer::CancelPaymentRequest, payment::acquirer::CancelPaymentAnswer,
            payment::acquirer::RefundRequest, payment::acquirer::RefundAnswer,
            payment::acquirer::NotifyPaymentRequest, payment::acquirer::NotifyPaymentAnswer,
            mobile::SdkProxyRequest, mobile::SdkProxyAnswer, mobile::TokenActivationNotificationRequest,
            mobile::TokenActivationNotificationAnswer, model::Order,
        }
    };
}

/// Runs `promise` for some messages.
fn for_some<M: Message>(messages: BoxedStrategy<M>, promise: impl Fn(M)) {
    let mut runner = prop::test_runner::TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    runner
        .run(&messages, |message| {
            promise(message);
            Ok(())
        })
        .unwrap();
}

fn comes_back<M: Message + PartialEq>(messages: BoxedStrategy<M>) {
    for_some(messages, |message| {
        let bytes = serde_json::to_vec(&message).unwrap();
        assert_eq!(M::deserialize(Reader(&Json::parse(&bytes).unwrap())).as_ref(), Ok(&message));
        assert_eq!(serde_json::from_slice::<M>(&bytes).unwrap(), message);
        // Rules between fields: what is sent is understood, what is not sent would not be.
        match wire::to_bytes(&message) {
            Ok(bytes) => assert_eq!(wire::parse::<M>(&bytes), Ok(message)),
            Err(error) => assert_eq!(wire::parse::<M>(&bytes), Err(error)),
        }
    });
}

#[test]
fn every_message_comes_back_as_it_was_sent() {
    every_message!(comes_back);
}

fn holds_texts<M: Message>(messages: BoxedStrategy<M>) {
    for_some(messages, |message| assert_texts(&serde_json::to_value(&message).unwrap()));
}

fn assert_texts(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.is_empty()),
        Value::Array(items) => items.iter().for_each(assert_texts),
        Value::Object(fields) => fields.values().for_each(assert_texts),
        other => panic!("{other} is not a text"),
    }
}

#[test]
fn every_message_holds_nothing_but_texts_and_never_an_empty_one() {
    every_message!(holds_texts);
}

/// What the schema asks for is there, and without it the message is refused by that name.
fn needs_what_the_schema_needs<M: Message>(messages: BoxedStrategy<M>) {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<M>().to_value();
    for_some(messages, |message| {
        let body = serde_json::to_value(&message).unwrap();
        assert_fits(&body, &schema, &schema);
        for required in schema["required"].as_array().into_iter().flatten() {
            for nothing in [None, Some(Value::Null), Some("".into())] {
                let mut without = body.clone();
                let fields = without.as_object_mut().unwrap();
                fields.remove(required.as_str().unwrap());
                fields.extend(nothing.map(|nothing| (required.as_str().unwrap().to_owned(), nothing)));
                let error = wire::parse::<M>(without.to_string().as_bytes()).unwrap_err();
                assert_eq!(error, FieldError::missing(required.as_str().unwrap()));
            }
        }
    });
}

/// A small reader of the schemas that we write.
fn assert_fits(value: &Value, schema: &Value, root: &Value) {
    if let Some(name) = schema["$ref"].as_str() {
        assert_fits(value, root.pointer(name.trim_start_matches('#')).unwrap(), root);
        return;
    }
    match value {
        Value::Object(fields) => {
            assert_eq!(schema["type"], "object", "{schema}");
            let required = schema["required"].as_array().into_iter().flatten();
            required.for_each(|name| assert!(fields.contains_key(name.as_str().unwrap()), "{name}"));
            fields.iter().for_each(|(name, value)| {
                let property = &schema["properties"][name];
                assert!(property["description"].is_string() || schema["description"].is_string(), "{name}");
                assert_fits(value, property, root);
            });
        }
        Value::Array(items) => items.iter().for_each(|item| assert_fits(item, &schema["items"], root)),
        Value::String(text) => {
            assert_eq!(schema["type"], "string", "{schema}");
            let length = text.chars().count() as u64;
            assert!(length <= schema["maxLength"].as_u64().unwrap_or(u64::MAX), "{schema}");
            assert!(schema["enum"].as_array().is_none_or(|words| words.contains(value)), "{schema}");
        }
        other => panic!("{other} fits no schema"),
    }
}

#[test]
fn every_message_fits_its_schema_and_needs_what_the_schema_needs() {
    every_message!(needs_what_the_schema_needs);
}

#[test]
fn a_schema_tells_lengths_and_two_messages_of_one_name_apart() {
    let mut generator = schemars::SchemaGenerator::default();
    let names = [
        generator.subschema_for::<payment::mpp::PayRequest>(),
        generator.subschema_for::<payment::acquirer::PayRequest>(),
    ]
    .map(|schema| schema.to_value()["$ref"].as_str().unwrap().to_owned());
    assert_ne!(names[0], names[1]);
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<payment::mpp::PayRequest>().to_value();
    assert_eq!(schema["properties"]["acquirerId"]["maxLength"], 64);
    assert_eq!(schema["properties"]["acquirerId"]["description"], "The acquirer, at most 64 characters.");
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for (body, error) in [
        ("[]", "body is not an object"),
        ("7", "body is not an object"),
        ("null", "body is required"),
        ("{", "body is not JSON"),
        ("{\"x\":1,\"x\":1}", "body is not JSON with each name once in an object"),
    ] {
        let refused = wire::parse::<payment::mpp::PayRequest>(body.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = wire::parse::<payment::mpp::PayRequest>(&bytes);
    }

    /// Bytes that are almost a message reach further than noise.
    #[test]
    fn no_damaged_message_panics(
        message in payment::mpp::PayRequest::any_fields(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = serde_json::to_vec(&message).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = wire::parse::<payment::mpp::PayRequest>(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(wire::parse::<payment::mpp::PayRequest>(&bytes).is_err());
    }
}
