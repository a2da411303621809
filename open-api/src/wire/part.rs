//! What a field of an object can be, and how each kind travels.

use std::fmt;
use std::marker::PhantomData;

#[cfg(test)]
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use super::DateTime;
use crate::{FieldError, FieldProblem};

/// What a page says about one field, beside its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rule {
    /// The most characters of a text, of each text in a list.
    pub(crate) max: Option<usize>,
    /// An amount of 0 is not enough.
    pub(crate) positive: bool,
    /// Personal or secret: `Debug` does not show it.
    pub(crate) private: bool,
}

impl Rule {
    /// No rule.
    pub(crate) const ANY: Self = Self { max: None, positive: false, private: false };
    /// A URL: at most 2048 characters (our reading; no page says so for each).
    pub(crate) const URL: Self = Self::max(2048);
    /// An identifier: at most 64 characters.
    pub(crate) const ID: Self = Self::max(64);
    /// An amount of at least 1.
    pub(crate) const POSITIVE: Self = Self { positive: true, ..Self::ANY };
    /// No rule, but personal.
    pub(crate) const PRIVATE: Self = Self::ANY.private();

    /// At most `max` characters.
    pub(crate) const fn max(max: usize) -> Self {
        Self { max: Some(max), ..Self::ANY }
    }

    /// The same, and personal or secret.
    pub(crate) const fn private(self) -> Self {
        Self { private: true, ..self }
    }
}

/// A field's value: how it is written, read, checked and described.
pub(crate) trait Part: Sized + fmt::Debug + 'static {
    /// What stands for a field that is not there; `None` if it must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// There is nothing to write: the field is left out.
    fn is_absent(&self) -> bool {
        false
    }

    /// Writes it; only asked for what is not absent.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads it, from a text or natively.
    ///
    /// # Errors
    /// Those of the deserializer, and what is not of this type.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Whether it keeps `rule` and its own rules. The path of the error begins below this field.
    ///
    /// # Errors
    /// [`FieldError`] for the first rule that is broken.
    fn check(&self, rule: Rule) -> Result<(), FieldError>;

    /// What `rule` allows, as JSON schema.
    fn schema(generator: &mut SchemaGenerator, rule: Rule) -> Schema;

    /// For tests: any value that keeps `rule`.
    #[cfg(test)]
    fn any(rule: Rule) -> BoxedStrategy<Self>;
}

/// That a field which must be there is there, and keeps its rules.
pub(crate) fn check_field<T: Part>(value: &T, name: &str, rule: Rule) -> Result<(), FieldError> {
    match (value.is_absent(), T::absent().is_some()) {
        (true, true) => Ok(()),
        (true, false) => Err(FieldError::missing(name)),
        (false, _) => value.check(rule).map_err(|error| error.inside(name)),
    }
}

/// Writes a part where serde asks for a value.
pub(crate) struct Written<'a, T>(pub(crate) &'a T);

impl<T: Part> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// Reads a part where serde asks for a seed.
pub(crate) struct Read<T>(PhantomData<T>);

impl<T> Read<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Part> DeserializeSeed<'de> for Read<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

/// That a text is as short as `rule` says.
pub(crate) fn check_length(text: &str, rule: Rule) -> Result<(), FieldError> {
    match rule.max {
        // Bytes are never fewer than characters, so most texts need no counting.
        Some(limit) if text.len() > limit && text.chars().count() > limit => {
            Err(FieldError { path: String::new(), problem: FieldProblem::TooLong { limit } })
        }
        _ => Ok(()),
    }
}

/// A text with the length that `rule` allows.
pub(crate) fn text_schema(rule: Rule) -> Schema {
    match rule.max {
        Some(max) => json_schema!({"type": "string", "minLength": 1, "maxLength": max}),
        None => json_schema!({"type": "string", "minLength": 1}),
    }
}

impl Part for String {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(Text)
    }

    fn check(&self, rule: Rule) -> Result<(), FieldError> {
        check_length(self, rule)
    }

    fn schema(_: &mut SchemaGenerator, rule: Rule) -> Schema {
        text_schema(rule)
    }

    #[cfg(test)]
    fn any(rule: Rule) -> BoxedStrategy<Self> {
        let most = rule.max.unwrap_or(6).min(6);
        proptest::collection::vec(any::<char>(), 1..=most).prop_map(|text| text.into_iter().collect()).boxed()
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }
}

impl Part for u64 {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Integer)
    }

    fn check(&self, _: Rule) -> Result<(), FieldError> {
        match i64::try_from(*self) {
            Ok(_) => Ok(()),
            Err(_) => Err(FieldError::malformed("", INTEGER)),
        }
    }

    fn schema(_: &mut SchemaGenerator, _: Rule) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{1,19}$"})
    }

    #[cfg(test)]
    fn any(_: Rule) -> BoxedStrategy<Self> {
        prop_oneof![0..=i64::MAX.unsigned_abs(), Just(0), Just(i64::MAX.unsigned_abs())].boxed()
    }
}

const INTEGER: &str = "an integer of 0 to 9223372036854775807";

struct Integer;

impl Visitor<'_> for Integer {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INTEGER)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        // `parse` would take a plus sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let value = if digits { text.parse().ok() } else { None };
        value.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl Part for bool {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if *self { "true" } else { "false" })
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Boolean)
    }

    fn check(&self, _: Rule) -> Result<(), FieldError> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator, _: Rule) -> Schema {
        json_schema!({"type": "string", "enum": ["true", "false"]})
    }

    #[cfg(test)]
    fn any(_: Rule) -> BoxedStrategy<Self> {
        any::<bool>().boxed()
    }
}

struct Boolean;

impl Visitor<'_> for Boolean {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

impl Part for DateTime {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::read(deserializer)?;
        text.parse().map_err(|error: super::time::NotATime| {
            D::Error::invalid_value(Unexpected::Str(&text), &error.to_string().as_str())
        })
    }

    fn check(&self, _: Rule) -> Result<(), FieldError> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator, _: Rule) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }

    #[cfg(test)]
    fn any(_: Rule) -> BoxedStrategy<Self> {
        (-62_167_219_200_000_i64..=253_402_300_799_999).prop_filter_map("in range", DateTime::from_ms).boxed()
    }
}

impl<T: Part> Part for Option<T> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.as_ref().is_none_or(Part::is_absent)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(serializer),
            None => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Maybe(PhantomData))
    }

    fn check(&self, rule: Rule) -> Result<(), FieldError> {
        self.as_ref().map_or(Ok(()), |value| value.check(rule))
    }

    fn schema(generator: &mut SchemaGenerator, rule: Rule) -> Schema {
        T::schema(generator, rule)
    }

    #[cfg(test)]
    fn any(rule: Rule) -> BoxedStrategy<Self> {
        proptest::option::of(T::any(rule)).boxed()
    }
}

struct Maybe<T>(PhantomData<T>);

impl<'de, T: Part> Visitor<'de> for Maybe<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or nothing")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::read(deserializer).map(Some)
    }
}

/// A list, and nothing if it is empty.
impl<T: Part> Part for Vec<T> {
    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for item in self {
            list.serialize_element(&Written(item))?;
        }
        list.end()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<List<T>>::deserialize(deserializer)?.map_or_else(Self::new, |list| list.0))
    }

    fn check(&self, rule: Rule) -> Result<(), FieldError> {
        self.iter().enumerate().try_for_each(|(index, item)| check_field(item, &index.to_string(), rule))
    }

    fn schema(generator: &mut SchemaGenerator, rule: Rule) -> Schema {
        let items = T::schema(generator, rule);
        json_schema!({"type": "array", "items": items})
    }

    #[cfg(test)]
    fn any(rule: Rule) -> BoxedStrategy<Self> {
        proptest::collection::vec(T::any(rule), 0..3).boxed()
    }
}

struct List<T>(Vec<T>);

impl<'de, T: Part> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Part> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Read::new())? {
            items.push(item);
        }
        Ok(List(items))
    }
}
