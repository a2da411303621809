//! Which scenario provokes a failure, by what the files of `tests/scenarios` expect.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Failures have codes from here on; 10000 is a success.
const CODES: RangeInclusive<u64> = 10_001..=19_999;

/// For each code the shortest story in which it comes.
#[derive(Debug, Default)]
pub(crate) struct Stories {
    calls: BTreeMap<u32, String>,
    taps: BTreeMap<u32, String>,
}

impl Stories {
    /// Reads every scenario of a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|extension| extension == "json") {
                files.push((name, fs::read_to_string(&path)?));
            }
        }
        files.sort_by_key(|(name, text)| (text.len(), name.clone()));
        let mut stories = Self::default();
        for (name, text) in files {
            let scenario = serde_json::from_str(&text).with_context(|| format!("{name} is no scenario"))?;
            stories.add(&name, &scenario);
        }
        Ok(stories)
    }

    /// In which a call fails so.
    pub(crate) fn of_call(&self, code: u32) -> Option<&str> {
        self.calls.get(&code).map(String::as_str)
    }

    /// In which a tap fails with one of these codes.
    pub(crate) fn of_tap(&self, codes: RangeInclusive<u32>) -> Option<&str> {
        self.taps.range(codes).next().map(|(_, name)| name.as_str())
    }

    fn add(&mut self, name: &str, scenario: &Value) {
        let none = Value::Null;
        let variants = scenario.get("variants").unwrap_or(&none);
        self.search(name, scenario.get("steps").unwrap_or(&none), variants);
    }

    fn search(&mut self, name: &str, value: &Value, variants: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.search(name, item, variants)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    let found = match key.as_str() {
                        "error" | "service" | "recovered_from" => &mut self.calls,
                        "code" => &mut self.taps,
                        _ => {
                            self.search(name, value, variants);
                            continue;
                        }
                    };
                    for code in codes(value, variants) {
                        found.entry(code).or_insert_with(|| name.to_owned());
                    }
                    // A field of this name may hold more, such as the state of the service.
                    self.search(name, value, variants);
                }
            }
            _ => {}
        }
    }
}

/// A number, or those that the variants have for `$key`.
fn codes(value: &Value, variants: &Value) -> Vec<u32> {
    let values: Vec<&Value> = match value.as_str().and_then(|text| text.strip_prefix('$')) {
        Some(key) => variants.as_array().into_iter().flatten().filter_map(|variant| variant.get(key)).collect(),
        None => vec![value],
    };
    let numbers = values.into_iter().filter_map(Value::as_u64).filter(|number| CODES.contains(number));
    numbers.filter_map(|number| u32::try_from(number).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_codes_of_calls_and_taps_are_found_also_in_variants() {
        let mut stories = Stories::default();
        stories.add(
            "first",
            &json!({
                "variants": [{"code": 19011}, {"code": 10003}],
                "steps": [
                    {"call": {"call": "connect"}, "expect": {"service": 10005}},
                    {"tap": {"amount": "1.00"}, "expect": {"code": "$code"}},
                    {"tap": {"amount": "1.00"}, "expect": {"code": 10000}},
                    {"control": {"path": "refusals", "body": {"error": "declined"}}},
                ]
            }),
        );
        stories.add("second", &json!({"steps": [{"call": {"call": "sync"}, "expect": {"error": 10005}}]}));
        assert_eq!((stories.of_call(10_005), stories.of_call(10_003)), (Some("first"), None));
        assert_eq!(stories.of_tap(19_011..=19_014), Some("first"));
        assert_eq!(stories.of_tap(10_000..=10_000), None);
    }
}
