//! Deals rows to the partitions of a file sink.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Error, Result};

use super::partitions;

/// Which columns are in the names of directories: Spark's `partitionBy`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionRows {
    /// The columns, in the order of the directories.
    by: Vec<usize>,
    /// The columns of the files.
    rest: Vec<usize>,
}

impl PartitionRows {
    pub(crate) fn new(schema: &Schema, columns: &[String]) -> Result<Self> {
        let mut by = Vec::new();
        for column in columns {
            let matches = |name: &str| name.eq_ignore_ascii_case(column);
            let index = schema.fields().iter().position(|field| matches(field.name()));
            let index = index.ok_or_else(|| {
                let known = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
                Error::InvalidArgument(format!(
                    "[PARTITION_COLUMN_NOT_FOUND_IN_SCHEMA] the partition column {column} is not among the columns {known}"
                ))
            })?;
            let kind = schema.field(index).data_type();
            if kind.is_nested() || matches!(kind, DataType::Binary) || by.contains(&index) {
                return Err(Error::InvalidArgument(format!(
                    "[INVALID_PARTITION_COLUMN_DATA_TYPE] the column {column} of type {kind} can't be a partition column, or is one \
                     twice"
                )));
            }
            by.push(index);
        }
        let rest: Vec<usize> = (0..schema.fields().len()).filter(|index| !by.contains(index)).collect();
        if rest.is_empty() && !by.is_empty() {
            return Err(Error::InvalidArgument(
                "[ALL_PARTITION_COLUMNS_NOT_ALLOWED] the files would have no column: leave one out of partitionBy".to_owned(),
            ));
        }
        Ok(PartitionRows { by, rest })
    }

    /// The columns of the files.
    pub(crate) fn file_schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        if self.by.is_empty() { Ok(SchemaRef::clone(schema)) } else { Ok(SchemaRef::new(schema.project(&self.rest)?)) }
    }

    /// The rows of each directory, without the columns that it stands for.
    pub(crate) fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        if self.by.is_empty() {
            return Ok(vec![(String::new(), batch.clone())]);
        }
        let mut rows: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            let number = u32::try_from(row).map_err(Error::user)?;
            let directory = self.directory(batch, row)?;
            rows.entry(directory).or_default().push(number);
        }
        let files = batch.project(&self.rest)?;
        let part = |(directory, rows): (String, Vec<u32>)| {
            if rows.len() == files.num_rows() {
                return Ok((directory, files.clone()));
            }
            Ok((directory, take_record_batch(&files, &UInt32Array::from(rows))?))
        };
        rows.into_iter().map(part).collect()
    }

    fn directory(&self, batch: &RecordBatch, row: usize) -> Result<String> {
        let part = |index: &usize| {
            let value = partitions::text(column(batch, *index)?, row)?;
            Ok(partitions::directory(batch.schema_ref().field(*index).name(), value.as_deref()))
        };
        Ok(self.by.iter().map(part).collect::<Result<Vec<_>>>()?.join("/"))
    }
}

fn column(batch: &RecordBatch, index: usize) -> Result<&ArrayRef> {
    batch.columns().get(index).ok_or_else(|| Error::Protocol(format!("the rows have no column {index}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let days: ArrayRef = Arc::new(StringArray::from(vec![Some("a/b"), None, Some("a/b"), Some("")]));
        let hours: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1, 2]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30, 40]));
        RecordBatch::try_from_iter_with_nullable([("day", days, true), ("v", values, true), ("hour", hours, true)]).unwrap()
    }

    #[test]
    fn rows_by_directory() {
        let rows = PartitionRows::new(&batch().schema(), &["DAY".to_owned(), "hour".to_owned()]).unwrap();
        let parts = rows.split(&batch()).unwrap();
        let shown = parts.iter().map(|(dir, part)| {
            assert_eq!(part.num_columns(), 1);
            (dir.as_str(), part.column(0).as_primitive::<Int64Type>().values().to_vec())
        });
        let expected = [("day=__HIVE_DEFAULT_PARTITION__/hour=2", vec![20, 40]), ("day=a%2Fb/hour=1", vec![10, 30])];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn columns_that_can_be_no_partitions() {
        let refused = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
            PartitionRows::new(&batch().schema(), &columns).unwrap_err().to_string()
        };
        assert!(refused(&["x"]).contains("[PARTITION_COLUMN_NOT_FOUND_IN_SCHEMA] the partition column x"));
        assert!(refused(&["day", "day"]).contains("twice"));
        assert!(refused(&["day", "v", "hour"]).contains("[ALL_PARTITION_COLUMNS_NOT_ALLOWED]"));
    }
}
