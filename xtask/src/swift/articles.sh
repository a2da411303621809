# Compiles the package's articles (NFCWallet.docc) with what the compiler knows of its symbols; fails for a link
# that leads nowhere. Says in one line what it did.
#
# Runs in the package's folder, after `swift build`. Arguments: the folder of what was built, one for the outcome.
set -eu
built=$1 out=$2
tools=$(dirname "$(readlink -f "$(command -v swift)")")
if ! [ -x "$tools/docc" ]; then
    echo "articles not compiled: this Swift has no docc"
    exit 0
fi
target=$(swift -print-target-info | sed -n 's/.*"unversionedTriple": "\(.*\)".*/\1/p')
rm -rf "$out"
mkdir -p "$out/symbols"
# What the generated module has is the package's, which exports it again.
"$tools/swift-symbolgraph-extract" -module-name NFCWallet -target "$target" -minimum-access-level public \
    -I "$built/debug/Modules" -I build/NFCWalletFFI -Xcc -fmodule-map-file=build/NFCWalletFFI/module.modulemap \
    -experimental-allowed-reexported-modules=NFCWalletBindings -emit-extension-block-symbols \
    -output-dir "$out/symbols"
"$tools/docc" convert Sources/NFCWallet/NFCWallet.docc --warnings-as-errors \
    --fallback-display-name NFCWallet --fallback-bundle-identifier org.nfcwallet \
    --additional-symbol-graph-dir "$out/symbols" --output-path "$out/NFCWallet.doccarchive" >&2
echo "articles compiled"
