//! Reading a body, with the place of what is wrong.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::FieldError;

/// Reads a JSON object. Unknown fields are skipped.
///
/// # Errors
/// [`FieldError`] with the path of the first field that cannot be read. It never repeats a value, as
/// serde's own text would.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, FieldError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| explain(&error))?;
    json.end().map_err(|_| FieldError::malformed("body", "one JSON object"))?;
    Ok(value)
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    if !error.inner().is_data() {
        return FieldError::malformed("body", "a JSON object");
    }
    let path: Vec<_> = error.path().iter().filter_map(part).collect();
    let text = error.inner().to_string();
    // The name is ours, from the type; the sender did not write it.
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let path: Vec<_> = path.iter().map(String::as_str).chain([name]).collect();
        return FieldError::missing(&path.join("."));
    }
    match path.is_empty() {
        true => FieldError::malformed("body", "a JSON object"),
        false => FieldError::malformed(&path.join("."), "a value of its type"),
    }
}

fn part(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[allow(dead_code)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        count: u8,
    }

    #[test]
    fn the_place_of_an_error_is_told_and_never_the_value() {
        let cases = [
            (r#"{"inner":[{"count":1},{}]}"#, "inner.1.count is required"),
            (r#"{"inner":[{"count":"4111111111111111"}]}"#, "inner.0.count is not a value of its type"),
            (r#"{}"#, "inner is required"),
            (r#"["secret"]"#, "inner is required"),
            (r#"{"inner":[]} {}"#, "body is not one JSON object"),
            (r#"{"inner""#, "body is not a JSON object"),
            ("", "body is not a JSON object"),
        ];
        for (body, error) in cases {
            assert_eq!(read::<Outer>(body.as_bytes()).unwrap_err().to_string(), error, "{body}");
        }
    }
}
