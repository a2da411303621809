//! What Kotlin and Swift add to the wallet. `cargo xtask bench ffi` builds their programs and runs it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use nfcwallet_bench::border::{self, Effort, Program, RUST, RUST_PHONE, rust_phone};
use nfcwallet_bench::{Row, print};

const EFFORT: Effort = Effort { starts: 10, turns: 5, taps: 20, plain: 200, syncs: 100 };

fn main() -> Result<()> {
    // Cargo adds --bench to what it runs for `cargo bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match arguments.split_first() {
        Some((first, rest)) if first == RUST_PHONE => rust_phone::run(rest),
        _ => measure(&arguments),
    }
}

fn measure(arguments: &[String]) -> Result<()> {
    let path = std::env::current_exe()?.display().to_string();
    let mut programs = vec![Program { language: RUST.to_owned(), path, arguments: vec![RUST_PHONE.to_owned()] }];
    let mut skipped = Vec::new();
    let mut folder: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--data-directory" => folder = value.into(),
            [name, value] if name == "--skipped" => skipped.push(Row::noted("skipped", value)),
            [name, value] if name.starts_with("--") => {
                let language = name.trim_start_matches('-').to_owned();
                programs.push(Program { language, path: value.clone(), arguments: Vec::new() });
            }
            other => bail!("expected --LANGUAGE PROGRAM, --skipped WHY or --data-directory FOLDER, not {other:?}"),
        }
    }
    std::fs::create_dir_all(&folder)?;
    let mut rows = border::measure(&programs, &folder, EFFORT)?;
    rows.extend(skipped);
    print(&rows);
    Ok(())
}
