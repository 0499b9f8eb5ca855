//! Merging runs: the newest row of each key stays.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;

use super::compaction::Job;
use super::manifest::Merged;
use super::records::RunRecord;
use super::runs::{read_run, stem, write_run};
use super::segment::Segments;
use crate::error::{Error, Result};

/// A merged run's batches have at most so many rows.
const BATCH_ROWS: usize = 65_536;
/// The columns before the keys: the key group, and whether the row was removed.
const REMOVED: usize = 1;
const FIRST_KEY: usize = 2;

/// Writes the run that takes the place of the job's runs. `stop` ends it early.
///
/// # Errors
/// When a run can't be read or the new one not written, or [`Error::Cancelled`].
pub(super) fn merge(segments: &Segments, job: &Job, stop: &AtomicBool) -> Result<Merged> {
    let (Some(first), Some(last)) = (job.runs.first(), job.runs.last()) else {
        return Err(Error::Protocol("a merge of no runs".to_owned()));
    };
    let (schema, batches) = newest_rows(segments, job, stop)?;
    let stem = stem(&job.chain.node, job.chain.subtask, last.last_epoch);
    let segment = write_run(segments, &stem, &schema, &batches)?;
    let run = RunRecord {
        first_epoch: first.first_epoch,
        last_epoch: last.last_epoch,
        full: job.oldest,
        rows: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
        segment: segment.segment.clone(),
    };
    let replaced = job.runs.iter().map(|run| run.segment.name.clone()).collect();
    Ok(Merged { chain: job.chain.clone(), replaced, run, segment })
}

fn newest_rows(segments: &Segments, job: &Job, stop: &AtomicBool) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let mut seen = SeenKeys::default();
    let mut kept = Vec::new();
    let mut schema = None;
    for (number, run) in job.runs.iter().enumerate().rev() {
        // Nobody asks for the keys of the last run that is read, mostly the largest by far.
        seen.remembers = number > 0;
        read_run(segments, &job.small, &run.segment, &mut |batch| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            schema.get_or_insert_with(|| batch.schema());
            kept.push(filter_record_batch(&batch, &seen.wanted(&batch, job)?)?);
            Ok(())
        })?;
    }
    let schema = match schema {
        Some(schema) => schema,
        None => segment_schema(segments, job)?,
    };
    let batches = packed(&schema, &kept)?;
    Ok((schema, batches))
}

/// The schema of runs that have no batch at all.
fn segment_schema(segments: &Segments, job: &Job) -> Result<SchemaRef> {
    let run = job.runs.first().ok_or_else(|| Error::Protocol("a merge of no runs".to_owned()))?;
    let reader = arrow_ipc::reader::FileReader::try_new(segments.open(&run.segment, &job.small)?, None)?;
    Ok(reader.schema())
}

/// The same rows in few batches: many epochs of few rows would else stay many batches.
fn packed(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let mut packed = Vec::new();
    let (mut open, mut rows) = (Vec::new(), 0);
    for part in batches.iter().flat_map(parts) {
        if rows + part.num_rows() > BATCH_ROWS {
            packed.push(concat_batches(schema, &open)?);
            (open, rows) = (Vec::new(), 0);
        }
        rows += part.num_rows();
        open.push(part);
    }
    if rows > 0 {
        packed.push(concat_batches(schema, &open)?);
    }
    Ok(packed)
}

fn parts(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = batch.num_rows();
    (0..rows).step_by(BATCH_ROWS).map(move |start| batch.slice(start, BATCH_ROWS.min(rows - start)))
}

/// The keys that were met so far. Keeps their encoded form, and a table of where each one lies.
#[derive(Default)]
struct SeenKeys {
    converter: Option<RowConverter>,
    batches: Vec<Rows>,
    table: HashTable<(u64, u32, u32)>,
    /// Whether a row of a table without key columns was met: it has one row at most.
    keyless: bool,
    /// Whether the keys of the batches that come are to be found later. A run has each key once, so not for those of one run.
    remembers: bool,
}

impl SeenKeys {
    /// Which rows of `batch` have keys that were not met before, and are to be kept.
    fn wanted(&mut self, batch: &RecordBatch, job: &Job) -> Result<BooleanArray> {
        let keys = batch.columns().get(FIRST_KEY..FIRST_KEY + job.keys).ok_or_else(|| not_a_run(job))?;
        let removed = batch.column(REMOVED).as_boolean_opt().ok_or_else(|| not_a_run(job))?;
        let new = match keys {
            [] => self.insert_keyless(batch.num_rows()),
            keys => self.convert(keys).map(|rows| self.insert(rows))?,
        };
        Ok(new.iter().enumerate().map(|(row, new)| Some(*new && !(job.oldest && removed.value(row)))).collect())
    }

    fn convert(&mut self, keys: &[ArrayRef]) -> Result<Rows> {
        let converter = match self.converter.take() {
            Some(converter) => converter,
            None => RowConverter::new(keys.iter().map(|key| SortField::new(key.data_type().clone())).collect())?,
        };
        Ok(self.converter.insert(converter).convert_columns(keys)?)
    }

    fn insert_keyless(&mut self, rows: usize) -> Vec<bool> {
        let first = !self.keyless;
        self.keyless |= rows > 0;
        (0..rows).map(|row| first && row == 0).collect()
    }

    fn insert(&mut self, rows: Rows) -> Vec<bool> {
        let (batches, table) = (&self.batches, &self.table);
        let key = |place: &(u64, u32, u32)| batches[place.1 as usize].row(place.2 as usize);
        let hashes: Vec<u64> = rows.iter().map(|row| xxhash_rust::xxh3::xxh3_64(row.as_ref())).collect();
        let is_new =
            |(row, hash): (arrow_row::Row<'_>, &u64)| table.find(*hash, |place| place.0 == *hash && key(place) == row).is_none();
        let new: Vec<bool> = match table.is_empty() {
            true => vec![true; hashes.len()],
            false => rows.iter().zip(&hashes).map(is_new).collect(),
        };
        if self.remembers {
            let batch = self.batches.len() as u32;
            self.batches.push(rows);
            for (row, (hash, _)) in hashes.iter().zip(&new).enumerate().filter(|(_, (_, new))| **new) {
                self.table.insert_unique(*hash, (*hash, batch, row as u32), |place| place.0);
            }
        }
        new
    }
}

fn not_a_run(job: &Job) -> Error {
    Error::Protocol(format!("a run of state table {} of {} has other columns", job.chain.table, job.chain.node))
}
