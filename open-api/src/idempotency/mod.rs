//! When a request is the same as one before (fact sheet, section 5; docs: api_acq/idempotency,
//! api_mpp/idempotency).
//!
//! An API has an id and key parameters. The same id with the same key parameters is a repeat: processed
//! once, answered the same. The same id with others is `REPEAT_REQ_INCONSISTENT`. Ids stay taken for ever.
//!
//! What counts is the body as it came, before any type: a field that we do not know can be a part of a
//! key parameter. Values are compared in a normal form: a text and a native number or boolean are equal,
//! `null`, `""`, and lists and objects with nothing in them are absent, the order of names does not count.
//!
//! ```
//! use alipayplus::idempotency::{Direction, Edition, key_rule};
//! use alipayplus::wire::Json;
//!
//! let rule = key_rule("refund", Direction::AlipayPlusToMpp, Edition::Newest).unwrap();
//! let first = Json::parse(br#"{"refundRequestId":"R1","refundAmount":{"currency":"JPY","value":"100"}}"#)?;
//! let again = Json::parse(br#"{"refundAmount":{"value":100,"currency":"JPY"},"refundRequestId":"R1","x":1}"#)?;
//! let other = Json::parse(br#"{"refundRequestId":"R1","refundAmount":{"currency":"JPY","value":"101"}}"#)?;
//! assert_eq!(rule.keys(&first)?, rule.keys(&again)?);
//! assert_ne!(rule.keys(&first)?.sha256(), rule.keys(&other)?.sha256());
//! # Ok::<(), alipayplus::FieldError>(())
//! ```

mod rules;

use std::fmt;

use sha2::{Digest, Sha256};

pub use rules::{KEY_RULES, key_rule};

use crate::FieldError;
use crate::wire::Json;

/// Who calls whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// An acquirer calls A+.
    AcquirerToAlipayPlus,
    /// A+ calls an acquirer.
    AlipayPlusToAcquirer,
    /// A+ calls a wallet.
    AlipayPlusToMpp,
    /// A wallet calls A+.
    MppToAlipayPlus,
}

/// Of which edition of the pages. Where they agree, the newest counts for all. What was stored under one
/// edition can only be compared under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// Unified Payment.
    #[default]
    Newest,
    /// Those before.
    Older,
}

/// Which fields make two requests of an API the same. Fields are paths: names with dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRule {
    /// The API, as [`crate::Api::NAME`].
    pub api: &'static str,
    /// Who calls whom.
    pub direction: Direction,
    /// Since or until when it is so.
    pub edition: Edition,
    /// The fields that together are the id.
    pub id: &'static [&'static str],
    /// What must be the same on a repeat.
    pub compared: Compared,
}

/// The key parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// These fields, none at all if the list is empty.
    Fields(&'static [&'static str]),
    /// All fields but the id.
    AllOthers,
}

impl KeyRule {
    /// The id and the key parameters of a request.
    ///
    /// # Errors
    /// [`FieldError`] if a field of the id is missing, or is a list or an object.
    pub fn keys(&self, body: &Json<'_>) -> Result<Keys, FieldError> {
        let id = self.id.iter().map(|path| id_part(body, path)).collect::<Result<Vec<_>, _>>()?;
        let mut canonical = String::new();
        match (self.compared, body) {
            (Compared::Fields(paths), _) => {
                write_object(&mut canonical, paths.iter().filter_map(|path| Some((*path, body.at(path)?))));
            }
            (Compared::AllOthers, Json::Object(fields)) => {
                let others = fields.iter().filter(|(name, _)| !self.id.contains(&name.as_ref()));
                write_object(&mut canonical, others.map(|(name, value)| (name.as_ref(), value)));
            }
            (Compared::AllOthers, _) => canonical.push_str("{}"),
        }
        // One part is itself. Several are quoted, so that "a" and "bc" are not "ab" and "c".
        let id = match id.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(",")),
        };
        Ok(Keys { id, canonical })
    }
}

fn id_part(body: &Json<'_>, path: &str) -> Result<String, FieldError> {
    match body.at(path) {
        None => Err(FieldError::missing(path)),
        Some(value) => scalar(value).ok_or_else(|| FieldError::malformed(path, "a text")),
    }
}

/// An id and what belongs to it. Two requests with equal ids are the same if their keys are equal.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    id: String,
    canonical: String,
}

impl Keys {
    /// The id; two or more fields as a JSON list of texts. It can be a secret (an access token).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key parameters in their normal form: JSON of sorted names and texts. They can be personal, and
    /// tokens can be among them: store the digest.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the key parameters' normal form: 32 bytes to store beside the id.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.canonical.as_bytes()).into()
    }
}

/// Neither ids nor parameters: both can be secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Writes what is not absent; whether that was anything.
fn write_object<'j>(out: &mut String, fields: impl Iterator<Item = (&'j str, &'j Json<'j>)>) -> bool {
    let mut any = false;
    out.push('{');
    for (name, value) in fields {
        let before = out.len();
        if any {
            out.push(',');
        }
        out.push_str(&quoted(name));
        out.push(':');
        match write(out, value) {
            true => any = true,
            false => out.truncate(before),
        }
    }
    out.push('}');
    any
}

/// Writes one value in its normal form; whether there was anything to write.
fn write(out: &mut String, value: &Json<'_>) -> bool {
    match value {
        Json::Object(fields) => write_object(out, fields.iter().map(|(name, value)| (name.as_ref(), value))),
        Json::List(items) => {
            let separators = items.iter().enumerate().map(|(index, item)| {
                out.push(if index == 0 { '[' } else { ',' });
                let before = out.len();
                // A place in a list counts even if nothing is there.
                if !write(out, item) {
                    out.truncate(before);
                    out.push_str("null");
                }
            });
            let any = separators.count() > 0;
            out.push(']');
            any
        }
        scalar_value => match scalar(scalar_value).filter(|text| !text.is_empty()) {
            Some(text) => {
                out.push_str(&quoted(&text));
                true
            }
            None => false,
        },
    }
}

/// The text of a text, a number or a boolean.
fn scalar(value: &Json<'_>) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.as_ref().to_owned()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAY: &str = r#"{"paymentRequestId":"P1","paymentAmount":{"currency":"JPY","value":"100"},
        "payToAmount":{"currency":"KRW","value":"1000"},"paymentMethod":{"customerId":"2088"}}"#;

    fn keys(api: &str, body: &str) -> Keys {
        let rule = key_rule(api, Direction::AlipayPlusToMpp, Edition::Newest).unwrap();
        rule.keys(&Json::parse(body.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_repeat_in_other_words_is_the_same() {
        for again in [
            PAY.replace("\"100\"", "100"),
            PAY.replace(
                r#""customerId":"2088""#,
                r#""paymentMethodId":null,"customerId":"2088","paymentMethodMetaData":{}"#,
            ),
            PAY.replace(r#"{"currency":"JPY","value":"100"}"#, r#"{"value":"100","currency":"JPY"}"#),
            PAY.replace(r#""paymentRequestId":"P1""#, r#""surchargeInfo":"","order":{"x":1},"paymentRequestId":"P1""#),
        ] {
            assert_ne!(again, PAY);
            assert_eq!(keys("pay", &again).sha256(), keys("pay", PAY).sha256(), "{again}");
        }
    }

    #[test]
    fn another_key_parameter_is_another_request() {
        for other in [
            PAY.replace("\"100\"", "\"101\""),
            PAY.replace("JPY", "USD"),
            PAY.replace("2088", "2089"),
            PAY.replace(r#""customerId""#, r#""customerID""#),
            PAY.replace(r#""paymentRequestId""#, r#""surchargeInfo":{"x":[null]},"paymentRequestId""#),
        ] {
            assert_ne!(keys("pay", &other).sha256(), keys("pay", PAY).sha256(), "{other}");
            assert_eq!(keys("pay", &other).id(), "P1");
        }
    }

    #[test]
    fn the_normal_form_does_not_change() {
        let canonical = concat!(
            r#"{"paymentAmount":{"currency":"JPY","value":"100"},"payToAmount":{"currency":"KRW","value":"1000"},"#,
            r#""paymentMethod":{"customerId":"2088"}}"#,
        );
        assert_eq!(keys("pay", PAY).canonical(), canonical);
        assert_eq!(keys("cancelPayment", PAY).canonical(), "{}");
    }

    #[test]
    fn an_id_that_is_missing_is_named() {
        let rule = key_rule("refund", Direction::AlipayPlusToMpp, Edition::Newest).unwrap();
        let error = rule.keys(&Json::parse(b"{\"refundRequestId\":null}").unwrap()).unwrap_err();
        assert_eq!(error, FieldError::missing("refundRequestId"));
        let error = rule.keys(&Json::parse(b"{\"refundRequestId\":[1]}").unwrap()).unwrap_err();
        assert_eq!(error, FieldError::malformed("refundRequestId", "a text"));
    }

    #[test]
    fn an_id_of_two_fields_has_one_reading() {
        let rule = key_rule("prepare", Direction::AcquirerToAlipayPlus, Edition::Newest).unwrap();
        let keys = |client: &str, agreement: &str| {
            let body = format!(r#"{{"authClientId":"{client}","referenceAgreementId":"{agreement}","scopes":["A"]}}"#);
            rule.keys(&Json::parse(body.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(keys("a", "bc").id(), r#"["a","bc"]"#);
        assert_ne!(keys("a", "bc").id(), keys("ab", "c").id());
        assert_eq!(keys("a", "bc").canonical(), r#"{"scopes":["A"]}"#);
    }

    #[test]
    fn a_body_that_is_no_object_has_no_parameters() {
        let rule =
            KeyRule { id: &[], ..*key_rule("prepare", Direction::AcquirerToAlipayPlus, Edition::Newest).unwrap() };
        for body in ["7", "[1]", "null"] {
            assert_eq!(rule.keys(&Json::parse(body.as_bytes()).unwrap()).unwrap().canonical(), "{}", "{body}");
        }
    }

    #[test]
    fn an_older_edition_compares_other_fields() {
        let rule = |edition| key_rule("pay", Direction::AcquirerToAlipayPlus, edition).unwrap();
        let with = |currency: &str| {
            let strategy =
                format!(r#"{{"paymentRequestId":"P","settlementStrategy":{{"settlementCurrency":"{currency}"}}}}"#);
            move |edition| rule(edition).keys(&Json::parse(strategy.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(with("USD")(Edition::Newest), with("EUR")(Edition::Newest));
        assert_ne!(with("USD")(Edition::Older), with("EUR")(Edition::Older));
        let direction = Direction::AlipayPlusToMpp;
        assert_eq!(key_rule("pay", direction, Edition::Older), key_rule("pay", direction, Edition::Newest));
    }

    #[test]
    fn an_empty_place_in_a_list_keeps_its_place() {
        let canonical = |scopes: &str| {
            let body = PAY.replace(r#"{"customerId":"2088"}"#, scopes);
            keys("pay", &body).canonical().split_once("1000").unwrap().1.to_owned()
        };
        assert_eq!(canonical("[null,1,{}]"), r#""},"paymentMethod":[null,"1",null]}"#);
        assert_eq!(canonical("[[]]"), r#""},"paymentMethod":[null]}"#);
        assert_eq!(canonical("[]"), r#""}}"#);
    }

    #[test]
    fn debug_shows_no_token() {
        assert!(!format!("{:?}", keys("pay", PAY)).contains("2088"));
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(json) = Json::parse(&bytes) {
                KEY_RULES.iter().for_each(|rule| drop(rule.keys(&json)));
            }
        }

        #[test]
        fn texts_never_run_into_each_other(one in ".{0,4}", two in ".{0,4}", other in ".{0,4}") {
            let canonical = |a: &str, b: &str| {
                let body = serde_json::json!({"paymentRequestId": "P", "paymentMethod": {"a": a, "b": b}}).to_string();
                keys("pay", &body).canonical().to_owned()
            };
            prop_assert_eq!(canonical(&one, &two) == canonical(&one, &other), two == other);
        }
    }
}
