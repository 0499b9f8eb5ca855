//! `value IN (list)`.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::or_kleene;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_row::{RowConverter, SortField};
use datafusion::error::Result;

use super::{Comparison, Side, compare_sides, is_orderable, mixes_text, no_common_type, no_order, normal};
use crate::cast::{CastMode, cast_array};
use crate::coercion::common_type_of;
use crate::function::{Call, Resolved};
use crate::types::is_nested;

pub(super) fn resolve(call: &Call<'_>) -> Result<Resolved> {
    let types = || call.args.iter().map(|arg| &arg.data_type);
    let own = call.data_type(0);
    let mixed = is_nested(own) && types().any(|other| mixes_text(own, other));
    let common = common_type_of(types()).filter(|_| !mixed).ok_or_else(|| no_common_type(call))?;
    if !is_orderable(&common) {
        return Err(no_order(call, &common));
    }
    let common = if common == DataType::Null { DataType::Boolean } else { common };
    let args = vec![common.clone(); call.len()];
    if let Some(set) = literals(call, &common)? {
        return Ok(Resolved::new(args, DataType::Boolean, move |invocation| {
            let value = Side::new(invocation, 0)?;
            let found = set.contains(&value.values)?;
            let found = if value.scalar && invocation.rows != 1 {
                let rows = std::iter::repeat_n(found.is_valid(0).then(|| found.value(0)), invocation.rows);
                rows.collect()
            } else {
                found
            };
            Ok(Arc::new(found))
        }));
    }
    Ok(Resolved::new(args, DataType::Boolean, |invocation| {
        let value = Side::new(invocation, 0)?;
        let mut found: Option<BooleanArray> = None;
        for index in 1..invocation.args.len() {
            let mut equal = compare_sides(&value, &Side::new(invocation, index)?, Comparison::Equal, invocation.rows)?;
            if equal.len() != invocation.rows {
                // Of two scalars.
                equal = std::iter::repeat_n(equal.is_valid(0).then(|| equal.value(0)), invocation.rows).collect();
            }
            found = Some(match found {
                Some(found) => or_kleene(&found, &equal)?,
                None => equal,
            });
        }
        Ok(Arc::new(found.unwrap_or_else(|| BooleanArray::from(vec![false; invocation.rows]))))
    }))
}

/// The list as a set, if it is one of literals that are values of the type.
fn literals(call: &Call<'_>, common: &DataType) -> Result<Option<Set>> {
    let mut values: Vec<ArrayRef> = Vec::with_capacity(call.len() - 1);
    for arg in &call.args[1..] {
        let Some(literal) = &arg.literal else { return Ok(None) };
        // What can't be cast fails where the analyser's cast of it runs.
        let Ok(value) = cast_array(&literal.to_array()?, common, CastMode::Ansi, call.settings) else { return Ok(None) };
        values.push(value);
    }
    let values: Vec<&dyn Array> = values.iter().map(|value| value.as_ref()).collect();
    Set::new(&normal(&arrow::compute::concat(&values)?)).map(Some)
}

/// The values of a list.
struct Set {
    values: Values,
    /// Whether the list has a null: then no value is known not to be in it.
    with_null: bool,
}

enum Values {
    Int8(HashSet<i8>),
    Int16(HashSet<i16>),
    Int32(HashSet<i32>),
    Int64(HashSet<i64>),
    Date(HashSet<i32>),
    Instant(HashSet<i64>),
    Text(HashSet<String>),
    /// Any other type, as comparable bytes.
    Rows(RowConverter, HashSet<Box<[u8]>>),
}

impl Set {
    fn new(list: &ArrayRef) -> Result<Self> {
        fn collect<T: ArrowPrimitiveType>(list: &ArrayRef) -> HashSet<T::Native>
        where
            T::Native: Hash + Eq,
        {
            list.as_primitive::<T>().iter().flatten().collect()
        }
        let values = match list.data_type() {
            DataType::Int8 => Values::Int8(collect::<Int8Type>(list)),
            DataType::Int16 => Values::Int16(collect::<Int16Type>(list)),
            DataType::Int32 => Values::Int32(collect::<Int32Type>(list)),
            DataType::Int64 => Values::Int64(collect::<Int64Type>(list)),
            DataType::Date32 => Values::Date(collect::<Date32Type>(list)),
            DataType::Timestamp(_, _) => Values::Instant(collect::<TimestampMicrosecondType>(list)),
            DataType::Utf8 => Values::Text(list.as_string::<i32>().iter().flatten().map(str::to_owned).collect()),
            other => {
                let converter = RowConverter::new(vec![SortField::new(other.clone())])?;
                let rows = converter.convert_columns(&[Arc::clone(list)])?;
                let valid = rows.iter().enumerate().filter(|(row, _)| list.is_valid(*row));
                let set = valid.map(|(_, row)| Box::from(row.as_ref())).collect();
                Values::Rows(converter, set)
            }
        };
        Ok(Set { values, with_null: list.logical_null_count() > 0 })
    }

    /// For each value whether it is in the list; values are normal.
    fn contains(&self, values: &ArrayRef) -> Result<BooleanArray> {
        fn find<T: ArrowPrimitiveType>(set: &HashSet<T::Native>, values: &ArrayRef) -> BooleanArray
        where
            T::Native: Hash + Eq,
        {
            BooleanArray::from_unary(values.as_primitive::<T>(), |value| set.contains(&value))
        }
        let found = match &self.values {
            Values::Int8(set) => find::<Int8Type>(set, values),
            Values::Int16(set) => find::<Int16Type>(set, values),
            Values::Int32(set) => find::<Int32Type>(set, values),
            Values::Int64(set) => find::<Int64Type>(set, values),
            Values::Date(set) => find::<Date32Type>(set, values),
            Values::Instant(set) => find::<TimestampMicrosecondType>(set, values),
            Values::Text(set) => BooleanArray::from_unary(values.as_string::<i32>(), |value| set.contains(value)),
            Values::Rows(converter, set) => {
                let rows = converter.convert_columns(&[Arc::clone(values)])?;
                let found = rows.iter().map(|row| set.contains(row.as_ref())).collect();
                BooleanArray::new(found, values.nulls().cloned())
            }
        };
        if !self.with_null {
            return Ok(found);
        }
        Ok(found.iter().map(|found| found.filter(|found| *found)).collect())
    }
}
