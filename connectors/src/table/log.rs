//! A table's commits, and what the table is at each of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Epoch, Error, Result};
use uuid::Uuid;

use super::store::Storage;
use super::{TableDefinition, TableFile};
use crate::file::{checked_line, parse_checked_line};

/// After so many commits the state is written down, so that opening a table does not read them all.
const SNAPSHOT_EVERY: u64 = 64;

/// What an entry of the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    pub(super) version: u64,
    /// The id of the table: one that was dropped and made anew has another.
    table: String,
    #[serde(flatten)]
    pub(super) change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub(super) enum Change {
    /// The table begins.
    Create { definition: TableDefinition },
    /// Rows come.
    Append { writer: Option<WriterEpoch>, added: Vec<TableFile> },
    /// Rows take the place of all there were.
    Overwrite { writer: Option<WriterEpoch>, added: Vec<TableFile> },
    /// The same rows in other files.
    Compact { removed: Vec<String>, added: Vec<TableFile> },
}

/// Which epoch of a query's sink a commit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WriterEpoch {
    pub(super) writer: String,
    pub(super) epoch: Epoch,
}

/// A table at a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u64,
    table: String,
    definition: TableDefinition,
    /// Its files, in the order of their commits.
    files: Vec<TableFile>,
    /// The newest epoch of each writer.
    writers: BTreeMap<String, Epoch>,
}

impl State {
    fn apply(&mut self, commit: &Commit) {
        self.version = commit.version;
        match &commit.change {
            Change::Create { definition } => self.definition = definition.clone(),
            Change::Append { writer, added } => {
                self.files.extend_from_slice(added);
                self.note(writer.as_ref());
            }
            Change::Overwrite { writer, added } => {
                self.files.clone_from(added);
                self.note(writer.as_ref());
            }
            Change::Compact { removed, added } => {
                let first = self.files.iter().position(|file| removed.contains(&file.path)).unwrap_or(self.files.len());
                self.files.retain(|file| !removed.contains(&file.path));
                let first = first.min(self.files.len());
                self.files.splice(first..first, added.iter().cloned());
            }
        }
    }

    fn note(&mut self, writer: Option<&WriterEpoch>) {
        if let Some(WriterEpoch { writer, epoch }) = writer {
            self.writers.insert(writer.clone(), *epoch);
        }
    }
}

/// The log as far as it is known.
#[derive(Debug)]
pub(super) struct Log {
    state: State,
}

impl Log {
    /// Begins a log; says whether there was none.
    pub(super) fn create(store: &dyn Storage, definition: &TableDefinition) -> Result<bool> {
        let (table, change) = (Uuid::new_v4().to_string(), Change::Create { definition: definition.clone() });
        let commit = Commit { version: 0, table, change };
        store.create_log(&commit_name(0), &checked_line(&commit)?)
    }

    /// The log of a table; `None` if there is none.
    pub(super) fn open(store: &dyn Storage) -> Result<Option<Self>> {
        let Some(state) = state_at(store, u64::MAX)? else { return Ok(None) };
        let mut log = Log { state };
        log.refresh(store)?;
        Ok(Some(log))
    }

    /// Reads what was committed since.
    pub(super) fn refresh(&mut self, store: &dyn Storage) -> Result<()> {
        while let Some(commit) = read_commit(store, self.state.version + 1)? {
            self.check_table(store, &commit)?;
            self.state.apply(&commit);
        }
        Ok(())
    }

    /// The table's id.
    pub(super) fn table(&self) -> &str {
        &self.state.table
    }

    fn check_table(&self, store: &dyn Storage, commit: &Commit) -> Result<()> {
        if commit.table == self.state.table { Ok(()) } else { Err(made_anew(store)) }
    }

    pub(super) fn definition(&self) -> &TableDefinition {
        &self.state.definition
    }

    pub(super) fn version(&self) -> u64 {
        self.state.version
    }

    pub(super) fn files(&self) -> Vec<TableFile> {
        self.state.files.clone()
    }

    /// The newest epoch that a writer has committed.
    pub(super) fn epoch_of(&self, writer: &str) -> Option<Epoch> {
        self.state.writers.get(writer).copied()
    }

    /// Commits a change, which `change` makes of the table as it is then; `None` from it gives up. Says whether it was committed.
    pub(super) fn commit(&mut self, store: &dyn Storage, mut change: impl FnMut(&Log) -> Option<Change>) -> Result<bool> {
        loop {
            self.refresh(store)?;
            let Some(change) = change(self) else { return Ok(false) };
            // A commit to a table that has been dropped meanwhile would be the beginning of nothing.
            let last = read_commit(store, self.state.version)?.ok_or_else(|| made_anew(store))?;
            self.check_table(store, &last)?;
            let commit = Commit { version: self.state.version + 1, table: self.state.table.clone(), change };
            if store.create_log(&commit_name(commit.version), &checked_line(&commit)?)? {
                self.state.apply(&commit);
                self.write_snapshot(store);
                return Ok(true);
            }
        }
    }

    /// A snapshot only saves time: without it the commits are read.
    fn write_snapshot(&self, store: &dyn Storage) {
        if !self.state.version.is_multiple_of(SNAPSHOT_EVERY) {
            return;
        }
        let written = checked_line(&self.state).and_then(|line| store.create_log(&snapshot_name(self.state.version), &line));
        if let Err(error) = written {
            tracing::warn!(%error, version = self.state.version, "the snapshot of a table's log can't be written");
        }
    }
}

/// The files of a table at a version, in the order of their commits.
pub(super) fn files_at(store: &dyn Storage, version: u64) -> Result<Vec<TableFile>> {
    let mut state = state_at(store, version)?.ok_or_else(|| missing(store, version))?;
    while state.version < version {
        let next = state.version + 1;
        state.apply(&read_commit(store, next)?.ok_or_else(|| missing(store, next))?);
    }
    Ok(state.files)
}

/// The state of the newest snapshot up to this version, or after the first commit; `None` if there is no log.
fn state_at(store: &dyn Storage, version: u64) -> Result<Option<State>> {
    let names = store.log_names()?;
    let snapshots = names.iter().filter_map(|name| name.strip_suffix(".snapshot.json")?.parse::<u64>().ok());
    if let Some(newest) = snapshots.filter(|snapshot| *snapshot <= version).max() {
        let name = snapshot_name(newest);
        let bytes = store.read_log(&name)?.ok_or_else(|| missing(store, newest))?;
        let state = parse_checked_line(&bytes);
        return state.map(Some).ok_or_else(|| damaged(store, &name, "it does not pass its check"));
    }
    let Some(first) = read_commit(store, 0)? else { return Ok(None) };
    let Change::Create { definition } = first.change else {
        return Err(damaged(store, &commit_name(0), "it does not create the table"));
    };
    Ok(Some(State { version: 0, table: first.table, definition, files: Vec::new(), writers: BTreeMap::new() }))
}

/// A commit; `None` if there is none of this number.
pub(super) fn read_commit(store: &dyn Storage, version: u64) -> Result<Option<Commit>> {
    let name = commit_name(version);
    let Some(bytes) = store.read_log(&name)? else { return Ok(None) };
    match parse_checked_line::<Commit>(&bytes) {
        Some(commit) if commit.version == version => Ok(Some(commit)),
        _ => Err(damaged(store, &name, "it does not pass its check")),
    }
}

fn made_anew(store: &dyn Storage) -> Error {
    let dir = store.name();
    Error::SourceDataLoss(format!("the table in {dir} was dropped, or made anew, while it was in use: start the query with a new checkpoint"))
}

fn missing(store: &dyn Storage, version: u64) -> Error {
    damaged(store, &commit_name(version), "it is missing, and later ones are there")
}

fn damaged(store: &dyn Storage, name: &str, what: &str) -> Error {
    Error::damaged(format!("{}/_log/{name}", store.name()), what)
}

fn commit_name(version: u64) -> String {
    format!("{version:020}.json")
}

fn snapshot_name(version: u64) -> String {
    format!("{version:020}.snapshot.json")
}
