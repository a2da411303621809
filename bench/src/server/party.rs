//! The one key that both sides have here, and what is signed with it before the clock starts.

use std::path::Path;
use std::sync::Arc;

use alipayplus::Api;
use alipayplus::clock::{Clock, SystemClock, to_header};
use alipayplus::payment::mpp::Pay;
use alipayplus::server::Identity;
use alipayplus::signature::{
    ClientId, KeyRing, SignatureHeader, SignedContent, SigningKey, SigningKeys, Validity, VerifyingKey,
};
use anyhow::{Context, Result, ensure};
use mpp_server::keys::NewKey;
use serde_json::json;

use super::http::{Answer, Post};

/// Users who pay in turn: so many that two payments of one user hardly ever meet.
pub const USERS: usize = 256;

/// Who signs: the server, the gateway and the client alike, for what a signature takes is the same.
#[derive(Clone)]
pub struct Party {
    /// The name of all of them.
    pub client_id: ClientId,
    private_pem: Arc<zeroize::Zeroizing<String>>,
    public_pem: String,
}

impl Party {
    /// With a new key.
    ///
    /// # Errors
    /// Of the cryptographic library.
    pub fn new() -> Result<Self> {
        let NewKey { private_pem, public_pem } = NewKey::generate()?;
        Ok(Self { client_id: ClientId::parse("BENCH")?, private_pem: Arc::new(private_pem), public_pem })
    }

    /// Of a private key in a file, as [`Self::write`] left it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).with_context(|| format!("no {name}"));
        let (private_pem, public_pem) = (zeroize::Zeroizing::new(read("key")?), read("public")?);
        Ok(Self { client_id: ClientId::parse("BENCH")?, private_pem: Arc::new(private_pem), public_pem })
    }

    /// Writes `key` and `public` into a folder, for other processes.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::write(folder.join("key"), self.private_pem.as_bytes())?;
        Ok(std::fs::write(folder.join("public"), &self.public_pem)?)
    }

    /// The private key in PEM.
    #[must_use]
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// Signs.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn signing(&self) -> Result<SigningKey> {
        Ok(SigningKey::from_text(&self.private_pem)?)
    }

    /// Verifies.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn verifying(&self) -> Result<VerifyingKey> {
        Ok(VerifyingKey::from_text(&self.public_pem)?)
    }

    /// Whose signatures count.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn ring(&self) -> Result<KeyRing> {
        Ok(KeyRing::new().with(self.client_id.clone(), 1, Validity::ALWAYS, self.verifying()?))
    }

    /// As a server.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn identity(&self) -> Result<Identity> {
        Ok(Identity { client_id: self.client_id.clone(), keys: SigningKeys::single(1, self.signing()?) })
    }

    /// So many different payments, signed, with a time of now: they are fresh for ten minutes.
    ///
    /// # Errors
    /// If they cannot be signed.
    pub fn payments(&self, count: usize) -> Result<Vec<Post>> {
        let threads = std::thread::available_parallelism()?.get();
        std::thread::scope(|scope| {
            let share = count.div_ceil(threads);
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    scope.spawn(move || {
                        let key = self.signing()?;
                        let numbers = thread * share..count.min((thread + 1) * share);
                        numbers.map(|number| self.payment(&key, number)).collect::<Result<Vec<_>>>()
                    })
                })
                .collect();
            let mut all = Vec::with_capacity(count);
            for worker in workers {
                all.extend(worker.join().map_err(|_| anyhow::anyhow!("a thread that signs panicked"))??);
            }
            Ok(all)
        })
    }

    fn payment(&self, key: &SigningKey, number: usize) -> Result<Post> {
        let body = tap(number).to_string();
        let time = to_header(SystemClock::default().wall_ms());
        let content =
            SignedContent { uri: Pay::PATH, client_id: self.client_id.as_str(), time: &time, body: body.as_bytes() };
        let signature = SignatureHeader::new(1, key.sign(&content)?).to_string();
        let headers =
            [("client-id", self.client_id.as_str()), ("request-time", time.as_str()), ("signature", &signature)];
        Ok(Post::new(Pay::PATH, &headers, body.as_bytes()))
    }

    /// That `answer` to a payment is ours.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self, key: &VerifyingKey, answer: &Answer) -> Result<()> {
        let header = |name: &'static str| answer.header(name).with_context(|| format!("an answer has no {name}"));
        let content = SignedContent {
            uri: Pay::PATH,
            client_id: self.client_id.as_str(),
            time: header("response-time")?,
            body: &answer.body,
        };
        let signature = SignatureHeader::parse(header("signature")?.as_bytes())?;
        Ok(key.verify(&content, signature.signature())?)
    }
}

/// The name of the user of payment `number`.
#[must_use]
pub fn user(number: usize) -> String {
    format!("user-{}", number % USERS)
}

/// A tap at a till: what the gateway sends for it.
#[must_use]
pub fn tap(number: usize) -> serde_json::Value {
    let amount = json!({ "currency": "EUR", "value": "1250" });
    json!({
        "acquirerId": "1020000000000000000", "pspId": "1220000000000000000",
        "paymentRequestId": format!("202611221900000000{number:010}"),
        "order": {
            "referenceOrderId": format!("102775745070000{number:09}"), "orderDescription": "SHOES",
            "orderAmount": amount,
            "merchant": {
                "referenceMerchantId": "M0000000001", "merchantName": "Example", "merchantMCC": "5812",
                "merchantAddress": { "region": "IT", "city": "Milano" },
                "store": { "referenceStoreId": "S0000000001", "storeName": "Example 01", "storeMCC": "5812" },
            },
        },
        "paymentAmount": amount, "payToAmount": amount,
        "paymentMethod": { "paymentMethodType": "CONNECT_WALLET", "customerId": user(number) },
        "paymentFactor": { "isInStorePayment": "true" },
        "passThroughInfo": format!("{number:016X}"),
    })
}

/// An answer that says `SUCCESS`.
///
/// # Errors
/// If it says something else: its code, not what else is in it.
pub fn check_success(answer: &Answer) -> Result<()> {
    let is_success = answer.body.windows(SUCCESS.len()).any(|part| part == SUCCESS);
    ensure!(answer.status == 200 && is_success, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    Ok(())
}

const SUCCESS: &[u8] = br#""resultCode":"SUCCESS""#;

#[cfg(test)]
mod tests {
    use alipayplus::payment::mpp::PayRequest;
    use alipayplus::wire;

    use super::*;

    #[test]
    fn what_the_gateway_sends_is_a_payment_of_its_user() {
        let request = wire::parse::<PayRequest>(tap(USERS + 1).to_string().as_bytes()).unwrap();
        assert_eq!(request.user(), Some("user-1"));
        assert_ne!(
            request.payment_request_id,
            wire::parse::<PayRequest>(tap(1).to_string().as_bytes()).unwrap().payment_request_id
        );
    }

    #[test]
    fn as_many_payments_are_signed_as_were_asked_for() {
        let party = Party::new().unwrap();
        let payments = party.payments(5).unwrap();
        assert_eq!(payments.len(), 5);
        assert!(payments.iter().enumerate().all(|(at, one)| !payments[..at].contains(one)));
    }
}
