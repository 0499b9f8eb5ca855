//! Instants as text.
//!
//! A timestamp with a time zone is an instant; Arrow can write it as text only if it knows the zone, and without a zone database
//! it knows just fixed offsets. All instants are therefore shown in UTC, whatever zone their column carries.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::Result;

/// The batch with every instant, also in nested columns, moved to the offset `+00:00`.
pub(crate) fn in_utc(batch: &RecordBatch) -> Result<RecordBatch> {
    let fields: Vec<FieldRef> = batch.schema_ref().fields().iter().map(utc_field).collect();
    let columns = batch.columns().iter().zip(&fields).map(|(column, field)| in_utc_column(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

fn in_utc_column(column: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if column.data_type() == target { Ok(Arc::clone(column)) } else { Ok(cast(column, target)?) }
}

fn utc_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(utc_type(field.data_type())))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these hold no instants")]
fn utc_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(utc_field).collect::<Fields>()),
        DataType::List(item) => DataType::List(utc_field(item)),
        DataType::LargeList(item) => DataType::LargeList(utc_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(utc_field(item), *size),
        DataType::Map(entries, sorted) => DataType::Map(utc_field(entries), *sorted),
        other => other.clone(),
    }
}
