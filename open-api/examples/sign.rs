//! Signs and verifies on the command line, to find the step in which two sides differ.
//!
//! ```text
//! cargo run -p alipayplus --example sign
//! cargo run -p alipayplus --example sign -- sign --key own.pem --path /aps/api/v1/payments/pay \
//!     --client-id SANDBOX_EXAMPLE --time 2025-02-20T08:51:49Z < body.json
//! cargo run -p alipayplus --example sign -- verify --key peer_public.pem --path ... --client-id ... \
//!     --time ... --signature 'algorithm=RSA256,keyVersion=1,signature=...' < body.json
//! cargo run -p alipayplus --example sign -- content --path ... --client-id ... --time ... < body.json |
//!     openssl dgst -sha256 -sign own.pem | openssl base64 -A
//! ```
//!
//! Without arguments it draws a key, signs a body, and verifies it. The body is read byte for byte: a line
//! feed at the end of a file counts.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::io::{Read, Write};
use std::path::PathBuf;

use alipayplus::clock;
use alipayplus::signature::{SignatureHeader, SignedContent, SigningKey, VerifyingKey};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Signs and verifies bodies.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the value of the `Signature` header.
    Sign {
        /// A private key, PEM or bare base64.
        #[arg(long)]
        key: PathBuf,
        /// The version to name.
        #[arg(long, default_value_t = 1)]
        version: u32,
        #[command(flatten)]
        parts: Parts,
    },
    /// Says whether a signature is that of the body, by its exit status too.
    Verify {
        /// A public key, PEM or bare base64.
        #[arg(long)]
        key: PathBuf,
        /// The value of the `Signature` header.
        #[arg(long)]
        signature: String,
        #[command(flatten)]
        parts: Parts,
    },
    /// Prints what is signed, byte for byte.
    Content {
        #[command(flatten)]
        parts: Parts,
    },
}

/// What is signed beside the body, which comes from standard input.
#[derive(Args)]
struct Parts {
    /// Path and query.
    #[arg(long)]
    path: String,
    /// The value of `Client-Id`.
    #[arg(long)]
    client_id: String,
    /// The value of `Request-Time` or `Response-Time`.
    #[arg(long)]
    time: String,
}

impl Parts {
    fn with<'a>(&'a self, body: &'a [u8]) -> SignedContent<'a> {
        SignedContent { uri: &self.path, client_id: &self.client_id, time: &self.time, body }
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Some(Command::Sign { key, version, parts }) => {
            let signature = SigningKey::from_file(key)?.sign(&parts.with(&read_body()?))?;
            println!("{}", SignatureHeader::new(version, signature));
        }
        Some(Command::Verify { key, signature, parts }) => {
            let header = SignatureHeader::parse(signature.as_bytes())?;
            VerifyingKey::from_file(key)?.verify(&parts.with(&read_body()?), header.signature())?;
            println!("verified, with key version {}", header.key_version());
        }
        Some(Command::Content { parts }) => std::io::stdout().write_all(&parts.with(&read_body()?).to_bytes())?,
        None => println!("{}", demonstrate()?),
    }
    Ok(())
}

fn read_body() -> Result<Vec<u8>> {
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    Ok(body)
}

fn demonstrate() -> Result<String> {
    let key = SigningKey::generate()?;
    let time = clock::to_header(1_740_041_509_090);
    let parts = Parts { path: "/aps/api/v1/payments/pay".to_owned(), client_id: "SANDBOX_EXAMPLE".to_owned(), time };
    let content = parts.with(br#"{"paymentRequestId":"PAYMENT-1"}"#);
    let header = SignatureHeader::new(1, key.sign(&content)?);
    key.verifying_key().verify(&content, header.signature())?;
    let changed = parts.with(br#"{"paymentRequestId":"PAYMENT-2"}"#);
    let refused = match key.verifying_key().verify(&changed, header.signature()) {
        Ok(()) => anyhow::bail!("a changed body verifies"),
        Err(error) => error,
    };
    Ok(format!(
        "What is signed:\n{}\n\nSignature: {header}\n\nThe key to verify it with:\n{}\n\
         It verifies. With one digit of the body changed: {refused}.",
        String::from_utf8_lossy(&content.to_bytes()),
        key.verifying_key().to_pem(),
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_shows_what_is_signed() {
        let told = super::demonstrate().unwrap();
        assert!(told.contains("pay\nSANDBOX_EXAMPLE.2025-02-20T08:51:49.09Z.{\"paymentRequestId\":\"PAYMENT-1\"}\n"));
        assert!(told.ends_with("the signature does not verify."));
    }
}
