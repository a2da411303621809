//! What the token service's client remembers across restarts.

use super::Store;
use crate::error::WalletError;
use crate::token_service::{CacheKey, ServiceCache};

impl ServiceCache for Store {
    fn load(&self, key: CacheKey) -> Option<Vec<u8>> {
        self.read(|tx| tx.setting(setting(key))).ok().flatten()
    }

    fn save(&self, key: CacheKey, value: &[u8]) -> Result<(), WalletError> {
        self.write(|tx| tx.set_setting(setting(key), value))
    }
}

fn setting(key: CacheKey) -> &'static str {
    match key {
        CacheKey::KeySet => "service_key_set",
        CacheKey::ClockOffset => "service_clock_offset",
    }
}
