//! The sink: its configuration, its tasks' writers, and its committer.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, EpochInfo, Error, LastCommitted, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged};

use super::options::{Guarantee, SinkOptions};
use super::records;
use super::source::lowercase;
use super::transaction::{SharedTransactions, Transactions};

/// Writes rows as records to topics of Apache Kafka: Spark's `kafka` sink, exactly once.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `value` | string or binary | required; null is a tombstone |
/// | `key` | string or binary | |
/// | `topic` | string | required without the option `topic`, which overrides it |
/// | `partition` | int | the key decides otherwise, as in the Java client |
/// | `headers` | array of struct of key and value | with the option `includeHeaders` |
///
/// Each epoch is one transaction, which also holds the epoch's number, so consumers that read with `isolation.level=read_committed`
/// get every row once, whatever fails and however often the query is started again; others may see rows that were aborted. With the
/// option `delivery.guarantee` set to `at-least-once` rows are visible as they are written, and may come twice after a failure.
///
/// Transactions and the group that holds the number are named after the query's id, with what the option `transactionalIdPrefix` says
/// before it. A process that was thought to be gone, and comes back after its successor has started, can't write.
///
/// The number is kept as long as the cluster keeps the offsets of idle groups (`offsets.retention.minutes`, seven days): a query that
/// failed right between the transaction's commit and its own must be started again before that.
///
/// ```
/// use tidegate_connectors::KafkaSink;
/// use tidegate_runtime::SinkSupplier;
///
/// let sink = KafkaSink::new([("kafka.bootstrap.servers", "localhost:9092"), ("topic", "counts")])?;
/// assert_eq!(sink.describe(), "kafka topic counts of localhost:9092");
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KafkaSink {
    options: SinkOptions,
}

impl KafkaSink {
    /// A sink with these options.
    ///
    /// # Errors
    /// When an option is missing or can't be used; the message names it.
    pub fn new(options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Result<Self> {
        Ok(KafkaSink { options: SinkOptions::new(&lowercase(options))? })
    }
}

impl SinkSupplier for KafkaSink {
    fn check_input(&self, schema: &SchemaRef) -> Result<()> {
        let schema: &Schema = schema;
        records::check(schema, &self.options)
    }

    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Committer { options: self.options.clone(), open: None }))
    }

    fn describe(&self) -> String {
        let servers = self.options.client.servers();
        match &self.options.topic {
            Some(topic) => format!("kafka topic {topic} of {servers}"),
            None => format!("kafka topics by row of {servers}"),
        }
    }
}

/// The committing half of the sink.
struct Committer {
    options: SinkOptions,
    open: Option<Open>,
}

struct Open {
    transactions: SharedTransactions,
    /// The newest epoch that the checkpoint has committed.
    committed: Option<Epoch>,
}

impl Committer {
    fn opened(&self) -> Result<&Open> {
        self.open.as_ref().ok_or_else(|| Error::Protocol("the sink is not open".to_owned()))
    }
}

impl Sink for Committer {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        let name = format!("{}-{}", context.query, context.node);
        let transactions = Arc::new(Transactions::open(&self.options, &name, context.committed)?);
        self.open = Some(Open { transactions, committed: context.committed });
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        if self.options.guarantee == Guarantee::AtLeastOnce {
            return Ok(LastCommitted::Untracked);
        }
        // The sink's number may be older: of the last epoch that had records, or forgotten by the cluster. It only matters for an epoch
        // that the checkpoint does not know to be committed.
        let Open { transactions, committed } = self.opened()?;
        let newest = transactions.last_committed()?.max(*committed);
        Ok(newest.map_or(LastCommitted::Nothing, LastCommitted::Epoch))
    }

    fn writer(&mut self, _subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(Writer { transactions: Arc::clone(&self.opened()?.transactions), rows: 0 }))
    }

    fn commit(&mut self, epoch: Epoch, _staged: Vec<Staged>) -> Result<()> {
        self.opened()?.transactions.commit(epoch)
    }
}

/// The writing half of the sink. What it sends is invisible until the commit, and aborted if that does not come.
struct Writer {
    transactions: SharedTransactions,
    /// Of the open epoch.
    rows: u64,
}

impl SinkWriter for Writer {
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.transactions.write(epoch.epoch, batch)
    }

    fn stage(&mut self, _epoch: EpochInfo) -> Result<Staged> {
        // The commit waits until the records have arrived: the epoch runs again if they don't.
        Staged::encode(std::mem::take(&mut self.rows), &())
    }
}
