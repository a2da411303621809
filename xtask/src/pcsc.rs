//! `cargo xtask test pcsc`: the wallet in a real PC/SC stack, read by programs that nobody here wrote.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::process::Cmd;
use crate::report::{Outcome, Unavailable};
use crate::{debian, python};

/// pcscd with the virtual reader, programs that read cards, and what pyscard and the namespaces need.
const PACKAGES: [&str; 11] = [
    "cardpeek",
    "gcc",
    "iproute2",
    "libc6-dev",
    "libpcsclite-dev",
    "opensc",
    "pcscd",
    "pkg-config",
    "python3-dev",
    "swig",
    "vsmartcard-vpcd",
];
const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
const REQUIREMENTS: &str = "tests/pcsc/requirements.txt";
const FOLDER: &str = "target/pcsc";
/// Everything in the namespaces ends after this many seconds; it takes 20.
const PATIENCE_S: u32 = 240;
/// `read_card.py` counts its checks.
const AT_LEAST: u64 = 14;

/// Puts two cards into a private PC/SC stack and lets `read_card.py` judge them.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    needs_namespaces(root)?;
    debian::install_without_daemons(root, &PACKAGES, "a PC/SC stack with a virtual reader", || is_installed(root))?;
    let python = python::venv(root, "pcsc", Path::new(REQUIREMENTS))?;
    let build = Cmd::cargo("build --quiet --package nfcwallet-sandbox");
    ensure!(build.run(root)?, "the card did not build; repeat with: {build}");
    let folder = root.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let output = in_namespaces()
        .args("sh tests/pcsc/run.sh")
        .arg(python.display().to_string())
        .args("target/debug/nfcwallet-sandbox")
        .arg(FOLDER)
        .run_and_keep_stdout(root)?;
    Ok(judge(output.success, &output.stdout))
}

/// A network, mounts and processes apart from the machine's. The first process in it is killed with
/// `unshare`, and all others with it.
fn in_namespaces() -> Cmd {
    Cmd::new("timeout", &format!("--foreground --kill-after=5 {PATIENCE_S}"))
        .args("unshare --mount --net --pid --fork --kill-child --mount-proc")
}

/// vpcd listens on all interfaces and pcscd for all programs: without a network apart nothing is
/// started. It takes root and a kernel that lets root do it; in many containers it does not.
fn needs_namespaces(root: &Path) -> Result<()> {
    if let Err(error) = in_namespaces().args("true").read(root) {
        bail!(Unavailable(format!("no private namespaces, as root on Linux has them: {error:#}")));
    }
    Ok(())
}

fn is_installed(root: &Path) -> bool {
    let programs = "for each in cardpeek gcc ip opensc-tool pcscd swig; do command -v $each || exit 1; done";
    Path::new(DRIVER).exists()
        && Cmd::new("sh", "-c").arg(programs).read(root).is_ok()
        && Cmd::new("pkg-config", "--exists libpcsclite").read(root).is_ok()
}

/// By the end of the program and by its last line, `pcsc: N checks passed, …`.
fn judge(success: bool, stdout: &str) -> Outcome {
    let said = stdout.lines().last().and_then(|line| line.strip_prefix("pcsc: "));
    let passed = said.and_then(|said| said.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    match said {
        Some(said) if success && passed >= AT_LEAST => Outcome::Passed(said.to_owned()),
        Some(said) => Outcome::Failed(format!("{said}; wanted {AT_LEAST} passed and none failed; logs in {FOLDER}")),
        None => Outcome::Failed(format!("the checks broke off, see above; logs in {FOLDER}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_checks_and_a_good_end_pass() {
        let line = |passed: u64| format!("test_atr ... ok\npcsc: {passed} checks passed, 0 failed, 99 commands\n");
        assert!(matches!(judge(true, &line(AT_LEAST)), Outcome::Passed(said) if said.contains("99 commands")));
        assert!(matches!(judge(true, &line(AT_LEAST - 1)), Outcome::Failed(_)));
        assert!(matches!(judge(false, &line(AT_LEAST)), Outcome::Failed(_)));
        assert!(matches!(judge(true, "Ran 0 tests"), Outcome::Failed(_)));
        assert!(matches!(judge(false, ""), Outcome::Failed(_)));
    }
}
