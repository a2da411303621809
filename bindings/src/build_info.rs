//! Which library this is.

/// Which library this is, for support, and for a check that the shipped library is the one that the app's
/// side was generated from.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct BuildInfo {
    /// The version, for example `0.1.0`.
    pub version: String,
    /// The commit it was built from, where the build knew it: 40 hex digits, and `-dirty` if files differed.
    pub commit: Option<String>,
    /// The optional features that are built in, by name; normally none.
    pub features: Vec<String>,
    /// Operating system and processor, for example `android-aarch64`.
    pub platform: String,
    /// Built with debug assertions: not for shipping.
    pub is_debug: bool,
}

/// Which library this is. Any thread; at once.
#[uniffi::export]
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("NFCWALLET_COMMIT").map(str::to_owned),
        features: Vec::new(),
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        is_debug: cfg!(debug_assertions),
    }
}
