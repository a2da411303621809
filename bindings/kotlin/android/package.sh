#!/bin/sh
# The AAR for Android, from the root of the repository: bindings/kotlin/android/package.sh
#
# Needs what this repository cannot install: the Android NDK (ANDROID_NDK_HOME; r28, or any with the link
# argument below), the Rust targets aarch64-linux-android and x86_64-linux-android, cargo-ndk 4, and Gradle
# with Google's plug-in. It stops where one is missing. Nobody has run it past there. ABIs that nobody tests
# are not shipped: no armeabi-v7a.
set -eu
android="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$android/../../.." && pwd)"
out="$root/target/bindings/android"
for tool in cargo-ndk gradle readelf; do
    command -v "$tool" > /dev/null || { echo "$tool is missing: no AAR was made" >&2; exit 1; }
done
# From 4 on it asks the linker for pages of 16 KB by itself, also of an older NDK.
version="$(cargo ndk --version | sed -n 's/^cargo-ndk \([0-9]*\).*/\1/p')"
[ "${version:-4}" -ge 4 ] || { echo "cargo-ndk 4 or newer is needed: no AAR was made" >&2; exit 1; }
[ -d "${ANDROID_NDK_HOME:-}" ] || { echo "ANDROID_NDK_HOME names no NDK: no AAR was made" >&2; exit 1; }

cd "$root"
# Generated from the library of this machine, of the same commit.
cargo xtask bindings
rm -rf "$out"
RUSTFLAGS="-C link-arg=-Wl,-z,max-page-size=16384" cargo ndk --output-dir "$out" \
    --target arm64-v8a --target x86_64 rustc --package nfcwallet --lib --profile bindings --crate-type cdylib
"$android/check-alignment.sh" "$out/arm64-v8a/libnfcwallet.so" "$out/x86_64/libnfcwallet.so"
gradle --project-dir "$android" assembleRelease
ls "$android"/build/outputs/aar/*.aar
