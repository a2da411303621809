//! What the simulated device says of itself.

use std::sync::Mutex;
use std::time::Duration;

use nfcwallet_core::host::{DeviceFingerprint, DeviceInfo, DeviceState, HostError, IntegrityVerdict};

use crate::token_service::locked;

/// A device whose state a test sets. At first all is well: NFC on, default payment app, screen on,
/// unlocked, safe.
#[derive(Debug)]
pub struct SimDevice {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    fingerprint: String,
    state: DeviceState,
    failure: Option<HostError>,
    pause: Duration,
}

impl SimDevice {
    /// A healthy device.
    #[must_use]
    pub fn new(fingerprint: impl Into<String>) -> Self {
        let state = DeviceState {
            nfc_on: true,
            default_payment_app: true,
            screen_on: true,
            unlocked: true,
            integrity: IntegrityVerdict::Safe,
        };
        let inner = Inner { fingerprint: fingerprint.into(), state, failure: None, pause: Duration::ZERO };
        Self { inner: Mutex::new(inner) }
    }

    /// Changes the state.
    pub fn update(&self, change: impl FnOnce(&mut DeviceState)) {
        change(&mut locked(&self.inner).state);
    }

    /// Every call fails with this from now on; `None` mends it.
    pub fn fail_with(&self, failure: Option<HostError>) {
        locked(&self.inner).failure = failure;
    }

    /// Every call takes this long from now on.
    pub fn slow_down(&self, pause: Duration) {
        locked(&self.inner).pause = pause;
    }

    fn answer<T>(&self, read: impl FnOnce(&Inner) -> T) -> Result<T, HostError> {
        let pause = locked(&self.inner).pause;
        std::thread::sleep(pause);
        let inner = locked(&self.inner);
        match &inner.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(read(&inner)),
        }
    }
}

impl DeviceInfo for SimDevice {
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError> {
        self.answer(|inner| DeviceFingerprint { text: inner.fingerprint.clone() })
    }

    fn state(&self) -> Result<DeviceState, HostError> {
        self.answer(|inner| inner.state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_says_what_it_was_told() {
        let device = SimDevice::new("phone-1");
        device.update(|state| state.unlocked = false);
        assert!(!device.state().unwrap().unlocked);
        device.fail_with(Some(HostError::Offline));
        assert_eq!(device.fingerprint(), Err(HostError::Offline));
        device.fail_with(None);
        assert_eq!(device.fingerprint().unwrap().text, "phone-1");
    }
}
