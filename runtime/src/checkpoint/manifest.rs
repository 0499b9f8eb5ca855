//! What the state consists of after an epoch: pure steps from one manifest to the next.

use std::collections::{BTreeMap, BTreeSet};

use super::descriptor::TableDescriptor;
use super::records::{Manifest, NodeState, RunRecord, SegmentRef, TableState};
use super::segment::NewSegment;
use crate::error::{Error, Result};

/// What one task changed in one table in one epoch: written, and counting for nothing until its epoch is committed.
#[derive(Debug, Clone)]
pub(crate) struct NewRun {
    pub(super) node: String,
    pub(super) table: TableDescriptor,
    pub(super) subtask: u32,
    pub(super) parallelism: u32,
    pub(super) epoch: u64,
    pub(super) full: bool,
    pub(super) rows: u64,
    pub(super) segment: NewSegment,
}

impl NewRun {
    /// How many rows it has, removed ones included.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.segment.segment.length
    }

    fn record(&self) -> RunRecord {
        let segment = self.segment.segment.clone();
        RunRecord { first_epoch: self.epoch, last_epoch: self.epoch, full: self.full, rows: self.rows, segment }
    }
}

/// Names a chain of runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChainId {
    /// The node.
    pub(super) node: String,
    /// Its table.
    pub(super) table: String,
    /// The subtask that wrote it.
    pub(super) subtask: u32,
}

/// Runs of a chain, merged into one.
#[derive(Debug)]
pub(super) struct Merged {
    /// The chain.
    pub(super) chain: ChainId,
    /// The runs' segments, in their order.
    pub(super) replaced: Vec<String>,
    /// What takes their place.
    pub(super) run: RunRecord,
    /// Its segment.
    pub(super) segment: NewSegment,
}

impl Manifest {
    /// All chains.
    pub(super) fn chains(&self) -> impl Iterator<Item = (ChainId, &TableState, &Vec<RunRecord>)> {
        self.nodes.iter().flat_map(|(node, state)| {
            state.tables.iter().flat_map(move |(name, table)| {
                let id = move |subtask: &u32| ChainId { node: node.clone(), table: name.clone(), subtask: *subtask };
                table.chains.iter().map(move |(subtask, runs)| (id(subtask), table, runs))
            })
        })
    }

    /// All segments that it names.
    pub(super) fn segments(&self) -> impl Iterator<Item = &SegmentRef> {
        self.nodes
            .values()
            .flat_map(|node| node.tables.values())
            .flat_map(|table| table.chains.values())
            .flatten()
            .map(|run| &run.segment)
    }

    /// Puts a merged run where the runs are that it was made of. `false` if they are no longer there.
    pub(super) fn adopt(&mut self, merged: &Merged) -> bool {
        let ChainId { node, table, subtask } = &merged.chain;
        let table = self.nodes.get_mut(node).and_then(|node| node.tables.get_mut(table));
        let Some(chain) = table.and_then(|table| table.chains.get_mut(subtask)) else { return false };
        let names: Vec<&str> = chain.iter().map(|run| run.segment.name.as_str()).collect();
        let length = merged.replaced.len();
        let Some(start) = names.windows(length.max(1)).position(|window| window == merged.replaced) else { return false };
        chain.splice(start..start + length, [merged.run.clone()]);
        true
    }

    /// Adds the runs of `epoch`.
    ///
    /// # Errors
    /// [`Error::Protocol`] when they don't fit together or to what is there.
    pub(super) fn add(&mut self, epoch: u64, runs: &[NewRun]) -> Result<()> {
        self.epoch = epoch;
        let mut by_node: BTreeMap<&str, Vec<&NewRun>> = BTreeMap::new();
        for run in runs {
            if run.epoch != epoch {
                return Err(protocol(run, format!("belongs to epoch {}, not {epoch}", run.epoch)));
            }
            by_node.entry(&run.node).or_default().push(run);
        }
        by_node.into_iter().try_for_each(|(node, runs)| self.nodes.entry(node.to_owned()).or_default().add(&runs))
    }
}

impl NodeState {
    fn add(&mut self, runs: &[&NewRun]) -> Result<()> {
        let Some(parallelism) = runs.first().map(|run| run.parallelism) else { return Ok(()) };
        check_together(runs, parallelism)?;
        if self.parallelism != parallelism && !self.tables.is_empty() {
            self.check_replaced(runs, parallelism)?;
            self.tables.clear();
        }
        self.parallelism = parallelism;
        runs.iter().try_for_each(|run| self.push(run))
    }

    fn push(&mut self, run: &NewRun) -> Result<()> {
        let new = || TableState { table: run.table.clone(), chains: BTreeMap::new() };
        let table = self.tables.entry(run.table.name.clone()).or_insert_with(new);
        if table.table != run.table {
            return Err(protocol(run, run.table.differences(&table.table).join("; ")));
        }
        let chain = table.chains.entry(run.subtask).or_default();
        if run.full {
            chain.clear();
        }
        chain.push(run.record());
        Ok(())
    }

    /// Keys have moved between tasks, so nothing of the old chains may stay: every task must bring all its rows of every table.
    fn check_replaced(&self, runs: &[&NewRun], parallelism: u32) -> Result<()> {
        let full: BTreeSet<(&str, u32)> =
            runs.iter().filter(|run| run.full).map(|run| (run.table.name.as_str(), run.subtask)).collect();
        if let Some(run) = runs.iter().find(|run| !run.full) {
            let before = self.parallelism;
            return Err(protocol(
                run,
                format!("holds changes only, but the state was written by {before} tasks, not {parallelism}"),
            ));
        }
        for (table, subtask) in self.tables.keys().flat_map(|table| (0..parallelism).map(move |subtask| (table, subtask))) {
            if !full.contains(&(table.as_str(), subtask)) {
                let what = format!("state table {table} of subtask {subtask} is missing after a change of the parallelism");
                return Err(protocol(runs[0], what));
            }
        }
        Ok(())
    }
}

fn check_together(runs: &[&NewRun], parallelism: u32) -> Result<()> {
    let mut seen = BTreeSet::new();
    for run in runs {
        if run.parallelism != parallelism || run.subtask >= parallelism {
            return Err(protocol(run, format!("is of subtask {} of {}", run.subtask, run.parallelism)));
        }
        if !seen.insert((&run.table.name, run.subtask)) {
            return Err(protocol(run, "comes twice".to_owned()));
        }
    }
    Ok(())
}

fn protocol(run: &NewRun, what: String) -> Error {
    Error::Protocol(format!("snapshot of state table {} of {}.{}: {what}", run.table.name, run.node, run.subtask))
}

#[cfg(test)]
mod tests {
    use super::super::records::Place;
    use super::*;

    fn run(table: &str, subtask: u32, parallelism: u32, epoch: u64, full: bool) -> NewRun {
        let table = TableDescriptor { name: table.into(), keys: vec![], values: vec![], group_columns: 0 };
        let name = format!("{}-{subtask}-{epoch}", table.name);
        let segment = SegmentRef { name, place: Place::File, length: 1, crc: 0 };
        let segment = NewSegment { segment, bytes: None };
        NewRun { node: "n".into(), table, subtask, parallelism, epoch, full, rows: 1, segment }
    }

    fn names(manifest: &Manifest) -> Vec<&str> {
        manifest.segments().map(|segment| segment.name.as_str()).collect()
    }

    #[test]
    fn runs_extend_chains_and_full_runs_replace_them() {
        let mut manifest = Manifest::default();
        manifest.add(0, &[run("t", 0, 2, 0, false), run("t", 1, 2, 0, false)]).unwrap();
        manifest.add(1, &[run("t", 0, 2, 1, false)]).unwrap();
        assert_eq!(names(&manifest), ["t-0-0", "t-0-1", "t-1-0"]);
        manifest.add(2, &[run("t", 0, 2, 2, true)]).unwrap();
        assert_eq!(names(&manifest), ["t-0-2", "t-1-0"]);
    }

    #[test]
    fn another_parallelism_needs_all_of_the_state() {
        let mut manifest = Manifest::default();
        manifest.add(0, &[run("t", 0, 2, 0, false), run("t", 1, 2, 0, false), run("u", 0, 2, 0, false)]).unwrap();
        let before = manifest.clone();
        let tasks = [run("t", 0, 1, 1, true), run("u", 0, 1, 1, true)];
        assert!(manifest.clone().add(1, &tasks[..1]).is_err());
        assert!(manifest.clone().add(1, &[run("t", 0, 1, 1, false), tasks[1].clone()]).is_err());
        assert_eq!(manifest, before);
        manifest.add(1, &tasks).unwrap();
        assert_eq!(names(&manifest), ["t-0-1", "u-0-1"]);
    }

    #[test]
    fn runs_that_do_not_fit_are_refused() {
        let base = run("t", 0, 1, 1, false);
        assert!(Manifest::default().add(2, std::slice::from_ref(&base)).is_err());
        assert!(Manifest::default().add(1, &[base.clone(), base.clone()]).is_err());
        assert!(Manifest::default().add(1, &[run("t", 1, 1, 1, false)]).is_err());
        let mut manifest = Manifest::default();
        manifest.add(1, &[base]).unwrap();
        let mut other = run("t", 0, 1, 2, false);
        other.table.group_columns = 1;
        assert!(manifest.add(2, &[other]).is_err());
    }

    #[test]
    fn a_merged_run_is_adopted_only_where_its_runs_still_are() {
        let mut manifest = Manifest::default();
        for epoch in 0..4 {
            manifest.add(epoch, &[run("t", 0, 1, epoch, false)]).unwrap();
        }
        let chain = ChainId { node: "n".into(), table: "t".into(), subtask: 0 };
        let new = run("m", 0, 1, 9, false);
        let merged =
            Merged { chain, replaced: vec!["t-0-1".into(), "t-0-2".into()], run: new.record(), segment: new.segment.clone() };
        assert!(manifest.adopt(&merged));
        assert_eq!(names(&manifest), ["t-0-0", "m-0-9", "t-0-3"]);
        assert!(!manifest.adopt(&merged));
    }
}
