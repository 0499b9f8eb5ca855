//! `min`, `max`, `min_by`, `max_by`, and the folds of bits and booleans.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BinaryArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::error::Result;

use super::ResolvedAggregate;
use super::fold::{Fold, FoldBoolean, Overflow};
use super::groups::{Aggregate, column, resolved};
use super::values::{Bytes, Codec, normalised};
use crate::error::spark_error;
use crate::function::Call;
use crate::types::{map_types, sql_name};

/// Which end is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Least,
    Greatest,
}

impl End {
    /// Whether a value that compares so to the one kept is nearer to this end.
    fn wins(self, ordering: Ordering) -> bool {
        match self {
            End::Least => ordering == Ordering::Less,
            End::Greatest => ordering == Ordering::Greater,
        }
    }
}

/// Spark's order of fixed-width values: NaN is greatest, zeros are equal.
trait Ordered: Copy {
    fn order(self, other: Self) -> Ordering;
}

macro_rules! ordered {
    ($($integer:ty)*; $($float:ty)*) => {
        $(impl Ordered for $integer {
            fn order(self, other: Self) -> Ordering {
                self.cmp(&other)
            }
        })*
        $(impl Ordered for $float {
            fn order(self, other: Self) -> Ordering {
                self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
            }
        })*
    };
}
ordered!(i8 i16 i32 i64 i128; f32 f64);

/// Whether values of the type can be compared.
pub(super) fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => false,
        DataType::Interval(unit) => *unit == IntervalUnit::YearMonth,
        DataType::List(field) => is_orderable(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_orderable(field.data_type())),
        _ => map_types(data_type).is_none(),
    }
}

fn check_orderable(call: &Call<'_>, index: usize) -> Result<DataType> {
    let data_type = call.data_type(index);
    if is_orderable(data_type) {
        return Ok(data_type.clone());
    }
    let (sql, name, data_type) = (call.sql(), call.name, sql_name(data_type));
    Err(spark_error(
        "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
        format!(
            "Cannot resolve \"{sql}\" due to data type mismatch: The `{name}` does not support ordering on type \"{data_type}\"."
        ),
    ))
}

pub(super) fn min(call: &Call<'_>) -> Result<ResolvedAggregate> {
    extreme(call, End::Least)
}

pub(super) fn max(call: &Call<'_>) -> Result<ResolvedAggregate> {
    extreme(call, End::Greatest)
}

fn extreme(call: &Call<'_>, end: End) -> Result<ResolvedAggregate> {
    let data_type = check_orderable(call, 0)?;
    Ok(match data_type {
        DataType::Int8 => fixed::<Int8Type>(call, end),
        DataType::Int16 => fixed::<Int16Type>(call, end),
        DataType::Int32 => fixed::<Int32Type>(call, end),
        DataType::Int64 => fixed::<Int64Type>(call, end),
        DataType::Float32 => fixed::<Float32Type>(call, end),
        DataType::Float64 => fixed::<Float64Type>(call, end),
        DataType::Decimal128(_, _) => fixed::<Decimal128Type>(call, end),
        DataType::Date32 => fixed::<Date32Type>(call, end),
        DataType::Timestamp(_, _) => fixed::<TimestampMicrosecondType>(call, end),
        DataType::Duration(_) => fixed::<DurationMicrosecondType>(call, end),
        DataType::Interval(_) => fixed::<IntervalYearMonthType>(call, end),
        DataType::Boolean => boolean(call, if end == End::Least { |a, b| a & b } else { |a, b| a | b }),
        DataType::Utf8 | DataType::Binary => {
            let kind = ExtremeBytes { end, text: data_type == DataType::Utf8 };
            resolved(call, vec![data_type.clone()], data_type.clone(), vec![("value", data_type)], kind)
        }
        _ => {
            let kind = ExtremeBy::new(end, &data_type, None)?;
            resolved(call, vec![data_type.clone()], data_type.clone(), vec![("value", data_type)], kind)
        }
    })
}

fn fixed<T: ArrowPrimitiveType<Native: Ordered>>(call: &Call<'_>, end: End) -> ResolvedAggregate {
    let data_type = call.data_type(0).clone();
    let fold = move |old: T::Native, new: T::Native| Some(if end.wins(new.order(old)) { new } else { old });
    let fold = Fold::<T, _>::new(&data_type, Overflow::Never, fold);
    resolved(call, vec![data_type.clone()], data_type, fold.state_types(), fold)
}

fn boolean(call: &Call<'_>, fold: fn(bool, bool) -> bool) -> ResolvedAggregate {
    let data_type = DataType::Boolean;
    resolved(call, vec![data_type.clone()], data_type.clone(), vec![("value", data_type)], FoldBoolean(fold))
}

pub(super) fn bool_and(call: &Call<'_>) -> Result<ResolvedAggregate> {
    call.coerce(0, &DataType::Boolean)?;
    Ok(boolean(call, |a, b| a & b))
}

pub(super) fn bool_or(call: &Call<'_>) -> Result<ResolvedAggregate> {
    call.coerce(0, &DataType::Boolean)?;
    Ok(boolean(call, |a, b| a | b))
}

/// What folds the bits of two integers; all widths are folded as 64 bits.
type Bits = fn(i64, i64) -> i64;

pub(super) fn bit_and(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bits(call, |a, b| a & b)
}

pub(super) fn bit_or(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bits(call, |a, b| a | b)
}

pub(super) fn bit_xor(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bits(call, |a, b| a ^ b)
}

fn bits(call: &Call<'_>, fold: Bits) -> Result<ResolvedAggregate> {
    fn of<T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>>(call: &Call<'_>, fold: Bits) -> ResolvedAggregate {
        let narrow = move |a: T::Native, b: T::Native| T::Native::try_from(fold(a.into(), b.into())).ok();
        let fold = Fold::<T, _>::new(&T::DATA_TYPE, Overflow::Never, narrow);
        resolved(call, vec![T::DATA_TYPE], T::DATA_TYPE, fold.state_types(), fold)
    }
    match call.data_type(0) {
        DataType::Int8 => Ok(of::<Int8Type>(call, fold)),
        DataType::Int16 => Ok(of::<Int16Type>(call, fold)),
        DataType::Int32 | DataType::Null => Ok(of::<Int32Type>(call, fold)),
        DataType::Int64 => Ok(of::<Int64Type>(call, fold)),
        _ => Err(call.unexpected_type(0, "the \"INTEGRAL\" type")),
    }
}

/// The least or greatest text or byte string.
struct ExtremeBytes {
    end: End,
    text: bool,
}

impl ExtremeBytes {
    fn add<'a>(&self, cells: &mut [Option<Bytes>], values: impl Iterator<Item = Option<&'a [u8]>>, groups: &[usize]) {
        for (value, group) in values.zip(groups) {
            let Some(value) = value else { continue };
            let cell = &mut cells[*group];
            if cell.as_deref().is_none_or(|old| self.end.wins(value.cmp(old))) {
                *cell = Some(value.into());
            }
        }
    }
}

impl Aggregate for ExtremeBytes {
    type Cell = Option<Bytes>;
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

pub(super) fn min_by(call: &Call<'_>) -> Result<ResolvedAggregate> {
    extreme_by(call, End::Least)
}

pub(super) fn max_by(call: &Call<'_>) -> Result<ResolvedAggregate> {
    extreme_by(call, End::Greatest)
}

fn extreme_by(call: &Call<'_>, end: End) -> Result<ResolvedAggregate> {
    let (value, order) = (call.data_type(0).clone(), check_orderable(call, 1)?);
    let kind = ExtremeBy::new(end, &value, Some(&order))?;
    let state = vec![("value", value.clone()), ("order", order.clone())];
    Ok(resolved(call, vec![value.clone(), order], value, state, kind))
}

/// The value at the least or greatest key: of equal ones, the last. Without a type of keys, values are their own keys.
struct ExtremeBy {
    end: End,
    values: Codec,
    keys: Option<Codec>,
}

/// A key and its value, if there was one that isn't null.
type Keyed = Option<(Bytes, Bytes)>;

impl ExtremeBy {
    fn new(end: End, value: &DataType, key: Option<&DataType>) -> Result<Self> {
        Ok(ExtremeBy { end, values: Codec::new(value)?, keys: key.map(Codec::new).transpose()? })
    }
}

impl Aggregate for ExtremeBy {
    type Cell = Keyed;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [Keyed], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let key_column = if self.keys.is_some() { &args[1] } else { &args[0] };
        let values = self.values.encode(&args[0])?;
        let keys = self.keys.as_ref().unwrap_or(&self.values).encode(&normalised(key_column)?)?;
        let nulls = key_column.logical_nulls();
        for (row, group) in groups.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let (cell, key, value) = (&mut cells[*group], keys.row(row).data(), values.row(row).data());
            let replaces = |(old, _): &(Bytes, Bytes)| {
                let ordering = key.cmp(old);
                ordering == Ordering::Equal || self.end.wins(ordering)
            };
            if cell.as_ref().is_none_or(replaces) {
                *cell = Some((key.into(), value.into()));
            }
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Keyed], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        self.update(cells, states, groups)
    }

    fn state(&self, cells: &[Keyed]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![self.evaluate(cells)?];
        if let Some(keys) = &self.keys {
            columns.push(keys.decode(cells.iter().map(|cell| cell.as_ref().map(|(key, _)| key.as_ref())))?);
        }
        Ok(columns)
    }

    fn evaluate(&self, cells: &[Keyed]) -> Result<ArrayRef> {
        self.values.decode(cells.iter().map(|cell| cell.as_ref().map(|(_, value)| value.as_ref())))
    }
}
