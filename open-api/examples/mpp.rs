//! A wallet's server: takes payments, and tells what became of them.
//!
//! ```text
//! cargo run -p alipayplus --example mpp
//! cargo run -p alipayplus --example mpp -- --listen 127.0.0.1:8080 --key own.pem --peer-key alipayplus.pem
//! ```
//!
//! Without arguments it draws keys, plays Alipay+ as well, calls itself, and ends. With them it serves.
//! Its book is in memory and knows nobody's balance: a real one is in the crate `mpp-server`.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use alipayplus::client::{CallOptions, Client, RetryPolicy};
use alipayplus::model::{Order, PaymentFactor, PaymentMethod};
use alipayplus::payment::mpp::{
    InquiryPayment, InquiryPaymentAnswer, InquiryPaymentRequest, Pay, PayAnswer, PayRequest,
};
use alipayplus::server::{ApiRouter, Identity, ServerOptions};
use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity, VerifyingKey};
use alipayplus::{Amount, Currency, ResultCode, ResultInfo};
use anyhow::{Context, Result};
use clap::Parser;
use tokio::net::TcpListener;

/// Serves `pay` and `inquiryPayment`.
#[derive(Parser)]
struct Arguments {
    /// Where to listen. Without it, a demonstration.
    #[arg(long, requires_all = ["key", "peer_key"])]
    listen: Option<SocketAddr>,
    /// The client id of the relation between wallet and Alipay+.
    #[arg(long, default_value = "SANDBOX_EXAMPLE")]
    client_id: ClientId,
    /// The wallet's private key, PEM or bare base64.
    #[arg(long)]
    key: Option<PathBuf>,
    /// Alipay+'s public key.
    #[arg(long)]
    peer_key: Option<PathBuf>,
}

/// What was paid, by the id that Alipay+ gave it.
#[derive(Default)]
struct Book {
    payments: Mutex<HashMap<String, PayRequest>>,
}

impl Book {
    /// Once for each id: a repeat is answered like the first, and changes nothing.
    fn pay(&self, request: PayRequest) -> Result<PayAnswer, ResultInfo> {
        let user = request.user().map(str::to_owned).ok_or(ResultCode::UserNotExist)?;
        let mut payments = self.payments.lock().unwrap_or_else(PoisonError::into_inner);
        let id = request.payment_request_id.clone();
        let known = payments.entry(id.clone()).or_insert_with(|| request.clone());
        if known.payment_amount != request.payment_amount || known.pay_to_amount != request.pay_to_amount {
            return Err(ResultCode::RepeatReqInconsistent.into());
        }
        let payment_id = Some(format!("W-{id}"));
        Ok(PayAnswer { result: ResultInfo::success(), payment_id, customer_id: Some(user), ..PayAnswer::default() })
    }

    fn inquire(&self, request: &InquiryPaymentRequest) -> Result<InquiryPaymentAnswer, ResultInfo> {
        let payments = self.payments.lock().unwrap_or_else(PoisonError::into_inner);
        let payment = payments.get(&request.payment_request_id).ok_or(ResultCode::OrderNotExist)?;
        Ok(InquiryPaymentAnswer {
            result: ResultInfo::success(),
            payment_result: Some(ResultInfo::success()),
            payment_id: Some(format!("W-{}", payment.payment_request_id)),
            payment_amount: Some(payment.payment_amount),
            pay_to_amount: Some(payment.pay_to_amount),
            ..InquiryPaymentAnswer::default()
        })
    }
}

fn router(client_id: ClientId, own: SigningKey, peer: VerifyingKey) -> Result<axum::Router> {
    let identity = Identity { client_id: client_id.clone(), keys: SigningKeys::single(1, own) };
    let peers = KeyRing::new().with(client_id, 1, Validity::ALWAYS, peer);
    let book = Arc::new(Book::default());
    let asked = Arc::clone(&book);
    let router = ApiRouter::new(identity, peers, ServerOptions::default())
        .api::<Pay, _, _>(None, move |_, request| std::future::ready(book.pay(request)))
        .api::<InquiryPayment, _, _>(None, move |_, request| std::future::ready(asked.inquire(&request)));
    for api in router.apis() {
        println!("serves {} at {}", api.name, api.path);
    }
    Ok(router.build()?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.listen {
        Some(address) => serve(arguments, address).await,
        None => {
            for line in demonstrate(arguments.client_id).await? {
                println!("{line}");
            }
            Ok(())
        }
    }
}

async fn serve(arguments: Arguments, address: SocketAddr) -> Result<()> {
    let own = SigningKey::from_file(arguments.key.context("--key is missing")?)?;
    let peer = VerifyingKey::from_file(arguments.peer_key.context("--peer-key is missing")?)?;
    let router = router(arguments.client_id, own, peer)?;
    Ok(axum::serve(TcpListener::bind(address).await?, router).await?)
}

/// Both sides: the wallet behind a socket, and Alipay+ in front of it.
async fn demonstrate(client_id: ClientId) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let (wallet, gateway) = (SigningKey::generate()?, SigningKey::generate()?);
    let peers = KeyRing::new().with(client_id.clone(), 1, Validity::ALWAYS, wallet.verifying_key().clone());
    let router = router(client_id.clone(), wallet, gateway.verifying_key().clone())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });

    let client = Client::builder(&base, client_id).signing_key(1, gateway).peer_keys(peers);
    let client = client.retry(RetryPolicy::inquiry()).build()?;
    for request in [payment(350)?, payment(350)?, payment(351)?] {
        let outcome = client.call::<Pay>(&request, CallOptions::default()).await?;
        let answer = outcome.into_final().context("nobody knows what became of it")?;
        told.push(format!("pay {}: {}", request.payment_amount, answer.result));
    }
    let request = InquiryPaymentRequest {
        acquirer_id: "ACQUIRER".to_owned(),
        psp_id: "WALLET".to_owned(),
        payment_request_id: "PAYMENT-1".to_owned(),
    };
    let outcome = client.call::<InquiryPayment>(&request, CallOptions::default()).await?;
    let answer = outcome.into_final().context("nobody knows what became of it")?;
    let payment = answer.payment_result.context("no payment")?;
    told.push(format!("inquiryPayment: {}, and the payment: {payment}", answer.result));
    Ok(told)
}

fn payment(minor: u64) -> Result<PayRequest> {
    let amount = Amount::new(Currency::from_code("EUR").context("EUR is a currency")?, minor);
    Ok(PayRequest {
        acquirer_id: "ACQUIRER".to_owned(),
        psp_id: "WALLET".to_owned(),
        order: Order {
            reference_order_id: "ORDER-1".to_owned(),
            order_description: "Coffee".to_owned(),
            order_amount: amount,
            ..Order::default()
        },
        payment_request_id: "PAYMENT-1".to_owned(),
        payment_amount: amount,
        pay_to_amount: amount,
        payment_method: PaymentMethod { customer_id: Some("ann".to_owned()), ..PaymentMethod::default() },
        payment_factor: PaymentFactor { is_in_store_payment: Some(true), ..PaymentFactor::default() },
        ..PayRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_repeat_is_paid_once_and_another_amount_refused() {
        let told = demonstrate(ClientId::parse("SANDBOX_EXAMPLE").unwrap()).await.unwrap();
        let expected = [
            "pay 3.50 EUR: S SUCCESS",
            "pay 3.50 EUR: S SUCCESS",
            "pay 3.51 EUR: F REPEAT_REQ_INCONSISTENT",
            "inquiryPayment: S SUCCESS, and the payment: S SUCCESS",
        ];
        assert_eq!(told, expected);
    }
}
