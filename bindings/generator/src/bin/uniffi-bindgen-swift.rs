//! Writes the Swift side of the bindings.

fn main() {
    uniffi::uniffi_bindgen_swift();
}
