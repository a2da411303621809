//! What the provider's server adds to a wallet's request on its way to the gateway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use alipayplus::client::{CallOptions, Client, Outcome};
use alipayplus::mobile::{SdkProxy, SdkProxyRequest};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::http::{Connection, Post};
use super::party::{Party, user};
use crate::{Row, Samples};

/// What it may add to half of the requests.
const BAR: Duration = Duration::from_millis(1);
/// Characters of what a wallet writes when it asks for new credentials.
const BODY: usize = 2_000;

/// Sends the same request in turns to the gateway itself, signed, and to the server at `app`, which knows
/// the user by a session and signs.
///
/// # Errors
/// If a request is not answered with what was sent: that is what the gateway does.
pub async fn rows(app: SocketAddr, gateway: SocketAddr, party: &Party, runs: usize) -> Result<Vec<Row>> {
    let text = "c2VhbGVk".repeat(BODY / 8);
    let client = Client::builder(&format!("http://{gateway}"), party.client_id.clone())
        .signing_key(1, party.signing()?)
        .peer_keys(party.ring()?)
        .build()?;
    let direct = SdkProxyRequest {
        sdk_request_header: "SYNC_TOKEN".to_owned(),
        sdk_request_body: Some(text.clone()),
        customer_id: user(0),
    };
    let mut phone = Connection::open(app).await?;
    let relayed = relay(&log_in(&mut phone).await?, &text);
    let (mut alone, mut through) = (Vec::new(), Vec::new());
    for run in 0..runs + runs / 10 {
        let begun = Instant::now();
        let outcome = client.call::<SdkProxy>(&direct, CallOptions::default()).await?;
        let took_alone = begun.elapsed();
        let Outcome::Final(answer) = outcome else { bail!("the gateway gave no final answer") };
        ensure!(answer.sdk_response.as_deref() == Some(&text), "the gateway answered something else");
        let begun = Instant::now();
        let answer = phone.ask(&relayed).await?;
        let took_through = begun.elapsed();
        ensure!(answer.status == 200 && answer.body == text.as_bytes(), "the relay answered {}", answer.status);
        if run >= runs / 10 {
            alone.push(took_alone);
            through.push(took_through);
        }
    }
    let (alone, through) = (Samples::new(alone)?, Samples::new(through)?);
    Ok(vec![
        Row::of("reference: sdkProxy called directly, signed both ways", &alone),
        Row::of("the same through POST /wallet/relay", &through).at_most_above(through.p50(), alone.p50(), BAR),
    ])
}

async fn log_in(phone: &mut Connection) -> Result<String> {
    let answer = phone.ask(&Post::new("/login", &[], json!({ "user": user(0) }).to_string().as_bytes())).await?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    body.get("token").and_then(Value::as_str).map(str::to_owned).context("the login was refused")
}

fn relay(token: &str, text: &str) -> Post {
    let body = json!({ "type": "SYNC_TOKEN", "body": text }).to_string();
    Post::new("/wallet/relay", &[("authorization", &format!("Bearer {token}"))], body.as_bytes())
}
