//! Names of others for fields of ours.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Json, with_path};
use crate::{FieldError, Message};

/// What the other side calls fields whose names no page states. Only names of a message's own fields change,
/// not those of objects in them. Errors name fields as we do. The default changes nothing.
///
/// ```
/// use alipayplus::mobile::SdkProxyRequest;
/// use alipayplus::wire::Names;
///
/// let names = Names::default().with("sdkRequestBody", "payload").with("customerId", "userId");
/// let request: SdkProxyRequest = names.parse(br#"{"sdkRequestHeader":"h","payload":"b","userId":"ann"}"#)?;
/// assert_eq!(request.sdk_request_body.as_deref(), Some("b"));
/// assert_eq!(names.to_bytes(&request)?, br#"{"payload":"b","sdkRequestHeader":"h","userId":"ann"}"#);
/// # Ok::<(), alipayplus::FieldError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    theirs: BTreeMap<String, String>,
}

impl Names {
    /// What we call `ours` is `theirs` on the wire. No two fields of a message may get the same name.
    #[must_use]
    pub fn with(mut self, ours: &str, theirs: &str) -> Self {
        if ours != theirs {
            self.theirs.insert(ours.to_owned(), theirs.to_owned());
        }
        self
    }

    /// As [`super::to_bytes`], under their names.
    ///
    /// # Errors
    /// As there.
    pub fn to_bytes<M: Message>(&self, message: &M) -> Result<Vec<u8>, FieldError> {
        if self.theirs.is_empty() {
            return super::to_bytes(message);
        }
        message.check().map_err(with_path)?;
        let unwritten = || FieldError::malformed("body", "a message that can be written");
        let Ok(Value::Object(fields)) = serde_json::to_value(message) else { return Err(unwritten()) };
        let renamed = |(name, value)| (self.theirs.get(&name).cloned().unwrap_or(name), value);
        let fields: Map<String, Value> = fields.into_iter().map(renamed).collect();
        serde_json::to_vec(&fields).map_err(|_| unwritten())
    }

    /// As [`super::parse`], of a message under their names. Ours mean nothing then.
    ///
    /// # Errors
    /// As there.
    pub fn parse<M: Message>(&self, bytes: &[u8]) -> Result<M, FieldError> {
        super::read(&self.in_ours(Json::parse(bytes)?))
    }

    fn in_ours<'a>(&'a self, json: Json<'a>) -> Json<'a> {
        let Json::Object(mut fields) = json else { return json };
        // All are taken out before the first is put back: one of theirs can be another one of ours.
        let taken: Vec<_> = self.theirs.iter().map(|(ours, theirs)| (ours, fields.remove(theirs.as_str()))).collect();
        for (ours, value) in taken {
            match value {
                Some(value) => fields.insert(ours.into(), value),
                None => fields.remove(ours.as_str()),
            };
        }
        Json::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mobile::{SdkProxyAnswer, SdkProxyRequest};
    use crate::wire;

    fn request() -> SdkProxyRequest {
        SdkProxyRequest {
            sdk_request_header: "h".to_owned(),
            sdk_request_body: Some("b".to_owned()),
            customer_id: "ann".to_owned(),
        }
    }

    #[test]
    fn without_names_nothing_changes() {
        let names = Names::default().with("customerId", "customerId");
        assert_eq!(names, Names::default());
        let bytes = wire::to_bytes(&request()).unwrap();
        assert_eq!(names.to_bytes(&request()), Ok(bytes.clone()));
        assert_eq!(names.parse(&bytes), Ok(request()));
    }

    #[test]
    fn a_message_under_other_names_comes_back_also_if_they_change_places() {
        for (body, user) in [("payload", "userId"), ("customerId", "sdkRequestBody")] {
            let names = Names::default().with("sdkRequestBody", body).with("customerId", user);
            let bytes = names.to_bytes(&request()).unwrap();
            let json = Json::parse(&bytes).unwrap();
            assert_eq!(
                (json.at(body).and_then(Json::text), json.at(user).and_then(Json::text)),
                (Some("b"), Some("ann"))
            );
            assert_eq!(names.parse(&bytes), Ok(request()));
        }
    }

    #[test]
    fn a_field_under_our_name_is_another_field() {
        let names = Names::default().with("sdkResponse", "data");
        let read = |body: &str| {
            let body = format!(r#"{{"result":{{"resultCode":"SUCCESS","resultStatus":"S"}},{body}}}"#);
            names.parse::<SdkProxyAnswer>(body.as_bytes()).map(|answer| answer.sdk_response)
        };
        assert_eq!(read(r#""data":"x","sdkResponse":7"#), Ok(Some("x".to_owned())));
        assert_eq!(read(r#""sdkResponse":"x""#), Ok(None));
        assert_eq!(read(r#""data":7"#), Err(FieldError::malformed("sdkResponse", "a text")));
    }

    #[test]
    fn rules_are_kept_under_every_name() {
        let names = Names::default().with("customerId", "userId");
        let nobody = SdkProxyRequest { customer_id: String::new(), ..request() };
        assert_eq!(names.to_bytes(&nobody), Err(FieldError::missing("customerId")));
        assert_eq!(names.parse::<SdkProxyRequest>(b"[]"), Err(FieldError::malformed("body", "an object")));
    }
}
