//! Every scenario file, and lines that are no good requests, told with the Rust phone or with the one that `NFCWALLET_PHONE` names.

#![allow(clippy::expect_used, reason = "a failed test panics")]

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use nfcwallet_sandbox::phone::PhoneProgram;
use nfcwallet_tests::lines;
use nfcwallet_tests::runner::run_file;

fn main() {
    let phone = std::env::var_os("NFCWALLET_PHONE").map_or_else(|| env!("CARGO_BIN_EXE_phone").into(), PathBuf::from);
    let program = PhoneProgram { path: phone, arguments: Vec::new() };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the scenarios' folder is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            trial(&name, &program, move |program| run_file(&path, program))
        })
        .collect();
    trials.push(trial("every_line_is_answered", &program, lines::every_line_is_answered));
    let not_opened = lines::a_wallet_that_does_not_open_is_told_in_one_line;
    trials.push(trial("a_wallet_that_does_not_open_is_told_in_one_line", &program, not_opened));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(
    name: &str,
    program: &PhoneProgram,
    run: impl FnOnce(&PhoneProgram) -> Result<(), String> + Send + 'static,
) -> Trial {
    let program = program.clone();
    Trial::test(name, move || run(&program).map_err(Failed::from))
}
