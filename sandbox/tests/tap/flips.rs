//! One answer to GENERATE AC of every shape of card, with each of its bits flipped.

use nfcwallet_sandbox::issuer::AuthorisationRequest;
use nfcwallet_sandbox::pos::Exchange;

use super::keys::offers_cda;
use super::*;

#[test]
fn no_flipped_bit_of_any_shapes_answer_gets_through() {
    for shape in shapes_with_emv_mode() {
        let mut scene = Scene::new(shape);
        let good = scene.tap(&purchase());
        let request = good.authorisation_request().unwrap();
        let bits = good.trace.last().unwrap().response.len() * 8;
        for bit in 0..bits {
            let result = replayed(&scene, &good.trace, bit);
            if let Some(passed) = result.authorisation_request() {
                assert!(!offers_cda(&scene.profile), "{shape:?}, bit {bit} of {bits}: {:?}", result.outcome);
                assert_stopped_by_the_issuer(&scene, request, passed, bit);
            }
        }
        // It was the bits: without a flip the recording is accepted, signature and all.
        let again = replayed(&scene, &good.trace, usize::MAX);
        assert_eq!(again.authorisation_request(), Some(request), "{shape:?}");
        assert_eq!(again.cda_verified, good.cda_verified, "{shape:?}");
        assert!(scene.issuer.authorise(request, NOW).unwrap().cryptogram_verified, "{shape:?}");
    }
}

/// Plays a recorded conversation to the terminal, with one bit of the last answer flipped.
fn replayed(scene: &Scene, recorded: &[Exchange], bit: usize) -> TapResult {
    let mut left = recorded.iter();
    let mut link = |command: &[u8]| -> Result<Vec<u8>, LinkLost> {
        let exchange = left.next().unwrap();
        assert_eq!(command, exchange.command);
        let mut answer = exchange.response.clone();
        if let Some(byte) = answer.get_mut(bit / 8).filter(|_| left.len() == 0) {
            *byte ^= 1 << (bit % 8);
        }
        Ok(answer)
    };
    Terminal::new(scene.issuer.ca_public_keys()).tap(&mut link, &purchase())
}

/// Without a signature the terminal cannot know; the cryptogram tells the issuer. It covers neither the
/// reason code of 9F27 nor the bytes of 9F10 that are no results: only those may differ.
fn assert_stopped_by_the_issuer(scene: &Scene, good: &AuthorisationRequest, passed: &AuthorisationRequest, bit: usize) {
    let answer = scene.issuer.authorise(passed, NOW).unwrap();
    if answer.cryptogram_verified {
        let mut as_good = AuthorisationRequest { cid: passed.cid & 0xC0, ..passed.clone() };
        for place in (0..2).chain(8..26) {
            as_good.issuer_application_data[place] = good.issuer_application_data[place];
        }
        assert_eq!(&as_good, good, "bit {bit}");
    }
}
