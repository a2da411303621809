//! Where Swift runs: this machine's own, or a Debian root of our own that has one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::debian;
use crate::process::Cmd;
use crate::report::Unavailable;

/// The release of Debian that carries Swift, and what the root holds: the compiler, what it links
/// with, and OpenSSL, the cryptography of the software key store on Linux.
const RELEASE: &str = "trixie";
const PACKAGES: &str = "ca-certificates,swiftlang,libc6-dev,libstdc++-14-dev,libssl-dev";

/// Says what the root was made from; written last, so that one that was left half made is made anew.
const STAMP: &str = "made-from.txt";

/// Enters the root; says what it takes.
const ENTER: &str = "xtask/src/swift/enter.sh";

/// A Swift that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// The one on the PATH.
    OfTheMachine,
    /// The one in a root of our own, which is this folder.
    InRoot(PathBuf),
}

/// Finds Swift, or makes it available. Idempotent; two runs at once wait for each other.
///
/// Where Swift is not on the PATH this takes root, Debian or a system derived from it, and the right
/// to mount: elsewhere the error is [`Unavailable`].
pub(super) fn ready(repository: &Path) -> Result<Toolchain> {
    if Cmd::new("swift", "--version").read(repository).is_ok() {
        debian_headers(repository)?;
        return Ok(Toolchain::OfTheMachine);
    }
    needs_mounts(repository)?;
    let folder = cache()?.join("nfcwallet/swift");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let turn = File::create(folder.join("lock")).with_context(|| format!("cannot write to {}", folder.display()))?;
    turn.lock().context("another run that makes the Swift root cannot be waited for")?;
    let root = folder.join("root");
    let wanted = format!("{RELEASE} {PACKAGES}\n");
    let is_made = fs::read_to_string(folder.join(STAMP)).is_ok_and(|made_from| made_from == wanted);
    if !is_made || !root.exists() {
        make(repository, &folder, &root)?;
        fs::write(folder.join(STAMP), wanted).with_context(|| format!("cannot write to {}", folder.display()))?;
    }
    let toolchain = Toolchain::InRoot(root);
    let version = toolchain.command(repository, repository, Lifetime::OfAll).args("swift --version");
    version.read(repository).with_context(|| {
        format!("the Swift in {} does not start; remove that folder and try again", folder.display())
    })?;
    Ok(toolchain)
}

/// What ends with a command's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Everything that it started.
    OfAll,
    /// Itself, at once: the process is the command, and no other stands before it.
    OfItself,
}

impl Toolchain {
    /// A command that works in the folder `work`, below `repository`, with this Swift on its PATH. Its words
    /// are still to be added.
    pub(super) fn command(&self, repository: &Path, work: &Path, lifetime: Lifetime) -> Cmd {
        match self {
            Self::OfTheMachine => {
                Cmd::new("sh", "-ec").arg("cd \"$1\"; shift; exec \"$@\"").arg("sh").arg(work.display().to_string())
            }
            Self::InRoot(root) => {
                let apart = match lifetime {
                    Lifetime::OfAll => "--mount --pid --fork --kill-child sh",
                    Lifetime::OfItself => "--mount sh",
                };
                let (script, temporary) = (repository.join(ENTER), std::env::temp_dir());
                let places = [&script, root, repository, &temporary, work];
                places.into_iter().fold(Cmd::new("unshare", apart), |cmd, place| cmd.arg(place.display().to_string()))
            }
        }
    }
}

impl std::fmt::Display for Toolchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OfTheMachine => f.write_str("on the PATH"),
            Self::InRoot(root) => write!(f, "in {}", root.display()),
        }
    }
}

/// On Linux the software key store stands on OpenSSL; Apple's systems have CryptoKit.
fn debian_headers(repository: &Path) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    debian::install(repository, &["libssl-dev"], "OpenSSL's headers", || {
        Path::new("/usr/include/openssl/evp.h").exists()
    })
}

fn needs_mounts(repository: &Path) -> Result<()> {
    if let Err(error) = Cmd::new("unshare", "--mount --pid --fork --kill-child true").read(repository) {
        bail!(Unavailable(format!(
            "Swift is not on the PATH, and a root with it cannot be entered (root on Linux can): {error:#}; \
             install Swift 6"
        )));
    }
    Ok(())
}

/// Where this machine keeps what can be made again.
fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).ok_or_else(|| {
        Unavailable("no folder for the Swift root: neither XDG_CACHE_HOME nor HOME is set; set one".to_owned()).into()
    })
}

fn make(repository: &Path, folder: &Path, root: &Path) -> Result<()> {
    debian::install(repository, &["mmdebstrap"], "mmdebstrap", || {
        Cmd::new("mmdebstrap", "--version").read(repository).is_ok()
    })?;
    let half_made = folder.join("root.part");
    for old in [&half_made, root] {
        // Mounts that anybody left below it are not ours to empty.
        let removed = Cmd::new("rm", "--recursive --force --one-file-system").arg(old.display().to_string());
        ensure!(removed.run(repository)?, "{} cannot be removed; remove it by hand", old.display());
    }
    println!("Swift is not on the PATH: making a Debian {RELEASE} with it in {} (2.6 GB)", root.display());
    // In mounts of its own: what mmdebstrap mounts goes with it, however it ends.
    let mut command = Cmd::new("unshare", "--mount --propagation private mmdebstrap --mode=root --variant=minbase")
        .arg(format!("--include={PACKAGES}"))
        .args(RELEASE)
        .arg(half_made.display().to_string());
    if let Some(mirror) = mirror(repository) {
        command = command.arg(format!("deb {mirror} {RELEASE} main"));
    }
    if !command.run(repository)? {
        bail!(Unavailable(format!(
            "a Debian {RELEASE} with Swift could not be made, see above; with Debian's packages in reach, repeat \
             with: cargo xtask swift-toolchain"
        )));
    }
    fs::rename(&half_made, root).with_context(|| format!("cannot rename {}", half_made.display()))
}

/// The Debian mirror of this machine's apt. `None` where it has none, as on Ubuntu: then mmdebstrap
/// knows Debian's own.
fn mirror(repository: &Path) -> Option<String> {
    // Who stands behind a mirror is in the lists that it sent.
    let _lists_are_there = Cmd::new("apt-get", "update --quiet").run(repository);
    let targets = Cmd::new("apt-get", "indextargets --format").arg("$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)");
    debian_mirror(&targets.arg("Identifier: Packages").read(repository).ok()?)
}

/// The first of Debian's main archives; those of updates and security do not hold whole releases.
fn debian_mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let [origin, component, release, uri] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
        let is_whole = origin == "Debian" && component == "main" && !release.contains('-');
        is_whole.then(|| uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_whole_release() {
        let targets = "Google|main|cloud|http://example.org/apt/\n\
            Debian|main|bookworm-security|http://example.org/debian-security/\n\
            Debian|main|bookworm|http://example.org/debian/\n";
        assert_eq!(debian_mirror(targets).as_deref(), Some("http://example.org/debian/"));
        assert_eq!(debian_mirror("Ubuntu|main|noble|http://example.org/ubuntu/\n"), None);
        assert_eq!(debian_mirror(""), None);
    }

    #[test]
    fn a_phone_in_the_root_is_no_child_of_another_process() {
        let toolchain = Toolchain::InRoot("root".into());
        let command = toolchain.command(Path::new("/r"), Path::new("/r/w"), Lifetime::OfItself);
        assert!(!command.to_string().contains("--fork"));
    }
}
