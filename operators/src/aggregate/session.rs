//! Aggregation by sessions: rows of a key that are close in time belong together.
//!
//! Each row begins as a session of its own, from its time to its time plus the gap; sessions of a key that touch or overlap are one.
//! A [`PartialAggregate`](super::PartialAggregate) with the row's session among its keys comes first, so what arrives here are
//! sessions with states. An epoch's sessions are sorted and merged with each other and with those of their key that are open; only
//! the sessions that grew are read, written and given to the checkpoint. They are merged in the order of their starts, which is what
//! functions to which the order matters show, such as `first` and `collect_list`.
//!
//! Source of the rules: the guide, "Types of time windows"; a row is late by its own end, before it is merged, and a session is final
//! when its end is not after the watermark.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat, concat_batches, filter_record_batch, take};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow_row::{OwnedRow, RowConverter, SortField};
use tidegate_runtime::state::{StateStore, TableSpec, canonical_keys, relabel_columns};
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result, TARGET_BATCH_ROWS};

use super::accumulators::Calls;
use super::{AggregateSpec, not_open};
use crate::expressions::batch_of;
use crate::groups::Groups;
use crate::output::single_input;

const TABLE: &str = "sessions";
const NAME: &str = "session aggregate";

/// Which sessions an epoch gives, and which are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionEmit {
    /// Each session once, when it is final, and removed then: Spark's append mode. Late rows are dropped.
    Closed,
    /// All sessions, in every epoch: Spark's complete mode. Nothing is ever removed, but late rows are dropped nevertheless: unlike
    /// other aggregations, one by sessions looks at the watermark before it knows the mode.
    All,
}

/// Aggregates by keys and sessions over all epochs.
///
/// The input is what a [`PartialAggregate`](super::PartialAggregate) of the same [`AggregateSpec`] gives, exchanged by the keys other
/// than the session. The session is a key that is a `struct<start, end>` of timestamps; rows without one don't belong here.
#[derive(Clone)]
pub struct SessionAggregate {
    spec: AggregateSpec,
    session: usize,
    emit: SessionEmit,
    lag_micros: i64,
    keeps_late: bool,
}

impl SessionAggregate {
    /// An aggregation whose key with the number `session` is the session.
    pub fn new(spec: AggregateSpec, session: usize, emit: SessionEmit) -> Self {
        SessionAggregate { spec, session, emit, lag_micros: 0, keeps_late: false }
    }

    /// How far the rows stay behind the query's watermark, in microseconds: what a join has held back comes late.
    #[must_use]
    pub fn lag(mut self, micros: i64) -> Self {
        self.lag_micros = micros;
        self
    }

    /// Takes no row as late: the sessions are of a time that the watermark says nothing about.
    #[must_use]
    pub fn keep_late(mut self) -> Self {
        self.keeps_late = true;
        self
    }

    /// The type of times.
    fn time(&self) -> Result<DataType> {
        let session = self.spec.keys.get(self.session).map(|(_, field)| field.data_type());
        match session {
            Some(DataType::Struct(fields)) if fields.len() == 2 && matches!(fields[0].data_type(), DataType::Timestamp(_, _)) => {
                Ok(fields[0].data_type().clone())
            }
            other => Err(Error::InvalidArgument(format!("{NAME}: key {} is no session: {other:?}", self.session))),
        }
    }

    fn table(&self) -> Result<TableSpec> {
        let time = self.time()?;
        let others = self.spec.keys.iter().enumerate().filter(|(number, _)| *number != self.session);
        let keys: Vec<(String, DataType)> =
            others.map(|(number, (_, key))| (format!("key.{number}"), key.data_type().clone())).collect();
        let groups = keys.len();
        let states =
            self.spec.state_fields()?.into_iter().flatten().map(|field| (field.name().clone(), field.data_type().clone()));
        let keys = keys.into_iter().chain([("start".to_owned(), time.clone())]);
        Ok(TableSpec::new(TABLE, keys, [("end".to_owned(), time)].into_iter().chain(states))?.grouped_by_first(groups))
    }
}

impl OperatorSupplier for SessionAggregate {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input(NAME, inputs)?;
        self.time()?;
        let expected = self.spec.partial_schema()?.fields().len();
        if input.fields().len() != expected {
            let given = input.fields().len();
            return Err(Error::InvalidArgument(format!("{NAME}: partial states have {expected} columns, not {given}")));
        }
        if self.spec.keys.len() < 2 {
            return Err(Error::InvalidArgument(format!("{NAME}: there must be a key beside the session")));
        }
        Ok(self.spec.output_schema())
    }

    fn state(&self, _inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        Ok(vec![self.table()?])
    }

    fn needs_watermark_epochs(&self) -> bool {
        self.emit == SessionEmit::Closed
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(SessionTask { aggregate: self.clone(), open: None }))
    }

    fn describe(&self) -> String {
        format!("{NAME}: {}", self.spec.describe())
    }
}

impl fmt::Debug for SessionAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionAggregate").field("spec", &self.spec).field("session", &self.session).finish_non_exhaustive()
    }
}

struct SessionTask {
    aggregate: SessionAggregate,
    open: Option<Open>,
}

/// A session's start and end, in microseconds.
type Span = (i64, i64);

/// What is known once the state is open.
struct Open {
    calls: Calls,
    groups: Groups,
    converter: RowConverter,
    /// The key columns without the session.
    keys: SchemaRef,
    table: TableSpec,
    time: DataType,
    /// The epoch's sessions so far.
    pending: Vec<RecordBatch>,
    /// The open sessions of each key, by start.
    sessions: HashMap<OwnedRow, Vec<Span>>,
    /// The ends of open sessions; those that grew since are still here and are passed over.
    ends: BTreeMap<i64, Vec<(OwnedRow, i64)>>,
}

/// A session of the epoch, merged.
struct Merged {
    group: u32,
    span: Span,
}

/// What an epoch's sessions become.
#[derive(Default)]
struct Plan {
    merged: Vec<Merged>,
    /// What they are made of, in the order of time.
    parts: Vec<Part>,
    /// For each of the parts the session that it is in.
    sessions: Vec<usize>,
    /// Stored sessions that are merged: key and start.
    stored: Vec<(u32, i64)>,
}

/// A part of a merged session.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The stored session with this number in [`Plan::stored`].
    Stored(usize),
    /// This one of the epoch's rows.
    Row(u32),
}

impl Open {
    fn new(aggregate: &SessionAggregate, store: &dyn StateStore) -> Result<Self> {
        let table = store.spec().clone();
        let count = table.group_columns();
        let keys = Arc::new(Schema::new(table.keys().fields().iter().take(count).map(Arc::clone).collect::<Vec<_>>()));
        let fields = keys.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let mut open = Open {
            calls: Calls::new(&aggregate.spec)?,
            groups: Groups::new(&keys)?,
            converter: RowConverter::new(fields)?,
            time: aggregate.time()?,
            keys,
            table,
            pending: Vec::new(),
            sessions: HashMap::new(),
            ends: BTreeMap::new(),
        };
        for rows in store.scan(TARGET_BATCH_ROWS) {
            open.remember(&rows?)?;
        }
        open.sessions.values_mut().for_each(|spans| spans.sort_unstable());
        Ok(open)
    }

    /// Takes up stored sessions.
    fn remember(&mut self, rows: &RecordBatch) -> Result<()> {
        let count = self.keys.fields().len();
        let keys = self.converter.convert_columns(&canonical_keys(&rows.columns()[..count])?)?;
        let (starts, ends) = (micros(rows.column(count))?, micros(rows.column(count + 1))?);
        for row in 0..rows.num_rows() {
            let (key, span) = (keys.row(row).owned(), (starts.value(row), ends.value(row)));
            self.ends.entry(span.1).or_default().push((key.clone(), span.0));
            self.sessions.entry(key).or_default().push(span);
        }
        Ok(())
    }

    /// Keeps an epoch's sessions, but for those that are late.
    fn take(&mut self, aggregate: &SessionAggregate, batch: RecordBatch, context: &OperatorContext<'_>) -> Result<()> {
        let late = context.epoch()?.late_watermark.filter(|_| !aggregate.keeps_late);
        let Some(watermark) = late else {
            self.pending.push(batch);
            return Ok(());
        };
        let ends = micros(part(batch.column(aggregate.session), 1)?)?;
        let keep = BooleanArray::from_iter(
            ends.iter().map(|end| Some(end.is_some_and(|end| end > watermark.micros().saturating_sub(aggregate.lag_micros)))),
        );
        context.count_late(keep.len() - keep.true_count());
        if keep.true_count() > 0 {
            self.pending.push(filter_record_batch(&batch, &keep)?);
        }
        Ok(())
    }

    /// Merges the epoch's sessions with each other and with those that are open.
    fn merge(&mut self, aggregate: &SessionAggregate, context: &mut OperatorContext<'_>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let Some(first) = pending.first() else { return Ok(()) };
        let batch = concat_batches(&first.schema(), &pending)?;
        drop(pending);
        let key_count = aggregate.spec.keys.len();
        let others = (0..key_count).filter(|number| *number != aggregate.session);
        let plain: Vec<ArrayRef> = others.map(|number| Arc::clone(batch.column(number))).collect();
        let mut rows: Vec<u32> = Vec::new();
        self.groups.assign(&plain, batch.num_rows(), &mut rows)?;
        let keys = self.groups.take()?;
        let session = batch.column(aggregate.session);
        let (starts, ends) = (micros(part(session, 0)?)?, micros(part(session, 1)?)?);
        let encoded = self.converter.convert_columns(&canonical_keys(&keys)?)?;
        let key = |group: u32| encoded.row(group as usize).owned();

        let plan = plan(&rows, starts, ends, |group| self.sessions.get(&key(group)).map_or(&[][..], Vec::as_slice));
        self.store(&plan, &keys, &batch.columns()[key_count..], context)?;

        for (group, start) in &plan.stored {
            if let Some(spans) = self.sessions.get_mut(&key(*group)) {
                spans.retain(|span| span.0 != *start);
            }
        }
        for Merged { group, span } in &plan.merged {
            let own = key(*group);
            if aggregate.emit == SessionEmit::Closed {
                self.ends.entry(span.1).or_default().push((own.clone(), span.0));
            }
            let spans = self.sessions.entry(own).or_default();
            spans.insert(spans.partition_point(|other| other.0 < span.0), *span);
        }
        Ok(())
    }

    /// Writes the sessions of a plan, with the states of what they are made of.
    fn store(&mut self, plan: &Plan, keys: &[ArrayRef], new: &[ArrayRef], context: &mut OperatorContext<'_>) -> Result<()> {
        let store = context.state(TABLE)?;
        let old = self.table_keys(keys, plan.stored.iter().copied())?;
        let mut states = new.to_vec();
        if old.num_rows() > 0 {
            let stored = store.get(&old)?;
            let both = |(stored, new): (&ArrayRef, &ArrayRef)| concat(&[stored, new]);
            states = stored.values.columns()[1..].iter().zip(new).map(both).collect::<Result<_, _>>()?;
            store.remove(&old)?;
        }
        let place = |part: &Part| match *part {
            Part::Stored(number) => number as u32,
            Part::Row(row) => old.num_rows() as u32 + row,
        };
        let order: UInt32Array = plan.parts.iter().map(place).collect::<Vec<u32>>().into();
        let states = states.iter().map(|state| take(state, &order, None)).collect::<Result<Vec<_>, _>>()?;
        let mut accumulators = self.calls.accumulators()?;
        accumulators.merge(&self.calls, &states, &plan.sessions, plan.merged.len())?;
        let merged = accumulators.take_states(&self.calls)?;
        let keys = self.table_keys(keys, plan.merged.iter().map(|merged| (merged.group, merged.span.0)))?;
        let ends = times(plan.merged.iter().map(|merged| merged.span.1), &self.time);
        let values = relabel_columns(self.table.values(), std::iter::once(ends).chain(merged).collect())?;
        store.put(&keys, &batch_of(NAME, self.table.values(), values, plan.merged.len())?)
    }

    /// Keys of the table, of sessions that are given by the number of their key and their start.
    fn table_keys(&self, keys: &[ArrayRef], sessions: impl Iterator<Item = (u32, i64)>) -> Result<RecordBatch> {
        let (groups, starts): (Vec<u32>, Vec<i64>) = sessions.unzip();
        let (rows, groups) = (groups.len(), UInt32Array::from(groups));
        let mut columns = keys.iter().map(|key| take(key, &groups, None)).collect::<Result<Vec<_>, _>>()?;
        columns.push(times(starts.into_iter(), &self.time));
        batch_of(NAME, self.table.keys(), relabel_columns(self.table.keys(), columns)?, rows)
    }

    /// Gives the sessions that are final, and removes them.
    fn close(&mut self, aggregate: &SessionAggregate, context: &mut OperatorContext<'_>) -> Result<()> {
        let Some(watermark) = context.epoch()?.watermark else { return Ok(()) };
        let later = self.ends.split_off(&watermark.micros().saturating_sub(aggregate.lag_micros).saturating_add(1));
        let mut closed: Vec<(OwnedRow, i64)> = Vec::new();
        for (end, sessions) in std::mem::replace(&mut self.ends, later) {
            for (key, start) in sessions {
                let Some(spans) = self.sessions.get_mut(&key) else { continue };
                let before = spans.len();
                spans.retain(|span| *span != (start, end));
                let is_open = spans.len() < before;
                if spans.is_empty() {
                    self.sessions.remove(&key);
                }
                closed.extend(is_open.then_some((key, start)));
            }
        }
        for piece in closed.chunks(TARGET_BATCH_ROWS) {
            let mut columns = self.converter.convert_rows(piece.iter().map(|(key, _)| key.row()))?;
            columns.push(times(piece.iter().map(|(_, start)| *start), &self.time));
            let keys = batch_of(NAME, self.table.keys(), relabel_columns(self.table.keys(), columns)?, piece.len())?;
            let store = context.state(TABLE)?;
            let stored = store.get(&keys)?;
            store.remove(&keys)?;
            self.emit(aggregate, keys.columns(), stored.values.columns(), piece.len(), context)?;
        }
        Ok(())
    }

    fn emit_all(&self, aggregate: &SessionAggregate, context: &mut OperatorContext<'_>) -> Result<()> {
        // Collected first: the state can't be read while rows are sent.
        let batches = context.state(TABLE)?.scan(TARGET_BATCH_ROWS).collect::<Result<Vec<_>>>()?;
        batches.iter().try_for_each(|rows| {
            let (keys, values) = rows.columns().split_at(self.keys.fields().len() + 1);
            self.emit(aggregate, keys, values, rows.num_rows(), context)
        })
    }

    /// Gives sessions: the table's key columns with the start at their end, and its values with the end at their start.
    fn emit(
        &self,
        aggregate: &SessionAggregate,
        keys: &[ArrayRef],
        values: &[ArrayRef],
        rows: usize,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let (Some((start, plain)), Some((end, states))) = (keys.split_last(), values.split_first()) else {
            return Err(not_open());
        };
        let output = aggregate.spec.output_schema();
        let DataType::Struct(fields) = output.field(aggregate.session).data_type() else { return Err(not_open()) };
        let session = StructArray::try_new(fields.clone(), vec![Arc::clone(start), Arc::clone(end)], None)?;
        let mut columns: Vec<ArrayRef> = plain.iter().map(Arc::clone).collect();
        columns.insert(aggregate.session, Arc::new(session));
        columns.extend(self.calls.evaluate(states)?);
        context.emit(batch_of(NAME, &output, columns, rows)?)
    }
}

/// Merges rows, each a session of a group, with each other and with the open sessions of their group.
fn plan<'a>(
    groups: &[u32],
    starts: &TimestampMicrosecondArray,
    ends: &TimestampMicrosecondArray,
    open: impl Fn(u32) -> &'a [Span],
) -> Plan {
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    // Rows of one time stay in the order in which they came.
    order.sort_unstable_by_key(|row| (groups[*row as usize], starts.value(*row as usize), *row));
    let mut plan = Plan::default();
    for rows in order.chunk_by(|left, right| groups[*left as usize] == groups[*right as usize]) {
        let group = groups[rows[0] as usize];
        let first = starts.value(rows[0] as usize);
        let open = open(group);
        // Sessions that ended before the first row have no part in this.
        let mut stored = open[open.partition_point(|span| span.1 < first)..].iter().copied().peekable();
        let mut rows = rows.iter().copied().map(|row| (row, (starts.value(row as usize), ends.value(row as usize)))).peekable();
        while rows.peek().is_some() {
            let (before_parts, before_stored) = (plan.parts.len(), plan.stored.len());
            let mut span: Option<Span> = None;
            let mut has_rows = false;
            // What starts not before the session is part of it also if the one ends where the other starts.
            let touches = |span: Option<Span>, next: Span| span.is_none_or(|span| next.0 <= span.1);
            loop {
                let row = rows.peek().map_or(i64::MAX, |(_, row)| row.0);
                let (part, next) = if let Some(next) = stored.next_if(|next| next.0 <= row && touches(span, *next)) {
                    plan.stored.push((group, next.0));
                    (Part::Stored(plan.stored.len() - 1), next)
                } else if let Some((row, next)) = rows.next_if(|(_, next)| touches(span, *next)) {
                    has_rows = true;
                    (Part::Row(row), next)
                } else {
                    break;
                };
                let span = span.get_or_insert(next);
                span.1 = span.1.max(next.1);
                plan.parts.push(part);
            }
            if has_rows {
                plan.sessions.resize(plan.parts.len(), plan.merged.len());
                plan.merged.push(Merged { group, span: span.unwrap_or_default() });
            } else {
                plan.parts.truncate(before_parts);
                plan.stored.truncate(before_stored);
            }
        }
    }
    plan
}

/// A part of a session column.
fn part(session: &ArrayRef, number: usize) -> Result<&ArrayRef> {
    let fields = session.as_struct_opt().filter(|fields| fields.num_columns() == 2);
    fields
        .map(|fields| fields.column(number))
        .ok_or_else(|| Error::InvalidArgument(format!("{NAME}: {} is no session", session.data_type())))
}

fn micros(times: &ArrayRef) -> Result<&TimestampMicrosecondArray> {
    let micros = times.as_primitive_opt::<TimestampMicrosecondType>();
    micros.ok_or_else(|| Error::InvalidArgument(format!("{NAME}: {} is no timestamp", times.data_type())))
}

fn times(micros: impl Iterator<Item = i64>, time: &DataType) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_data_type(time.clone()))
}

impl Operator for SessionTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open = Some(Open::new(&self.aggregate, context.state(TABLE)?)?);
        Ok(())
    }

    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let SessionTask { aggregate, open } = self;
        open.as_mut().ok_or_else(not_open)?.take(aggregate, batch, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let SessionTask { aggregate, open } = self;
        let open = open.as_mut().ok_or_else(not_open)?;
        open.merge(aggregate, context)?;
        match aggregate.emit {
            SessionEmit::Closed => open.close(aggregate, context),
            SessionEmit::All => open.emit_all(aggregate, context),
        }
    }
}
