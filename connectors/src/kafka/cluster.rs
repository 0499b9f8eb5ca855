//! What a cluster has: which partitions, and how far they reach.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tidegate_runtime::{Error, Result};

use super::client::Context;
use super::offsets::{Offsets, Partition};
use super::options::{SourceOptions, Subscription};

/// How long one question may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// After which time the cluster is asked again when it could not say yet.
const SETTLE: Duration = Duration::from_millis(50);

/// Questions to a cluster.
pub(crate) struct Cluster {
    consumer: BaseConsumer<Context>,
    options: SourceOptions,
}

impl Cluster {
    pub(crate) fn connect(options: &SourceOptions) -> Result<Self> {
        let consumer = consumer(options)?;
        Ok(Cluster { consumer, options: options.clone() })
    }

    /// The partitions that are subscribed to, as they are now.
    pub(crate) fn partitions(&self) -> Result<BTreeSet<Partition>> {
        match &self.options.subscription {
            Subscription::Topics(topics) => {
                let partitions = topics.iter().map(|topic| self.partitions_of(topic));
                Ok(partitions.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
            }
            Subscription::Pattern(pattern) => {
                let metadata = self.ask("list the topics", || self.consumer.fetch_metadata(None, REQUEST_TIMEOUT))?;
                let topics = metadata.topics().iter().filter(|topic| pattern.is_match(topic.name()));
                let of = |topic: &rdkafka::metadata::MetadataTopic| {
                    let name = topic.name().to_owned();
                    topic.partitions().iter().map(|p| Partition::new(name.clone(), p.id())).collect::<Vec<_>>()
                };
                Ok(topics.flat_map(of).collect())
            }
            Subscription::Assigned(assigned) => {
                let mut there = BTreeSet::new();
                for topic in assigned.iter().map(|partition| &partition.topic).collect::<BTreeSet<_>>() {
                    there.extend(self.partitions_of(topic)?);
                }
                Ok(assigned.iter().filter(|partition| there.contains(partition)).cloned().collect())
            }
        }
    }

    /// A topic's partitions; none, if there is no such topic.
    fn partitions_of(&self, topic: &str) -> Result<Vec<Partition>> {
        let action = format!("look up topic {topic}");
        let metadata = self.ask(&action, || self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.map(|found| found.partitions()).unwrap_or_default();
        if let Some(error) = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from)
            && !matches!(error, RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)
        {
            return Err(self.failed(&action, &KafkaError::MetadataFetch(error)));
        }
        Ok(partitions.iter().map(|partition| Partition::new(topic, partition.id())).collect())
    }

    /// Where partitions begin.
    pub(crate) fn earliest(&self, partitions: impl IntoIterator<Item = Partition>) -> Result<Offsets> {
        self.list("look up the earliest offsets", partitions.into_iter().map(|partition| (partition, Offset::Beginning)))
    }

    /// Where partitions end for a reader: before the first record of a transaction that is still open, unless it reads such records.
    pub(crate) fn latest(&self, partitions: impl IntoIterator<Item = Partition>) -> Result<Offsets> {
        self.list("look up the latest offsets", partitions.into_iter().map(|partition| (partition, Offset::End)))
    }

    /// The first offset at a time or later; nothing for a partition whose records are all older.
    pub(crate) fn at_times(&self, times: &Offsets) -> Result<Offsets> {
        let times = times.iter().map(|(partition, time)| (partition.clone(), Offset::Offset(time)));
        self.list("look up offsets by time", times)
    }

    /// One request to each broker, whatever the number of partitions.
    fn list(&self, action: &str, wanted: impl IntoIterator<Item = (Partition, Offset)>) -> Result<Offsets> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in wanted {
            let added = list.add_partition_offset(&partition.topic, partition.number, offset);
            added.map_err(|error| self.failed(action, &error))?;
        }
        if list.count() == 0 {
            return Ok(Offsets::default());
        }
        self.ask(action, || {
            let found = self.consumer.offsets_for_times(list.clone(), REQUEST_TIMEOUT)?;
            let mut offsets = Offsets::default();
            for element in found.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    offsets.insert(Partition::new(element.topic(), element.partition()), offset);
                }
            }
            Ok(offsets)
        })
    }

    /// Asks, and asks again: `fetchOffset.numRetries`.
    fn ask<T>(&self, action: &str, question: impl Fn() -> KafkaResult<T>) -> Result<T> {
        let (started, mut tries) = (Instant::now(), 0);
        loop {
            match question() {
                Ok(answer) => {
                    self.listen(1);
                    return Ok(answer);
                }
                Err(error) if is_settling(&error) && started.elapsed() < REQUEST_TIMEOUT => {
                    tracing::debug!(action, %error, "the cluster does not know yet");
                    if let Some(Err(error)) = self.consumer.poll(SETTLE) {
                        tracing::debug!(action, %error, "kafka client");
                    }
                    continue;
                }
                Err(error) if tries >= self.options.retries || !may_pass(&error) || self.is_refused() => {
                    return Err(self.failed(action, &error));
                }
                Err(error) => tracing::debug!(action, %error, tries, "asking the cluster again"),
            }
            tries += 1;
            // Serves the client meanwhile: what it hears may say why nothing is answered.
            if let Some(Err(error)) = self.consumer.poll(self.options.retry_interval) {
                tracing::debug!(action, %error, "kafka client");
            }
        }
    }

    /// Whether the cluster does not want this client.
    fn is_refused(&self) -> bool {
        self.listen(100);
        self.consumer.context().refusals() > 0
    }

    /// Takes what the client has to say: nothing is subscribed to, so these are log lines and errors, which its context keeps. That a
    /// call gives nothing does not mean that there is nothing left.
    fn listen(&self, times: usize) {
        for _ in 0..times {
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tracing::trace!(%error, "kafka client");
            }
        }
    }

    fn failed(&self, action: &str, error: &KafkaError) -> Error {
        self.listen(100);
        self.options.client.failed(action, error, self.consumer.context())
    }
}

/// Whether the cluster answered that it can't say yet: a topic is new, or a broker has just started. Only partitions that it has named
/// itself are asked about, so one that it doesn't know has no leader at the moment. Such answers come at once, and are no tries.
fn is_settling(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::BrokerNotAvailable
                | RDKafkaErrorCode::OffsetNotAvailable
        )
    )
}

/// Whether asking again may help.
fn may_pass(error: &KafkaError) -> bool {
    let lasting = [
        RDKafkaErrorCode::Authentication,
        RDKafkaErrorCode::SaslAuthenticationFailed,
        RDKafkaErrorCode::TopicAuthorizationFailed,
        RDKafkaErrorCode::UnknownTopic,
    ];
    !error.rdkafka_error_code().is_some_and(|code| lasting.contains(&code))
}

/// A consumer that reads what it is told to: nothing is kept in its group.
pub(crate) fn consumer(options: &SourceOptions) -> Result<BaseConsumer<Context>> {
    let group = match options.client.get("group.id") {
        Some(group) => group.to_owned(),
        None => format!("{}-{}", options.group_prefix, uuid::Uuid::new_v4()),
    };
    options.client.create(
        &[
            ("group.id", &group),
            ("isolation.level", "read_committed"),
            // How long a reader that has come to the end waits for more is how long it takes until it hears of a new start.
            ("fetch.wait.max.ms", "100"),
            ("queued.max.messages.kbytes", "32768"),
            // How long the client asks for nothing more once it has enough. Its own default of a second is longer than it takes to read
            // what it has.
            ("fetch.queue.backoff.ms", "5"),
        ],
        &[
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
        ],
    )
}
