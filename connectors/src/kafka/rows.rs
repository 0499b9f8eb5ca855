//! Records as columns: Spark's schema of the source.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder, StructBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use rdkafka::Message;
use rdkafka::message::{Headers, Timestamp};
use tidegate_runtime::{Error, Result, TARGET_BATCH_ROWS};

/// A batch is not filled further than this, whatever its rows: a column holds at most 2 GiB.
const BATCH_BYTES: usize = 32 << 20;

/// A column of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Key,
    Value,
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Headers,
}

impl Column {
    /// All of them, in Spark's order; the headers last, because only a source that includes them has them.
    pub(crate) const ALL: [Column; 8] = [
        Column::Key,
        Column::Value,
        Column::Topic,
        Column::Partition,
        Column::Offset,
        Column::Timestamp,
        Column::TimestampType,
        Column::Headers,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Column::Key => "key",
            Column::Value => "value",
            Column::Topic => "topic",
            Column::Partition => "partition",
            Column::Offset => "offset",
            Column::Timestamp => "timestamp",
            Column::TimestampType => "timestampType",
            Column::Headers => "headers",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Column::Key | Column::Value => DataType::Binary,
            Column::Topic => DataType::Utf8,
            Column::Partition | Column::TimestampType => DataType::Int32,
            Column::Offset => DataType::Int64,
            Column::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Column::Headers => DataType::List(header_item()),
        }
    }
}

/// The schema of these columns.
pub(crate) fn schema_of(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| Field::new(column.name(), column.data_type(), true)).collect::<Vec<_>>()))
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)])
}

fn header_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(header_fields()), true))
}

/// A batch that is being filled with records.
pub(crate) struct Rows {
    schema: SchemaRef,
    columns: Vec<Builder>,
    rows: usize,
    bytes: usize,
}

impl Rows {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Rows { schema: schema_of(columns), columns: columns.iter().copied().map(Builder::new).collect(), rows: 0, bytes: 0 }
    }

    pub(crate) fn append(&mut self, record: &impl Message) -> Result<()> {
        for column in &mut self.columns {
            column.append(record)?;
        }
        self.rows += 1;
        self.bytes += [record.key(), record.payload()].iter().flatten().map(|bytes| bytes.len()).sum::<usize>();
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= TARGET_BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The batch; the next one begins.
    /// The columns without rows.
    pub(crate) fn none(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(&self.schema))
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Builder::finish).collect();
        // A batch without columns has rows all the same.
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        self.bytes = 0;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

enum Builder {
    Key(BinaryBuilder),
    Value(BinaryBuilder),
    Topic(StringBuilder),
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampType(Int32Builder),
    Headers(ListBuilder<StructBuilder>),
}

impl Builder {
    fn new(column: Column) -> Self {
        match column {
            Column::Key => Builder::Key(BinaryBuilder::new()),
            Column::Value => Builder::Value(BinaryBuilder::new()),
            Column::Topic => Builder::Topic(StringBuilder::new()),
            Column::Partition => Builder::Partition(Int32Builder::new()),
            Column::Offset => Builder::Offset(Int64Builder::new()),
            Column::Timestamp => Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Column::TimestampType => Builder::TimestampType(Int32Builder::new()),
            Column::Headers => {
                Builder::Headers(ListBuilder::new(StructBuilder::from_fields(header_fields(), 0)).with_field(header_item()))
            }
        }
    }

    fn append(&mut self, record: &impl Message) -> Result<()> {
        match self {
            Builder::Key(column) => column.append_option(record.key()),
            Builder::Value(column) => column.append_option(record.payload()),
            Builder::Topic(column) => column.append_value(record.topic()),
            Builder::Partition(column) => column.append_value(record.partition()),
            Builder::Offset(column) => column.append_value(record.offset()),
            Builder::Timestamp(column) => {
                column.append_option(record.timestamp().to_millis().and_then(|ms| ms.checked_mul(1_000)));
            }
            Builder::TimestampType(column) => column.append_value(match record.timestamp() {
                Timestamp::NotAvailable => -1,
                Timestamp::CreateTime(_) => 0,
                Timestamp::LogAppendTime(_) => 1,
            }),
            Builder::Headers(column) => append_headers(column, record)?,
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Key(column) | Builder::Value(column) => Arc::new(column.finish()),
            Builder::Topic(column) => Arc::new(column.finish()),
            Builder::Partition(column) | Builder::TimestampType(column) => Arc::new(column.finish()),
            Builder::Offset(column) => Arc::new(column.finish()),
            Builder::Timestamp(column) => Arc::new(column.finish()),
            Builder::Headers(column) => Arc::new(column.finish()),
        }
    }
}

/// A record without headers has null, as in Spark.
fn append_headers(column: &mut ListBuilder<StructBuilder>, record: &impl Message) -> Result<()> {
    let Some(headers) = record.headers() else {
        column.append_null();
        return Ok(());
    };
    let entries = column.values();
    let wrong = || Error::Protocol("a header is a key and a value".to_owned());
    for header in headers.iter() {
        entries.field_builder::<StringBuilder>(0).ok_or_else(wrong)?.append_value(header.key);
        entries.field_builder::<BinaryBuilder>(1).ok_or_else(wrong)?.append_option(header.value);
        entries.append(true);
    }
    column.append(true);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    fn record(value: Option<&str>, headers: Option<OwnedHeaders>) -> OwnedMessage {
        let value = value.map(|value| value.as_bytes().to_vec());
        OwnedMessage::new(value, None, "t".to_owned(), Timestamp::LogAppendTime(7), 3, 5, headers)
    }

    #[test]
    fn nulls_stay_nulls() {
        let mut rows = Rows::new(&Column::ALL);
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("x") });
        rows.append(&record(Some(""), None)).unwrap();
        rows.append(&record(None, Some(headers.insert(Header { key: "none", value: None::<&str> })))).unwrap();
        let batch = rows.finish().unwrap();
        let nulls = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            [column.is_null(0), column.is_null(1)]
        };
        assert_eq!([nulls("key"), nulls("value"), nulls("headers")], [[true, true], [false, true], [true, false]]);
        assert_eq!(batch.column_by_name("timestampType").unwrap().as_primitive::<Int32Type>().values(), &[1, 1]);
        let headers = batch.column_by_name("headers").unwrap().as_list::<i32>().value(1);
        assert_eq!((headers.len(), headers.as_struct().column(1).null_count()), (2, 1));
        assert!(rows.is_empty());
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let mut rows = Rows::new(&[]);
        rows.append(&record(None, None)).unwrap();
        assert_eq!(rows.finish().unwrap().num_rows(), 1);
    }
}
