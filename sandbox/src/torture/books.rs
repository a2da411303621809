//! The books: what issuer, token service and wallet say of one token must agree.

use std::collections::BTreeSet;

use crate::servers::Sandbox;
use crate::token_service::TokenView;

/// Why an audit ended early.
#[derive(Debug)]
pub(super) enum Finding {
    /// A promise was broken.
    Broken(String),
    /// Reports of the wallet are still on their way: look again.
    NotYet(String),
}

/// The token that `user` has now.
pub(super) fn token_of(sandbox: &Sandbox, user: &str) -> Result<Option<TokenView>, Finding> {
    let state = sandbox.service().state().map_err(|error| Finding::Broken(error.to_string()))?;
    Ok(state.tokens.into_iter().rev().find(|token| token.user == user && token.state != "deleted"))
}

/// No cryptogram was made twice with one counter, and counters only rise: also in the middle of a
/// break.
pub(super) fn no_double_spend(sandbox: &Sandbox) -> Result<(), Finding> {
    let broken = |error: crate::issuer::IssuerError| Finding::Broken(error.to_string());
    let ledger = sandbox.issuer().ledger();
    if let Some(violation) = ledger.violations().map_err(broken)?.first() {
        return Err(Finding::Broken(format!("the issuer saw counter {} twice: {:?}", violation.atc, violation.kind)));
    }
    let mut highest = std::collections::BTreeMap::new();
    for entry in ledger.entries().map_err(broken)? {
        if !entry.verified {
            return Err(Finding::Broken(format!("the cryptogram with counter {} is not the card's", entry.atc)));
        }
        if let Some(before) = highest.insert(entry.token, entry.atc).filter(|before| *before >= entry.atc) {
            return Err(Finding::Broken(format!("counter {} came after {before}", entry.atc)));
        }
    }
    Ok(())
}

/// Every credential that was given out is usable, spent or given up, and spent ones were seen: but for
/// one a break. How many were burnt or given up without a cryptogram.
pub(super) fn all_accounted_for(sandbox: &Sandbox, user: &str, usable: u64, breaks: u64) -> Result<u64, Finding> {
    let Some(token) = token_of(sandbox, user)? else { return Ok(0) };
    let (issued, used, discarded) = (u64::from(token.issued), u64::from(token.used), u64::from(token.discarded));
    let entries = sandbox.issuer().ledger().entries().map_err(|error| Finding::Broken(error.to_string()))?;
    let counters: BTreeSet<u16> = entries
        .iter()
        .filter(|entry| entry.token.as_ref() == Some(&token.token_reference))
        .map(|entry| entry.atc)
        .collect();
    let seen = u64::try_from(counters.len()).unwrap_or(u64::MAX);
    if issued != used + discarded + usable {
        return Err(Finding::NotYet(format!(
            "{issued} credentials were given out, but {used} used, {discarded} discarded and {usable} usable ones are \
             known"
        )));
    }
    if seen > used {
        return Err(Finding::NotYet(format!("the issuer saw {seen} cryptograms, the wallet reported {used}")));
    }
    let lost = used - seen + discarded;
    if lost > breaks {
        return Err(Finding::Broken(format!("{lost} credentials were lost in {breaks} breaks")));
    }
    Ok(lost)
}
