//! The OpenAPI descriptions of both sides, generated from the types that are read and written.
//!
//! `mpp-server/openapi/` has them as files; a test compares. `mpp-server openapi app` prints one.

mod app;
mod partner;

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

pub use app::app;
pub use partner::partner;

/// The JSON of a type that is written.
const JSON: &str = "application/json";

/// Collects schemas, and names them in `#/components/schemas`.
struct Schemas(SchemaGenerator);

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self(settings.into_generator())
    }

    fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().into()
    }

    /// A JSON body that must be sent.
    fn request<T: JsonSchema>(&mut self) -> Value {
        json!({ "required": true, "content": { JSON: { "schema": self.of::<T>() } } })
    }

    /// A JSON answer.
    fn answer<T: JsonSchema>(&mut self, about: &str) -> Value {
        json!({ "description": about, "content": { JSON: { "schema": self.of::<T>() } } })
    }

    fn finish(mut self) -> Map<String, Value> {
        self.0.take_definitions(true)
    }
}

/// The frame of a description.
fn document(title: &str, about: &str, paths: Map<String, Value>, components: Value) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "description": about,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": components,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(name: &str) -> Value {
        let path = format!("{}/openapi/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn the_committed_descriptions_are_those_of_the_types() {
        for (name, made) in [("app", app()), ("partner", partner())] {
            let fix = format!("cargo run -p mpp-server -- openapi {name} > mpp-server/openapi/{name}.json");
            assert!(made == committed(name), "mpp-server/openapi/{name}.json is old; write it anew: {fix}");
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        for document in [app(), partner()] {
            let text = document.to_string();
            let names = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
            for name in names {
                assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn every_route_of_the_app_is_described() {
        let described = app();
        let described: Vec<_> = described["paths"].as_object().unwrap().keys().collect();
        assert_eq!(described.len(), crate::app::ROUTES.len());
        assert!(crate::app::ROUTES.iter().all(|route| described.iter().any(|path| path == route)));
    }
}
