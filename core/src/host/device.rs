//! What the device says of itself.

use super::HostError;

/// The device's identity for the service's risk checks; opaque, 1 to 256 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFingerprint {
    /// The text.
    pub text: String,
}

/// The host's judgement on the device (root, emulator, debugger, tampered app).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntegrityVerdict {
    /// Fit for payments.
    Safe,
    /// Not fit; the reason is shown to support.
    Unsafe {
        /// In the host's words.
        reason: String,
    },
}

/// The device at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
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
/// Called on a worker thread. `fingerprint` may block up to 2 s; `state` is asked at each tap and
/// must answer within 100 ms, from memory.
pub trait DeviceInfo: Send + Sync {
    /// The fingerprint for a new application.
    ///
    /// # Errors
    /// [`HostError::Failed`].
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError>;

    /// The device's state now.
    ///
    /// # Errors
    /// [`HostError::Failed`].
    fn state(&self) -> Result<DeviceState, HostError>;
}
