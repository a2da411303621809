//! Writes the Kotlin and Python sides of the bindings.

fn main() {
    uniffi::uniffi_bindgen_main();
}
