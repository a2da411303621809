//! Declares objects, words and APIs once: their names, rules, reading, writing, checks and schemas.

/// Declares an object. A field of type `Option` or `Vec` may be absent, any other must be there.
/// `checked by` names a function for rules between fields.
macro_rules! object {
    ($(#[doc = $about:literal])* $vis:vis struct $name:ident $(: $($also:ident),+)? $(checked by $more:expr)? => {
        $( $(#[doc = $doc:literal])* $fvis:vis $field:ident: $type:ty
            = $wire:literal $(| $alias:literal)* $(, $rule:expr)?; )*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, PartialEq, Eq, Default $($(, $also)+)?)]
        $vis struct $name {
            $( $(#[doc = $doc])* $fvis $field: $type, )*
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                use $crate::wire::part::{Part, Written};
                let mut object = serializer.serialize_map(None)?;
                $( if !Part::is_absent(&self.$field) {
                    object.serialize_entry($wire, &Written(&self.$field))?;
                } )*
                object.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut object: A) -> Result<$name, A::Error> {
                        use serde::de::Error as _;
                        use $crate::wire::part::{Part, Read};
                        $( let mut $field: Option<$type> = None; )*
                        while let Some(name) = object.next_key::<$crate::wire::object::Name>()? {
                            match name.0.as_ref() {
                                $( $wire $(| $alias)* => {
                                    if $field.is_some() {
                                        return Err(A::Error::duplicate_field($wire));
                                    }
                                    $field = Some(object.next_value_seed(Read::new())?);
                                } )*
                                _ => {
                                    object.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name { $(
                            $field: match $field.or_else(Part::absent) {
                                Some(value) => value,
                                None => return Err(A::Error::missing_field($wire)),
                            },
                        )* })
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }

        impl $crate::Message for $name {
            fn check(&self) -> Result<(), $crate::FieldError> {
                use $crate::wire::part::check_field;
                $( check_field(&self.$field, $wire, $crate::wire::object::rule!($($rule)?))?; )*
                $( $more(self)?; )?
                Ok(())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $crate::wire::object::schema_name(module_path!(), stringify!($name)).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::wire::part::Part;
                let mut object = $crate::wire::object::ObjectSchema::new(concat!($($about),*));
                $( {
                    let schema = <$type as Part>::schema(generator, $crate::wire::object::rule!($($rule)?));
                    object.field($wire, schema, concat!($($doc),*), <$type as Part>::absent().is_none());
                } )*
                object.into_schema()
            }
        }

        #[cfg(test)]
        impl $name {
            /// Any values that each keep their own rule; rules between fields may be broken.
            pub(crate) fn any_fields() -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::strategy::{Just, Strategy as _};
                use $crate::wire::part::Part;
                let objects = Just(Self::default()).boxed();
                $( let objects = (objects, <$type as Part>::any($crate::wire::object::rule!($($rule)?)))
                    .prop_map(|(mut object, value)| {
                        object.$field = value;
                        object
                    })
                    .boxed(); )*
                objects
            }
        }

        /// Leaves out what is absent, and shows nothing personal or secret.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                use $crate::wire::part::Part;
                let mut object = f.debug_struct(stringify!($name));
                $( match ($crate::wire::object::rule!($($rule)?).private, Part::is_absent(&self.$field)) {
                    (_, true) => {}
                    (true, false) => { object.field(stringify!($field), &format_args!("[redacted]")); }
                    (false, false) => { object.field(stringify!($field), &self.$field); }
                } )*
                object.finish()
            }
        }
    };
}

/// Lets declared objects be fields of others.
macro_rules! parts {
    ($($name:ty),* $(,)?) => { $(
        impl $crate::wire::part::Part for $name {
            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self, serializer)
            }

            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::Deserialize::deserialize(deserializer)
            }

            fn check(&self, _: $crate::wire::part::Rule) -> Result<(), $crate::FieldError> {
                $crate::Message::check(self)
            }

            fn schema(
                generator: &mut schemars::SchemaGenerator,
                _: $crate::wire::part::Rule,
            ) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }

            #[cfg(test)]
            fn any(_: $crate::wire::part::Rule) -> proptest::strategy::BoxedStrategy<Self> {
                Self::any_fields()
            }
        }
    )* };
}

/// Declares the words that a text field knows. Others are kept as they came.
macro_rules! words {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $( $(#[doc = $doc:literal])* $word:ident = $wire:literal; )* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        $vis enum $name {
            $( $(#[doc = $doc])* $word, )*
            /// Another word, as it came.
            Other(String),
        }

        impl $name {
            /// As it is on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$word => $wire, )*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $( $wire => Self::$word, )*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        /// No word: refused where one must be there.
        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl $crate::wire::part::Part for $name {
            fn is_absent(&self) -> bool {
                self.as_str().is_empty()
            }

            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }

            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(<String as $crate::wire::part::Part>::read(deserializer)?.as_str()))
            }

            fn check(&self, rule: $crate::wire::part::Rule) -> Result<(), $crate::FieldError> {
                $crate::wire::part::check_length(self.as_str(), rule)
            }

            fn schema(
                _: &mut schemars::SchemaGenerator,
                rule: $crate::wire::part::Rule,
            ) -> schemars::Schema {
                let mut schema = $crate::wire::part::text_schema(rule);
                schema.insert("examples".to_owned(), serde_json::json!([$($wire),*]));
                schema
            }

            #[cfg(test)]
            fn any(rule: $crate::wire::part::Rule) -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::strategy::Strategy as _;
                let known = proptest::sample::select(vec![$($wire.to_owned()),*]);
                let words = proptest::prop_oneof![known, <String as $crate::wire::part::Part>::any(rule)];
                words.prop_map(|word| Self::from(word.as_str())).boxed()
            }
        }
    };
}

/// Makes objects with a field `result` answers.
macro_rules! answers {
    ($($name:ty),* $(,)?) => { $(
        impl $crate::Answer for $name {
            fn result(&self) -> &$crate::ResultInfo {
                &self.result
            }

            #[allow(clippy::needless_update, reason = "some answers have no other field")]
            fn of(result: $crate::ResultInfo) -> Self {
                Self { result, ..Self::default() }
            }
        }
    )* };
}

/// Declares an API: its name, its default path, what is asked and what is answered.
macro_rules! api {
    ($(#[$about:meta])* $name:ident = $wire:literal at $path:literal: $request:ty => $answer:ty) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl $crate::Api for $name {
            const NAME: &'static str = $wire;
            const PATH: &'static str = $path;
            type Request = $request;
            type Answer = $answer;
        }
    };
}

/// The rule of a field that names none.
macro_rules! rule {
    () => {
        $crate::wire::part::Rule::ANY
    };
    ($rule:expr) => {
        $rule
    };
}

pub(crate) use {answers, api, object, parts, rule, words};

use std::fmt;

use schemars::{Schema, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Map, Value};

/// `payment.mpp.PayRequest`: the same name in two rooms stays two schemas.
pub(crate) fn schema_name(module: &str, name: &str) -> String {
    let room = module.split("::").skip(1).collect::<Vec<_>>().join(".");
    format!("{room}.{name}")
}

/// Collects the schema of an object.
pub(crate) struct ObjectSchema {
    about: &'static str,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl ObjectSchema {
    pub(crate) fn new(about: &'static str) -> Self {
        Self { about, properties: Map::new(), required: Vec::new() }
    }

    pub(crate) fn field(&mut self, name: &'static str, mut schema: Schema, about: &'static str, required: bool) {
        schema.insert("description".to_owned(), about.trim().into());
        self.properties.insert(name.to_owned(), schema.into());
        if required {
            self.required.push(name);
        }
    }

    pub(crate) fn into_schema(self) -> Schema {
        let mut schema = json_schema!({"type": "object", "description": self.about.trim()});
        schema.insert("properties".to_owned(), self.properties.into());
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.into());
        }
        schema
    }
}

/// A field's name, borrowed where the reader has it.
pub(crate) struct Name<'a>(pub(crate) std::borrow::Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(name.to_owned().into()))
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(name.into()))
    }
}
