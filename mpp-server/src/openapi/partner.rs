//! The side of the gateway.

use alipayplus::Api;
use alipayplus::payment::mpp::{AdjustRefund, CancelPayment, InquiryPayment, Pay, Refund};
use serde_json::{Map, Value, json};

use super::{JSON, Schemas, document};

const ABOUT: &str = "For the Alipay+ gateway, on the default paths. Every request and every answer is signed (RSA with \
    SHA-256 over method, path, client id, time and the exact body). Every outcome of business is HTTP 200 with a \
    `result`; so are refusals: INVALID_CLIENT, KEY_NOT_FOUND, INVALID_SIGNATURE, PARAM_ILLEGAL, METHOD_NOT_SUPPORTED, \
    MEDIA_TYPE_NOT_ACCEPTABLE and NO_INTERFACE_DEF.";

/// Its description.
#[must_use]
pub fn partner() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    add::<Pay>(&mut paths, &mut schemas, "Take a payment out of a user's account");
    add::<InquiryPayment>(&mut paths, &mut schemas, "What became of a payment");
    add::<CancelPayment>(&mut paths, &mut schemas, "Undo a payment, whatever became of it");
    add::<Refund>(&mut paths, &mut schemas, "Give a payment back, all of it or a part");
    add::<AdjustRefund>(&mut paths, &mut schemas, "Give money that no payment covers");
    let components = json!({ "schemas": schemas.finish() });
    document("mpp-server, for the gateway", ABOUT, paths, components)
}

fn add<A: Api>(paths: &mut Map<String, Value>, schemas: &mut Schemas, about: &str) {
    let text = || json!({ "type": "string" });
    let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "required": true, "description": about, "schema": text() });
    let answered = |about: &str| json!({ "description": about, "required": true, "schema": text() });
    let operation = json!({
        "operationId": A::NAME,
        "summary": about,
        "parameters": [
            header("Client-Id", "Who calls"),
            header("Request-Time", "When it was signed, ISO 8601"),
            header("Signature", "algorithm=RSA256,keyVersion=1,signature=…"),
        ],
        "requestBody": schemas.request::<A::Request>(),
        "responses": {
            "200": {
                "description": "The outcome, signed",
                "headers": {
                    "client-id": answered("Who asked"),
                    "response-time": answered("When it was signed, ISO 8601"),
                    "signature": answered("algorithm=RSA256,keyVersion=1,signature=…"),
                },
                "content": { JSON: { "schema": schemas.of::<A::Answer>() } },
            },
            "500": { "description": "Nothing can be signed; the outcome is unknown" },
        },
    });
    paths.insert(A::PATH.to_owned(), json!({ "post": operation }));
}
