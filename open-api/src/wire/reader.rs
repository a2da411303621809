//! Hands a [`Json`] to serde, and names the field where something is wrong.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::Json;
use crate::FieldError;

/// Reads one value. `null` and `""` are nothing to an optional field.
pub(super) struct Reader<'j, 'a>(pub(super) &'j Json<'a>);

impl<'de, 'j: 'de> Deserializer<'de> for Reader<'j, '_> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0 {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (_, Some(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Json::Object(fields) => visitor.visit_map(Fields { fields: fields.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0.is_absent() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    /// Never from a list, which derived readers would take as fields in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.0 {
            Json::Object(_) => self.deserialize_any(visitor),
            absent if absent.is_absent() => Err(FieldError::missing("")),
            _ => Err(FieldError::malformed("", "an object")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier
    }
}

struct Items<'j, 'a> {
    items: std::iter::Enumerate<std::slice::Iter<'j, Json<'a>>>,
}

impl<'de, 'j: 'de> SeqAccess<'de> for Items<'j, '_> {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FieldError> {
        self.items
            .next()
            .map(|(index, item)| seed.deserialize(Reader(item)).map_err(|error| error.inside(&index.to_string())))
            .transpose()
    }
}

struct Fields<'j, 'a> {
    fields: std::collections::btree_map::Iter<'j, std::borrow::Cow<'a, str>, Json<'a>>,
    value: Option<(&'j str, &'j Json<'a>)>,
}

impl<'de, 'j: 'de> MapAccess<'de> for Fields<'j, '_> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some((name, value));
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let (name, value) = self.value.take().ok_or_else(|| FieldError::malformed("", "a name before its value"))?;
        seed.deserialize(Reader(value)).map_err(|error| error.inside(name))
    }
}
