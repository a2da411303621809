//! Each `curl` line of `docs/sandbox.md` is asked by itself, so that its examples stay true wherever there is no
//! shell with jq. Where there is one, `tests/program/pages.rs` runs the whole page in its order.

use serde_json::{Value, json};

use super::tests::{REFERENCE, Wallet, pay, sandbox};
use crate::token_service::{DecisionPolicy, Policy};

const PAGE: &str = include_str!("../../../docs/sandbox.md");
const CONTROL: &str = concat!(include_str!("../control.rs"), include_str!("../control/payments.rs"));

/// The tap that the page's examples are about.
const AUTHORISATION: &str = "tap-of-alice";

/// A `curl` line as a request.
#[derive(Debug, Default, PartialEq)]
struct Line {
    method: Option<String>,
    header: Option<String>,
    json: Option<String>,
    url: String,
}

/// The words of a shell line: quotes are taken off, a pipe or a closing bracket ends it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '|' | ')') => break,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, letter) => word.push(letter),
        }
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

fn parse(line: &str) -> Line {
    let mut parsed = Line::default();
    let mut words = words(line).into_iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" => {}
            "-X" => parsed.method = words.next(),
            "-H" => parsed.header = words.next(),
            "--json" => parsed.json = words.next(),
            _ => parsed.url = word,
        }
    }
    parsed
}

fn curl_lines() -> impl Iterator<Item = &'static str> {
    let shell = PAGE.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    shell.flat_map(str::lines).filter_map(|line| line.find("curl ").and_then(|start| line.get(start..)))
}

#[test]
fn a_curl_line_is_read_as_a_shell_reads_it() {
    let line = parse(r#"curl -s -X PUT -H "A: $B" --json '{"a":"b c"}' $CONTROL/x | jq ."#);
    let expected = Line {
        method: Some("PUT".to_owned()),
        header: Some("A: $B".to_owned()),
        json: Some(r#"{"a":"b c"}"#.to_owned()),
        url: "$CONTROL/x".to_owned(),
    };
    assert_eq!(line, expected);
}

#[tokio::test]
async fn every_curl_line_of_the_page_works() {
    let sandbox = sandbox();
    let token = Wallet::on(&sandbox, 1, "alice").activate().await;
    sandbox.service().set_policy(Policy { decision: DecisionPolicy::StepUp, ..Policy::default() });
    Wallet::on(&sandbox, 2, "bob").apply().await;
    pay(&sandbox, "alice", AUTHORISATION).await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut login = String::new();
    let mut run = 0;
    for line in curl_lines() {
        let filled = line
            .replace("$MPP", &format!("http://{}", sandbox.addresses().mpp))
            .replace("$CONTROL", &format!("http://{}", sandbox.addresses().control))
            .replace("$OPS", &format!("http://{}", sandbox.addresses().ops))
            .replace("$AUTHORISATION", AUTHORISATION)
            .replace("$REFERENCE", &hex::encode_upper(REFERENCE))
            .replace("$TOKEN", &token)
            .replace("$LOGIN", &login);
        let parsed = parse(&filled);
        let default = if parsed.json.is_some() { "POST" } else { "GET" };
        let method = parsed.method.as_deref().unwrap_or(default).parse().unwrap();
        let mut request = client.request(method, &parsed.url);
        if let Some((name, value)) = parsed.header.as_deref().and_then(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        if let Some(body) = parsed.json {
            request = request.json(&serde_json::from_str::<Value>(&body).unwrap());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or(json!(null));
        assert!(status.is_success(), "{line}: {status} {answer}");
        if let Some(token) = answer["token"].as_str() {
            login = token.to_owned();
        }
        run += 1;
    }
    assert!(run > 20, "{run} lines");
}

#[test]
fn the_page_shows_every_route() {
    let routes = CONTROL.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    for route in routes {
        let parts: Vec<_> = route.split('/').map(|part| if part.starts_with('{') { "" } else { part }).collect();
        let shown = curl_lines().any(|line| {
            let url = parse(line).url.replace("$CONTROL", "");
            let url: Vec<_> = url.split('?').next().unwrap().split('/').collect();
            url.len() == parts.len() && url.iter().zip(&parts).all(|(shown, part)| part.is_empty() || shown == part)
        });
        assert!(shown, "{route}");
    }
}
