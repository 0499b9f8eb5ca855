//! One parallel instance of a [`StreamJoin`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, not, take};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, SortField};
use tidegate_runtime::state::{TableSpec, canonical_keys, hash_columns, relabel_columns};
use tidegate_runtime::{Error, Operator, OperatorContext, Port, Result, TARGET_BATCH_ROWS};

use super::kept_rows::KeptRows;
use super::new_rows::NewRows;
use super::trial::{Emission, Residual, Trial};
use super::{JoinSide, NAME, StreamJoin, TABLES};
use crate::event_time::{after, micros};
use crate::expressions::{Chosen, batch_of, choose};

/// An epoch's rows are joined before its end when a side has this many, so that they need not all be in memory. Tests join them in
/// several steps.
const STEP_ROWS: usize = if cfg!(test) { 24 } else { 1 << 19 };

/// How many kept rows are read at a time.
const READ_ROWS: usize = if cfg!(test) { 8 } else { TARGET_BATCH_ROWS };

pub(super) struct JoinTask {
    join: StreamJoin,
    open: Option<Open>,
}

/// What is known once the state is open.
struct Open {
    sides: [Side; 2],
    residual: Option<Residual>,
    emission: Emission,
}

/// A side: its new rows so far, and which it keeps.
struct Side {
    table: TableSpec,
    /// The columns in the output.
    columns: SchemaRef,
    converter: RowConverter,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    kept: KeptRows,
}

/// A kept row whose key is among the other side's new ones, from the row `first` on.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    slot: u32,
    row: i64,
    first: u32,
}

impl JoinTask {
    pub(super) fn new(join: StreamJoin) -> Self {
        JoinTask { join, open: None }
    }

    fn parts(&mut self) -> Result<(&StreamJoin, &mut Open)> {
        match &mut self.open {
            Some(open) => Ok((&self.join, open)),
            None => Err(Error::Protocol("a join was used before it was opened".to_owned())),
        }
    }
}

impl Operator for JoinTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let mut sides = [Side::new(context, 0)?, Side::new(context, 1)?];
        for (number, side) in sides.iter_mut().enumerate() {
            side.open(&self.join.sides[number], number, context)?;
        }
        let [left, right] = [&sides[0].columns, &sides[1].columns];
        let residual = Residual::of(&self.join, left, right)?;
        let emission = Emission::new(self.join.join, left, right);
        self.open = Some(Open { sides, residual, emission });
        Ok(())
    }

    fn process(&mut self, port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let (join, open) = self.parts()?;
        let (Some(side), Some(rules)) = (open.sides.get_mut(port.0), join.sides.get(port.0)) else {
            return Err(Error::Protocol(format!("{NAME}: there is no input {}", port.0)));
        };
        let batch = in_time(rules, batch, context)?;
        if batch.num_rows() > 0 {
            side.pending_rows += batch.num_rows();
            side.pending.push(batch);
        }
        if side.pending_rows >= STEP_ROWS {
            open.step(join, None, context)?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let (join, open) = self.parts()?;
        let watermark = context.epoch()?.watermark.map(|watermark| watermark.micros());
        open.step(join, watermark, context)?;
        if let Some(watermark) = watermark {
            open.remove_due(join, 0, watermark, context)?;
            open.remove_due(join, 1, watermark, context)?;
        }
        open.emission.gathered.flush(context)
    }
}

/// The rows that are not late.
fn in_time(side: &JoinSide, batch: RecordBatch, context: &OperatorContext<'_>) -> Result<RecordBatch> {
    let (Some(column), Some(watermark)) = (side.event_time, context.epoch()?.late_watermark) else { return Ok(batch) };
    let times = micros(batch.column(column))?.unary(|time: i64| time.saturating_add(side.lag_micros));
    let Some(keep) = after(&times, watermark) else { return Ok(batch) };
    context.count_late(keep.false_count());
    Ok(filter_record_batch(&batch, &keep)?)
}

impl Side {
    fn new(context: &mut OperatorContext<'_>, number: usize) -> Result<Self> {
        let table = context.state(TABLES[number])?.spec().clone();
        let keys = table.keys().fields().iter().take(table.group_columns());
        let converter = RowConverter::new(keys.map(|field| SortField::new(field.data_type().clone())).collect())?;
        let fields = table.values().fields();
        let columns = fields.iter().take(fields.len().saturating_sub(1)).map(Arc::clone);
        let columns = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Ok(Side { table, columns, converter, pending: Vec::new(), pending_rows: 0, kept: KeptRows::default() })
    }

    /// Takes up what the state has.
    fn open(&mut self, rules: &JoinSide, number: usize, context: &mut OperatorContext<'_>) -> Result<()> {
        let keys = self.table.group_columns();
        let removals = |rows: &RecordBatch| -> Result<Int64Array> {
            let Some(remove) = rules.remove else { return Ok(Int64Array::new_null(rows.num_rows())) };
            // A key column behind the row's own columns is in the table as a key only.
            let key = rules.keys.iter().position(|&key| key == remove.column);
            let column = if remove.column < rules.columns { Some(keys + 1 + remove.column) } else { key };
            let column = column.and_then(|column| rows.columns().get(column));
            let times = micros(column.ok_or_else(|| Error::Protocol(format!("{NAME}: a time that is not kept")))?)?;
            Ok(times.unary(|time: i64| time.saturating_add(remove.offset_micros)))
        };
        let store = context.state(TABLES[number])?;
        store.set_deadlines(&mut |rows| removals(rows))?;
        let mut hashes = Vec::new();
        for batch in store.scan(TARGET_BATCH_ROWS) {
            let batch = batch?;
            let key_columns = canonical_keys(&batch.columns()[..keys])?;
            hash_columns(&key_columns, batch.num_rows(), &mut hashes)?;
            let bytes = self.converter.convert_columns(&key_columns)?;
            let removals = removals(&batch)?;
            let (numbers, matched) = (batch.column(keys).as_primitive::<Int64Type>(), matched(&batch)?);
            for (row, &hash) in hashes.iter().enumerate() {
                let removal = removals.is_valid(row).then(|| removals.value(row));
                self.kept.insert(hash, bytes.row(row).data(), numbers.value(row), matched.value(row), removal);
            }
        }
        Ok(())
    }

    /// The new rows that can have a match; an outer side's others are given.
    fn take_pending(
        &mut self,
        join: &StreamJoin,
        number: usize,
        emission: &mut Emission,
        context: &mut OperatorContext<'_>,
    ) -> Result<Option<NewRows>> {
        self.pending_rows = 0;
        let pending = std::mem::take(&mut self.pending);
        let Some(first) = pending.first() else { return Ok(None) };
        let mut rows = concat_batches(first.schema_ref(), &pending)?;
        drop(pending);
        let rules = &join.sides[number];
        let chosen = rules.condition.as_ref().map(|condition| choose(condition, &rows)).transpose()?;
        let keep = match chosen {
            None | Some(Chosen::All) => None,
            Some(Chosen::None) => Some(BooleanArray::from(vec![false; rows.num_rows()])),
            Some(Chosen::Some(keep)) => Some(keep),
        };
        if let Some(keep) = keep {
            if join.join.is_outer(number) {
                let own: Vec<usize> = (0..rules.columns).collect();
                emission.alone(number, &filter_record_batch(&rows.project(&own)?, &not(&keep)?)?, context)?;
            }
            rows = filter_record_batch(&rows, &keep)?;
        }
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        NewRows::new(rules, &join.null_equal, &rows, &self.columns, &self.converter).map(Some)
    }

    /// A batch of keys of the table.
    fn table_keys(&self, mut key_columns: Vec<ArrayRef>, rows: Vec<i64>) -> Result<RecordBatch> {
        let count = rows.len();
        key_columns.push(Arc::new(Int64Array::from(rows)));
        batch_of(NAME, self.table.keys(), key_columns, count)
    }

    /// Keeps the new rows that may have a match in a later step, or else are to be given later. `watermark` is that of an epoch's
    /// last step: a row that it removes need not be kept.
    fn keep(
        &mut self,
        join: &StreamJoin,
        number: usize,
        new: &NewRows,
        watermark: Option<i64>,
        emission: &mut Emission,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let (is_outer, ends_with_a_match) = (join.join.is_outer(number), join.join.ends_with_a_match(number));
        let (mut picks, mut numbers, mut removals, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in 0..new.len() {
            let (matched, removal, may_match) = (new.matched[row], new.removal(row), new.may_match(row));
            // What never matches is kept only if it is given some day.
            if (ends_with_a_match && matched) || (!may_match && (!is_outer || removal.is_none())) {
                continue;
            }
            if let (Some(time), Some(watermark)) = (removal, watermark)
                && time <= watermark
            {
                if is_outer && !matched {
                    alone.push(row as u32);
                }
                continue;
            }
            let number = self.kept.new_row();
            self.kept.insert(new.hashes[row], new.key(row), number, matched, removal);
            picks.push(row as u32);
            numbers.push(number);
            removals.push(removal);
        }
        if !alone.is_empty() {
            let alone = UInt32Array::from(alone);
            let rows = batch_of(NAME, &self.columns, take_all(new.rows.columns(), &alone)?, alone.len())?;
            emission.alone(number, &rows, context)?;
        }
        if picks.is_empty() {
            return Ok(());
        }
        let count = picks.len();
        let matched: BooleanArray = picks.iter().map(|&row| Some(new.matched[row as usize])).collect();
        let (keys, mut values) = if count == new.len() {
            (new.key_columns.clone(), new.rows.columns().to_vec())
        } else {
            let picks = UInt32Array::from(picks);
            (take_all(&new.key_columns, &picks)?, take_all(new.rows.columns(), &picks)?)
        };
        values.push(Arc::new(matched));
        let keys = self.table_keys(keys, numbers)?;
        let values = batch_of(NAME, self.table.values(), values, count)?;
        // They are all new: each has a number of its own.
        context.state(TABLES[number])?.insert(&keys, &values, Some(&removals.into()))?;
        Ok(())
    }
}

/// Which rows of a table have had a match.
fn matched(rows: &RecordBatch) -> Result<&BooleanArray> {
    let matched = rows.columns().last().and_then(|column| column.as_boolean_opt());
    matched.ok_or_else(|| Error::Protocol(format!("{NAME}: the state does not say what had a match")))
}

fn take_all(columns: &[ArrayRef], picks: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| Ok(take(column, picks, None)?)).collect()
}

impl Open {
    /// Joins the rows that have come since the last step, and keeps them.
    fn step(&mut self, join: &StreamJoin, watermark: Option<i64>, context: &mut OperatorContext<'_>) -> Result<()> {
        let [left, right] = &mut self.sides;
        let mut left = left.take_pending(join, 0, &mut self.emission, context)?;
        let mut right = right.take_pending(join, 1, &mut self.emission, context)?;
        if let (Some(left), Some(right)) = (&mut left, &mut right) {
            self.join_new(join, left, right, context)?;
        }
        if let Some(left) = &mut left {
            self.join_kept(join, 1, left, context)?;
        }
        if let Some(right) = &mut right {
            self.join_kept(join, 0, right, context)?;
        }
        if let Some(left) = left.as_ref().filter(|_| join.join.ends_with_a_match(0)) {
            let matched = BooleanArray::from(left.matched.clone());
            self.emission.alone(0, &filter_record_batch(&left.rows, &matched)?, context)?;
        }
        for (number, new) in [left, right].iter().enumerate() {
            if let Some(new) = new {
                self.sides[number].keep(join, number, new, watermark, &mut self.emission, context)?;
            }
        }
        Ok(())
    }

    /// New rows with new ones.
    fn join_new(
        &mut self,
        join: &StreamJoin,
        left: &mut NewRows,
        right: &mut NewRows,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let (mut left_matched, mut right_matched) = (std::mem::take(&mut left.matched), std::mem::take(&mut right.matched));
        let mut trial = Trial {
            kind: join.join,
            residual: self.residual.as_ref(),
            rows: [&left.rows, &right.rows],
            matched: [&mut left_matched, &mut right_matched],
            pairs: [Vec::new(), Vec::new()],
            emission: &mut self.emission,
        };
        for first in left.firsts() {
            if let Some(other) = right.find(left.hashes[first as usize], left.key(first as usize)) {
                trial.cross(left.same(first), right.same(other), context)?;
            }
        }
        trial.run(context)?;
        (left.matched, right.matched) = (left_matched, right_matched);
        Ok(())
    }

    /// The kept rows of a side with the other's new ones.
    fn join_kept(&mut self, join: &StreamJoin, side: usize, new: &mut NewRows, context: &mut OperatorContext<'_>) -> Result<()> {
        let kept = &self.sides[side].kept;
        let mut candidates = Vec::new();
        for first in new.firsts() {
            let Some(key) = kept.find(new.hashes[first as usize], new.key(first as usize)) else { continue };
            if join.join.ends_with_a_match(1 - side) {
                if self.residual.is_none() {
                    // That there is a row is enough.
                    let same: Vec<u32> = new.same(first).collect();
                    same.into_iter().for_each(|row| new.matched[row as usize] = true);
                    continue;
                }
                if new.same(first).all(|row| new.matched[row as usize]) {
                    continue;
                }
            }
            candidates.extend(kept.rows(key).map(|(slot, row)| Candidate { slot, row, first }));
        }
        candidates.chunks(READ_ROWS).try_for_each(|candidates| self.try_kept(join, side, candidates, new, context))
    }

    fn try_kept(
        &mut self,
        join: &StreamJoin,
        side: usize,
        candidates: &[Candidate],
        new: &mut NewRows,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let Open { sides, residual, emission } = self;
        let own = &mut sides[side];
        let picks = UInt32Array::from_iter_values(candidates.iter().map(|candidate| candidate.first));
        let numbers = candidates.iter().map(|candidate| candidate.row).collect();
        let keys = own.table_keys(take_all(&new.key_columns, &picks)?, numbers)?;
        let stored = context.state(TABLES[side])?.get(&keys)?;
        if stored.found.true_count() != candidates.len() {
            return Err(Error::Protocol(format!("{NAME}: rows are missing in the state")));
        }
        let columns = stored.values.columns().iter().take(own.columns.fields().len()).map(Arc::clone).collect();
        let rows = batch_of(NAME, &own.columns, columns, candidates.len())?;
        let (mut matched, mut new_matched) = (vec![false; candidates.len()], std::mem::take(&mut new.matched));
        let (rows_of_sides, matched_of_sides): ([&RecordBatch; 2], [&mut [bool]; 2]) = match side {
            0 => ([&rows, &new.rows], [&mut matched, &mut new_matched]),
            _ => ([&new.rows, &rows], [&mut new_matched, &mut matched]),
        };
        let mut trial = Trial {
            kind: join.join,
            residual: residual.as_ref(),
            rows: rows_of_sides,
            matched: matched_of_sides,
            pairs: [Vec::new(), Vec::new()],
            emission: &mut *emission,
        };
        for (row, candidate) in (0_u32..).zip(candidates) {
            let (one, others) = (std::iter::once(row), new.same(candidate.first));
            match side {
                0 => trial.cross(one, others, context)?,
                _ => trial.cross(others, one, context)?,
            }
        }
        trial.run(context)?;
        new.matched = new_matched;
        if join.join.ends_with_a_match(side) {
            let done = candidates.iter().zip(&matched).filter(|(_, matched)| **matched);
            done.for_each(|(candidate, _)| own.kept.remove(candidate.slot));
            let matched = BooleanArray::from(matched);
            emission.alone(side, &filter_record_batch(&rows, &matched)?, context)?;
            return if matched.has_true() {
                context.state(TABLES[side])?.remove(&filter_record_batch(&keys, &matched)?)
            } else {
                Ok(())
            };
        }
        if join.join.is_outer(side) {
            let is_new = |(candidate, matched): (&Candidate, &bool)| Some(*matched && own.kept.note_match(candidate.slot));
            let changed: BooleanArray = candidates.iter().zip(&matched).map(is_new).collect();
            if changed.true_count() > 0 {
                let (keys, values) = (filter_record_batch(&keys, &changed)?, filter_record_batch(&rows, &changed)?);
                let mut columns = values.columns().to_vec();
                columns.push(Arc::new(BooleanArray::from(vec![true; values.num_rows()])));
                let values = batch_of(NAME, own.table.values(), columns, values.num_rows())?;
                context.state(TABLES[side])?.put(&keys, &values)?;
            }
        }
        Ok(())
    }

    /// Removes the rows that can have no match any more; gives those of an outer side that never had one.
    fn remove_due(&mut self, join: &StreamJoin, number: usize, watermark: i64, context: &mut OperatorContext<'_>) -> Result<()> {
        let side = &mut self.sides[number];
        side.kept.remove_due(watermark);
        if !join.join.is_outer(number) {
            context.state(TABLES[number])?.remove_due(watermark);
            return Ok(());
        }
        loop {
            let due = context.state(TABLES[number])?.take_due(watermark, READ_ROWS)?;
            if due.num_rows() == 0 {
                return Ok(());
            }
            let alone = filter_record_batch(&due, &not(matched(&due)?)?)?;
            let columns = alone.columns().iter().skip(side.table.keys().fields().len()).take(side.columns.fields().len());
            let columns = relabel_columns(&side.columns, columns.map(Arc::clone).collect())?;
            self.emission.alone(number, &batch_of(NAME, &side.columns, columns, alone.num_rows())?, context)?;
        }
    }
}
