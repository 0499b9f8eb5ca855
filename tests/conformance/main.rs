//! Spark's recorded results, through the public API: one test for each case file.
//!
//! ```sh
//! cargo test --test conformance                          # the cases of this repository
//! cargo test --test conformance window                   # those whose names contain a word
//! TIDEGATE_CONFORMANCE=/other/cases cargo test --test conformance
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program may print")]

mod case;
mod compare;
mod run;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use case::Case;

/// What is known of a family: cases that passed, that failed.
type Families = Arc<Mutex<BTreeMap<String, (usize, usize)>>>;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os("TIDEGATE_CONFORMANCE").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases"));
    let families = Families::default();
    let trials = match cases(&folder) {
        Ok(cases) => cases.into_iter().map(|case| trial(case, &families)).collect(),
        Err(error) => {
            eprintln!("the cases in {} can't be read: {error}", folder.display());
            return std::process::ExitCode::FAILURE;
        }
    };
    let is_list = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !is_list {
        let families = families.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{:<20} {:>7} {:>7}", "family", "passed", "failed");
        for (family, (passed, failed)) in families.iter() {
            println!("{family:<20} {passed:>7} {failed:>7}");
        }
        println!("{} passed, {} failed", conclusion.num_passed, conclusion.num_failed);
    }
    conclusion.exit_code()
}

fn cases(folder: &Path) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            cases.push(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?);
        }
    }
    cases.sort_by(|left: &Case, right: &Case| left.name.cmp(&right.name));
    Ok(cases)
}

fn trial(case: Case, families: &Families) -> Trial {
    let families = Arc::clone(families);
    Trial::test(case.name.clone(), move || {
        let result = run::run(&case);
        let mut families = families.lock().unwrap_or_else(PoisonError::into_inner);
        let (passed, failed) = families.entry(case.family.clone()).or_default();
        match result {
            Ok(()) => *passed += 1,
            Err(_) => *failed += 1,
        }
        result.map_err(|message| Failed::from(format!("{message}\nquery: {}", case.query)))
    })
}
