//! The source's configuration.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use tidegate_runtime::{Error, Result, Source, SourceSupplier};

use super::options::{Reading, SourceOptions, Subscription};
use super::planner::Planner;
use super::rows::{Column, schema_of};

/// Reads topics of Apache Kafka: Spark's `kafka` source.
///
/// Options, their defaults and the columns are Spark's. Where an epoch starts and ends is in the query's checkpoint, nothing is in the
/// consumer group. Each partition is read by one task, always the same one while partitions stay the same; `minPartitions` cuts them
/// further. Records of transactions are read when these are committed (`kafka.isolation.level` is `read_committed`).
///
/// Options that begin with `kafka.` go to the client, librdkafka; some of the Java client's are called differently there, and an
/// error says how.
///
/// Unlike in Spark a partition that appears while the query runs and no longer has its first record fails the query when
/// `failOnDataLoss` is set, also if it was never read.
///
/// ```
/// use tidegate_connectors::KafkaSource;
/// use tidegate_runtime::SourceSupplier;
///
/// let source = KafkaSource::new([
///     ("kafka.bootstrap.servers", "localhost:9092"),
///     ("subscribe", "orders,returns"),
///     ("startingOffsets", "earliest"),
///     ("maxOffsetsPerTrigger", "100000"),
/// ])?;
/// assert_eq!(source.schema()?.field(1).name(), "value");
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KafkaSource {
    options: SourceOptions,
    reading: Reading,
    columns: Vec<Column>,
}

impl KafkaSource {
    /// A stream of the records of topics.
    ///
    /// # Errors
    /// When an option is missing or can't be used; the message names it.
    pub fn new(options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Result<Self> {
        KafkaSource::reading(options, Reading::Stream)
    }

    /// The records that are there between `startingOffsets` (earliest) and `endingOffsets` (latest).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn batch(options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Result<Self> {
        KafkaSource::reading(options, Reading::Batch)
    }

    fn reading(options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>, reading: Reading) -> Result<Self> {
        let options = SourceOptions::new(&lowercase(options), reading)?;
        let columns = Column::ALL.into_iter().filter(|column| options.include_headers || *column != Column::Headers);
        Ok(KafkaSource { columns: columns.collect(), options, reading })
    }

    /// Reads only these columns, in this order.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn projection(mut self, columns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let column = |name: &str| {
            let found = self.columns.iter().find(|column| column.name() == name).copied();
            found.ok_or_else(|| Error::InvalidArgument(format!("[FIELD_NOT_FOUND] the Kafka source has no column {name}")))
        };
        self.columns = columns.into_iter().map(|name| column(name.as_ref())).collect::<Result<_>>()?;
        Ok(self)
    }
}

/// Names in lower case, which is how they count.
pub(crate) fn lowercase(options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> BTreeMap<String, String> {
    options.into_iter().map(|(name, value)| (name.as_ref().to_lowercase(), value.to_string())).collect()
}

impl SourceSupplier for KafkaSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(schema_of(&self.columns))
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(Planner::new(self.options.clone(), self.reading, self.columns.clone())))
    }

    fn describe(&self) -> String {
        let what = match &self.options.subscription {
            Subscription::Topics(topics) => format!("topics {}", topics.join(", ")),
            Subscription::Pattern(pattern) => format!("topics like {}", pattern.as_str()),
            Subscription::Assigned(partitions) => {
                format!("partitions {}", partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        };
        format!("kafka {what} of {}", self.options.client.servers())
    }
}
