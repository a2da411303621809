//! What the device says of itself.

use std::sync::Arc;

use nfcwallet_core::host as core;

use super::HostError;

/// The device's identity for the service's risk checks; opaque, 1 to 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeviceFingerprint {
    /// The text.
    pub text: String,
}

/// The host's judgement on the device (root, emulator, debugger, tampered app).
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum IntegrityVerdict {
    /// Fit for payments.
    Safe,
    /// Not fit.
    Unsafe {
        /// In the host's words; shown to support.
        reason: String,
    },
}

/// The device at this moment.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeviceState {
    /// NFC is switched on.
    pub nfc_on: bool,
    /// The app is the default payment app, or holds the foreground preference.
    pub default_payment_app: bool,
    /// The screen is on.
    pub screen_on: bool,
    /// The device is unlocked.
    pub unlocked: bool,
    /// Fit for payments.
    pub integrity: IntegrityVerdict,
}

/// Facts about the device.
///
/// Called on a worker thread of the wallet, also from several at once; may block up to each method's deadline;
/// may call back into the wallet. Asking changes nothing, so it may be repeated.
#[uniffi::export(foreign)]
pub trait DeviceInfo: Send + Sync {
    /// The fingerprint for a new application. May block; deadline 2 s. Throws `Failed`.
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError>;

    /// The device's state now. Asked at each tap while the terminal waits: deadline 100 ms, so it answers from
    /// memory. Throws `Failed`, which declines the tap (19008).
    fn state(&self) -> Result<DeviceState, HostError>;
}

/// The app's facts, as the wallet asks for them.
pub(super) struct FromApp(pub(super) Arc<dyn DeviceInfo>);

impl core::DeviceInfo for FromApp {
    fn fingerprint(&self) -> Result<core::DeviceFingerprint, core::HostError> {
        Ok(core::DeviceFingerprint { text: self.0.fingerprint()?.text })
    }

    fn state(&self) -> Result<core::DeviceState, core::HostError> {
        Ok(self.0.state()?.into())
    }
}

impl From<DeviceState> for core::DeviceState {
    fn from(state: DeviceState) -> Self {
        Self {
            nfc_on: state.nfc_on,
            default_payment_app: state.default_payment_app,
            screen_on: state.screen_on,
            unlocked: state.unlocked,
            integrity: match state.integrity {
                IntegrityVerdict::Safe => core::IntegrityVerdict::Safe,
                IntegrityVerdict::Unsafe { reason } => core::IntegrityVerdict::Unsafe { reason },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_stays_the_fact_that_it_was() {
        let off = DeviceState {
            nfc_on: false,
            default_payment_app: false,
            screen_on: false,
            unlocked: false,
            integrity: IntegrityVerdict::Unsafe { reason: "rooted".to_owned() },
        };
        let reason = "rooted".to_owned();
        assert_eq!(core::DeviceState::from(off.clone()).integrity, core::IntegrityVerdict::Unsafe { reason });
        let facts = |state: DeviceState| {
            let state = core::DeviceState::from(state);
            [state.nfc_on, state.default_payment_app, state.screen_on, state.unlocked]
        };
        assert_eq!(facts(DeviceState { nfc_on: true, ..off.clone() }), [true, false, false, false]);
        assert_eq!(facts(DeviceState { default_payment_app: true, ..off.clone() }), [false, true, false, false]);
        assert_eq!(facts(DeviceState { screen_on: true, ..off.clone() }), [false, false, true, false]);
        assert_eq!(facts(DeviceState { unlocked: true, ..off }), [false, false, false, true]);
    }
}
