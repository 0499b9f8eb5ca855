//! The log of a table, fed with any bytes.

use super::log::{Commit, State};
#[cfg(test)]
use crate::file::checked_line;
use crate::file::parse_checked_line;

/// Lines are entries of a log, of which each that passes its check is applied.
pub fn table_log(bytes: &[u8]) {
    let mut state = State::empty();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(commit) = parse_checked_line::<Commit>(line) {
            state.apply(&commit);
        }
        if let Some(snapshot) = parse_checked_line::<State>(line) {
            state = snapshot;
        }
    }
    // A bad check says nothing of what is in the line.
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(commit) = serde_json::from_slice::<Commit>(line) {
            state.apply(&commit);
        }
        if let Ok(snapshot) = serde_json::from_slice::<State>(line) {
            state = snapshot;
        }
    }
}

/// A log of every kind of entry, with and without checks.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let file = |name: &str| serde_json::json!({"path": name, "rows": 1, "bytes": 2, "crc32c": 3});
    let entries = [
        serde_json::json!({"version": 0, "table": "t", "change": "create", "definition": {"columns": "n BIGINT", "format": "parquet"}}),
        serde_json::json!({"version": 1, "table": "t", "change": "append", "writer": {"writer": "q/s", "epoch": 4}, "added": [file("a"), file("b")]}),
        serde_json::json!({"version": 2, "table": "t", "change": "compact", "removed": ["a", "b"], "added": [file("c")]}),
        serde_json::json!({"version": 3, "table": "t", "change": "overwrite", "writer": null, "added": [file("d")]}),
        serde_json::json!({"version": 4, "table": "t", "change": "drop"}),
    ];
    let plain = entries.iter().map(|entry| format!("{entry}\n")).collect::<String>();
    let checked = entries.iter().flat_map(|entry| checked_line(entry).unwrap_or_default()).collect();
    vec![plain.into_bytes(), checked]
}
