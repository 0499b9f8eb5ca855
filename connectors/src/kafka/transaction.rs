//! One transaction for each epoch, shared by all tasks of the sink.
//!
//! A transaction belongs to one producer, and an epoch must appear whole, so all tasks send through the same producer, which takes
//! records from many threads. The first record of an epoch begins the transaction; [`Transactions::commit`] adds the epoch's number, as
//! the offset of a consumer group of the sink's own, and commits both at once. After a failure the number says whether the epoch is
//! there: the checkpoint may not know.
//!
//! ```text
//!  tasks        write(n) write(n) … stage(n) │ write(n+1) waits in memory …
//!  committer                                 │ commit(n): offset n, commit ─► send what waits of n+1
//! ```
//!
//! A producer has one open transaction, so records of a later epoch wait until the earlier one is committed. Opening the sink ends
//! what an earlier process left open and fences that process off: it can neither send nor commit from then on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, producer::PARTITION_UA};
use tidegate_runtime::{Epoch, Error, Result};

use super::client::Context;
use super::options::{Guarantee, SinkOptions};
use super::records::{Record, Records};

/// How long a commit, and other requests about transactions, may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the sink waits for the cluster when it is opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// After which time of it the sink looks whether to wait makes sense.
const OPEN_STEP: Duration = Duration::from_secs(1);

/// After which time the sink asks again what the cluster could not answer yet.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How often the cluster must refuse a login, or its certificate be refused, until the sink gives up.
const REFUSALS: u32 = 3;

/// How long the sink tries to abort a transaction when it goes away: readers wait for its end.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an epoch may be open unless the user says otherwise: the cluster aborts a transaction that is open longer.
const TRANSACTION_TIMEOUT_MS: u64 = 300_000;

/// How long one wait is, for room in the producer's queue or for records to arrive: the producer has its own thread for what it hears, and
/// a call that serves it takes as long as it is told.
const WAIT: Duration = Duration::from_millis(2);

/// The producer, and which epoch is open in it.
pub(crate) struct Transactions {
    producer: ThreadedProducer<Context>,
    /// Of the group that the epoch's number is kept in.
    group: BaseConsumer<Context>,
    options: SinkOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The epoch that is to be committed next.
    next: Epoch,
    open: Option<OpenTransaction>,
    /// What was written for epochs after the next one.
    waiting: BTreeMap<Epoch, Vec<RecordBatch>>,
}

#[derive(Debug, Clone)]
struct OpenTransaction {
    since: Instant,
    /// The topic of a record in it, whose partition 0 stands for the epoch's number.
    topic: String,
}

impl Transactions {
    /// Connects, and fences off whoever wrote under this name before.
    pub(crate) fn open(options: &SinkOptions, name: &str, committed: Option<Epoch>) -> Result<Self> {
        let (id, timeout) = (format!("{}-{name}", options.transactional_prefix), TRANSACTION_TIMEOUT_MS.to_string());
        let mut defaults = vec![
            // As the Java client chooses partitions, so that a key is where other producers put it.
            ("partitioner", "murmur2_random"),
            ("queue.buffering.max.kbytes", "65536"),
        ];
        let mut fixed = vec![("enable.idempotence", "true")];
        if options.guarantee == Guarantee::ExactlyOnce {
            defaults.push(("transaction.timeout.ms", &timeout));
            fixed.push(("transactional.id", &id));
        }
        let producer: ThreadedProducer<Context> = options.client.create(&defaults, &fixed)?;
        let group = options.client.create(
            &[],
            &[
                ("group.id", &id),
                ("isolation.level", "read_committed"),
                ("enable.auto.commit", "false"),
                ("auto.offset.reset", "error"),
            ],
        )?;
        let state = State { next: committed.map_or(Epoch::FIRST, Epoch::next), open: None, waiting: BTreeMap::new() };
        let transactions = Transactions { producer, group, options: options.clone(), state: Mutex::new(state) };
        if options.guarantee == Guarantee::ExactlyOnce {
            transactions.init()?;
        }
        Ok(transactions)
    }

    /// Waits until the cluster knows the producer; not longer, if it refuses the login or its certificate is refused.
    fn init(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let Err(error) = self.producer.init_transactions(OPEN_STEP) else { return Ok(()) };
            let may_resume = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            let is_refused = self.producer.context().refusals() >= REFUSALS;
            if !may_resume || is_refused || started.elapsed() > OPEN_TIMEOUT {
                return Err(self.failed("open a transactional producer", &error, None));
            }
        }
    }

    /// The newest epoch that was committed. To be asked after [`open`](Self::open), which ends what was under way.
    pub(crate) fn last_committed(&self) -> Result<Option<Epoch>> {
        let looked_up = || -> KafkaResult<Option<i64>> {
            let mut list = TopicPartitionList::new();
            for topic in self.marked_topics()? {
                list.add_partition(&topic, 0);
            }
            if list.count() == 0 {
                return Ok(None);
            }
            let found = self.group.committed_offsets(list, REQUEST_TIMEOUT)?;
            let offsets = found.elements().iter().map(|element| element.offset().to_raw()).max().flatten();
            Ok(offsets.filter(|offset| *offset >= 0))
        };
        let newest =
            self.patiently(looked_up).map_err(|error| self.failed("look up the newest committed epoch", &error, None))?;
        let newest = newest.and_then(|epoch| u64::try_from(epoch).ok()).map(Epoch::new);
        let mut state = self.state();
        state.next = state.next.max(newest.map_or(Epoch::FIRST, Epoch::next));
        Ok(newest)
    }

    /// Asks again while the cluster is only about to answer, as a broker is that has just started.
    fn patiently<T>(&self, question: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
        let started = Instant::now();
        loop {
            match question() {
                Err(error) if may_pass(&error) && started.elapsed() < OPEN_TIMEOUT => {
                    tracing::debug!(%error, "asking the cluster again");
                    // Serves the client meanwhile.
                    if let Some(Err(error)) = self.group.poll(ASK_AGAIN) {
                        tracing::debug!(%error, "kafka client");
                    }
                }
                answer => return answer,
            }
        }
    }

    /// The topics that may hold the number of an epoch: the sink's, or any if rows say where they go.
    fn marked_topics(&self) -> KafkaResult<Vec<String>> {
        if let Some(topic) = &self.options.topic {
            return Ok(vec![topic.clone()]);
        }
        let metadata = self.group.fetch_metadata(None, REQUEST_TIMEOUT)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).filter(|name| !name.starts_with("__")).collect())
    }

    /// Sends rows of an epoch, or keeps them until it is the epoch's turn.
    pub(crate) fn write(&self, epoch: Epoch, batch: RecordBatch) -> Result<()> {
        if self.options.guarantee == Guarantee::ExactlyOnce {
            let mut state = self.state();
            if epoch > state.next {
                state.waiting.entry(epoch).or_default().push(batch);
                return Ok(());
            }
            self.begin(&mut state, &batch)?;
        }
        // Not under the lock: tasks send at the same time. The epoch stays open until all of them have staged it.
        self.send_all(&batch)
    }

    /// Makes the epoch visible, with its number.
    pub(crate) fn commit(&self, epoch: Epoch) -> Result<()> {
        let mut state = self.state();
        if self.options.guarantee == Guarantee::AtLeastOnce {
            return self.flush();
        }
        if epoch < state.next {
            return Ok(());
        }
        for batch in state.waiting.remove(&epoch).unwrap_or_default() {
            self.begin(&mut state, &batch)?;
            self.send_all(&batch)?;
        }
        // An epoch without records needs no number: it may come again and changes nothing.
        if let Some(open) = state.open.clone() {
            self.commit_open(epoch, &open)?;
            state.open = None;
        }
        state.next = epoch.next();
        // What waits was written before anything that is still to come.
        let next = state.next;
        for batch in state.waiting.remove(&next).unwrap_or_default() {
            self.begin(&mut state, &batch)?;
            self.send_all(&batch)?;
        }
        Ok(())
    }

    /// Begins the epoch's transaction, if nobody has.
    fn begin(&self, state: &mut State, batch: &RecordBatch) -> Result<()> {
        if state.open.is_some() {
            return Ok(());
        }
        let topic = Records::new(batch, &self.options)?.get(0)?.topic.to_owned();
        self.producer.begin_transaction().map_err(|error| self.failed("begin a transaction", &error, None))?;
        state.open = Some(OpenTransaction { since: Instant::now(), topic });
        Ok(())
    }

    fn commit_open(&self, epoch: Epoch, open: &OpenTransaction) -> Result<()> {
        let failed = |error: &KafkaError| self.failed(&format!("commit epoch {epoch}"), error, Some(open));
        let mut offsets = TopicPartitionList::new();
        let number = i64::try_from(epoch.number()).map_err(Error::user)?;
        offsets.add_partition_offset(&open.topic, 0, Offset::Offset(number)).map_err(|error| failed(&error))?;
        let group = self.group.group_metadata().ok_or_else(|| failed(&KafkaError::Canceled))?;
        let added = self.producer.send_offsets_to_transaction(&offsets, &group, REQUEST_TIMEOUT);
        added.map_err(|error| self.check_deliveries(Some(open)).err().unwrap_or_else(|| failed(&error)))?;
        // Waits for the records to arrive first. An error leaves open whether the commit took place: the next start finds out.
        let committed = self.producer.commit_transaction(REQUEST_TIMEOUT);
        committed.map_err(|error| self.check_deliveries(Some(open)).err().unwrap_or_else(|| failed(&error)))
    }

    /// Waits until everything that was sent has arrived.
    fn flush(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let flushed = self.producer.flush(Duration::ZERO);
            self.check_deliveries(None)?;
            match flushed {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > REQUEST_TIMEOUT => return Err(self.failed("deliver records", &error, None)),
                Err(_) => self.producer.poll(WAIT),
            }
        }
    }

    fn check_deliveries(&self, open: Option<&OpenTransaction>) -> Result<()> {
        match self.producer.context().take_undelivered() {
            Some(error) => Err(self.failed("deliver a record", &error, open)),
            None => Ok(()),
        }
    }

    fn send_all(&self, batch: &RecordBatch) -> Result<()> {
        let records = Records::new(batch, &self.options)?;
        for row in 0..batch.num_rows() {
            self.send(records.get(row)?)?;
        }
        Ok(())
    }

    fn send(&self, record: Record<'_>) -> Result<()> {
        let topic = record.topic;
        let mut sent = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition.unwrap_or(PARTITION_UA));
        (sent.key, sent.payload, sent.headers) = (record.key, record.value, record.headers);
        loop {
            match self.producer.send(sent) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    self.check_deliveries(None)?;
                    self.producer.poll(WAIT);
                    sent = unsent;
                }
                Err((error, _)) => return Err(self.failed(&format!("send a record to topic {topic}"), &error, None)),
            }
        }
    }

    /// What an error means: a fence and a record that is too large come again however often the query is started.
    fn failed(&self, action: &str, error: &KafkaError, open: Option<&OpenTransaction>) -> Error {
        let fatal = self.producer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code).or_else(|| code_of(error));
        match code {
            Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch) => {
                self.fenced(action, open)
            }
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Error::InvalidArgument(format!(
                "can't {action} at {}: a record is larger than the producer or the topic allows; raise 'kafka.message.max.bytes' and the \
                 topic's max.message.bytes",
                self.options.client.servers()
            )),
            _ => {
                let failed = self.options.client.failed(action, error, self.producer.context());
                fatal.map_or(failed, |(_, reason)| Error::user(format!("can't {action}: {reason}")))
            }
        }
    }

    fn fenced(&self, action: &str, open: Option<&OpenTransaction>) -> Error {
        let timeout = self.options.client.get("transaction.timeout.ms").and_then(|text| text.parse().ok());
        let timeout = Duration::from_millis(timeout.unwrap_or(TRANSACTION_TIMEOUT_MS));
        let since = open.map(|open| open.since).or_else(|| self.state.try_lock().ok()?.open.as_ref().map(|open| open.since));
        match since.is_some_and(|since| since.elapsed() >= timeout) {
            true => Error::user(format!(
                "can't {action}: the epoch took longer than the {timeout:?} that a transaction may be open; make epochs smaller \
                 (maxOffsetsPerTrigger) or raise 'kafka.transaction.timeout.ms'"
            )),
            false => Error::SinkFenced(format!("can't {action} at {}", self.options.client.servers())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    }
}

/// Whether asking again may help.
fn may_pass(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::UnstableOffsetCommit
        )
    )
}

impl Drop for Transactions {
    /// Readers of committed records wait at the first record of an open transaction.
    fn drop(&mut self) {
        if self.state().open.is_some()
            && self.producer.client().fatal_error().is_none()
            && let Err(error) = self.producer.abort_transaction(ABORT_TIMEOUT)
        {
            tracing::warn!(%error, "an open transaction was left to its time-out");
        }
    }
}

/// The transactions that a sink's tasks share with its committer.
pub(crate) type SharedTransactions = Arc<Transactions>;
