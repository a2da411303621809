//! Traces of real test cards, read where they lie: their bytes are not part of this repository.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The trace `name`, from `$NFCWALLET_SHARED/vectors/emv` or `../shared/vectors/emv` beside the
/// workspace. Says plainly when it is not there.
pub(crate) fn trace(name: &str) -> Option<Value> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("NFCWALLET_SHARED").map_or_else(beside, PathBuf::from);
    let path = root.join("vectors/emv").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the trace is JSON")),
        Err(_) => {
            eprintln!("NOT CHECKED: no published trace at {} (set NFCWALLET_SHARED)", path.display());
            None
        }
    }
}

/// A hex string of the trace.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a string")).expect("hex")
}
