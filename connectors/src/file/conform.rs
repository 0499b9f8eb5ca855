//! Columns of self-describing files as the columns of a schema.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::{Error, Result};

use super::ignored::Damaged;

/// Calls the decoder, which may panic on a damaged file, and names the file in what goes wrong.
pub(crate) fn guarded<T, E: Display>(format: &str, path: &Path, call: impl FnOnce() -> Result<T, E>) -> Result<T> {
    let failed = |what: String| {
        Error::user(Damaged(format!("[FAILED_READ_FILE.NO_HINT] can't read the {format} file {}: {what}", path.display())))
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("it is damaged: its decoder panicked".to_owned())),
    }
}

/// The batch with the columns of `schema`.
pub(crate) fn conform_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let columns = conform_fields(batch.schema_ref().fields(), batch.columns(), schema.fields(), rows)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The field of this name, or the only one that differs from it by case.
pub(crate) fn find(fields: &Fields, name: &str) -> Option<usize> {
    fields.iter().position(|field| field.name() == name).or_else(|| {
        let lower = name.to_lowercase();
        let mut similar = fields.iter().enumerate().filter(|(_, field)| field.name().to_lowercase() == lower);
        let first = similar.next().map(|(n, _)| n);
        first.filter(|_| similar.next().is_none())
    })
}

fn conform_fields(fields: &Fields, columns: &[ArrayRef], wanted: &Fields, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |field: &FieldRef| match find(fields, field.name()).and_then(|index| columns.get(index)) {
        Some(column) => conform(column, field),
        None => Ok(new_null_array(field.data_type(), rows)),
    };
    wanted.iter().map(column).collect()
}

/// The column as the field's type.
fn conform(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let wanted = field.data_type();
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    match (column.data_type(), wanted) {
        (DataType::Struct(fields), DataType::Struct(wanted)) => {
            let rows = column.as_struct();
            let columns = conform_fields(fields, rows.columns(), wanted, rows.len())?;
            Ok(Arc::new(StructArray::try_new_with_length(wanted.clone(), columns, rows.nulls().cloned(), rows.len())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let lists = column.as_list::<i32>();
            let items = conform(lists.values(), item)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), lists.offsets().clone(), items, lists.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(wanted, sorted)) => {
            let maps = column.as_map();
            let DataType::Struct(pair) = wanted.data_type() else { return Err(mismatch(column.data_type(), field)) };
            let parts = [maps.keys(), maps.values()].into_iter().zip(pair).map(|(part, field)| conform(part, field));
            let entries = StructArray::try_new(pair.clone(), parts.collect::<Result<_, _>>()?, None)?;
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(wanted), offsets, entries, nulls, *sorted)?))
        }
        (from, to) if is_safe(from, to) => cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() }),
        (from, _) => Err(mismatch(from, field)),
    }
}

fn mismatch(from: &DataType, field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!(
        "[FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] the column {} is of type {from} in the file, but {} is expected",
        field.name(),
        field.data_type()
    ))
}

/// Whether every value of a type has its equal in the other.
fn is_safe(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Int8 | T::UInt8, T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64)
        | (T::Int16 | T::UInt16, T::Int32 | T::Int64 | T::Float32 | T::Float64)
        | (T::Int32 | T::UInt32, T::Int64 | T::Float64)
        | (T::Float16, T::Float32 | T::Float64)
        | (T::Float32, T::Float64)
        | (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::Binary)
        | (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), T::Binary)
        // Text without its annotation, as old writers left it.
        | (T::Binary, T::Utf8)
        | (T::Date32, T::Timestamp(_, None))
        | (T::Timestamp(..), T::Timestamp(..)) => true,
        // Numbers are checked when they are read: narrower columns are written with wider physical types.
        (T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64, T::Decimal128(..)) => true,
        (T::Int32, T::Int8 | T::Int16) => true,
        (T::Decimal128(p1, s1) | T::Decimal32(p1, s1) | T::Decimal64(p1, s1), T::Decimal128(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (T::Dictionary(_, values), to) => **values == *to || is_safe(values, to),
        (T::Null, _) => true,
        _ => false,
    }
}
