//! `docs/dependencies.md` explains every direct dependency, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::Cmd;
use crate::report::Outcome;

const PAGE: &str = "docs/dependencies.md";

/// Names of direct dependencies, by crate.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// Compares the page with the manifests of the workspace.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let metadata = Cmd::cargo("metadata --no-deps --format-version 1").read(root)?;
    let used = from_metadata(&serde_json::from_str(&metadata)?).context("cargo's metadata has another form")?;
    let explained = from_page(&fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?);
    Ok(Outcome::of_complaints(&differences(&used, &explained)))
}

fn from_metadata(metadata: &Value) -> Option<Dependencies> {
    let mut all = Dependencies::new();
    for package in metadata.get("packages")?.as_array()? {
        let dependencies = package.get("dependencies")?.as_array()?;
        let names = dependencies.iter().map(|one| Some(one.get("name")?.as_str()?.to_owned()));
        all.insert(package.get("name")?.as_str()?.to_owned(), names.collect::<Option<_>>()?);
    }
    Some(all)
}

/// A heading `## crate`, then lines ``* `dependency`: why``.
fn from_page(page: &str) -> Dependencies {
    let mut all = Dependencies::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            current = heading.trim().to_owned();
            all.entry(current.clone()).or_default();
        } else if let Some((name, why)) = line.strip_prefix("* `").and_then(|rest| rest.split_once("`: "))
            && !why.trim().is_empty()
        {
            all.entry(current.clone()).or_default().insert(name.to_owned());
        }
    }
    all
}

fn differences(used: &Dependencies, explained: &Dependencies) -> Vec<String> {
    let nothing = BTreeSet::new();
    let mut found = Vec::new();
    let crates: BTreeSet<_> = used.keys().chain(explained.keys()).collect();
    for name in crates {
        let (used, explained) = (used.get(name).unwrap_or(&nothing), explained.get(name).unwrap_or(&nothing));
        found.extend(used.difference(explained).map(|one| format!("{PAGE} does not say why {name} needs {one}")));
        found
            .extend(explained.difference(used).map(|one| format!("{PAGE} explains {one}, which {name} does not need")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Head\n\n## one\n\n* `serde`: types.\n* `left-over`: once.\n";

    #[test]
    fn a_dependency_without_a_reason_and_a_reason_without_a_dependency_are_named() {
        let metadata = serde_json::json!({
            "packages": [{ "name": "one", "dependencies": [{ "name": "serde" }, { "name": "new" }] }]
        });
        let used = from_metadata(&metadata).unwrap();
        let found = differences(&used, &from_page(PAGE));
        assert_eq!(
            found,
            [
                "docs/dependencies.md does not say why one needs new",
                "docs/dependencies.md explains left-over, which one does not need"
            ]
        );
    }

    #[test]
    fn a_line_without_a_reason_explains_nothing() {
        assert_eq!(from_page("## one\n* `serde`: \n* `hex`\n").get("one"), Some(&BTreeSet::new()));
    }
}
