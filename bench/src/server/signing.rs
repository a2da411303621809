//! Signing and verifying, ours and OpenSSL's, over the same bytes with the same key in turns.

use std::hint::black_box;

use alipayplus::signature::{SignedContent, SigningKey};
use anyhow::{Result, ensure};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::{Signer, Verifier};

use super::party::{Party, tap};
use crate::{Row, Samples, measure};

/// What ours may take of OpenSSL's time.
const BAR: f64 = 1.3;
const TURNS: usize = 20;

/// Two rows, and their references.
///
/// # Errors
/// Of either library, and if one does not take what the other signed.
pub fn rows(party: &Party) -> Result<Vec<Row>> {
    let body = tap(1).to_string();
    let content = SignedContent {
        uri: "/aps/api/v1/payments/pay",
        client_id: party.client_id.as_str(),
        time: "2026-02-20T08:51:49Z",
        body: body.as_bytes(),
    };
    let key = party.signing()?;
    let theirs = OpenSsl { key: PKey::private_key_from_pem(party.private_pem().as_bytes())? };
    let signature = key.sign(&content)?;
    ensure!(signature == theirs.sign(&content)?, "the two libraries sign differently");
    let [sign, their_sign] =
        in_turns(40, || key.sign(&content).map(drop).map_err(Into::into), || theirs.sign(&content).map(drop))?;
    let verify = |key: &SigningKey| key.verifying_key().verify(&content, &signature).map_err(Into::into);
    let [verify, their_verify] = in_turns(400, || verify(&key), || theirs.verify(&content, &signature))?;
    Ok(vec![
        Row::of("reference: OpenSSL signs the same bytes", &their_sign),
        Row::of("sign a request or an answer, RSA-2048", &sign).at_most_times(sign.p50(), their_sign.p50(), BAR),
        Row::of("reference: OpenSSL verifies the same bytes", &their_verify),
        Row::of("verify a request or an answer", &verify).at_most_times(verify.p50(), their_verify.p50(), BAR),
    ])
}

/// In short turns, so that a busy machine is busy for both.
fn in_turns(
    runs: usize,
    mut ours: impl FnMut() -> Result<()>,
    mut theirs: impl FnMut() -> Result<()>,
) -> Result<[Samples; 2]> {
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        let turn = [measure(runs / 10, runs, &mut ours)?, measure(runs / 10, runs, &mut theirs)?];
        all.iter_mut().zip(turn).for_each(|(all, turn)| all.extend(turn.into_times()));
    }
    let [ours, theirs] = all;
    Ok([Samples::new(ours)?, Samples::new(theirs)?])
}

struct OpenSsl {
    key: PKey<Private>,
}

impl OpenSsl {
    fn sign(&self, content: &SignedContent<'_>) -> Result<Vec<u8>> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        Ok(signer.sign_oneshot_to_vec(black_box(&content.to_bytes()))?)
    }

    fn verify(&self, content: &SignedContent<'_>, signature: &[u8]) -> Result<()> {
        let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key)?;
        ensure!(verifier.verify_oneshot(signature, black_box(&content.to_bytes()))?, "OpenSSL does not verify");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_library_takes_what_the_other_signed() {
        let rows = rows(&Party::new().unwrap()).unwrap();
        assert_eq!(rows.len(), 4);
    }
}
