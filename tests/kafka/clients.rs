//! Plain clients beside the connector: they make topics, write and read.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use crate::broker::Broker;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.servers()).set("log_level", "0");
    config
}

/// Calls of an administrator, one at a time.
pub(crate) struct Admin {
    client: AdminClient<DefaultClientContext>,
    /// Looks topics up: to ask for one that is not there makes it, unless a consumer asks.
    consumer: BaseConsumer,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub(crate) fn new(broker: &Broker) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Admin { client: config(broker).create().unwrap(), consumer: config(broker).create().unwrap(), runtime }
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[]);
    }

    pub(crate) fn create_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        new.config.extend_from_slice(settings);
        self.runtime.block_on(self.client.create_topics([&new], &options())).unwrap().remove(0).unwrap();
        self.await_partitions(topic, partitions as usize);
    }

    pub(crate) fn add_partitions(&self, topic: &str, partitions: usize) {
        let grown = NewPartitions::new(topic, partitions);
        self.runtime.block_on(self.client.create_partitions([&grown], &options())).unwrap().remove(0).unwrap();
        self.await_partitions(topic, partitions);
    }

    pub(crate) fn delete(&self, topic: &str) {
        self.runtime.block_on(self.client.delete_topics(&[topic], &options())).unwrap().remove(0).unwrap();
        self.await_partitions(topic, 0);
    }

    /// Removes what is before the offset, as retention would.
    pub(crate) fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        self.runtime.block_on(self.client.delete_records(&list, &options())).unwrap();
    }

    /// The controller has answered before every broker knows.
    fn await_partitions(&self, topic: &str, partitions: usize) {
        let started = Instant::now();
        loop {
            let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
            let ready = |p: &rdkafka::metadata::MetadataPartition| p.leader() >= 0;
            if metadata.topics().iter().all(|t| t.partitions().len() == partitions && t.partitions().iter().all(ready)) {
                return;
            }
            assert!(started.elapsed() < TIMEOUT, "topic {topic} does not get {partitions} partitions");
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT))
}

/// A record that is lost fails the test.
struct AllArrive;

impl ClientContext for AllArrive {}

impl ProducerContext for AllArrive {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = delivery {
            panic!("a record was not delivered: {error}");
        }
    }
}

/// Writes records without a transaction, and waits for them.
pub(crate) fn produce<'a>(broker: &Broker, topic: &str, partition: i32, values: impl IntoIterator<Item = &'a str>) {
    let producer: BaseProducer<AllArrive> = config(broker).create_with_context(AllArrive).unwrap();
    send(&producer, topic, partition, values);
    producer.flush(TIMEOUT).unwrap();
}

/// A producer with an open transaction.
pub(crate) fn transaction(broker: &Broker, id: &str) -> BaseProducer {
    let producer: BaseProducer = config(broker).set("transactional.id", id).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    producer
}

pub(crate) fn send<'a, C: ProducerContext<DeliveryOpaque = ()>>(
    producer: &BaseProducer<C>,
    topic: &str,
    partition: i32,
    values: impl IntoIterator<Item = &'a str>,
) {
    for value in values {
        let mut record = BaseRecord::<[u8], str>::to(topic).partition(partition).payload(value);
        while let Err((_, unsent)) = producer.send(record) {
            producer.poll(Duration::from_millis(100));
            record = unsent;
        }
    }
}

/// Every record of the topic that is committed now.
pub(crate) fn records(broker: &Broker, topic: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = config(broker)
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut open, mut read) = (partitions.len(), Vec::new());
    while open > 0 {
        match consumer.poll(TIMEOUT) {
            Some(Ok(record)) => read.push(record.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => println!("reading {topic}: {error}"),
            None => panic!("topic {topic} does not end"),
        }
    }
    read
}

/// The values of [`records`], sorted.
pub(crate) fn values(broker: &Broker, topic: &str) -> Vec<String> {
    let text = |record: &OwnedMessage| String::from_utf8_lossy(record.payload().unwrap_or(b"null")).into_owned();
    let mut values: Vec<String> = records(broker, topic).iter().map(text).collect();
    values.sort_unstable();
    values
}
