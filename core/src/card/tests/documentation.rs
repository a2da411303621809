//! `docs/profile.md` tells the truth.

use serde_json::Value;

use super::*;
use crate::card::profile::Profile;

const PAGE: &str = include_str!("../../../../docs/profile.md");

/// January 2026.
const NOW_MS: i64 = 1_768_000_000_000;

fn example() -> Value {
    let (_, rest) = PAGE.split_once("```json\n").unwrap();
    serde_json::from_str(rest.split_once("```").unwrap().0).unwrap()
}

fn admit(profile: Value) -> Result<Card, String> {
    let profile: Profile = serde_json::from_value(profile).map_err(|error| error.to_string())?;
    Card::admit(&profile, NOW_MS).map_err(|error| error.to_string())
}

/// Field, new value and refusal of each row.
fn refusals() -> Vec<[&'static str; 3]> {
    let cells = |line: &'static str| -> Option<[&'static str; 3]> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", pointer, value, refusal, ""] = &cells[..] else { return None };
        pointer.starts_with("`/").then_some([pointer, value, refusal].map(|cell| cell.trim_matches('`')))
    };
    PAGE.lines().filter_map(cells).collect()
}

#[test]
fn the_example_is_admitted_and_shows_every_field() {
    let profile: Profile = serde_json::from_value(example()).unwrap();
    assert!(admit(example()).is_ok());
    // What a field of its own would add or lose on the way through the types is not in the example.
    assert_eq!(serde_json::to_value(&profile).unwrap(), example());
    let absent = ["relay_resistance", "always_cdcvm"];
    let mut names = Vec::new();
    collect_names(&example(), &mut names);
    for name in names.iter().map(String::as_str).chain(absent) {
        assert!(PAGE.contains(&format!("`{name}`")), "the page does not explain {name}");
    }
}

fn collect_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            names.push(name.clone());
            collect_names(value, names);
        }),
        Value::Array(values) => values.iter().for_each(|value| collect_names(value, names)),
        _ => {}
    }
}

#[test]
fn each_change_is_refused_in_the_words_of_the_page() {
    let rows = refusals();
    assert!(rows.len() > 20, "{}", rows.len());
    for [pointer, value, refusal] in rows {
        let mut profile = example();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let fields = profile.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        fields.insert(name.to_owned(), serde_json::from_str(value).unwrap());
        assert_eq!(admit(profile).err().as_deref(), Some(refusal), "{pointer}");
    }
}
