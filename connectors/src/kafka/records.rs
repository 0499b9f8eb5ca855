//! Rows as records: which columns a sink takes, and as what.

use arrow::array::{Array, AsArray, GenericByteArray, Int32Array, ListArray, StringArray};
use arrow::datatypes::{ByteArrayType, DataType, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use rdkafka::message::{Header, OwnedHeaders};
use tidegate_runtime::{Error, Result};

use super::options::SinkOptions;

/// Whether a sink with these options can take rows of this schema; Spark's rules.
pub(crate) fn check(schema: &Schema, options: &SinkOptions) -> Result<()> {
    let refuse = |message: String| Err(Error::InvalidArgument(message));
    let type_of = |name: &str| schema.field_with_name(name).ok().map(|field| field.data_type());
    if options.topic.is_none() && type_of("topic").is_none() {
        return refuse(
            "topic option required when no 'topic' attribute is present. Use the topic option for setting a topic.".to_owned(),
        );
    }
    if type_of("value").is_none() {
        return refuse("Required attribute 'value' not found.".to_owned());
    }
    let is_bytes = |kind: &DataType| matches!(kind, DataType::Binary | DataType::Utf8);
    let check = |name: &str, fits: &dyn Fn(&DataType) -> bool, expected: &str| match type_of(name).filter(|kind| !fits(kind)) {
        Some(kind) => refuse(format!("{name} attribute type must be {expected}, it is {kind}")),
        None => Ok(()),
    };
    check("topic", &|kind| *kind == DataType::Utf8, "STRING")?;
    check("key", &is_bytes, "STRING or BINARY")?;
    check("value", &is_bytes, "STRING or BINARY")?;
    check("partition", &|kind| *kind == DataType::Int32, "INT")?;
    check("headers", &is_headers, "ARRAY<STRUCT<key: STRING, value: BINARY>>")
}

fn is_headers(kind: &DataType) -> bool {
    let DataType::List(item) = kind else { return false };
    let DataType::Struct(fields) = item.data_type() else { return false };
    matches!(&fields[..], [key, value] if *key.data_type() == DataType::Utf8 && *value.data_type() == DataType::Binary)
}

/// A column of bytes, as bytes or as text.
enum Bytes<'a> {
    Binary(&'a GenericByteArray<arrow::datatypes::BinaryType>),
    Text(&'a StringArray),
}

impl<'a> Bytes<'a> {
    fn of(column: &'a dyn Array) -> Result<Self> {
        if let Some(binary) = column.as_binary_opt::<i32>() {
            return Ok(Bytes::Binary(binary));
        }
        match column.as_string_opt::<i32>() {
            Some(text) => Ok(Bytes::Text(text)),
            None => Err(Error::Protocol(format!("the Kafka sink was given {}", column.data_type()))),
        }
    }

    fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Bytes::Binary(binary) => get(binary, row),
            Bytes::Text(text) => get(text, row).map(str::as_bytes),
        }
    }
}

fn get<T: ByteArrayType>(array: &GenericByteArray<T>, row: usize) -> Option<&T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

/// A row as a record.
pub(crate) struct Record<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) partition: Option<i32>,
    pub(crate) headers: Option<OwnedHeaders>,
}

/// A batch whose rows are records.
pub(crate) struct Records<'a> {
    /// Of every row.
    topic: Option<&'a str>,
    topics: Option<&'a StringArray>,
    keys: Option<Bytes<'a>>,
    values: Bytes<'a>,
    partitions: Option<&'a Int32Array>,
    headers: Option<&'a ListArray>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, options: &'a SinkOptions) -> Result<Self> {
        let column = |name: &str| batch.column_by_name(name).map(AsRef::as_ref);
        let missing = || Error::Protocol("the Kafka sink was given rows without a value".to_owned());
        Ok(Records {
            topic: options.topic.as_deref(),
            topics: column("topic").and_then(|column: &dyn Array| column.as_string_opt()),
            keys: column("key").map(Bytes::of).transpose()?,
            values: Bytes::of(column("value").ok_or_else(missing)?)?,
            partitions: column("partition").and_then(|column| column.as_primitive_opt::<Int32Type>()),
            headers: column("headers").filter(|_| options.include_headers).and_then(|column| column.as_list_opt()),
        })
    }

    pub(crate) fn get(&self, row: usize) -> Result<Record<'a>> {
        let null_topic = || {
            Error::InvalidArgument(
                "[KAFKA_NULL_TOPIC_IN_DATA] The Kafka message data sent to the producer contains a null topic. Use the `topic` option for \
                 setting a default topic."
                    .to_owned(),
            )
        };
        Ok(Record {
            topic: self.topic.or_else(|| get(self.topics?, row)).ok_or_else(null_topic)?,
            key: self.keys.as_ref().and_then(|keys| keys.get(row)),
            value: self.values.get(row),
            partition: self.partitions.filter(|partitions| partitions.is_valid(row)).map(|partitions| partitions.value(row)),
            headers: self.headers.filter(|headers| headers.is_valid(row)).map(|headers| headers_of(headers, row)).transpose()?,
        })
    }
}

fn headers_of(lists: &ListArray, row: usize) -> Result<OwnedHeaders> {
    let entries = lists.value(row);
    let wrong = || Error::Protocol("the Kafka sink was given headers of another type".to_owned());
    let entries = entries.as_struct_opt().ok_or_else(wrong)?;
    let (keys, values) = (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_binary_opt::<i32>());
    let (keys, values) = keys.zip(values).ok_or_else(wrong)?;
    let mut headers = OwnedHeaders::new_with_capacity(entries.len());
    for entry in (0..entries.len()).filter(|entry| entries.is_valid(*entry)) {
        let key = get(keys, entry).ok_or_else(|| Error::InvalidArgument("a header of a Kafka record has no key".to_owned()))?;
        headers = headers.insert(Header { key, value: get(values, entry) });
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::Field;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn options(topic: Option<&str>) -> SinkOptions {
        let mut given = BTreeMap::from([("kafka.bootstrap.servers".to_owned(), "localhost:9092".to_owned())]);
        given.extend(topic.map(|topic| ("topic".to_owned(), topic.to_owned())));
        SinkOptions::new(&given).unwrap()
    }

    fn refused(columns: &[(&str, DataType)], topic: Option<&str>) -> String {
        let schema = Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>());
        check(&schema, &options(topic)).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_checked_before_anything_runs() {
        let value = ("value", DataType::Binary);
        assert!(refused(std::slice::from_ref(&value), None).contains("topic option required"));
        assert!(refused(&[("key", DataType::Utf8)], Some("t")).contains("Required attribute 'value' not found"));
        assert!(refused(&[("value", DataType::Int64)], Some("t")).contains("value attribute type must be"));
        assert!(
            refused(&[value.clone(), ("partition", DataType::Int64)], Some("t")).contains("partition attribute type must be INT")
        );
        assert!(refused(&[value, ("headers", DataType::Utf8)], Some("t")).contains("headers attribute type must be ARRAY"));
    }

    #[test]
    fn nulls_are_tombstones_and_the_option_overrides_the_column() {
        let columns: [(&str, ArrayRef); 4] = [
            ("key", Arc::new(StringArray::from(vec![Some("k"), None]))),
            ("value", Arc::new(StringArray::from(vec![None, Some("")]))),
            ("topic", Arc::new(StringArray::from(vec![Some("a"), None]))),
            ("partition", Arc::new(Int32Array::from(vec![None, Some(3)]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
        let (by_column, by_option) = (options(None), options(Some("b")));
        let records = Records::new(&batch, &by_column).unwrap();
        let first = records.get(0).unwrap();
        assert_eq!((first.topic, first.key, first.value, first.partition), ("a", Some(&b"k"[..]), None, None));
        assert!(
            records.get(1).map(|record| record.topic.to_owned()).unwrap_err().to_string().contains("KAFKA_NULL_TOPIC_IN_DATA")
        );
        let second = Records::new(&batch, &by_option).unwrap().get(1).unwrap();
        assert_eq!((second.topic, second.key, second.value, second.partition), ("b", None, Some(&b""[..]), Some(3)));
    }
}
