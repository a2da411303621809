//! `cargo xtask bindings`: the library, and its Kotlin, Swift and Python sides.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::process::Cmd;

/// Where everything goes: `lib`, `kotlin`, `swift`, `python`. Nothing of it is checked in.
const FOLDER: &str = "target/bindings";

/// The C module below the Swift one, as `uniffi.toml` names it.
const FFI_MODULE: &str = "NFCWalletFFI";

/// The generator gives a renamed interface of the host a C function that the library does not have; this is
/// the end of its name, and what the library calls it.
const WRONG_SYMBOL: (&str, &str) = ("_n_f_c_requestproxy", "_nfcrequestproxy");

/// The generator forgets of a renamed record that it holds objects, which cannot be compared.
const WRONG_RECORD: (&str, &str) = ("public struct WalletHost: Equatable, Hashable {", "public struct WalletHost {");

/// What to build.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Build the library quickly, for a look at the generated code: not the one that ships.
    #[arg(long)]
    pub(crate) dev: bool,
}

/// Builds the library and generates from it.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let library = build(root, options)?;
    generate(root, &library)?;
    println!("{FOLDER}: lib, kotlin, swift, python");
    Ok(())
}

/// The shared library, which has what the generator reads. Beside it lies the static one.
fn build(root: &Path, options: &Options) -> Result<PathBuf> {
    let (profile, folder) = if options.dev { ("dev", "debug") } else { ("bindings", "bindings") };
    let mut cargo = Cmd::cargo("build --quiet --package nfcwallet --lib --profile").args(profile);
    // The quick one has none: otherwise each commit would build it anew.
    if let Some(commit) = commit(root).filter(|_| !options.dev) {
        cargo = cargo.env("NFCWALLET_COMMIT", &commit);
    }
    ensure!(cargo.run(root)?, "the library could not be built");
    let built = root.join("target").join(folder);
    let lib = fresh(&root.join(FOLDER).join("lib"))?;
    let shared = format!("{DLL_PREFIX}nfcwallet{DLL_SUFFIX}");
    for name in [shared.as_str(), "libnfcwallet.a"] {
        copy(&built.join(name), &lib.join(name))?;
    }
    Ok(lib.join(shared))
}

/// The commit that is checked out, with a mark if files differ from it; `None` without a repository.
fn commit(root: &Path) -> Option<String> {
    let id = Cmd::new("git", "rev-parse HEAD").read(root).ok()?;
    let clean = Cmd::new("git", "status --porcelain").read(root).ok()?.trim().is_empty();
    Some(format!("{}{}", id.trim(), if clean { "" } else { "-dirty" }))
}

fn generate(root: &Path, library: &Path) -> Result<()> {
    let tools = Cmd::cargo("build --quiet --package nfcwallet-bindgen");
    ensure!(tools.run(root)?, "the generator could not be built; repeat with: {tools}");
    let library = library.display().to_string();
    let folder = |name: &str| fresh(&root.join(FOLDER).join(name));
    let (kotlin, python, swift) = (folder("kotlin")?, folder("python")?, folder("swift")?);
    for (language, out) in [("kotlin", &kotlin), ("python", &python)] {
        let generator = Cmd::new("target/debug/uniffi-bindgen", "generate --no-format --config uniffi.toml --language");
        read(generator.args(language).args("--out-dir").arg(out.display().to_string()).arg(&library), root)?;
    }
    let generator = || Cmd::new("target/debug/uniffi-bindgen-swift", "--config uniffi.toml");
    read(generator().args("--swift-sources").arg(&library).arg(swift.display().to_string()), root)?;
    // A module map in a folder of its own name, since a bare one collides with that of any other library.
    let ffi = fresh(&swift.join(FFI_MODULE))?;
    let headers = generator().args("--headers --modulemap --modulemap-filename module.modulemap --module-name");
    read(headers.args(FFI_MODULE).arg(&library).arg(ffi.display().to_string()), root)?;
    for file in
        ["kotlin/org/nfcwallet/nfcwallet.kt", "swift/NFCWalletBindings.swift", "swift/NFCWalletFFI/NFCWalletFFI.h"]
    {
        mend(&root.join(FOLDER).join(file), WRONG_SYMBOL)?;
    }
    mend(&root.join(FOLDER).join("swift/NFCWalletBindings.swift"), WRONG_RECORD)?;
    // The Python side looks for the library beside itself.
    let name = format!("{DLL_PREFIX}nfcwallet{DLL_SUFFIX}");
    copy(Path::new(&library), &python.join(name))
}

fn read(generator: Cmd, root: &Path) -> Result<()> {
    generator.read(root).map(drop)
}

/// A new version of the generator that needs no mending fails here, and this can go.
fn mend(file: &Path, (wrong, right): (&str, &str)) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("nothing was generated at {}", file.display()))?;
    ensure!(text.contains(wrong), "{} does not name {wrong}", file.display());
    fs::write(file, text.replace(wrong, right)).with_context(|| format!("cannot write {}", file.display()))
}

/// The folder, made empty.
fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}
