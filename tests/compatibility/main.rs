//! `docs/COMPATIBILITY.md` says what is there: no more, no less.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};

use tidegate::Session;

const TABLE: &str = include_str!("../../docs/COMPATIBILITY.md");

/// The functions of the table, with their status.
fn functions() -> BTreeMap<&'static str, &'static str> {
    let (_, functions) = TABLE.split_once("## Functions").unwrap();
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.next()?.trim()))
    };
    functions.lines().filter_map(row).collect()
}

#[test]
fn what_is_there_is_in_the_table_and_the_other_way_round() {
    let listed = functions();
    assert!(listed.values().all(|status| ["supported", "different", "missing"].contains(status)), "{listed:?}");
    let operator = |name: &&&str| name.chars().any(|c| c.is_alphabetic());
    let known: BTreeSet<&str> = tidegate::function_names().iter().filter(operator).copied().collect();
    let there: BTreeSet<&str> = listed.iter().filter(|(_, status)| **status != "missing").map(|(name, _)| *name).collect();
    let unlisted: Vec<&&str> = known.difference(&there).collect();
    let absent: Vec<&&str> = there.difference(&known).collect();
    assert!(unlisted.is_empty(), "not in docs/COMPATIBILITY.md, or missing there: {unlisted:?}");
    assert!(absent.is_empty(), "in docs/COMPATIBILITY.md, but not there: {absent:?}");
}

#[test]
fn what_is_missing_is_refused_by_name() {
    let session = Session::builder().build().unwrap();
    for (name, _) in functions().into_iter().filter(|(_, status)| *status == "missing") {
        let error = session.sql(&format!("SELECT `{name}`(1) AS x")).err().unwrap_or_else(|| panic!("{name} is not missing"));
        assert_eq!(error.condition().as_deref(), Some("UNRESOLVED_ROUTINE"), "{name}: {error}");
    }
}
