//! Joins two streams, each of which waits for the other.
//!
//! Rows of both sides are kept in the state until the watermark shows that no match can come any more. At the end of an epoch its new
//! rows are joined with each other and with the kept rows of the other side, so that every pair is met once, whatever the order in
//! which the rows came. The cost of an epoch follows its rows, their matches and what is removed, not what is kept.
//!
//! ```text
//! new left × (new right + kept right)   and   kept left × new right   ─► residual condition ─► pairs
//! ```
//!
//! Source of the rules: the guide, "Stream-stream Joins"; a null key matches nothing, unlike in Spark's full outer join.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{concat, concat_batches, filter, filter_record_batch, is_null, or, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow_row::{OwnedRow, RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::state::{StateStore, TableSpec, canonical_keys, relabel_columns};
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result, TARGET_BATCH_ROWS};

use crate::expressions::{Chosen, batch_of, choose};

const NAME: &str = "stream join";
const TABLES: [&str; 2] = ["left", "right"];
/// How many pairs are tried at a time.
const PAIRS: usize = 4 * TARGET_BATCH_ROWS;

/// Which rows a [`StreamJoin`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamJoinKind {
    /// The pairs that match.
    Inner,
    /// These, and left rows that never found a match, with nulls.
    Left,
    /// The pairs, and right rows that never found a match.
    Right,
    /// The pairs, and the rows of both sides that never found a match.
    Full,
    /// Left rows, each once, when the first match comes.
    LeftSemi,
}

impl StreamJoinKind {
    /// Whether rows of a side are given without a match.
    fn is_outer(self, side: usize) -> bool {
        match self {
            StreamJoinKind::Full => true,
            StreamJoinKind::Left => side == 0,
            StreamJoinKind::Right => side == 1,
            StreamJoinKind::Inner | StreamJoinKind::LeftSemi => false,
        }
    }
}

/// One side of a [`StreamJoin`].
#[derive(Debug, Clone, Default)]
pub struct JoinSide {
    /// The numbers of the key columns, in the order in which both sides compare them.
    pub keys: Vec<usize>,
    /// How many of the first columns are part of the output; key columns after them are only compared.
    pub columns: usize,
    /// What a row must fulfil to have a match at all.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The event time column, by which rows are late: a timestamp, or a window, which counts with its end.
    pub event_time: Option<usize>,
    /// How far the side's rows stay behind the query's watermark, in microseconds: what another join has held back comes late.
    pub lag_micros: i64,
    /// When a kept row can be removed; never, if not set.
    pub remove: Option<RemoveWhen>,
}

/// A row can be removed when the time in a column plus an offset is not after the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveWhen {
    /// The column: a timestamp, or a window, which counts with its end.
    pub column: usize,
    /// In microseconds.
    pub offset_micros: i64,
}

/// Joins two streams, the left one at port 0 and the right one at port 1, both exchanged by their keys.
#[derive(Clone)]
pub struct StreamJoin {
    /// Which rows it gives.
    pub join: StreamJoinKind,
    /// The left and the right side.
    pub sides: [JoinSide; 2],
    /// For each key whether null equals null.
    pub null_equal: Vec<bool>,
    /// What else a pair must fulfil: over the output columns of the left side, then those of the right.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
}

impl StreamJoin {
    fn table(&self, side: usize, input: &Schema) -> Result<TableSpec> {
        let own = &self.sides[side];
        let key = |(number, column): (usize, &usize)| (format!("key.{number}"), input.field(*column).data_type().clone());
        let keys = own.keys.iter().enumerate().map(key).chain([("row".to_owned(), DataType::Int64)]);
        let columns = input.fields().iter().take(own.columns).enumerate();
        let values = columns.map(|(number, field)| (format!("column.{number}"), field.data_type().clone()));
        let values = values.chain([("matched".to_owned(), DataType::Boolean)]);
        Ok(TableSpec::new(TABLES[side], keys, values)?.grouped_by_first(own.keys.len()))
    }
}

impl OperatorSupplier for StreamJoin {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let [left, right] = inputs else {
            return Err(Error::InvalidArgument(format!("{NAME} has two inputs, not {}", inputs.len())));
        };
        let columns = |input: &SchemaRef, side: usize| {
            let fields = input.fields().iter().take(self.sides[side].columns);
            fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect::<Vec<_>>()
        };
        let mut fields = columns(left, 0);
        if self.join != StreamJoinKind::LeftSemi {
            fields.extend(columns(right, 1));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn state(&self, inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        inputs.iter().enumerate().map(|(side, input)| self.table(side, input)).collect()
    }

    fn needs_watermark_epochs(&self) -> bool {
        self.sides.iter().any(|side| side.remove.is_some() || side.event_time.is_some())
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(StreamJoinTask { join: self.clone(), open: None }))
    }

    fn describe(&self) -> String {
        let removed = |side: usize| if self.sides[side].remove.is_some() { "bounded by the watermark" } else { "kept for ever" };
        format!("{NAME} {:?}: left rows {}, right rows {}", self.join, removed(0), removed(1))
    }
}

impl fmt::Debug for StreamJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamJoin").field("join", &self.join).field("sides", &self.sides).finish_non_exhaustive()
    }
}

struct StreamJoinTask {
    join: StreamJoin,
    open: Option<Open>,
}

/// What is known once the state is open.
struct Open {
    sides: [Side; 2],
    converter: RowConverter,
}

/// A kept row, apart from its columns.
#[derive(Debug, Clone, Copy)]
struct Kept {
    row: i64,
    matched: bool,
}

/// A side, and what is kept of it.
struct Side {
    table: TableSpec,
    /// The output columns.
    columns: SchemaRef,
    /// The epoch's rows so far.
    pending: Vec<RecordBatch>,
    /// The kept rows of each key.
    kept: HashMap<OwnedRow, Vec<Kept>>,
    /// Kept rows by when they can be removed; those that were removed since are passed over.
    removals: BTreeMap<i64, Vec<(OwnedRow, i64)>>,
    next_row: i64,
}

/// The rows of a side that take part in an epoch: new ones, then kept ones whose key is among the other side's new keys.
struct Taking {
    rows: RecordBatch,
    /// The key of each row; `None` for a null key, which matches nothing.
    keys: Vec<Option<OwnedRow>>,
    new: usize,
    /// The kept rows' numbers.
    kept: Vec<i64>,
    /// The rows of each key: new ones, and kept ones.
    by_key: HashMap<OwnedRow, [Vec<u32>; 2]>,
    matched: Vec<bool>,
}

impl Side {
    fn new(table: &TableSpec) -> Self {
        let fields = table.values().fields();
        let columns = fields.iter().take(fields.len().saturating_sub(1)).map(Arc::clone).collect::<Vec<_>>();
        let columns = Arc::new(Schema::new(columns));
        Side { table: table.clone(), columns, pending: Vec::new(), kept: HashMap::new(), removals: BTreeMap::new(), next_row: 0 }
    }

    /// Takes up kept rows.
    fn remember(&mut self, own: &JoinSide, converter: &RowConverter, rows: &RecordBatch) -> Result<()> {
        let count = own.keys.len();
        let keys = converter.convert_columns(&canonical_keys(&rows.columns()[..count])?)?;
        let numbers = rows.column(count).as_primitive::<Int64Type>();
        let matched = rows.columns().last().and_then(|column| column.as_boolean_opt()).ok_or_else(not_open)?;
        // A key that is no column of the output is kept as a key only.
        let place = |column: usize| match own.keys.iter().position(|key| *key == column) {
            Some(key) if column >= own.columns => key,
            _ => count + 1 + column,
        };
        let times = own.remove.map(|remove| removal_times(rows.column(place(remove.column)), remove)).transpose()?;
        for row in 0..rows.num_rows() {
            let (key, number) = (keys.row(row).owned(), numbers.value(row));
            self.next_row = self.next_row.max(number + 1);
            if let Some(time) = times.as_ref().and_then(|times| times[row]) {
                self.removals.entry(time).or_default().push((key.clone(), number));
            }
            self.kept.entry(key).or_default().push(Kept { row: number, matched: matched.value(row) });
        }
        Ok(())
    }

    /// The keys in the table of rows with these keys and numbers.
    fn table_keys<'a>(
        &self,
        converter: &RowConverter,
        rows: impl Iterator<Item = (&'a OwnedRow, i64)> + Clone,
    ) -> Result<RecordBatch> {
        let mut columns = converter.convert_rows(rows.clone().map(|(key, _)| key.row()))?;
        let numbers = Int64Array::from_iter_values(rows.map(|(_, number)| number));
        let count = numbers.len();
        columns.push(Arc::new(numbers));
        batch_of(NAME, self.table.keys(), relabel_columns(self.table.keys(), columns)?, count)
    }
}

/// When each row can be removed.
fn removal_times(column: &ArrayRef, remove: RemoveWhen) -> Result<Vec<Option<i64>>> {
    let times = times(column)?;
    // A row without a time can never be matched by time, and is removed at once.
    Ok(times.into_iter().map(|time| Some(time.map_or(i64::MIN, |time| time.saturating_add(remove.offset_micros)))).collect())
}

/// The times of an event time column.
fn times(column: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let ends = column.as_struct_opt().filter(|window| window.num_columns() == 2).map(|window| window.column(1));
    let micros = ends.unwrap_or(column).as_primitive_opt::<TimestampMicrosecondType>();
    let micros = micros.ok_or_else(|| Error::InvalidArgument(format!("{NAME}: {} is no event time", column.data_type())))?;
    Ok(micros.iter().collect())
}

impl Open {
    fn new(join: &StreamJoin, context: &mut OperatorContext<'_>) -> Result<Self> {
        let table = context.state(TABLES[0])?.spec().clone();
        let key_fields = table.keys().fields().iter().take(table.group_columns());
        let converter = RowConverter::new(key_fields.map(|field| SortField::new(field.data_type().clone())).collect())?;
        let mut sides = [Side::new(&table), Side::new(context.state(TABLES[1])?.spec())];
        for (number, side) in sides.iter_mut().enumerate() {
            let store: &dyn StateStore = context.state(TABLES[number])?;
            for rows in store.scan(TARGET_BATCH_ROWS) {
                side.remember(&join.sides[number], &converter, &rows?)?;
            }
        }
        Ok(Open { sides, converter })
    }

    /// Keeps an epoch's rows, but for those that are late.
    fn take(&mut self, join: &StreamJoin, side: usize, batch: RecordBatch, context: &OperatorContext<'_>) -> Result<()> {
        let batch = match (join.sides[side].event_time, context.epoch()?.late_watermark) {
            (Some(column), Some(watermark)) => {
                let times = times(batch.column(column))?;
                let keep = BooleanArray::from_iter(times.iter().map(|time| {
                    Some(time.is_none_or(|time| time > watermark.micros().saturating_sub(join.sides[side].lag_micros)))
                }));
                context.count_late(keep.len() - keep.true_count());
                filter_record_batch(&batch, &keep)?
            }
            _ => batch,
        };
        if batch.num_rows() > 0 {
            self.sides[side].pending.push(batch);
        }
        Ok(())
    }

    /// The epoch's new rows of a side that can have a match; the others are given at once, if the side is outer.
    fn new_rows(&mut self, join: &StreamJoin, side: usize, context: &mut OperatorContext<'_>) -> Result<Option<RecordBatch>> {
        let pending = std::mem::take(&mut self.sides[side].pending);
        let Some(first) = pending.first() else { return Ok(None) };
        let rows = concat_batches(&first.schema(), &pending)?;
        let Some(condition) = &join.sides[side].condition else { return Ok(Some(rows)) };
        let keep = match choose(condition, &rows)? {
            Chosen::All => return Ok(Some(rows)),
            Chosen::None => BooleanArray::from(vec![false; rows.num_rows()]),
            Chosen::Some(keep) => keep,
        };
        if join.join.is_outer(side) {
            let alone = filter_record_batch(&rows, &arrow::compute::not(&keep)?)?;
            self.emit_alone(join, side, &alone.columns()[..join.sides[side].columns], alone.num_rows(), context)?;
        }
        Ok(Some(filter_record_batch(&rows, &keep)?))
    }

    /// The key of each row.
    fn keys(&self, join: &StreamJoin, side: usize, rows: &RecordBatch) -> Result<Vec<Option<OwnedRow>>> {
        let columns: Vec<ArrayRef> = join.sides[side].keys.iter().map(|column| Arc::clone(rows.column(*column))).collect();
        let encoded = self.converter.convert_columns(&canonical_keys(&columns)?)?;
        let mut unmatchable: Option<BooleanArray> = None;
        for (column, _) in
            columns.iter().zip(&join.null_equal).filter(|(column, null_equal)| !**null_equal && column.null_count() > 0)
        {
            let nulls = is_null(column)?;
            unmatchable = Some(match unmatchable {
                Some(before) => or(&before, &nulls)?,
                None => nulls,
            });
        }
        let key = |row: usize| {
            let is_null = unmatchable.as_ref().is_some_and(|nulls| nulls.value(row));
            (!is_null).then(|| encoded.row(row).owned())
        };
        Ok((0..rows.num_rows()).map(key).collect())
    }

    /// The new rows of a side, and the kept ones whose key the other side has among its new ones.
    fn taking(
        &self,
        join: &StreamJoin,
        side: usize,
        new: Option<&RecordBatch>,
        others: &[Option<OwnedRow>],
        context: &mut OperatorContext<'_>,
    ) -> Result<Taking> {
        let own = &self.sides[side];
        let keys = new.map(|rows| self.keys(join, side, rows)).transpose()?.unwrap_or_default();
        let mut wanted: HashMap<&OwnedRow, &Vec<Kept>> = HashMap::new();
        for key in others.iter().flatten() {
            if let Some(kept) = own.kept.get(key) {
                wanted.insert(key, kept);
            }
        }
        let stored: Vec<(&OwnedRow, Kept)> =
            wanted.into_iter().flat_map(|(key, kept)| kept.iter().map(move |row| (key, *row))).collect();
        let table_keys = own.table_keys(&self.converter, stored.iter().map(|(key, kept)| (*key, kept.row)))?;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); own.columns.fields().len()];
        if let Some(rows) = new {
            rows.columns()
                .iter()
                .take(columns.len())
                .zip(&mut columns)
                .for_each(|(column, parts)| parts.push(Arc::clone(column)));
        }
        if !stored.is_empty() {
            let found = context.state(TABLES[side])?.get(&table_keys)?.values;
            found
                .columns()
                .iter()
                .take(columns.len())
                .zip(&mut columns)
                .for_each(|(column, parts)| parts.push(Arc::clone(column)));
        }
        let together = |(parts, field): (Vec<ArrayRef>, &Arc<Field>)| -> Result<ArrayRef> {
            let parts =
                parts.into_iter().map(|part| Ok(relabel_columns(&Schema::new(vec![Arc::clone(field)]), vec![part])?.remove(0)));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            if parts.is_empty() { Ok(new_null_array(field.data_type(), 0)) } else { Ok(concat(&parts)?) }
        };
        let columns = columns.into_iter().zip(own.columns.fields()).map(together).collect::<Result<Vec<_>>>()?;
        let count = keys.len();
        let rows = batch_of(NAME, &own.columns, columns, count + stored.len())?;
        let mut by_key: HashMap<OwnedRow, [Vec<u32>; 2]> = HashMap::new();
        for (row, key) in keys.iter().enumerate().filter_map(|(row, key)| Some((row, key.as_ref()?))) {
            by_key.entry(key.clone()).or_default()[0].push(row as u32);
        }
        for (row, (key, _)) in stored.iter().enumerate() {
            by_key.entry((*key).clone()).or_default()[1].push((count + row) as u32);
        }
        let matched = vec![false; count].into_iter().chain(stored.iter().map(|(_, kept)| kept.matched)).collect();
        let kept = stored.iter().map(|(_, kept)| kept.row).collect();
        let keys = keys.into_iter().chain(stored.into_iter().map(|(key, _)| Some(key.clone()))).collect();
        Ok(Taking { rows, keys, new: count, kept, by_key, matched })
    }

    fn end_epoch(&mut self, join: &StreamJoin, context: &mut OperatorContext<'_>) -> Result<()> {
        let new = [self.new_rows(join, 0, context)?, self.new_rows(join, 1, context)?];
        if new.iter().any(Option::is_some) {
            let keys = |side: usize| new[side].as_ref().map(|rows| self.keys(join, side, rows)).transpose();
            let (left_keys, right_keys) = (keys(0)?.unwrap_or_default(), keys(1)?.unwrap_or_default());
            let mut left = self.taking(join, 0, new[0].as_ref(), &right_keys, context)?;
            let mut right = self.taking(join, 1, new[1].as_ref(), &left_keys, context)?;
            self.pairs(join, &mut left, &mut right, context)?;
            self.keep(join, 0, new[0].as_ref(), &left, context)?;
            self.keep(join, 1, new[1].as_ref(), &right, context)?;
        }
        self.remove(join, 0, context)?;
        self.remove(join, 1, context)
    }

    /// Tries every pair with a new row in it.
    fn pairs(&self, join: &StreamJoin, left: &mut Taking, right: &mut Taking, context: &mut OperatorContext<'_>) -> Result<()> {
        let (mut lefts, mut rights): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let keys: Vec<&OwnedRow> = left.by_key.keys().filter(|key| right.by_key.contains_key(*key)).collect();
        let mut matches = Vec::new();
        for key in keys {
            let (own, others) = (&left.by_key[key], &right.by_key[key]);
            let all_right = others[0].iter().chain(&others[1]);
            let pairs = own[0].iter().flat_map(|l| all_right.clone().map(move |r| (*l, *r)));
            for (l, r) in pairs.chain(own[1].iter().flat_map(|l| others[0].iter().map(move |r| (*l, *r)))) {
                lefts.push(l);
                rights.push(r);
                if lefts.len() == PAIRS {
                    matches.push(self.try_pairs(
                        join,
                        left,
                        right,
                        std::mem::take(&mut lefts),
                        std::mem::take(&mut rights),
                        context,
                    )?);
                }
            }
        }
        matches.push(self.try_pairs(join, left, right, lefts, rights, context)?);
        if join.join == StreamJoinKind::LeftSemi {
            let mut first: Vec<u32> = Vec::new();
            for l in matches.iter().flat_map(|(lefts, _)| lefts.iter().copied()) {
                if !std::mem::replace(&mut left.matched[l as usize], true) {
                    first.push(l);
                }
            }
            let rows = first.len();
            let first = UInt32Array::from(first);
            let columns = left.rows.columns().iter().map(|column| take(column, &first, None)).collect::<Result<Vec<_>, _>>()?;
            return emit(columns, rows, context);
        }
        for (lefts, rights) in matches {
            lefts.iter().for_each(|l| left.matched[*l as usize] = true);
            rights.iter().for_each(|r| right.matched[*r as usize] = true);
        }
        Ok(())
    }

    /// Gives the pairs that match, and says which they are.
    fn try_pairs(
        &self,
        join: &StreamJoin,
        left: &Taking,
        right: &Taking,
        lefts: Vec<u32>,
        rights: Vec<u32>,
        context: &mut OperatorContext<'_>,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        if lefts.is_empty() {
            return Ok((lefts, rights));
        }
        let rows = lefts.len();
        let (lefts, rights) = (UInt32Array::from(lefts), UInt32Array::from(rights));
        let gather = |rows: &RecordBatch, picks: &UInt32Array| {
            rows.columns().iter().map(|column| take(column, picks, None)).collect::<Result<Vec<_>, _>>()
        };
        let columns: Vec<ArrayRef> = gather(&left.rows, &lefts)?.into_iter().chain(gather(&right.rows, &rights)?).collect();
        let number = |column: usize| Field::new(format!("column.{column}"), columns[column].data_type().clone(), true);
        let schema = Arc::new(Schema::new((0..columns.len()).map(number).collect::<Vec<_>>()));
        let pairs = batch_of(NAME, &schema, columns, rows)?;
        let keep = match join.residual.as_ref().map(|residual| choose(residual, &pairs)).transpose()? {
            None | Some(Chosen::All) => None,
            Some(Chosen::None) => return Ok((Vec::new(), Vec::new())),
            Some(Chosen::Some(keep)) => Some(keep),
        };
        let (pairs, lefts, rights) = match keep {
            None => (pairs, lefts, rights),
            Some(keep) => {
                let picked = |picks: &UInt32Array| -> Result<UInt32Array> {
                    Ok(filter(picks, &keep)?.as_primitive::<arrow::datatypes::UInt32Type>().clone())
                };
                (filter_record_batch(&pairs, &keep)?, picked(&lefts)?, picked(&rights)?)
            }
        };
        if join.join != StreamJoinKind::LeftSemi {
            emit(pairs.columns().to_vec(), pairs.num_rows(), context)?;
        }
        Ok((lefts.values().to_vec(), rights.values().to_vec()))
    }

    /// Keeps new rows, and what has become of kept ones.
    fn keep(
        &mut self,
        join: &StreamJoin,
        side: usize,
        new: Option<&RecordBatch>,
        taking: &Taking,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let (own, is_semi) = (&join.sides[side], join.join == StreamJoinKind::LeftSemi && side == 0);
        let notes_matches = join.join.is_outer(side);
        let removals = match (own.remove, new) {
            (Some(remove), Some(rows)) => removal_times(rows.column(remove.column), remove)?,
            _ => vec![None; taking.new],
        };
        let mut written: Vec<(u32, OwnedRow, i64)> = Vec::new();
        let mut gone: Vec<(OwnedRow, i64)> = Vec::new();
        let state = &mut self.sides[side];
        // A null key has no match, but an outer row waits all the same; its key is that of its columns.
        let null_keys = match (new, notes_matches && taking.keys.iter().any(Option::is_none)) {
            (Some(rows), true) => {
                let columns: Vec<ArrayRef> = own.keys.iter().map(|column| Arc::clone(rows.column(*column))).collect();
                Some(self.converter.convert_columns(&canonical_keys(&columns)?)?)
            }
            _ => None,
        };
        for (row, key) in taking.keys.iter().enumerate() {
            let matched = taking.matched[row];
            if let Some(kept) = row.checked_sub(taking.new).map(|row| taking.kept[row]) {
                let Some(key) = key else { continue };
                let Some(entries) = state.kept.get_mut(key) else { continue };
                let Some(entry) = entries.iter_mut().find(|entry| entry.row == kept) else { continue };
                if is_semi && matched {
                    gone.push((key.clone(), kept));
                    entries.retain(|entry| entry.row != kept);
                } else if notes_matches && matched && !entry.matched {
                    entry.matched = true;
                    written.push((row as u32, key.clone(), kept));
                }
                continue;
            }
            let key = match (key, &null_keys) {
                (Some(key), _) => key.clone(),
                (None, Some(keys)) => keys.row(row).owned(),
                (None, None) => continue,
            };
            if is_semi && matched {
                continue;
            }
            let number = state.next_row;
            state.next_row += 1;
            if let Some(time) = removals[row] {
                state.removals.entry(time).or_default().push((key.clone(), number));
            }
            state.kept.entry(key.clone()).or_default().push(Kept { row: number, matched });
            written.push((row as u32, key, number));
        }
        let store = context.state(TABLES[side])?;
        for piece in gone.chunks(TARGET_BATCH_ROWS) {
            store.remove(&state.table_keys(&self.converter, piece.iter().map(|(key, row)| (key, *row)))?)?;
        }
        for piece in written.chunks(TARGET_BATCH_ROWS) {
            let keys = state.table_keys(&self.converter, piece.iter().map(|(_, key, number)| (key, *number)))?;
            let picks = UInt32Array::from_iter_values(piece.iter().map(|(row, _, _)| *row));
            let mut values =
                taking.rows.columns().iter().map(|column| take(column, &picks, None)).collect::<Result<Vec<_>, _>>()?;
            values.push(Arc::new(BooleanArray::from_iter(piece.iter().map(|(row, _, _)| Some(taking.matched[*row as usize])))));
            let values = relabel_columns(state.table.values(), values)?;
            store.put(&keys, &batch_of(NAME, state.table.values(), values, piece.len())?)?;
        }
        Ok(())
    }

    /// Removes the rows that can have no match any more; gives those of an outer side that never had one.
    fn remove(&mut self, join: &StreamJoin, side: usize, context: &mut OperatorContext<'_>) -> Result<()> {
        let Some(watermark) = context.epoch()?.watermark else { return Ok(()) };
        let state = &mut self.sides[side];
        let later = state.removals.split_off(&watermark.micros().saturating_add(1));
        let mut gone: Vec<(OwnedRow, Kept)> = Vec::new();
        for (key, row) in std::mem::replace(&mut state.removals, later).into_values().flatten() {
            let Some(entries) = state.kept.get_mut(&key) else { continue };
            let Some(at) = entries.iter().position(|entry| entry.row == row) else { continue };
            let entry = entries.swap_remove(at);
            if entries.is_empty() {
                state.kept.remove(&key);
            }
            gone.push((key, entry));
        }
        for piece in gone.chunks(TARGET_BATCH_ROWS) {
            let state = &self.sides[side];
            let keys = state.table_keys(&self.converter, piece.iter().map(|(key, kept)| (key, kept.row)))?;
            let store = context.state(TABLES[side])?;
            let rows = if join.join.is_outer(side) { Some(store.get(&keys)?.values) } else { None };
            store.remove(&keys)?;
            if let Some(rows) = rows {
                let alone = BooleanArray::from_iter(piece.iter().map(|(_, kept)| Some(!kept.matched)));
                let rows = filter_record_batch(&rows, &alone)?;
                let columns = rows.columns().iter().take(rows.num_columns() - 1).map(Arc::clone).collect::<Vec<_>>();
                self.emit_alone(join, side, &columns, rows.num_rows(), context)?;
            }
        }
        Ok(())
    }

    /// Gives rows of a side with nulls for the other.
    fn emit_alone(
        &self,
        _join: &StreamJoin,
        side: usize,
        columns: &[ArrayRef],
        rows: usize,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let nulls = self.sides[1 - side].columns.fields().iter().map(|field| new_null_array(field.data_type(), rows));
        let own = columns.iter().map(Arc::clone);
        let columns: Vec<ArrayRef> = if side == 0 { own.chain(nulls).collect() } else { nulls.chain(own).collect() };
        emit(columns, rows, context)
    }
}

/// Gives rows, whose columns are in the order of the output.
fn emit(columns: Vec<ArrayRef>, rows: usize, context: &mut OperatorContext<'_>) -> Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let number = |(number, column): (usize, &ArrayRef)| Field::new(format!("column.{number}"), column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().enumerate().map(number).collect::<Vec<_>>()));
    context.emit(batch_of(NAME, &schema, columns, rows)?)
}

fn not_open() -> Error {
    Error::Protocol("an operator was used before it was opened".to_owned())
}

impl Operator for StreamJoinTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open = Some(Open::new(&self.join, context)?);
        Ok(())
    }

    fn process(&mut self, port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open.as_mut().ok_or_else(not_open)?.take(&self.join, port.0, batch, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let StreamJoinTask { join, open } = self;
        open.as_mut().ok_or_else(not_open)?.end_epoch(join, context)
    }
}
