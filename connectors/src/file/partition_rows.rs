//! Deals rows to the partitions of a file sink or a table.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use tidegate_runtime::{Error, Result};

use super::partitions::{self, Naming};

/// Which columns are in the names of directories: Spark's `partitionBy`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionRows {
    /// The columns, in the order of the directories.
    by: Vec<usize>,
    /// The columns of the files.
    rest: Vec<usize>,
    naming: Naming,
}

impl PartitionRows {
    /// Partitions of a directory that others read too: the columns are in the names only.
    pub(crate) fn new(schema: &Schema, columns: &[String]) -> Result<Self> {
        let by = indices(schema, columns)?;
        let rest: Vec<usize> = (0..schema.fields().len()).filter(|index| !by.contains(index)).collect();
        if rest.is_empty() && !by.is_empty() {
            return Err(Error::InvalidArgument(
                "[ALL_PARTITION_COLUMNS_NOT_ALLOWED] the files would have no column: leave one out of partitionBy".to_owned(),
            ));
        }
        Ok(PartitionRows { by, rest, naming: Naming::Hive })
    }

    /// Partitions of a table: the files keep the columns, so that they alone are its rows.
    pub(crate) fn of_table(schema: &Schema, columns: &[String]) -> Result<Self> {
        let rows = PartitionRows::new(schema, columns)?;
        Ok(PartitionRows { rest: (0..schema.fields().len()).collect(), naming: Naming::Exact, ..rows })
    }

    /// The directory of a table's rows that have these values: a row of the partition columns.
    pub(crate) fn of_values(values: &RecordBatch) -> Result<String> {
        let by = (0..values.num_columns()).collect();
        PartitionRows { by, rest: Vec::new(), naming: Naming::Exact }.directory(values, 0)
    }

    /// The columns of the files.
    pub(crate) fn file_schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        if self.by.is_empty() { Ok(SchemaRef::clone(schema)) } else { Ok(SchemaRef::new(schema.project(&self.rest)?)) }
    }

    /// The rows of each directory.
    pub(crate) fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        if self.by.is_empty() {
            return Ok(vec![(String::new(), batch.clone())]);
        }
        let columns = self.by.iter().map(|index| column(batch, *index).cloned()).collect::<Result<Vec<_>>>()?;
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
        // A name is made once for each value, not for each row.
        let mut directories: HashMap<&[u8], usize> = HashMap::new();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for (number, key) in (0..).zip(keys.iter()) {
            let directory = *directories.entry(key.data()).or_insert(rows.len());
            match rows.get_mut(directory) {
                Some(rows) => rows.push(number),
                None => rows.push(vec![number]),
            }
        }
        // Values that have a name in common are one partition.
        let mut named: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for rows in rows {
            let Some(first) = rows.first() else { continue };
            named.entry(self.directory(batch, *first as usize)?).or_default().extend(rows);
        }
        let files = batch.project(&self.rest)?;
        let part = |(directory, mut rows): (String, Vec<u32>)| {
            if rows.len() == files.num_rows() {
                return Ok((directory, files.clone()));
            }
            rows.sort_unstable();
            Ok((directory, take_record_batch(&files, &UInt32Array::from(rows))?))
        };
        named.into_iter().map(part).collect()
    }

    fn directory(&self, batch: &RecordBatch, row: usize) -> Result<String> {
        let part = |index: &usize| {
            let value = partitions::text(column(batch, *index)?, row)?;
            Ok(partitions::directory(batch.schema_ref().field(*index).name(), value.as_deref(), self.naming))
        };
        Ok(self.by.iter().map(part).collect::<Result<Vec<_>>>()?.join("/"))
    }
}

/// The columns of these names.
fn indices(schema: &Schema, columns: &[String]) -> Result<Vec<usize>> {
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
    Ok(by)
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
