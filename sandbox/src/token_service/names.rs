//! Names of operations in a scenario: a misspelt one would plan something that never happens.

use std::collections::BTreeMap;
use std::fmt;

use nfcwallet_core::token_service::operations::Operation;
use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, Error};

/// Stands for every operation that is not named.
pub(super) const ANY: &str = "*";

/// Reads the name of an operation, or [`ANY`].
pub(super) fn operation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check(&name).map(|()| name)
}

/// Reads a value for each name of an operation, or [`ANY`].
pub(super) fn by_operation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let values = BTreeMap::<String, u64>::deserialize(deserializer)?;
    values.keys().try_for_each(|name| check(name)).map(|()| values)
}

fn check<E: Error>(name: &str) -> Result<(), E> {
    let names = operations();
    if name == ANY || names.contains(&name) {
        return Ok(());
    }
    Err(E::custom(format!("unknown operation `{name}`, expected `{ANY}` or one of `{}`", names.join("`, `"))))
}

/// What [`Operation`] calls its variants: it tells when it is asked for one that does not exist.
fn operations() -> &'static [&'static str] {
    let nameless = MapDeserializer::new(std::iter::once(("operation", "")));
    match Operation::deserialize(nameless) {
        Err(Variants(names)) => names,
        Ok(_) => &[],
    }
}

/// An error that keeps the names of the variants, and nothing else.
#[derive(Debug)]
struct Variants(&'static [&'static str]);

impl fmt::Display for Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such variant")
    }
}

impl std::error::Error for Variants {}

impl Error for Variants {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_wire() {
        let names = operations();
        assert_eq!((names.first(), names.last()), (Some(&"apply"), Some(&"acknowledge_inbox")));
        for operation in [Operation::OpenSession {}, Operation::Lock { token_reference: String::new() }] {
            let written = serde_json::to_value(operation).unwrap();
            assert!(names.contains(&written["operation"].as_str().unwrap()), "{written}");
        }
    }
}
