//! Reads the records of splits.
//!
//! A task has one consumer, which stays at its partitions from epoch to epoch and reads ahead. Where a split ends is not simply where a
//! record has the offset before its end: the last offsets may belong to no record (the marks of transactions, records of aborted ones,
//! records that compaction removed). The split is read when a record at its end or later comes, or when the client says that it has
//! come to the end of the partition and its position is not before the split's end. What the client says may be old, from before the
//! last records came: see [`Reader::at_partition_end`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, OwnedMessage};
use rdkafka::{Message, Offset, TopicPartitionList};
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::client::Context;
use super::cluster;
use super::offsets::Partition;
use super::options::SourceOptions;
use super::planner::{KafkaSplit, data_loss};
use super::rows::{Column, Rows};

/// How long one wait for a record is. The client passes the mark of a transaction without a word: its position is looked at after each.
const SLICE: Duration = Duration::from_millis(5);

/// How long a partition may be silent at what may be its end until its end is made sure of.
const SILENCE: Duration = Duration::from_millis(300);

/// How long a wait for records may go on until it is looked whether anyone still wants them.
const ASK: Duration = Duration::from_millis(100);

/// How long a question to the cluster may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The reading half of the source.
pub(crate) struct Reader {
    options: SourceOptions,
    rows: Rows,
    consumer: Option<Arc<BaseConsumer<Context>>>,
    open: BTreeMap<Partition, OpenPartition>,
}

/// A partition that the consumer is at.
struct OpenPartition {
    queue: PartitionQueue<Context>,
    /// What is before it was given out.
    next: i64,
    /// The first record after the last split's end.
    ahead: Option<OwnedMessage>,
    /// Opened while the current split was being read: what the client says of its end can't be old.
    is_fresh: bool,
    /// The client's position before it was opened anew, which it may go on to give for a moment.
    old_position: Option<i64>,
}

/// What came out of a partition.
enum Event {
    /// The record is not before the split's end, or there is none before it.
    Read,
    Silence,
    /// Perhaps the end of the partition.
    End,
    /// A record was taken.
    Record,
    /// The offset is not there.
    OutOfRange,
}

impl Reader {
    pub(crate) fn new(options: SourceOptions, columns: &[Column]) -> Self {
        Reader { options, rows: Rows::new(columns), consumer: None, open: BTreeMap::new() }
    }

    fn consumer(&mut self) -> Result<Arc<BaseConsumer<Context>>> {
        match &self.consumer {
            Some(consumer) => Ok(Arc::clone(consumer)),
            None => {
                let consumer = Arc::new(cluster::consumer(&self.options)?);
                self.consumer = Some(Arc::clone(&consumer));
                Ok(consumer)
            }
        }
    }

    fn failed(&self, action: &str, error: &KafkaError) -> Error {
        match &self.consumer {
            Some(consumer) => self.options.client.failed(action, error, consumer.context()),
            None => Error::user(format!("can't {action}: {error}")),
        }
    }

    /// Puts the consumer at an offset of the partition, unless it is there.
    fn go_to(&mut self, partition: &Partition, offset: i64) -> Result<()> {
        if let Some(open) = self.open.get_mut(partition)
            && open.next == offset
        {
            open.is_fresh = false;
            return Ok(());
        }
        self.reopen(partition, offset)
    }

    fn reopen(&mut self, partition: &Partition, offset: i64) -> Result<()> {
        let consumer = self.consumer()?;
        let action = format!("read partition {partition}");
        let old_position = self.position(partition);
        let list = |offset: Offset| -> KafkaResult<TopicPartitionList> {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&partition.topic, partition.number, offset)?;
            Ok(list)
        };
        let moved = || -> KafkaResult<()> {
            if self.open.contains_key(partition) {
                consumer.incremental_unassign(&list(Offset::Invalid)?)?;
            }
            consumer.incremental_assign(&list(Offset::Offset(offset))?)
        };
        moved().map_err(|error| self.failed(&action, &error))?;
        // The queue of the partition itself: records of other partitions stay in theirs until their split's turn.
        let queue = consumer.split_partition_queue(&partition.topic, partition.number);
        let queue = queue.ok_or_else(|| self.failed(&action, &KafkaError::Canceled))?;
        self.open.insert(partition.clone(), OpenPartition { queue, next: offset, ahead: None, is_fresh: true, old_position });
        Ok(())
    }

    /// Leaves the partition: the client does not go on by itself from an offset that is not there.
    fn leave(&mut self, partition: &Partition) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.number);
        let left = self.consumer()?.incremental_unassign(&list);
        self.open.remove(partition);
        left.map_err(|error| self.failed(&format!("leave partition {partition}"), &error))
    }

    /// Where the client's own position is, past the marks of transactions too.
    fn position(&self, partition: &Partition) -> Option<i64> {
        let positions = self.consumer.as_ref()?.position().ok()?;
        match positions.find_partition(&partition.topic, partition.number)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Takes the next thing that comes out of the partition, a record into the rows.
    fn next_event(&mut self, split: &KafkaSplit) -> Result<Event> {
        let Some(open) = self.open.get_mut(&split.partition) else {
            return Err(Error::Protocol(format!("partition {} is not open", split.partition)));
        };
        if let Some(ahead) = open.ahead.take_if(|ahead| ahead.offset() < split.end) {
            return take(open, &mut self.rows, &ahead).map(|()| Event::Record);
        }
        if open.ahead.is_some() {
            return Ok(Event::Read);
        }
        let polled: Option<KafkaResult<BorrowedMessage<'_>>> = open.queue.poll(SLICE);
        match polled {
            None => Ok(Event::Silence),
            Some(Ok(record)) if record.offset() < open.next => Ok(Event::Record),
            Some(Ok(record)) if record.offset() < split.end => {
                let offset = record.offset();
                self.rows.append(&record)?;
                drop(record);
                open.next = offset + 1;
                Ok(Event::Record)
            }
            Some(Ok(record)) => {
                let ahead = record.detach();
                drop(record);
                open.ahead = Some(ahead);
                Ok(Event::Read)
            }
            Some(Err(error)) => self.event_of(&split.partition, &error),
        }
    }

    fn event_of(&self, partition: &Partition, error: &KafkaError) -> Result<Event> {
        if matches!(error, KafkaError::PartitionEOF(_)) {
            return Ok(Event::End);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Ok(Event::OutOfRange),
            // The client connects again by itself; the silence meanwhile has its limit.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition,
            ) => Ok(Event::Silence),
            _ => Err(self.failed(&format!("read partition {partition}"), error)),
        }
    }

    fn read_split(&mut self, split: &KafkaSplit, out: &mut SourceOutput<'_>) -> Result<()> {
        self.go_to(&split.partition, split.start)?;
        let (mut heard, mut maybe_end, mut asked) = (Instant::now(), false, Instant::now());
        while self.next_offset(split) < split.end {
            match self.next_event(split)? {
                Event::Read => break,
                Event::Record => {
                    (heard, maybe_end) = (Instant::now(), false);
                    if self.rows.is_full() {
                        self.emit(out)?;
                    }
                }
                Event::End if self.at_partition_end(split) => break,
                Event::End => maybe_end = true,
                Event::OutOfRange => {
                    if !self.skip_lost(split)? {
                        break;
                    }
                    (heard, maybe_end) = (Instant::now(), false);
                }
                Event::Silence if self.is_past(split) => break,
                Event::Silence => {
                    self.listen();
                    if maybe_end && heard.elapsed() > SILENCE {
                        self.reopen(&split.partition, self.next_offset(split))?;
                        (heard, maybe_end) = (Instant::now(), false);
                    }
                    self.check_silence(split, heard)?;
                    if asked.elapsed() > ASK {
                        out.emit(self.rows.none())?;
                        asked = Instant::now();
                    }
                }
            }
        }
        if let Some(open) = self.open.get_mut(&split.partition) {
            open.next = split.end;
        }
        match self.rows.is_empty() {
            true => Ok(()),
            false => self.emit(out),
        }
    }

    fn next_offset(&self, split: &KafkaSplit) -> i64 {
        self.open.get(&split.partition).map_or(split.start, |open| open.next)
    }

    /// The client has come to an end of the partition: whether it is not before the split's.
    ///
    /// It says so once for each end that it comes to, in order with the records, so what it says now may be of an end that later
    /// records have moved. Its position tells, but not of records that compaction removed; then the partition is opened anew, after
    /// the split was planned, and any end is late enough.
    fn at_partition_end(&self, split: &KafkaSplit) -> bool {
        let is_fresh = self.open.get(&split.partition).is_some_and(|open| open.is_fresh);
        is_fresh || self.is_past(split)
    }

    /// Whether the client has passed the split's end.
    fn is_past(&self, split: &KafkaSplit) -> bool {
        let old = self.open.get(&split.partition).and_then(|open| open.old_position);
        self.position(&split.partition).is_some_and(|position| position >= split.end && Some(position) != old)
    }

    /// The offset is not there. Fails, or goes on at the oldest record; says whether there is anything of the split to go on with.
    fn skip_lost(&mut self, split: &KafkaSplit) -> Result<bool> {
        let KafkaSplit { partition, end, .. } = split;
        let next = self.next_offset(split);
        data_loss(
            &self.options,
            format!(
                "KAFKA_DATA_LOSS.COULD_NOT_READ_OFFSET_RANGE: offsets {next} to {end} of partition {partition} are not there"
            ),
        )?;
        let bounds = self.consumer()?.fetch_watermarks(&partition.topic, partition.number, REQUEST_TIMEOUT);
        let (low, _) = bounds.map_err(|error| self.failed(&format!("look up the offsets of partition {partition}"), &error))?;
        if low <= next || low >= *end {
            // All of it is gone, or the partition has begun again and has not come so far.
            self.leave(partition)?;
            return Ok(false);
        }
        self.reopen(partition, low)?;
        Ok(true)
    }

    fn emit(&mut self, out: &mut SourceOutput<'_>) -> Result<()> {
        self.listen();
        out.emit(self.rows.finish()?)
    }

    /// Serves the client. Records come by the partitions' own queues, so what comes here are errors, which its context has noted.
    fn listen(&self) {
        if let Some(Err(error)) = self.consumer.as_ref().and_then(|consumer| consumer.poll(Duration::ZERO)) {
            tracing::debug!(%error, "kafka client");
        }
    }

    fn check_silence(&self, split: &KafkaSplit, heard: Instant) -> Result<()> {
        if heard.elapsed() <= self.options.poll_timeout {
            return Ok(());
        }
        let reason = self.consumer.as_ref().and_then(|consumer| consumer.context().last_failure());
        Err(Error::user(format!(
            "Cannot fetch record for offset {} of partition {} in {} milliseconds (kafkaConsumer.pollTimeoutMs){}",
            self.next_offset(split),
            split.partition,
            self.options.poll_timeout.as_millis(),
            reason.map(|reason| format!(": {reason}")).unwrap_or_default()
        )))
    }
}

fn take(open: &mut OpenPartition, rows: &mut Rows, record: &OwnedMessage) -> Result<()> {
    rows.append(record)?;
    open.next = record.offset() + 1;
    Ok(())
}

impl SourceReader for Reader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: KafkaSplit = split.decode()?;
        match split.start < split.end {
            true => self.read_split(&split, out),
            false => Ok(()),
        }
    }
}
