//! An acquirer: asks for a payment, and asks again until it knows what became of it.
//!
//! ```text
//! cargo run -p alipayplus --example acquirer
//! ```
//!
//! It plays Alipay+ as well, on loopback: a gateway that is slow to know, as gateways are. Look at
//! `buy` for what an acquirer has to write.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alipayplus::client::{CallOptions, Client, Outcome, RetryPolicy};
use alipayplus::model::{InStorePaymentScenario, Order, PaymentFactor, PaymentMethod};
use alipayplus::payment::acquirer::{
    CancelPayment, CancelPaymentAnswer, CancelPaymentRequest, InquiryPayment, InquiryPaymentAnswer,
    InquiryPaymentRequest, Pay, PayAnswer, PayRequest,
};
use alipayplus::server::{ApiRouter, Identity, ServerOptions};
use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity, VerifyingKey};
use alipayplus::{Amount, Answer, Currency, ResultCode, ResultInfo};
use anyhow::{Context, Result};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    for (id, is_paid) in demonstrate().await? {
        println!("{id}: {}", if is_paid { "hand over the goods" } else { "not paid, and it never will be" });
    }
    Ok(())
}

/// Buys twice: which payments were made.
async fn demonstrate() -> Result<Vec<(&'static str, bool)>> {
    let client_id = ClientId::parse("SANDBOX_ACQUIRER")?;
    let (own, gateway) = (SigningKey::generate()?, SigningKey::generate()?);
    let peers = KeyRing::new().with(client_id.clone(), 1, Validity::ALWAYS, gateway.verifying_key().clone());
    let base = start_gateway(client_id.clone(), gateway, own.verifying_key().clone()).await?;

    let client = Client::builder(&base, client_id).signing_key(1, own).peer_keys(peers).build()?;
    let mut bought = Vec::new();
    for (id, code) in [("PAYMENT-1", "281000000000000001"), ("PAYMENT-2", "281000000000000002")] {
        bought.push((id, buy(&client, id, code).await?));
    }
    Ok(bought)
}

/// Whether it is paid. If it comes back, it is certain.
async fn buy(client: &Client, id: &str, code: &str) -> Result<bool> {
    match client.call::<Pay>(&payment(id, code)?, CallOptions::default()).await? {
        Outcome::Final(answer) => return Ok(answer.result.is_success()),
        Outcome::Unknown(unknown) => println!("{id}: {}", unknown.last),
    }
    // A verified answer to the question may say that the payment is still in process: ask again then too.
    for _ in 0..3 {
        let request =
            InquiryPaymentRequest { payment_request_id: Some(id.to_owned()), ..InquiryPaymentRequest::default() };
        let outcome = client.call::<InquiryPayment>(&request, CallOptions::default()).await?;
        let payment = outcome.into_final().and_then(|answer| answer.payment_result);
        if let Some(payment) = payment.filter(|payment| payment.result_status.is_final()) {
            return Ok(payment.is_success());
        }
        println!("{id}: still in process");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Only a cancel that succeeded makes it certain that nothing will be paid.
    let request = CancelPaymentRequest { payment_request_id: Some(id.to_owned()), ..CancelPaymentRequest::default() };
    let options = CallOptions { retry: Some(RetryPolicy::cancel()), ..CallOptions::default() };
    let outcome = client.call::<CancelPayment>(&request, options).await?;
    let answer = outcome.into_final().context("not cancelled: somebody has to look after it")?;
    anyhow::ensure!(answer.result.is_success(), "not cancelled ({}): refund it if it was paid", answer.result);
    Ok(false)
}

fn payment(id: &str, code: &str) -> Result<PayRequest> {
    let amount = Amount::new(Currency::from_code("JPY").context("JPY is a currency")?, 350);
    Ok(PayRequest {
        order: Order {
            reference_order_id: format!("ORDER-OF-{id}"),
            order_description: "Coffee".to_owned(),
            order_amount: amount,
            ..Order::default()
        },
        payment_request_id: id.to_owned(),
        payment_amount: amount,
        payment_method: Some(PaymentMethod {
            payment_method_type: Some("CONNECT_WALLET".to_owned()),
            payment_method_id: Some(code.to_owned()),
            ..PaymentMethod::default()
        }),
        payment_factor: PaymentFactor {
            is_in_store_payment: Some(true),
            in_store_payment_scenario: Some(InStorePaymentScenario::PaymentCode),
            ..PaymentFactor::default()
        },
        ..PayRequest::default()
    })
}

/// Knows nothing when it is asked to pay. Of the first payment it hears later that it was paid.
async fn start_gateway(client_id: ClientId, own: SigningKey, acquirer: VerifyingKey) -> Result<String> {
    let identity = Identity { client_id: client_id.clone(), keys: SigningKeys::single(1, own) };
    let peers = KeyRing::new().with(client_id, 1, Validity::ALWAYS, acquirer);
    let asked = AtomicU32::new(0);
    let router = ApiRouter::new(identity, peers, ServerOptions::default())
        .api::<Pay, _, _>(None, |_, _| async { Ok(PayAnswer::of(ResultCode::PaymentInProcess.into())) })
        .api::<InquiryPayment, _, _>(None, move |_, request| {
            let is_paid = request.payment_request_id.as_deref() == Some("PAYMENT-1");
            let knows = is_paid && asked.fetch_add(1, Ordering::SeqCst) > 0;
            let result = if knows { ResultCode::Success } else { ResultCode::PaymentInProcess };
            let payment_result = Some(result.into());
            let answer = InquiryPaymentAnswer { payment_result, ..InquiryPaymentAnswer::of(ResultInfo::success()) };
            async { Ok(answer) }
        })
        .api::<CancelPayment, _, _>(None, |_, _| async { Ok(CancelPaymentAnswer::of(ResultInfo::success())) });
    let router: axum::Router = router.build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(base)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn only_what_was_paid_is_handed_over() {
        assert_eq!(super::demonstrate().await.unwrap(), [("PAYMENT-1", true), ("PAYMENT-2", false)]);
    }
}
