//! Errors with their causes.
//!
//! One convention: an error of this crate that has a source does not say it too, so whoever tells both says
//! each once. SQLite's errors say their own source; they are kept as text.

use std::error::Error;

/// `error` and its sources, outermost first: `the servers did not start: port 80 on 127.0.0.1: in use`. What an
/// error of another crate says of its source is not said again.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source()).fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            _ if told.contains(&cause) => told,
            _ => format!("{told}: {cause}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use alipayplus::model::quote::ConversionError;
    use alipayplus::signature::KeyError;
    use alipayplus::{FieldError, FieldProblem};

    use super::*;
    use crate::control::DeskError;
    use crate::gateway::GatewayError;
    use crate::gateway::http::{GatewayServerError, KeysError, LineError};
    use crate::issuer::IssuerError;
    use crate::phone::PhoneError;
    use crate::servers::SandboxError;
    use crate::token_service::StoreError;
    use crate::vpcd::SlotError;

    /// SQLite's refusal to open a folder as a file: its text, which also tells of its source.
    fn no_database() -> rusqlite::Error {
        rusqlite::Connection::open(std::env::temp_dir()).unwrap_err()
    }

    fn no_json() -> serde_json::Error {
        serde_json::from_str::<u8>("").unwrap_err()
    }

    fn no_space() -> io::Error {
        io::Error::other("no space")
    }

    fn no_field() -> FieldError {
        FieldError { path: "order".to_owned(), problem: FieldProblem::Missing }
    }

    /// Every error of the crate that has a cause.
    fn errors() -> Vec<(Box<dyn Error>, &'static str)> {
        let database = "unable to open database file";
        let key = || KeysError::from(KeyError::Empty);
        let io = || SandboxError::Io { what: "a folder".to_owned(), source: no_space() };
        vec![
            (Box::new(io()), "no space"),
            (Box::new(SandboxError::from(IssuerError::OtherSeed)), "another seed"),
            (Box::new(SandboxError::from(StoreError::from(no_database()))), database),
            (Box::new(SandboxError::from(IssuerError::from(no_database()))), database),
            (Box::new(SandboxError::from(GatewayError::from(no_database()))), database),
            (Box::new(SandboxError::from(GatewayServerError::from(key()))), "the key is empty"),
            (Box::new(SandboxError::from(LineError::from(key()))), "the key is empty"),
            (Box::new(GatewayError::from(no_json())), "EOF while parsing"),
            (Box::new(GatewayError::from(no_field())), "is required"),
            (Box::new(DeskError::from(GatewayError::from(ConversionError::TooLarge))), "too large"),
            (Box::new(PhoneError::from(no_space())), "no space"),
            (Box::new(SlotError::<String>::from(no_space())), "no space"),
        ]
    }

    #[test]
    fn an_error_with_a_source_does_not_say_it() {
        for (error, cause) in errors() {
            let mut next: Option<&dyn Error> = Some(error.as_ref());
            while let Some((error, source)) = next.and_then(|error| Some((error, error.source()?))) {
                assert!(!error.to_string().contains(&source.to_string()), "{error}");
                next = Some(source);
            }
            let told = with_causes(error.as_ref());
            assert_eq!(told.matches(cause).count(), 1, "{told}");
        }
    }

    #[test]
    fn what_another_crate_says_of_its_source_is_said_once() {
        let error = anyhow::Error::new(no_space()).context("a.db: no space").context("the servers did not start");
        assert_eq!(with_causes(error.as_ref()), "the servers did not start: a.db: no space");
    }
}
