#!/bin/sh
# Packs the library for Apple's systems: bindings/swift/build/NFCWalletFFI.xcframework, and a zip of it with its
# checksum for a release.
#
# Needs a Mac with Xcode and the Rust targets below (`rustup target add …`). Nothing of it runs elsewhere:
# xcodebuild and lipo are Apple's, and the linker needs Apple's SDKs.
set -eu
cd "$(dirname "$0")/../.."

device=aarch64-apple-ios
simulators="aarch64-apple-ios-sim x86_64-apple-ios"
mac=aarch64-apple-darwin

for program in xcodebuild lipo swift; do
    command -v "$program" >/dev/null || {
        echo "error: $program is missing: an XCFramework is made on a Mac with Xcode" >&2
        exit 1
    }
done

# Generated code, header and module map come from the library of this machine, which has the same surface.
cargo xtask bindings
generated=target/bindings/swift
package=bindings/swift/build
mkdir -p "$package/NFCWalletBindings"
cp "$generated/NFCWalletBindings.swift" "$package/NFCWalletBindings/"

NFCWALLET_COMMIT=$(git rev-parse HEAD)
export NFCWALLET_COMMIT
export IPHONEOS_DEPLOYMENT_TARGET=17.0 MACOSX_DEPLOYMENT_TARGET=14.0
for target in $device $simulators $mac; do
    cargo rustc --package nfcwallet --lib --profile bindings --crate-type staticlib --target "$target"
done

out=target/xcframework
rm -rf "$out"
# In a folder named for the module: a bare Headers/module.modulemap collides with that of any other library.
mkdir -p "$out/Headers/NFCWalletFFI" "$out/simulator"
cp "$generated/NFCWalletFFI/NFCWalletFFI.h" "$generated/NFCWalletFFI/module.modulemap" "$out/Headers/NFCWalletFFI/"

# One slice a platform: both simulators' libraries become one.
set --
for target in $simulators; do
    set -- "$@" "target/$target/bindings/libnfcwallet.a"
done
lipo -create "$@" -output "$out/simulator/libnfcwallet.a"

set --
for library in "target/$device/bindings/libnfcwallet.a" "$out/simulator/libnfcwallet.a" \
    "target/$mac/bindings/libnfcwallet.a"; do
    set -- "$@" -library "$library" -headers "$out/Headers"
done
rm -rf "$package/NFCWalletFFI.xcframework"
xcodebuild -create-xcframework "$@" -output "$package/NFCWalletFFI.xcframework"

(cd "$package" && zip --quiet --recurse-paths --symlinks "../../../$out/NFCWalletFFI.xcframework.zip" NFCWalletFFI.xcframework)
echo "$package/NFCWalletFFI.xcframework"
echo "checksum for a release: $(swift package compute-checksum "$out/NFCWalletFFI.xcframework.zip")"
