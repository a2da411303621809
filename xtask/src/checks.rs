//! Rules about the repository that no other tool checks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::Cmd;
use crate::report::Outcome;

/// What the wallet core must never depend on: HTTP, sockets, TLS, their runtimes, bindings and
/// platforms. `deny.toml` guards the same border from the other side.
const FOREIGN: [&str; 44] = [
    "actix-web",
    "android_logger",
    "async-io",
    "async-net",
    "async-std",
    "attohttpc",
    "axum",
    "curl",
    "curl-sys",
    "h2",
    "h3",
    "http",
    "http-body",
    "hyper",
    "hyper-util",
    "isahc",
    "jni",
    "mio",
    "minreq",
    "native-tls",
    "ndk",
    "objc2",
    "openssl",
    "openssl-sys",
    "polling",
    "quinn",
    "quinn-proto",
    "reqwest",
    "rustls",
    "schannel",
    "security-framework",
    "smol",
    "socket2",
    "surf",
    "tokio",
    "tokio-rustls",
    "tokio-tungstenite",
    "tonic",
    "tower",
    "tower-http",
    "tungstenite",
    "uniffi",
    "ureq",
    "warp",
];

/// Modules of the standard library that open sockets or start processes.
const FOREIGN_MODULES: [&str; 2] = ["std::net", "std::process"];

/// Crates that may lean on few others of this repository: what each may lean on.
const ALLOWED: [(&str, &[&str]); 3] =
    [("nfcwallet", &["nfcwallet-core"]), ("alipayplus", &[]), ("mpp-server", &["alipayplus"])];

const LINE_LIMIT: usize = 500;

/// The core's dependency tree names no crate of [`FOREIGN`], on any platform and with any feature,
/// and its sources use no socket of the standard library. The bindings lean on the core, the provider's
/// server on the Open API, and neither they nor these two on another crate of this repository.
pub(crate) fn layers(root: &Path) -> Result<Outcome> {
    let tree = Cmd::cargo("tree --package nfcwallet-core --edges normal --all-features --target all --prefix none");
    let mut complaints = foreign_crates(&tree.read(root)?);
    for file in files_below(&root.join("core/src"))? {
        let text = read_text(&file)?.unwrap_or_default();
        let name = shown(root, &file);
        for module in FOREIGN_MODULES.iter().filter(|module| text.contains(**module)) {
            complaints.push(format!("{name} uses {module}"));
        }
    }
    for (package, allowed) in ALLOWED {
        let tree = Cmd::cargo("tree --edges normal --all-features --target all --prefix none --package").args(package);
        complaints.extend(not_allowed(package, allowed, &tree.read(root)?));
    }
    Ok(Outcome::of_complaints(&complaints))
}

/// No source file is too long, and no file names a place on somebody's machine.
pub(crate) fn files(root: &Path) -> Result<Outcome> {
    let mut complaints = Vec::new();
    let mut seen = 0;
    let places = machine_places(root);
    for file in files_below(root)? {
        let Some(text) = read_text(&file)? else { continue };
        seen += 1;
        let name = shown(root, &file);
        complaints.extend(too_long(&name, &text));
        complaints.extend(machine_paths(&name, &text, &places));
    }
    match Outcome::of_complaints(&complaints) {
        Outcome::Passed(_) => Ok(Outcome::Passed(format!("{seen} files"))),
        failed => Ok(failed),
    }
}

fn foreign_crates(tree: &str) -> Vec<String> {
    let mut found: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| FOREIGN.contains(name))
        .map(|name| format!("nfcwallet-core depends on {name}"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// `package` may depend on itself and on `allowed`, of what is ours.
fn not_allowed(package: &str, allowed: &[&str], tree: &str) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut found: Vec<_> = names
        .filter(|name| name.starts_with("nfcwallet") || ["alipayplus", "mpp-server"].contains(name))
        .filter(|name| *name != package && !allowed.contains(name))
        .map(|name| format!("{package} depends on {name}"))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let is_source = [".rs", ".kt", ".swift"].iter().any(|end| name.ends_with(end));
    let lines = text.lines().count();
    (is_source && lines > LINE_LIMIT).then(|| format!("{name} has {lines} lines, limit {LINE_LIMIT}"))
}

fn machine_paths(name: &str, text: &str, places: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for place in places.iter().filter(|place| names_place(line, place)) {
            found.push(format!("{name}:{} names the machine path {place}", number + 1));
        }
    }
    found
}

/// True if `place` occurs in `line` as the beginning of a path: `https://host/home/` is not one.
fn names_place(line: &str, place: &str) -> bool {
    let inside_a_path = |c: char| c.is_alphanumeric() || "._-/:}".contains(c);
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(inside_a_path) || line.get(..at).is_some_and(|head| head.ends_with("file://"))
    })
}

/// Where people keep their homes, and this checkout. Put together here, so that this file is clean.
fn machine_places(root: &Path) -> Vec<String> {
    let mut places = vec![["/ho", "me/"].concat(), ["/Us", "ers/"].concat(), ["/ro", "ot/"].concat()];
    places.push([":\\Us", "ers\\"].concat());
    // A checkout right below the root of the disk has too common a name to be looked for.
    if root.components().count() > 2 {
        places.push(format!("{}/", root.display()));
    }
    places
}

/// Every file below `folder` that belongs to the repository.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    const FOREIGN_FOLDERS: [&str; 6] = [".build", ".git", ".gradle", "build", "node_modules", "target"];
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_file() {
                found.push(entry.path());
            } else if kind.is_dir() && !FOREIGN_FOLDERS.iter().any(|name| entry.file_name() == *name) {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The file's text; `None` if it holds anything else.
fn read_text(file: &Path) -> Result<Option<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_crate_in_the_tree_is_found_once() {
        let tree = "nfcwallet-core v0.1.0 (path)\nserde v1.0.0\nreqwest v0.13.5\nreqwest v0.13.5 (*)\n";
        assert_eq!(foreign_crates(tree), ["nfcwallet-core depends on reqwest"]);
        assert!(foreign_crates("serde v1.0.0\nhttparse-like v1.0.0\n").is_empty());
    }

    #[test]
    fn the_bindings_lean_on_the_core_alone() {
        let tree = "nfcwallet v0.1.0 (path)\nnfcwallet-core v0.1.0 (path)\ntokio v1.54.1\n";
        let check = |tree| not_allowed("nfcwallet", &["nfcwallet-core"], tree);
        assert!(check(tree).is_empty());
        assert_eq!(check("nfcwallet-sandbox v0.1.0\n"), ["nfcwallet depends on nfcwallet-sandbox"]);
        assert_eq!(check("alipayplus v0.1.0\n"), ["nfcwallet depends on alipayplus"]);
    }

    #[test]
    fn line_501_of_a_source_file_is_one_too_many() {
        let text = "x\n".repeat(501);
        assert_eq!(too_long("a.rs", &text).as_deref(), Some("a.rs has 501 lines, limit 500"));
        assert_eq!(too_long("a.rs", &"x\n".repeat(500)), None);
        assert_eq!(too_long("Cargo.lock", &text), None);
    }

    #[test]
    fn a_path_of_somebodys_machine_is_found_and_a_web_address_is_not() {
        let places = machine_places(Path::new("/srv/builds/wallet"));
        let home = ["see /ho", "me/ada/notes"].concat();
        assert_eq!(machine_paths("a.md", &home, &places).len(), 1);
        assert_eq!(machine_paths("a.md", "cd /srv/builds/wallet/core", &places).len(), 1);
        let address = ["https://example.org/ho", "me/page and core/ro", "ot/x"].concat();
        assert_eq!(machine_paths("a.md", &address, &places), Vec::<String>::new());
    }

    #[test]
    fn a_tree_with_a_leak_fails_and_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        fs::write(folder.path().join("target/ignored.rs"), "x\n".repeat(600)).unwrap();
        fs::write(folder.path().join("good.rs"), "fn main() {}\n").unwrap();
        assert_eq!(files(folder.path()).unwrap(), Outcome::Passed("1 files".to_owned()));
        fs::write(folder.path().join("bad.md"), ["\n\"/Us", "ers/ada\"\n"].concat()).unwrap();
        let Outcome::Failed(reason) = files(folder.path()).unwrap() else { panic!("the leak was not found") };
        assert!(reason.starts_with("bad.md:2 names the machine path"), "{reason}");
    }
}
