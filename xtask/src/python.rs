//! Private Python environments, for the checks by programs that others wrote in Python.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::debian;
use crate::process::Cmd;
use crate::report::Unavailable;

/// Says what an environment holds; written last, so that one that was left half made is made anew.
const STAMP: &str = "made-from.txt";

/// What pip says where the package index cannot be reached, or does not carry the package.
const UNREACHABLE: [&str; 3] = ["connection broken by", "Could not fetch URL", "(from versions: none)"];

/// The Python of `target/python/NAME`, an environment with exactly what `requirements` pins.
///
/// The file names every package with `==` and with hashes, also those that others pull in
/// (`pip-compile --generate-hashes` writes it so). The environment is kept until the file, or the
/// system's Python, changes. Where there is no Python, or no package index, the error is
/// [`Unavailable`]; a package with other hashes is a plain failure.
pub(crate) fn venv(root: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    debian::install(root, &["python3", "python3-venv"], "Python 3 with venv", || {
        Cmd::new("python3", "-c").arg("import ensurepip, venv").read(root).is_ok()
    })?;
    let version = Cmd::new("python3", "--version").read(root)?;
    let pinned = fs::read_to_string(root.join(requirements))
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let wanted = format!("# {version}{pinned}");
    let folder = root.join("target/python").join(name);
    let python = folder.join("bin/python");
    if python.exists() && fs::read_to_string(folder.join(STAMP)).is_ok_and(|made_from| made_from == wanted) {
        return Ok(python);
    }
    make(root, &folder, &python, requirements)?;
    fs::write(folder.join(STAMP), wanted).with_context(|| format!("cannot write into {}", folder.display()))?;
    Ok(python)
}

fn make(root: &Path, folder: &Path, python: &Path, requirements: &Path) -> Result<()> {
    let made = Cmd::new("python3", "-m venv --clear").arg(folder.display().to_string()).run(root)?;
    ensure!(made, "the Python environment {} could not be made", folder.display());
    let install = Cmd::new(python.display().to_string(), "-m pip install --require-hashes --requirement")
        .arg(requirements.display().to_string())
        .args("--quiet --no-input --disable-pip-version-check");
    let output = install.run_and_keep(root)?;
    match output.success {
        true => Ok(()),
        false => bail!(judge(&output.stderr, requirements)),
    }
}

/// An index that cannot be reached says nothing about what would have been checked with its packages.
fn judge(stderr: &str, requirements: &Path) -> anyhow::Error {
    let requirements = requirements.display();
    match UNREACHABLE.iter().any(|words| stderr.contains(words)) {
        true => Unavailable(format!("the packages of {requirements} cannot be fetched")).into(),
        false => anyhow::anyhow!("the packages of {requirements} could not be installed, see above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_index_out_of_reach_is_told_from_a_wrong_hash() {
        let requirements = Path::new("requirements.txt");
        let away =
            judge("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'", requirements);
        assert!(away.is::<Unavailable>());
        let wrong = judge("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", requirements);
        assert!(!wrong.is::<Unavailable>());
    }
}
