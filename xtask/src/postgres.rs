//! PostgreSQL for the server's tests, which start one of their own and stop it.

use std::path::Path;

use anyhow::Result;

use crate::{debian, process::Cmd};

/// Where Debian keeps the programs of a PostgreSQL server, one folder a version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Installs it where that is possible. Elsewhere one line says that the tests on PostgreSQL will not run
/// and why; in continuous integration that is an error.
pub(crate) fn install(root: &Path) -> Result<()> {
    let installed = debian::install_without_daemons(root, &["postgresql"], "PostgreSQL", || is_there(root));
    debian::or_say_what_is_not_tested(installed, "the server on PostgreSQL")
}

fn is_there(root: &Path) -> bool {
    let debian = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut of_debian = debian.map(|version| version.path().join("bin/initdb"));
    of_debian.any(|program| program.exists()) || Cmd::new("initdb", "--version").read(root).is_ok()
}
