//! Programs and headers of the system that a job needs: on Debian they can be installed.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process::Cmd;
use crate::report::{self, Unavailable};

/// The programs by which Debian's packages start their daemons (deb-systemd-invoke(1p), invoke-rc.d(8))
/// are hidden by one that does nothing, in the mounts of this process.
const WITHOUT_DAEMONS: &str = "for starter in /usr/sbin/invoke-rc.d /usr/bin/deb-systemd-invoke; do \
    if [ -e $starter ]; then mount --bind /bin/true $starter; fi; done; exec \"$@\"";

/// Installs `packages` by apt-get unless `is_there`. `what` names what is missing, for people.
///
/// A package may be several, `17|21`, since releases carry different versions: the first that this one has.
///
/// Needs root and Debian or a system derived from it. Anything else is [`Unavailable`], with the words
/// that say what to install by hand; a step that meets it has not run.
pub(crate) fn install(root: &Path, packages: &[&str], what: &str, is_there: impl Fn() -> bool) -> Result<()> {
    install_by(root, Cmd::new("apt-get", ""), packages, what, is_there)
}

/// As [`install`], for packages that would start their daemons at once: what starts daemons does nothing
/// while apt-get runs, and only for apt-get. Needs the right to mount.
pub(crate) fn install_without_daemons(
    root: &Path,
    packages: &[&str],
    what: &str,
    is_there: impl Fn() -> bool,
) -> Result<()> {
    let apt_get = Cmd::new("unshare", "--mount sh -ec").arg(WITHOUT_DAEMONS).args("sh apt-get");
    install_by(root, apt_get, packages, what, is_there)
}

/// Where something is missing that could not be installed, one line says what is not tested and why; in
/// continuous integration that is an error.
pub(crate) fn or_say_what_is_not_tested(installed: Result<()>, untested: &str) -> Result<()> {
    match installed {
        Err(error) if error.is::<Unavailable>() && !report::is_ci() => {
            println!("not tested: {untested}: {error}");
            Ok(())
        }
        Err(error) if error.is::<Unavailable>() => bail!("must be tested: {untested}: {error}"),
        other => other,
    }
}

fn install_by(root: &Path, apt_get: Cmd, packages: &[&str], what: &str, is_there: impl Fn() -> bool) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    let by_hand = format!("install {what} (Debian: apt-get install {})", packages.join(" "));
    let is_root = Cmd::new("id", "-u").read(root).is_ok_and(|user| user.trim() == "0");
    let is_debian = Path::new("/etc/debian_version").exists();
    if !is_root || !is_debian {
        bail!(Unavailable(format!("{what} is missing; {by_hand}")));
    }
    println!("{what} is missing");
    // The package lists of a fresh machine are empty or old.
    let is_updated = Cmd::new("apt-get", "update --quiet").run(root)?;
    let has = |package: &str| {
        Cmd::new("apt-cache", "policy")
            .arg(package)
            .env("LC_ALL", "C")
            .read(root)
            .is_ok_and(|policy| has_candidate(&policy))
    };
    let packages = packages.iter().map(|package| chosen(package, has)).collect::<Vec<_>>().join(" ");
    let install = apt_get
        .args("install --yes --no-upgrade --no-install-recommends")
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    if !is_updated || !install.run(root)? || !is_there() {
        bail!(Unavailable(format!("the installation of {packages} failed; {by_hand}")));
    }
    Ok(())
}

/// The first of `a|b|c` that is there; the last where none is, and apt-get says so.
fn chosen(package: &str, has: impl Fn(&str) -> bool) -> &str {
    package.split('|').find(|one| has(one)).or_else(|| package.split('|').next_back()).unwrap_or(package)
}

/// By the words of apt-cache(8), which says nothing of a package that no list names.
fn has_candidate(policy: &str) -> bool {
    policy.lines().any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_versions_the_first_that_the_release_has_is_installed() {
        let trixie = |package: &str| ["jdk-21", "jdk-25"].contains(&package);
        assert_eq!(chosen("jdk-17|jdk-21|jdk-25", trixie), "jdk-21");
        assert_eq!(chosen("jdk-17", trixie), "jdk-17");
        assert_eq!(chosen("jdk-8|jdk-11", trixie), "jdk-11");
    }

    #[test]
    fn a_package_without_a_candidate_is_not_there() {
        assert!(has_candidate("maven:\n  Installed: (none)\n  Candidate: 3.8.7-1\n  Version table:\n"));
        assert!(!has_candidate("openjdk-17-jdk:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"));
        assert!(!has_candidate(""));
    }

    #[test]
    fn what_is_there_is_not_installed() {
        let nowhere = Path::new("no such folder: a command would fail to start");
        assert!(install(nowhere, &["no-such-package"], "nothing", || true).is_ok());
    }
}
