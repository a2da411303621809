//! Patterns: what a scenario expects of a JSON value.
//!
//! An object matches if each of its keys does; `{"at_least": n}` and `{"at_most": n}` match numbers,
//! `{"ends_with": "..."}` a text; everything else must be equal. What the pattern does not name does not
//! matter.

use serde_json::Value;

/// Where and how `found` differs from `pattern`; `None` if it matches.
#[must_use]
pub fn mismatch(pattern: &Value, found: &Value) -> Option<String> {
    match pattern {
        Value::Object(fields) => {
            if let Some(limit) = fields.get("at_least").and_then(Value::as_f64) {
                return number(found, |n| n >= limit, &format!("at least {limit}"));
            }
            if let Some(limit) = fields.get("at_most").and_then(Value::as_f64) {
                return number(found, |n| n <= limit, &format!("at most {limit}"));
            }
            if let Some(end) = fields.get("ends_with").and_then(Value::as_str) {
                let fits = found.as_str().is_some_and(|text| text.ends_with(end));
                return (!fits).then(|| format!("expected a text that ends with {end}, found {found}"));
            }
            fields.iter().find_map(|(key, pattern)| {
                let value = found.get(key).unwrap_or(&Value::Null);
                mismatch(pattern, value).map(|difference| format!("{key}: {difference}"))
            })
        }
        Value::Array(patterns) => match found.as_array() {
            Some(values) if values.len() == patterns.len() => {
                patterns.iter().zip(values).enumerate().find_map(|(i, (pattern, value))| {
                    mismatch(pattern, value).map(|difference| format!("[{i}] {difference}"))
                })
            }
            _ => Some(format!("expected {} entries, found {found}", patterns.len())),
        },
        _ if pattern == found => None,
        _ => Some(format!("expected {pattern}, found {found}")),
    }
}

fn number(found: &Value, fits: impl Fn(f64) -> bool, wanted: &str) -> Option<String> {
    match found.as_f64() {
        Some(n) if fits(n) => None,
        _ => Some(format!("expected {wanted}, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_named_matters_and_differences_name_their_place() {
        let found = json!({ "status": 2, "page": "Payment", "stock": { "usable": 9 } });
        assert_eq!(mismatch(&json!({ "status": 2 }), &found), None);
        assert_eq!(mismatch(&json!({ "stock": { "usable": { "at_least": 9 } } }), &found), None);
        assert_eq!(
            mismatch(&json!({ "stock": { "usable": { "at_most": 8 } } }), &found).unwrap(),
            "stock: usable: expected at most 8, found 9"
        );
        assert_eq!(mismatch(&json!({ "absent": 1 }), &found).unwrap(), "absent: expected 1, found null");
        assert!(mismatch(&json!([1]), &json!([1, 2])).is_some());
        assert_eq!(mismatch(&json!({ "page": { "ends_with": "ment" } }), &found), None);
        assert!(mismatch(&json!({ "page": { "ends_with": "Pay" } }), &found).is_some());
    }
}
