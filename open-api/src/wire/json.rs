//! JSON as it came, before anyone knows what it means.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::object::Name;
use crate::FieldError;

/// A JSON value. Objects are sorted by name, and no name is there twice.
///
/// ```
/// use alipayplus::wire::Json;
///
/// let json = Json::parse(br#"{"paymentAmount":{"currency":"JPY","value":"100"}}"#)?;
/// assert_eq!(json.at("paymentAmount.value").and_then(Json::text), Some("100"));
/// # Ok::<(), alipayplus::FieldError>(())
/// ```
#[derive(Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A native number.
    Number(serde_json::Number),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object.
    Object(BTreeMap<Cow<'a, str>, Json<'a>>),
}

impl<'a> Json<'a> {
    /// Reads one value and nothing behind it.
    ///
    /// # Errors
    /// [`FieldError`] with the path `body` for what is not JSON in UTF-8, is nested deeper than 127 levels,
    /// has a number that no double holds, or an object that names a field twice: two readers could
    /// disagree on which of them counts.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FieldError> {
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => FieldError::malformed("body", "JSON with each name once in an object"),
            _ => FieldError::malformed("body", "JSON"),
        })
    }

    /// What is at `path`: names with dots. `null` and `""` count as absent.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        let found = path.split('.').try_fold(self, |json, name| match json {
            Self::Object(fields) => fields.get(name),
            Self::List(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        })?;
        (!found.is_absent()).then_some(found)
    }

    /// It is a text: which.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `null` or `""`: the two ways to say nothing.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }
}

/// Values can be personal: only the shape.
impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(_) => f.write_str("boolean"),
            Self::Number(_) => f.write_str("number"),
            Self::Text(text) => write!(f, "text of {} bytes", text.len()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Object(fields) => f.debug_map().entries(fields).finish(),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor(std::marker::PhantomData))
    }
}

struct JsonVisitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for JsonVisitor<'a> {
    type Value = Json<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a finite number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(Name(name)) = object.next_key()? {
            if fields.insert(name, object.next_value()?).is_some() {
                return Err(A::Error::custom("each name once"));
            }
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) {
        assert_eq!(Json::parse(bytes).unwrap_err().path, "body");
    }

    #[test]
    fn a_name_given_twice_is_refused_at_any_depth() {
        refused(br#"{"a":1,"a":1}"#);
        refused(br#"{"x":[{"a":1,"\u0061":2}]}"#);
    }

    #[test]
    fn depth_bombs_huge_numbers_and_broken_text_are_refused() {
        refused("[".repeat(1_000_000).as_bytes());
        refused("{\"a\":".repeat(1_000_000).as_bytes());
        refused(b"1e999");
        refused(b"\"\xff\"");
        refused(br#""\ud800""#);
        refused(b"{} {}");
        refused(b"");
    }

    #[test]
    fn null_and_the_empty_text_are_absent() {
        let json = Json::parse(br#"{"a":null,"b":"","c":["x"]}"#).unwrap();
        assert_eq!((json.at("a"), json.at("b"), json.at("d")), (None, None, None));
        assert_eq!(json.at("c.0").and_then(Json::text), Some("x"));
    }

    #[test]
    fn debug_shows_no_value() {
        let json = Json::parse(br#"{"customerId":"2088","n":7}"#).unwrap();
        assert_eq!(format!("{json:?}"), r#"{"customerId": text of 4 bytes, "n": number}"#);
    }
}
