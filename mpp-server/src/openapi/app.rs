//! The side of the provider's app.

use serde_json::{Map, Value, json};

use super::{Schemas, document};
use crate::app::answer::ErrorBody;
use crate::app::login::{LoginAnswer, LoginRequest};
use crate::app::payments::{BalanceAnswer, HistoryAnswer, PaymentAnswer, ServiceAnswer};
use crate::app::relay::RelayRequest;

const ABOUT: &str = "For the payment provider's own app. Log in, then send the token as a bearer token. Amounts are \
    in the smallest unit of their currency, as texts; times are ISO 8601 in UTC. Every answer that is not a success \
    is {\"error\", \"code\"}.";

/// Its description.
#[must_use]
pub fn app() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    let mut add = |path: &str, method: &str, operation: Value| {
        paths.insert(path.to_owned(), json!({ method: operation }));
    };

    let mut login = operation(&mut schemas, "login", "Log in", Access::Everybody, &[400, 401, 413]);
    put(&mut login, "requestBody", schemas.request::<LoginRequest>());
    succeed(&mut login, schemas.answer::<LoginAnswer>("A session"));
    add("/login", "post", login);

    let mut logout = operation(&mut schemas, "logout", "End this session", Access::Session, &[]);
    let nothing =
        json!({ "description": "It is over", "content": { "application/json": { "schema": { "type": "object" } } } });
    succeed(&mut logout, nothing);
    add("/logout", "post", logout);

    let about = "Pass on what the wallet wrote";
    let mut relay = operation(&mut schemas, "relay", about, Access::Session, &[400, 413, 502, 504]);
    put(&mut relay, "requestBody", schemas.request::<RelayRequest>());
    let bytes = json!({
        "description": "What the token service wrote, byte for byte",
        "content": { "application/octet-stream": { "schema": {} } },
    });
    succeed(&mut relay, bytes);
    add("/wallet/relay", "post", relay);

    let mut balance = operation(&mut schemas, "balance", "What is on the account", Access::Session, &[]);
    succeed(&mut balance, schemas.answer::<BalanceAnswer>("The balance"));
    add("/balance", "get", balance);

    let mut service = operation(&mut schemas, "service", "Whether the phone can pay", Access::Session, &[]);
    succeed(&mut service, schemas.answer::<ServiceAnswer>("Whether, and why not"));
    add("/service", "get", service);

    let about = "Payments and refunds, newest first";
    let mut history = operation(&mut schemas, "history", about, Access::Session, &[400, 404]);
    let parameters = json!([
        parameter(
            "limit",
            "query",
            false,
            "How many",
            json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 20 })
        ),
        parameter("before", "query", false, "`next` of the page before", json!({ "type": "string" })),
    ]);
    put(&mut history, "parameters", parameters);
    succeed(&mut history, schemas.answer::<HistoryAnswer>("A page"));
    add("/payments", "get", history);

    let mut by_id = operation(&mut schemas, "payment", "One payment", Access::Session, &[404]);
    put(&mut by_id, "parameters", json!([parameter("id", "path", true, "`payment_id`", json!({ "type": "string" }))]));
    succeed(&mut by_id, schemas.answer::<PaymentAnswer>("The payment, with its refunds"));
    add("/payments/{id}", "get", by_id);

    let about = "The payment of one tap";
    let mut by_reference = operation(&mut schemas, "paymentByReference", about, Access::Session, &[400, 404]);
    let reference = json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{16}$" });
    let parameters = json!([parameter("reference", "path", true, "The tap's reference: 16 hex digits", reference)]);
    put(&mut by_reference, "parameters", parameters);
    succeed(&mut by_reference, schemas.answer::<PaymentAnswer>("The payment, with its refunds"));
    add("/payments/by-reference/{reference}", "get", by_reference);

    let components = json!({
        "schemas": schemas.finish(),
        "securitySchemes": { "session": { "type": "http", "scheme": "bearer" } },
    });
    document("mpp-server, for the app", ABOUT, paths, components)
}

enum Access {
    Everybody,
    Session,
}

/// An operation with its errors: those named, and those that every call may have.
fn operation(schemas: &mut Schemas, id: &str, about: &str, access: Access, errors: &[u16]) -> Value {
    let session = matches!(access, Access::Session).then_some(401);
    let mut responses = Map::new();
    for status in errors.iter().copied().chain(session).chain([500, 503]) {
        responses.insert(status.to_string(), schemas.answer::<ErrorBody>(meaning(status)));
    }
    let security = match access {
        Access::Everybody => json!([]),
        Access::Session => json!([{ "session": [] }]),
    };
    json!({ "operationId": id, "summary": about, "security": security, "responses": responses })
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A field is wrong",
        401 => "Not logged in, or the login is refused",
        404 => "No payment of this user has this name, or no page begins there",
        413 => "The body is too long",
        502 => "The gateway refused, or cannot be reached",
        503 => "Nothing happened; try again",
        504 => "Nobody knows whether it happened: the gateway did not answer in time",
        _ => "The server failed",
    }
}

fn succeed(operation: &mut Value, answer: Value) {
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.insert("200".to_owned(), answer);
    }
}

fn put(operation: &mut Value, name: &str, value: Value) {
    if let Some(fields) = operation.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn parameter(name: &str, place: &str, required: bool, about: &str, schema: Value) -> Value {
    json!({ "name": name, "in": place, "required": required, "description": about, "schema": schema })
}
