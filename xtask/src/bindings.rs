//! `cargo xtask bindings`: the library, its Kotlin, Swift and Python sides, and the list of what it exports.

use std::collections::HashSet;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::process::Cmd;
use crate::report::Outcome;

/// Where everything goes: `lib`, `kotlin`, `swift`, `python`. Nothing of it is checked in.
const FOLDER: &str = "target/bindings";

/// The C module below the Swift one, as `uniffi.toml` names it.
const FFI_MODULE: &str = "NFCWalletFFI";

/// The generator gives a renamed interface of the host a C function that the library does not have; this is
/// the end of its name, and what the library calls it.
const WRONG_SYMBOL: (&str, &str) = ("_n_f_c_requestproxy", "_nfcrequestproxy");

/// The generator forgets of a renamed record that it holds objects, which cannot be compared.
const WRONG_RECORD: (&str, &str) = ("public struct WalletHost: Equatable, Hashable {", "public struct WalletHost {");

/// What the library exports, as it was last accepted.
const ACCEPTED: &str = "bindings/api.txt";

/// What to build.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Build the library quickly, for a look at the generated code: not the one that ships.
    #[arg(long)]
    dev: bool,
    /// Fail if what the library exports is not what bindings/api.txt lists.
    #[arg(long, conflicts_with = "accept")]
    check: bool,
    /// Write bindings/api.txt anew, for a review.
    #[arg(long)]
    accept: bool,
}

/// Which library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    /// The one that apps ship: small, with its commit in it.
    Shipped,
    /// One that is built in seconds, for tests.
    Quick,
}

/// Builds the library and generates from it.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let which = if options.dev { Library::Quick } else { Library::Shipped };
    let library = make(root, which)?;
    println!("{FOLDER}: lib, kotlin, swift, python");
    if options.accept {
        let exported = exported(root, &library)?;
        fs::write(root.join(ACCEPTED), exported).with_context(|| format!("cannot write {ACCEPTED}"))?;
        println!("wrote {ACCEPTED}");
    }
    let complaints = if options.check { complaints(root, &library)? } else { Vec::new() };
    match Outcome::of_complaints(&complaints) {
        Outcome::Failed(first) => bail!("{first}"),
        Outcome::Passed(_) | Outcome::NotRun(_) => Ok(()),
    }
}

/// The step of `cargo xtask test`: the accepted surface, the names of `uniffi.toml`, the rules of the languages.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let library = make_quick(root)?;
    Ok(Outcome::of_complaints(&complaints(root, &library)?))
}

/// Generates from the library that apps ship; its path.
pub(crate) fn make_shipped(root: &Path) -> Result<PathBuf> {
    make(root, Library::Shipped)
}

/// Generates from a library that is built in seconds; its path.
pub(crate) fn make_quick(root: &Path) -> Result<PathBuf> {
    make(root, Library::Quick)
}

fn make(root: &Path, which: Library) -> Result<PathBuf> {
    let library = build(root, which)?;
    generate(root, &library)?;
    Ok(library)
}

/// What is wrong with the library's surface; nothing, if it is as it was accepted.
fn complaints(root: &Path, library: &Path) -> Result<Vec<String>> {
    let accepted = fs::read_to_string(root.join(ACCEPTED)).unwrap_or_default();
    let mut found = differences(&accepted, &exported(root, library)?);
    if !found.is_empty() {
        found.push("if the change is meant, accept it with: cargo xtask bindings --dev --accept".to_owned());
    }
    for (file, line) in NAMES {
        let text = fs::read_to_string(root.join(FOLDER).join(file)).with_context(|| format!("no file {file}"))?;
        if !text.lines().any(|found| found.trim_start().starts_with(line)) {
            found.push(format!("{file} has no line `{line}`: uniffi.toml was not used"));
        }
    }
    Ok(found)
}

/// What `uniffi.toml` says, as it shows in the generated code. A section under a wrong name is ignored
/// without a word.
const NAMES: [(&str, &str); 8] = [
    ("kotlin/org/nfcwallet/nfcwallet.kt", "package org.nfcwallet"),
    ("kotlin/org/nfcwallet/nfcwallet.kt", "public interface NFCRequestProxy "),
    ("kotlin/org/nfcwallet/nfcwallet.kt", "val `dataDirectory`: kotlin.String"),
    ("swift/NFCWalletBindings.swift", "import NFCWalletFFI"),
    ("swift/NFCWalletBindings.swift", "public protocol NFCRequestProxy:"),
    ("swift/NFCWalletBindings.swift", "public struct WalletHost "),
    ("swift/NFCWalletFFI/module.modulemap", "module NFCWalletFFI {"),
    ("python/nfcwallet.py", "class NFCRequestProxy("),
];

/// The list, by the tool that also holds it against the rules of the languages.
fn exported(root: &Path, library: &Path) -> Result<String> {
    Cmd::new("target/debug/nfcwallet-api", "").arg(library.display().to_string()).read(root)
}

/// Lines that only one of the two has.
fn differences(accepted: &str, exported: &str) -> Vec<String> {
    let only = |one: &str, other: &str, sign: char| {
        let known: HashSet<&str> = other.lines().collect();
        one.lines().filter(|line| !known.contains(line)).map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    let mut found = only(accepted, exported, '-');
    found.extend(only(exported, accepted, '+'));
    if found.is_empty() && accepted != exported {
        found.push("the same lines in another order or number".to_owned());
    }
    found
}

/// The shared library, which has what the generator reads. Beside it lies the static one.
fn build(root: &Path, which: Library) -> Result<PathBuf> {
    // A build that also makes a Rust library does without optimisation at link time, and is half as large
    // again: the shipped one is built for other languages alone.
    let (cargo, folder) = match which {
        Library::Quick => ("build --quiet --package nfcwallet --lib", "debug"),
        Library::Shipped => {
            ("rustc --quiet --package nfcwallet --lib --profile bindings --crate-type cdylib,staticlib", "bindings")
        }
    };
    let mut cargo = Cmd::cargo(cargo);
    // The quick one has none: otherwise each commit would build it anew.
    if let Some(commit) = commit(root).filter(|_| which == Library::Shipped) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_surface_is_a_diff() {
        let accepted = "record A\n  one: u8\n";
        assert_eq!(differences(accepted, "record A\n  one: u16\n"), ["-   one: u8", "+   one: u16"]);
        assert_eq!(differences(accepted, accepted), Vec::<String>::new());
        assert_eq!(differences("a\nb\n", "b\na\n").len(), 1);
    }
}
