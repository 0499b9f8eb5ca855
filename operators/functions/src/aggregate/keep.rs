//! Aggregates that keep values as they are: `first`, `last`, `collect_list`, `collect_set`, `mode`, `listagg`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, ListArray, StringArray};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::ResolvedAggregate;
use super::distinct::OrderedSet;
use super::groups::{Aggregate, column, resolved, row_numbers};
use super::values::{Bytes, Codec, list_of, list_type, normalised, ranges};
use crate::error::spark_error;
use crate::function::Call;
use crate::types::sql_name;

/// A literal boolean argument; `false` if the call doesn't have it.
fn flag(call: &Call<'_>, index: usize) -> Result<bool> {
    match call.args.get(index).map(|arg| &arg.literal) {
        None => Ok(false),
        Some(Some(ScalarValue::Boolean(Some(value)))) => Ok(*value),
        Some(_) => Err(spark_error(
            "_LEGACY_ERROR_TEMP_1100",
            format!("The second argument in {} should be a boolean literal.", call.name),
        )),
    }
}

pub(super) fn first(call: &Call<'_>) -> Result<ResolvedAggregate> {
    edge(call, false)
}

pub(super) fn last(call: &Call<'_>) -> Result<ResolvedAggregate> {
    edge(call, true)
}

fn edge(call: &Call<'_>, last: bool) -> Result<ResolvedAggregate> {
    let (data_type, ignore_nulls) = (call.data_type(0).clone(), flag(call, 1)?);
    let kind = Edge { last, ignore_nulls, codec: Codec::new(&data_type)? };
    let state = vec![("value", data_type.clone()), ("seen", DataType::Boolean)];
    Ok(resolved(call, vec![data_type.clone()], data_type, state, kind))
}

/// The first or last value in the order in which rows come.
struct Edge {
    last: bool,
    ignore_nulls: bool,
    codec: Codec,
}

impl Edge {
    /// Puts the values of the rows that `offers` holds into the cells they are for.
    fn offer(&self, cells: &mut [Option<Bytes>], values: &ArrayRef, offers: impl Iterator<Item = (usize, usize)>) -> Result<()> {
        let (mut rows, mut targets, mut chosen) = (Vec::new(), Vec::new(), HashSet::new());
        for (row, group) in offers {
            if (self.last || cells[group].is_none()) && chosen.insert(group) {
                rows.push(row);
                targets.push(group);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let encoded = self.codec.encode(&take(values, &row_numbers(rows), None)?)?;
        for (value, group) in encoded.iter().zip(targets) {
            cells[group] = Some(value.data().into());
        }
        Ok(())
    }

    /// The offers in the order in which the first one of a group is taken.
    fn choose(
        &self,
        cells: &mut [Option<Bytes>],
        values: &ArrayRef,
        groups: &[usize],
        chosen: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let offers = groups.iter().copied().enumerate().filter(|(row, _)| chosen(*row));
        if self.last {
            self.offer(cells, values, offers.collect::<Vec<_>>().into_iter().rev())
        } else {
            self.offer(cells, values, offers)
        }
    }
}

impl Aggregate for Edge {
    type Cell = Option<Bytes>;

    fn update(&self, cells: &mut [Self::Cell], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let nulls = if self.ignore_nulls { args[0].logical_nulls() } else { None };
        self.choose(cells, &args[0], groups, |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)))
    }

    fn merge(&self, cells: &mut [Self::Cell], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let seen: &BooleanArray = column(states, 1)?;
        self.choose(cells, &states[0], groups, |row| seen.is_valid(row) && seen.value(row))
    }

    fn state(&self, cells: &[Self::Cell]) -> Result<Vec<ArrayRef>> {
        let seen: BooleanArray = cells.iter().map(|cell| Some(cell.is_some())).collect();
        Ok(vec![self.evaluate(cells)?, Arc::new(seen)])
    }

    fn evaluate(&self, cells: &[Self::Cell]) -> Result<ArrayRef> {
        self.codec.decode(cells.iter().map(Option::as_deref))
    }
}

pub(super) fn collect_list(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let (element, list) = (call.data_type(0).clone(), list_type(call.data_type(0)));
    let kind = CollectList(Codec::new(&element)?);
    Ok(resolved(call, vec![element], list.clone(), vec![("values", list)], kind))
}

/// All values that aren't null, in the order in which they come.
struct CollectList(Codec);

/// Values one after the other in one buffer, and where each ends.
#[derive(Debug, Clone, Default)]
struct Packed {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Packed {
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

impl Aggregate for CollectList {
    type Cell = Packed;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [Packed], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (rows, nulls) = (self.0.encode(&args[0])?, args[0].logical_nulls());
        for (row, group) in groups.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                cells[*group].push(rows.row(row).data());
            }
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Packed], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let lists: &ListArray = column(states, 0)?;
        let rows = self.0.encode(lists.values())?;
        for (range, group) in ranges(lists).zip(groups) {
            range.for_each(|row| cells[*group].push(rows.row(row).data()));
        }
        Ok(())
    }

    fn state(&self, cells: &[Packed]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(cells)?])
    }

    fn evaluate(&self, cells: &[Packed]) -> Result<ArrayRef> {
        self.0.lists(cells.iter().map(Packed::iter))
    }
}

pub(super) fn collect_set(call: &Call<'_>) -> Result<ResolvedAggregate> {
    fn has_map(data_type: &DataType) -> bool {
        match data_type {
            DataType::Map(_, _) => true,
            DataType::List(field) => has_map(field.data_type()),
            DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
            _ => false,
        }
    }
    let (element, list) = (call.data_type(0).clone(), list_type(call.data_type(0)));
    if has_map(&element) {
        let message = "The input of `collect_set` can't be \"MAP\" or \"COLLATED STRING\" type data.";
        return Err(spark_error(
            "DATATYPE_MISMATCH.UNSUPPORTED_INPUT_TYPE",
            format!("Cannot resolve \"{}\" due to data type mismatch: {message}", call.sql()),
        ));
    }
    let kind = CollectSet(Codec::new(&element)?);
    Ok(resolved(call, vec![element], list.clone(), vec![("values", list)], kind))
}

/// The different values that aren't null.
struct CollectSet(Codec);

impl Aggregate for CollectSet {
    type Cell = OrderedSet;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [OrderedSet], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (rows, nulls) = (self.0.encode(&normalised(&args[0])?)?, args[0].logical_nulls());
        for (row, group) in groups.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                cells[*group].insert(rows.row(row).data());
            }
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [OrderedSet], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let lists: &ListArray = column(states, 0)?;
        let rows = self.0.encode(lists.values())?;
        for (range, group) in ranges(lists).zip(groups) {
            range.for_each(|row| cells[*group].insert(rows.row(row).data()));
        }
        Ok(())
    }

    fn state(&self, cells: &[OrderedSet]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(cells)?])
    }

    fn evaluate(&self, cells: &[OrderedSet]) -> Result<ArrayRef> {
        self.0.lists(cells.iter().map(OrderedSet::iter))
    }
}

/// `mode(value)`; with a literal `true`, of several most frequent values the least; with a second one, the greatest. (So `mode()
/// WITHIN GROUP (ORDER BY value)` is `mode(value, true)`, and descending `mode(value, true, true)`.)
pub(super) fn mode(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let ties = match (mode_flag(call, 1)?, mode_flag(call, 2)?) {
        (false, _) => Ties::First,
        (true, false) => Ties::Least,
        (true, true) => Ties::Greatest,
    };
    let data_type = call.data_type(0).clone();
    let state = vec![("values", list_type(&data_type)), ("counts", list_type(&DataType::Int64))];
    let kind = Mode { ties, codec: Codec::new(&data_type)? };
    Ok(resolved(call, vec![data_type.clone()], data_type, state, kind))
}

fn mode_flag(call: &Call<'_>, index: usize) -> Result<bool> {
    match call.args.get(index) {
        Some(arg) if arg.data_type != DataType::Boolean => Err(spark_error(
            "UNEXPECTED_INPUT_TYPE",
            format!(
                "Parameter second of function `mode` requires the \"BOOLEAN\" type, however \"{}\" has the type \"{}\".",
                arg.sql,
                sql_name(&arg.data_type)
            ),
        )),
        Some(arg) if arg.literal.is_none() => Err(call.not_foldable(index)),
        _ => flag(call, index),
    }
}

/// Which of several most frequent values is the mode.
#[derive(Debug, Clone, Copy)]
enum Ties {
    First,
    Least,
    Greatest,
}

/// The most frequent value.
struct Mode {
    ties: Ties,
    codec: Codec,
}

/// How often values came, in the order in which they first did.
#[derive(Debug, Clone, Default)]
struct Counts {
    index: HashMap<Arc<[u8]>, usize>,
    counts: Vec<(Arc<[u8]>, i64)>,
}

impl Counts {
    fn add(&mut self, value: &[u8], count: i64) {
        if let Some(index) = self.index.get(value) {
            self.counts[*index].1 += count;
            return;
        }
        let value: Arc<[u8]> = value.into();
        self.index.insert(Arc::clone(&value), self.counts.len());
        self.counts.push((value, count));
    }

    fn mode(&self, ties: Ties) -> Option<&[u8]> {
        let better = |new: &(Arc<[u8]>, i64), old: &(Arc<[u8]>, i64)| match ties {
            _ if new.1 != old.1 => new.1 > old.1,
            Ties::First => false,
            Ties::Least => new.0 < old.0,
            Ties::Greatest => new.0 > old.0,
        };
        self.counts.iter().reduce(|old, new| if better(new, old) { new } else { old }).map(|(value, _)| value.as_ref())
    }
}

impl Aggregate for Mode {
    type Cell = Counts;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [Counts], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (rows, nulls) = (self.codec.encode(&normalised(&args[0])?)?, args[0].logical_nulls());
        for (row, group) in groups.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                cells[*group].add(rows.row(row).data(), 1);
            }
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Counts], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (values, counts): (&ListArray, &ListArray) = (column(states, 0)?, column(states, 1)?);
        let rows = self.codec.encode(values.values())?;
        let numbers: &Int64Array = super::groups::downcast(counts.values())?;
        for ((values, counts), group) in ranges(values).zip(ranges(counts)).zip(groups) {
            values.zip(counts).for_each(|(value, count)| cells[*group].add(rows.row(value).data(), numbers.value(count)));
        }
        Ok(())
    }

    fn state(&self, cells: &[Counts]) -> Result<Vec<ArrayRef>> {
        let values = self.codec.lists(cells.iter().map(|cell| cell.counts.iter().map(|(value, _)| value.as_ref())))?;
        let counts: Int64Array = cells.iter().flat_map(|cell| cell.counts.iter().map(|(_, count)| Some(*count))).collect();
        let lengths = cells.iter().map(|cell| cell.counts.len()).collect();
        Ok(vec![values, list_of(Arc::new(counts), lengths, None)?])
    }

    fn evaluate(&self, cells: &[Counts]) -> Result<ArrayRef> {
        self.codec.decode(cells.iter().map(|cell| cell.mode(self.ties)))
    }
}

/// `listagg(value, delimiter)`.
pub(super) fn listagg(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let data_type = match call.data_type(0) {
        DataType::Binary => DataType::Binary,
        from if crate::types::is_nested(from) => return Err(call.unexpected_type(0, "the (\"STRING\" or \"BINARY\") type")),
        _ => DataType::Utf8,
    };
    let delimiter = match call.args.get(1).map(|arg| &arg.literal) {
        None | Some(Some(ScalarValue::Null | ScalarValue::Utf8(None) | ScalarValue::Binary(None))) => Vec::new(),
        Some(Some(ScalarValue::Utf8(Some(text)))) if data_type == DataType::Utf8 => text.as_bytes().to_vec(),
        Some(Some(ScalarValue::Binary(Some(bytes)))) if data_type == DataType::Binary => bytes.clone(),
        Some(None) => return Err(call.not_foldable(1)),
        Some(Some(_)) => {
            let (sql, own, other) = (call.sql(), sql_name(&data_type), sql_name(call.data_type(1)));
            return Err(spark_error(
                "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
                format!(
                    "Cannot resolve \"{sql}\" due to data type mismatch: Input to `{}` should all be the same type, but it's \
                     (\"{own}\" or \"{other}\").",
                    call.name
                ),
            ));
        }
    };
    let kind = Joined { text: data_type == DataType::Utf8, delimiter };
    Ok(resolved(call, vec![data_type.clone()], data_type.clone(), vec![("value", data_type)], kind))
}

/// All values that aren't null, one after the other, with a delimiter between.
struct Joined {
    text: bool,
    delimiter: Vec<u8>,
}

impl Joined {
    fn add<'a>(&self, cells: &mut [Option<Vec<u8>>], values: impl Iterator<Item = Option<&'a [u8]>>, groups: &[usize]) {
        for (value, group) in values.zip(groups) {
            match (&mut cells[*group], value) {
                (_, None) => {}
                (Some(all), Some(value)) => {
                    all.extend_from_slice(&self.delimiter);
                    all.extend_from_slice(value);
                }
                (empty, Some(value)) => *empty = Some(value.to_vec()),
            }
        }
    }
}

impl Aggregate for Joined {
    type Cell = Option<Vec<u8>>;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [Self::Cell], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        if self.text {
            self.add(cells, column::<StringArray>(args, 0)?.iter().map(|value| value.map(str::as_bytes)), groups);
        } else {
            self.add(cells, column::<BinaryArray>(args, 0)?.iter(), groups);
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Self::Cell], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        self.update(cells, states, groups)
    }

    fn state(&self, cells: &[Self::Cell]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(cells)?])
    }

    fn evaluate(&self, cells: &[Self::Cell]) -> Result<ArrayRef> {
        let bytes: BinaryArray = cells.iter().map(Option::as_deref).collect();
        Ok(if self.text { Arc::new(StringArray::try_from_binary(bytes)?) } else { Arc::new(bytes) })
    }
}
