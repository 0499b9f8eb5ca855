//! What the Kafka source and sink cost, beside plain clients on the same broker.
//!
//! ```sh
//! tests/kafka/broker.sh                                                        # in another terminal
//! cargo bench -p tidegate-connectors --features kafka --bench kafka            # KAFKA=host:port for another broker, RECORDS=n for more
//! ```
//!
//! `ONLY=throughput` or `ONLY=latency` runs one half. The throughput's topic is named and stays, so that other engines can read it:
//! `kafka_spark.py` beside this file does so with Spark's own source.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tidegate_connectors::{KafkaSink, KafkaSource, NoopSink};
use tidegate_runtime::{Query, SinkSupplier, Topology, Trigger};

const TIMEOUT: Duration = Duration::from_secs(60);

fn main() {
    let servers = std::env::var("KAFKA").unwrap_or_else(|_| "127.0.0.1:9092".to_owned());
    let records = std::env::var("RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_000);
    let only = std::env::var("ONLY").ok();
    let is_wanted = |half: &str| only.as_deref().is_none_or(|only| only == half);
    if is_wanted("throughput") {
        throughput(&servers, records);
    }
    for rate in [1_000, 50_000].into_iter().filter(|_| is_wanted("latency")) {
        latency(&servers, rate);
    }
}

fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "bench").set("enable.auto.commit", "false").clone()
}

/// A topic of this run, made by its first record.
fn new_topic(what: &str) -> String {
    format!("bench-{what}-{}", micros())
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, value: &[u8]) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
    while let Err((_, unsent)) = producer.send(record) {
        producer.poll(Duration::from_millis(10));
        record = unsent;
    }
}

/// Seconds of all threads, user and system.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Runs `read` and says how fast it was.
fn measure(what: &str, records: usize, read: impl FnOnce()) {
    let (started, before) = (Instant::now(), cpu());
    read();
    let seconds = started.elapsed().as_secs_f64();
    println!("{what:<28} {:>10.0} records/s {seconds:>6.2} s {:>6.2} s of CPU", records as f64 / seconds, cpu() - before);
}

/// 100 bytes a record, from one partition.
fn throughput(servers: &str, records: usize) {
    let topic = new_topic("throughput");
    let producer: ThreadedProducer<DefaultProducerContext> = client(servers).create().unwrap();
    (0..records).for_each(|n| send(&producer, &topic, format!("{n:0100}").as_bytes()));
    producer.flush(TIMEOUT).unwrap();
    println!("topic {topic}: {records} records");
    for _ in 0..3 {
        measure("plain consumer", records, || {
            // With the client's own default for the backoff it would stand still for a second at a time.
            let consumer: BaseConsumer = client(servers).set("fetch.queue.backoff.ms", "5").create().unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let mut bytes = 0;
            for _ in 0..records {
                bytes += consumer.poll(TIMEOUT).unwrap().unwrap().payload().unwrap().len();
            }
            assert_eq!(bytes, records * 100);
        });
        measure("source, value only", records, || {
            let sink = NoopSink::new();
            run(servers, &topic, sink.clone(), &["value"]).available();
            assert_eq!(sink.rows() as usize, records);
        });
        measure("source, all columns", records, || {
            run(
                servers,
                &topic,
                NoopSink::new(),
                &["key", "value", "topic", "partition", "offset", "timestamp", "timestampType"],
            )
            .available();
        });
    }
}

/// A query from a topic to a sink.
struct Run(Query);

fn run(servers: &str, topic: &str, sink: impl SinkSupplier + 'static, columns: &[&str]) -> Run {
    let options = [("kafka.bootstrap.servers", servers), ("subscribe", topic), ("startingOffsets", "earliest")];
    let source = KafkaSource::new(options).unwrap().projection(columns).unwrap();
    let mut t = Topology::builder("bench").default_parallelism(1);
    let records = t.source("records", source);
    t.sink("out", [records], sink);
    Run(Query::new(t.build().unwrap()))
}

impl Run {
    fn available(self) {
        self.0.trigger(Trigger::AvailableNow).start().unwrap().await_termination(None).unwrap();
    }
}

/// From a producer's clock through a query, exactly once with a checkpoint, to a consumer of committed records.
fn latency(servers: &str, rate: u32) {
    let (from, to) = (new_topic("from"), new_topic("to"));
    let producer: ThreadedProducer<DefaultProducerContext> = client(servers).set("linger.ms", "0").create().unwrap();
    [&from, &to].iter().for_each(|topic| send(&producer, topic, b"0"));
    producer.flush(TIMEOUT).unwrap();
    let checkpoint = tempfile::tempdir().unwrap();
    let sink = KafkaSink::new([("kafka.bootstrap.servers", servers), ("topic", &to), ("kafka.linger.ms", "0")]).unwrap();
    let query = run(servers, &from, sink, &["value"]).0.checkpoint(checkpoint.path()).start().unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, sending) = (Arc::clone(&stop), from.clone());
    let sender = std::thread::spawn(move || {
        let started = Instant::now();
        let mut sent = 0u128;
        while !stopped.load(Ordering::Relaxed) {
            let due = started.elapsed().as_micros() * u128::from(rate) / 1_000_000;
            (sent..due).for_each(|_| send(&producer, &sending, micros().to_string().as_bytes()));
            sent = sent.max(due);
            std::thread::sleep(Duration::from_micros(500));
        }
        producer.flush(TIMEOUT).unwrap();
    });
    let consumer: BaseConsumer = client(servers).set("isolation.level", "read_committed").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&to, 0, Offset::Offset(1)).unwrap();
    consumer.assign(&list).unwrap();
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < Duration::from_secs(15) {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let sent: u128 = String::from_utf8_lossy(record.unwrap().payload().unwrap()).parse().unwrap();
        // The first seconds are the warm-up.
        if sent > 0 && started.elapsed() > Duration::from_secs(5) {
            latencies.push(micros().saturating_sub(sent));
        }
    }
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    query.stop().unwrap();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    println!(
        "{rate:>6} records/s: {} seen, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
