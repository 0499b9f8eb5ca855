//! A table's commits, and what the table is at each of them.

use std::collections::{BTreeMap, HashSet};

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

impl Commit {
    pub(super) fn table(&self) -> &str {
        &self.table
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub(super) enum Change {
    /// The table begins.
    Create {
        definition: TableDefinition,
        /// Its rows, if it takes the place of another table.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        added: Vec<TableFile>,
        /// Set if the table itself is elsewhere, and this log says only that it is known here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
    },
    /// Rows come.
    Append { writer: Option<WriterEpoch>, added: Vec<TableFile> },
    /// Rows take the place of all there were, or of those in these directories and below.
    Overwrite {
        writer: Option<WriterEpoch>,
        added: Vec<TableFile>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<Vec<String>>,
    },
    /// The same rows in other files.
    Compact { removed: Vec<String>, added: Vec<TableFile> },
    /// The table ends. Another one may begin after it, in the same log: numbers of commits are never used twice.
    Drop,
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
    /// `None` after the table was dropped.
    definition: Option<TableDefinition>,
    /// Where the table is, if it is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// The newest commit that changed rows.
    changed: u64,
    /// Its files, in the order of their commits.
    files: Vec<TableFile>,
    /// The newest epoch of each writer.
    writers: BTreeMap<String, Epoch>,
}

impl State {
    pub(super) fn empty() -> Self {
        let (table, files, writers) = (String::new(), Vec::new(), BTreeMap::new());
        State { version: 0, table, definition: None, location: None, changed: 0, files, writers }
    }

    pub(super) fn apply(&mut self, commit: &Commit) {
        self.version = commit.version;
        if !matches!(commit.change, Change::Compact { .. }) {
            self.changed = commit.version;
        }
        match &commit.change {
            Change::Create { definition, location, added } => {
                let (table, definition, location) = (commit.table.clone(), Some(definition.clone()), location.clone());
                let (version, changed, files) = (commit.version, commit.version, added.clone());
                *self = State { version, changed, table, definition, location, files, ..State::empty() };
            }
            Change::Drop => (self.definition, self.files) = (None, Vec::new()),
            Change::Append { writer, added } => {
                self.files.extend_from_slice(added);
                self.note(writer.as_ref());
            }
            Change::Overwrite { writer, added, within } => {
                let replaced = Replaced::new(within.as_deref());
                self.files.retain(|file| !replaced.has(&file.path));
                self.files.extend_from_slice(added);
                self.note(writer.as_ref());
            }
            Change::Compact { removed, added } => {
                let removed: HashSet<&str> = removed.iter().map(String::as_str).collect();
                let is_removed = |file: &TableFile| removed.contains(file.path.as_str());
                let first = self.files.iter().position(is_removed).unwrap_or(self.files.len());
                self.files.retain(|file| !is_removed(file));
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

/// The files that give way to others: all, or those in some directories and below.
struct Replaced<'a>(Option<HashSet<&'a str>>);

impl<'a> Replaced<'a> {
    fn new(within: Option<&'a [String]>) -> Self {
        Replaced(within.map(|within| within.iter().map(String::as_str).collect()))
    }

    fn has(&self, path: &str) -> bool {
        let Some(directories) = &self.0 else { return true };
        let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        std::iter::once("").chain(above).any(|directory| directories.contains(directory))
    }
}

/// The log as far as it is known.
#[derive(Debug)]
pub(super) struct Log {
    state: State,
}

impl Log {
    /// Begins a table, if there is none, whose files are here or elsewhere; says whether it did.
    pub(super) fn create(store: &dyn Storage, definition: &TableDefinition, location: Option<&str>) -> Result<bool> {
        let newest = newest_state(store)?;
        if newest.as_ref().is_some_and(|state| state.definition.is_some()) {
            return Ok(false);
        }
        let version = newest.map_or(0, |state| state.version + 1);
        let (definition, location) = (definition.clone(), location.map(str::to_owned));
        let change = Change::Create { definition, location, added: Vec::new() };
        let table = Uuid::new_v4().to_string();
        store.create_log(&commit_name(version), &checked_line(&Commit { version, table, change })?)
    }

    /// The log of a table, and what it is; `None` if there is none.
    pub(super) fn open(store: &dyn Storage) -> Result<Option<(Self, TableDefinition)>> {
        let Some(state) = newest_state(store)? else { return Ok(None) };
        let definition = state.definition.clone();
        Ok(definition.map(|definition| (Log { state }, definition)))
    }

    /// Reads what was committed since.
    ///
    /// # Errors
    /// Also when the table was dropped meanwhile, whether or not there is another in its place.
    pub(super) fn refresh(&mut self, store: &dyn Storage) -> Result<()> {
        while let Some(commit) = read_commit(store, self.state.version + 1)? {
            if commit.change == Change::Drop || commit.table != self.state.table {
                return Err(dropped(store));
            }
            self.state.apply(&commit);
        }
        Ok(())
    }

    /// Where the table is, if it is elsewhere.
    pub(super) fn location(&self) -> Option<&str> {
        self.state.location.as_deref()
    }

    /// The table's id.
    pub(super) fn table(&self) -> &str {
        &self.state.table
    }

    pub(super) fn version(&self) -> u64 {
        self.state.version
    }

    /// The newest commit that changed rows.
    pub(super) fn changed(&self) -> u64 {
        self.state.changed
    }

    pub(super) fn files(&self) -> &[TableFile] {
        &self.state.files
    }

    /// Whether there are files in these directories or below; in any, if none are given.
    pub(super) fn has_files_within(&self, within: Option<&[String]>) -> bool {
        let replaced = Replaced::new(within);
        self.state.files.iter().any(|file| replaced.has(&file.path))
    }

    /// The newest epoch that a writer has committed.
    pub(super) fn epoch_of(&self, writer: &str) -> Option<Epoch> {
        self.state.writers.get(writer).copied()
    }

    /// Begins another table with these rows in the place of this one, if no rows have come to it after a version. Gives the last version
    /// of this one; `None` if it did not. This log ends there.
    pub(super) fn replace(
        &mut self,
        store: &dyn Storage,
        definition: &TableDefinition,
        added: &[TableFile],
        version: u64,
    ) -> Result<Option<u64>> {
        loop {
            self.refresh(store)?;
            if self.state.changed > version {
                return Ok(None);
            }
            let change = Change::Create { definition: definition.clone(), location: None, added: added.to_vec() };
            let commit = Commit { version: self.state.version + 1, table: Uuid::new_v4().to_string(), change };
            if store.create_log(&commit_name(commit.version), &checked_line(&commit)?)? {
                return Ok(Some(self.state.version));
            }
        }
    }

    /// Commits a change, which `change` makes of the table as it is then; `None` from it gives up. Says whether it was committed.
    pub(super) fn commit(&mut self, store: &dyn Storage, mut change: impl FnMut(&Log) -> Option<Change>) -> Result<bool> {
        loop {
            self.refresh(store)?;
            let Some(change) = change(self) else { return Ok(false) };
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
        let write = || -> Result<()> {
            store.create_log(&snapshot_name(self.state.version), &checked_line(&self.state)?)?;
            // The one before stays for those who are reading it.
            let old = self.state.version.checked_sub(2 * SNAPSHOT_EVERY).filter(|old| *old > 0);
            old.map_or(Ok(()), |old| store.remove_log(&snapshot_name(old)))
        };
        if let Err(error) = write() {
            tracing::warn!(%error, version = self.state.version, "the snapshot of a table's log can't be written");
        }
    }
}

/// The files of a table at a version, in the order of their commits.
pub(super) fn files_at(store: &dyn Storage, table: &str, version: u64) -> Result<Vec<TableFile>> {
    let mut state = state_at(store, version)?;
    while state.version < version {
        let next = state.version + 1;
        state.apply(&read_commit(store, next)?.ok_or_else(|| missing(store, next))?);
    }
    if state.table == table { Ok(state.files) } else { Err(dropped(store)) }
}

/// The state after all commits; `None` if there is no log.
fn newest_state(store: &dyn Storage) -> Result<Option<State>> {
    if read_commit(store, 0)?.is_none() {
        return Ok(None);
    }
    let mut state = state_at(store, u64::MAX)?;
    while let Some(commit) = read_commit(store, state.version + 1)? {
        state.apply(&commit);
    }
    Ok(Some(state))
}

/// The state of the newest snapshot up to this version, or after the first commit.
fn state_at(store: &dyn Storage, version: u64) -> Result<State> {
    let names = store.log_names()?;
    let snapshots = names.iter().filter_map(|name| name.strip_suffix(".snapshot.json")?.parse::<u64>().ok());
    if let Some(newest) = snapshots.filter(|snapshot| *snapshot <= version).max() {
        let name = snapshot_name(newest);
        let bytes = store.read_log(&name)?.ok_or_else(|| missing(store, newest))?;
        return parse_checked_line(&bytes).ok_or_else(|| damaged(store, &name, "does not pass its check"));
    }
    let first = read_commit(store, 0)?.ok_or_else(|| missing(store, 0))?;
    let mut state = State::empty();
    state.apply(&first);
    Ok(state)
}

/// A commit; `None` if there is none of this number.
pub(super) fn read_commit(store: &dyn Storage, version: u64) -> Result<Option<Commit>> {
    let name = commit_name(version);
    let Some(bytes) = store.read_log(&name)? else { return Ok(None) };
    match parse_checked_line::<Commit>(&bytes) {
        Some(commit) if commit.version == version => Ok(Some(commit)),
        _ => Err(damaged(store, &name, "does not pass its check")),
    }
}

pub(super) fn dropped(store: &dyn Storage) -> Error {
    let place = store.name();
    Error::SourceDataLoss(format!("the table in {place} was dropped, or made anew, while it was in use"))
}

fn missing(store: &dyn Storage, version: u64) -> Error {
    damaged(store, &commit_name(version), "is missing, and later ones are there")
}

fn damaged(store: &dyn Storage, name: &str, what: &str) -> Error {
    let place = store.name();
    Error::user(format!("the log of the table in {place} is damaged: its entry {name} {what}"))
}

fn commit_name(version: u64) -> String {
    format!("{version:020}.json")
}

fn snapshot_name(version: u64) -> String {
    format!("{version:020}.snapshot.json")
}
