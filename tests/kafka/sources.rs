//! The source: what is read, from where to where, and what rows look like.

use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidegate::connectors::{KafkaSource, MemorySink};
use tidegate::runtime::{NodeId, Notifier, QueryId, ReadLimit, Source, SourceContext, SourceSupplier};
use tidegate::{DataFrame, Session, StreamingQuery};

use crate::broker::Broker;
use crate::clients::{Admin, TIMEOUT, produce, send, transaction};

pub(crate) fn session() -> Session {
    Session::builder().parallelism(2).build().unwrap()
}

/// The values of records, as text.
pub(crate) fn stream(broker: &Broker, options: &[(&str, &str)]) -> tidegate::Result<DataFrame> {
    let reader = session().read_stream().format("kafka").option("kafka.bootstrap.servers", broker.servers());
    Ok(reader.options(options.iter().copied()).load()?.select_expr(["CAST(value AS STRING) AS value"]))
}

/// Reads everything that is there, to the end.
pub(crate) fn read(frame: &DataFrame, checkpoint: &Path) -> tidegate::Result<(Vec<String>, StreamingQuery)> {
    let sink = MemorySink::new();
    let query = frame.write_stream().sink(sink.clone()).checkpoint(checkpoint).available_now().start()?;
    query.await_termination(None)?;
    Ok((texts(&sink.batches()), query))
}

/// The first column, sorted.
pub(crate) fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let column = |batch: &RecordBatch| {
        let column = batch.column(0).as_string::<i32>().clone();
        (0..column.len()).map(move |row| if column.is_null(row) { "null".to_owned() } else { column.value(row).to_owned() })
    };
    let mut texts: Vec<String> = batches.iter().flat_map(column).collect();
    texts.sort_unstable();
    texts
}

pub(crate) fn columns_are_sparks_and_nulls_stay_nulls(broker: &Broker) {
    let topic = "columns";
    Admin::new(broker).create(topic, 1);
    let producer: BaseProducer = rdkafka::ClientConfig::new().set("bootstrap.servers", broker.servers()).create().unwrap();
    let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("x") });
    let record = BaseRecord::to(topic).key("k").payload("v").timestamp(1_700_000_000_123).headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.send(BaseRecord::<str, str>::to(topic).key("gone")).map_err(|(error, _)| error).unwrap();
    producer.flush(TIMEOUT).unwrap();

    let reader = session().read().option("kafka.bootstrap.servers", broker.servers()).option("subscribe", topic);
    let batches = reader.option("includeHeaders", true).kafka().unwrap().collect().unwrap();
    let rows = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["key", "value", "topic", "partition", "offset", "timestamp", "timestampType", "headers"]);
    assert_eq!(rows.column(0).as_binary::<i32>().value(0), b"k");
    assert_eq!(rows.column(1).as_binary::<i32>().value(0), b"v");
    assert!(rows.column(1).is_null(1), "a tombstone");
    assert_eq!(rows.column(2).as_string::<i32>().value(1), topic);
    assert_eq!(rows.column(3).as_primitive::<Int32Type>().value(1), 0);
    assert_eq!(rows.column(4).as_primitive::<Int64Type>().values(), &[0, 1]);
    assert_eq!(rows.column(5).as_primitive::<TimestampMicrosecondType>().value(0), 1_700_000_000_123_000);
    assert_eq!(rows.column(6).as_primitive::<Int32Type>().value(0), 0);
    assert_eq!(rows.column(7).as_list::<i32>().value(0).len(), 1);
    assert!(rows.column(7).is_null(1));
}

pub(crate) fn a_batch_reads_between_its_offsets(broker: &Broker) {
    Admin::new(broker).create("batch", 2);
    produce(broker, "batch", 0, ["a", "b", "c"]);
    produce(broker, "batch", 1, ["d", "e"]);
    let read = |options: &[(&str, &str)]| {
        let reader = session().read().format("kafka").option("kafka.bootstrap.servers", broker.servers());
        let frame = reader.options(options.iter().copied()).load("")?;
        Ok::<_, tidegate::Error>(texts(&frame.select_expr(["CAST(value AS STRING) AS value"]).collect()?))
    };
    assert_eq!(read(&[("subscribe", "batch")]).unwrap(), ["a", "b", "c", "d", "e"]);
    let (start, end) = (r#"{"batch":{"0":1,"1":-2}}"#, r#"{"batch":{"0":-1,"1":1}}"#);
    assert_eq!(read(&[("subscribe", "batch"), ("startingOffsets", start), ("endingOffsets", end)]).unwrap(), ["b", "c", "d"]);
    assert_eq!(read(&[("assign", r#"{"batch":[1]}"#)]).unwrap(), ["d", "e"]);
    assert_eq!(read(&[("subscribePattern", "bat.*")]).unwrap().len(), 5);
    let incomplete = read(&[("subscribe", "batch"), ("startingOffsets", r#"{"batch":{"0":1}}"#)]).unwrap_err().to_string();
    assert!(incomplete.contains("you must specify all TopicPartitions") && incomplete.contains("batch-1"), "{incomplete}");
    let beyond = read(&[("assign", r#"{"batch":[0]}"#), ("startingOffsets", r#"{"batch":{"0":9}}"#)]).unwrap_err().to_string();
    assert!(beyond.contains("START_OFFSET_RESET"), "{beyond}");
}

pub(crate) fn a_query_starts_where_it_is_told(broker: &Broker) {
    Admin::new(broker).create("start", 1);
    let producer: BaseProducer = rdkafka::ClientConfig::new().set("bootstrap.servers", broker.servers()).create().unwrap();
    for (value, time) in [("old", 1_000), ("middle", 2_000), ("new", 3_000)] {
        let record = BaseRecord::<str, str>::to("start").payload(value).timestamp(time);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    let from = |options: &[(&str, &str)]| {
        let frame = stream(broker, &[&[("subscribe", "start")], options].concat())?;
        Ok::<_, tidegate::Error>(read(&frame, tempfile::tempdir().unwrap().path())?.0)
    };
    assert_eq!(from(&[]).unwrap(), [""; 0], "the latest");
    assert_eq!(from(&[("startingOffsets", "earliest")]).unwrap().len(), 3);
    assert_eq!(from(&[("startingOffsets", r#"{"start":{"0":2}}"#)]).unwrap(), ["new"]);
    assert_eq!(from(&[("startingTimestamp", "1500")]).unwrap(), ["middle", "new"]);
    assert_eq!(from(&[("startingOffsetsByTimestamp", r#"{"start":{"0":3000}}"#)]).unwrap(), ["new"]);
    let late = ("startingTimestamp", "9000");
    assert!(from(&[late]).unwrap_err().to_string().contains("No offset matched"));
    assert_eq!(from(&[late, ("startingOffsetsByTimestampStrategy", "latest")]).unwrap(), [""; 0]);
}

pub(crate) fn limits_cut_epochs(broker: &Broker) {
    Admin::new(broker).create("limits", 3);
    let numbers: Vec<String> = (0..300).map(|n| format!("{n:03}")).collect();
    for partition in 0..3 {
        produce(broker, "limits", partition, numbers.iter().map(String::as_str).skip(partition as usize).step_by(3));
    }
    let options =
        [("subscribe", "limits"), ("startingOffsets", "earliest"), ("maxOffsetsPerTrigger", "60"), ("minPartitions", "7")];
    let checkpoint = tempfile::tempdir().unwrap();
    let (read, query) = read(&stream(broker, &options).unwrap(), checkpoint.path()).unwrap();
    assert_eq!(read, numbers);
    let rows: Vec<u64> = query.recent_progress().iter().map(|progress| progress.input_rows).collect();
    assert_eq!(rows, [60; 5]);
}

/// The planning half of the source, at the start of the topic's partition 0.
pub(crate) fn planner(broker: &Broker, options: &[(&str, &str)]) -> Box<dyn Source> {
    let servers = broker.servers();
    let all = [("kafka.bootstrap.servers", servers.as_str()), ("startingOffsets", "earliest")];
    let mut source = KafkaSource::new(all.iter().chain(options).copied()).unwrap().supply().unwrap();
    let context = SourceContext {
        node: NodeId::new("in"),
        query: QueryId::random(),
        parallelism: 1,
        offset: None,
        journal: Vec::new(),
        notifier: Notifier::ignored(),
    };
    source.open(context).unwrap();
    source
}

pub(crate) fn few_records_wait_for_more_but_not_for_ever(broker: &Broker) {
    Admin::new(broker).create("few", 2);
    produce(broker, "few", 0, ["a"]);
    let options = [("subscribe", "few"), ("minOffsetsPerTrigger", "5"), ("maxTriggerDelay", "1h")];
    let mut patient = planner(broker, &options);
    let mut hasty = planner(broker, &[options[0], options[1], ("maxTriggerDelay", "0s")]);
    let first = patient.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
    assert_eq!(first.as_json(), r#"{"few":{"0":1,"1":0}}"#, "the first epoch does not wait");
    assert_eq!(hasty.latest_offset(None, ReadLimit::Configured).unwrap().as_ref(), Some(&first));
    let next = |source: &mut Box<dyn Source>, limit| source.latest_offset(Some(&first), limit).unwrap();
    produce(broker, "few", 0, ["b", "c"]);
    produce(broker, "few", 1, ["d", "e"]);
    assert_eq!(next(&mut patient, ReadLimit::Configured), None, "four are fewer than five");
    assert_eq!(next(&mut hasty, ReadLimit::Configured).unwrap().as_json(), r#"{"few":{"0":3,"1":2}}"#, "it has waited enough");
    assert!(next(&mut patient, ReadLimit::All).is_some());
    // That was an epoch: the time begins again.
    assert_eq!(next(&mut patient, ReadLimit::Configured), None);
    produce(broker, "few", 1, ["f"]);
    assert_eq!(next(&mut patient, ReadLimit::Configured).unwrap().as_json(), r#"{"few":{"0":3,"1":3}}"#);
    // What is there when a query that ends with it starts is not waited for.
    produce(broker, "few", 0, ["g"]);
    patient.freeze().unwrap();
    assert!(patient.latest_offset(Some(&first), ReadLimit::Configured).unwrap().is_some());
}

pub(crate) fn a_running_query_waits_for_enough(broker: &Broker) {
    Admin::new(broker).create("enough", 1);
    produce(broker, "enough", 0, ["a"]);
    let wait = [("minOffsetsPerTrigger", "4"), ("maxOffsetsPerTrigger", "4"), ("maxTriggerDelay", "1h")];
    let options = [&[("subscribe", "enough"), ("startingOffsets", "earliest")][..], &wait].concat();
    let sink = MemorySink::new();
    let query = stream(broker, &options).unwrap().write_stream().sink(sink.clone()).start().unwrap();
    query.process_all_available().unwrap();
    produce(broker, "enough", 0, ["b", "c"]);
    produce(broker, "enough", 0, ["d", "e", "f", "g", "h", "i"]);
    query.process_all_available().unwrap();
    query.stop().unwrap();
    assert_eq!(texts(&sink.batches()), ["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    let rows: Vec<u64> = query.recent_progress().iter().map(|progress| progress.input_rows).filter(|rows| *rows > 0).collect();
    assert_eq!(rows, [1, 4, 4]);
    let wrong = stream(broker, &[("subscribe", "enough"), ("minOffsetsPerTrigger", "5"), ("maxOffsetsPerTrigger", "4")]);
    let wrong = wrong.map(drop).unwrap_err().to_string();
    assert!(wrong.contains("minOffsetsPerTrigger(5) must be less than or equal to maxOffsetsPerTrigger(4)"), "{wrong}");
}

pub(crate) fn a_query_that_starts_at_the_latest_keeps_its_place(broker: &Broker) {
    Admin::new(broker).create("latest", 1);
    produce(broker, "latest", 0, ["before"]);
    let (frame, checkpoint) = (stream(broker, &[("subscribe", "latest")]).unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(read(&frame, checkpoint.path()).unwrap().0, [""; 0]);
    produce(broker, "latest", 0, ["between"]);
    assert_eq!(read(&frame, checkpoint.path()).unwrap().0, ["between"]);
}

pub(crate) fn new_partitions_are_read_after_a_restart(broker: &Broker) {
    let admin = Admin::new(broker);
    admin.create("grown", 2);
    let (options, checkpoint) = ([("subscribe", "grown"), ("startingOffsets", "earliest")], tempfile::tempdir().unwrap());
    produce(broker, "grown", 0, ["a"]);
    produce(broker, "grown", 1, ["b"]);
    let frame = stream(broker, &options).unwrap();
    assert_eq!(read(&frame, checkpoint.path()).unwrap().0, ["a", "b"]);
    admin.add_partitions("grown", 4);
    for (partition, value) in [(0, "c"), (2, "d"), (3, "e")] {
        produce(broker, "grown", partition, [value]);
    }
    assert_eq!(read(&frame, checkpoint.path()).unwrap().0, ["c", "d", "e"]);
}

pub(crate) fn new_partitions_and_topics_are_read_while_running(broker: &Broker) {
    let admin = Admin::new(broker);
    admin.create("running-1", 1);
    let frame = stream(broker, &[("subscribePattern", "running-.*"), ("startingOffsets", "earliest")]).unwrap();
    let sink = MemorySink::new();
    let query = frame.write_stream().sink(sink.clone()).start().unwrap();
    produce(broker, "running-1", 0, ["a"]);
    query.process_all_available().unwrap();
    admin.add_partitions("running-1", 2);
    produce(broker, "running-1", 1, ["b"]);
    query.process_all_available().unwrap();
    admin.create("running-2", 1);
    produce(broker, "running-2", 0, ["c"]);
    query.process_all_available().unwrap();
    query.stop().unwrap();
    assert_eq!(texts(&sink.batches()), ["a", "b", "c"]);
}

pub(crate) fn aborted_and_open_transactions_are_not_read(broker: &Broker) {
    Admin::new(broker).create("foreign", 1);
    let (options, checkpoint) = ([("subscribe", "foreign"), ("startingOffsets", "earliest")], tempfile::tempdir().unwrap());
    let frame = stream(broker, &options).unwrap();
    let producer = transaction(broker, "foreign");
    send(&producer, "foreign", 0, ["a", "b"]);
    producer.commit_transaction(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "foreign", 0, ["aborted"]);
    producer.flush(TIMEOUT).unwrap();
    producer.abort_transaction(TIMEOUT).unwrap();
    // The last offsets of the epoch are no records; a running query passes them, epoch after epoch.
    let sink = MemorySink::new();
    let query = frame.write_stream().sink(sink.clone()).checkpoint(checkpoint.path()).start().unwrap();
    query.process_all_available().unwrap();
    assert_eq!(texts(&sink.batches()), ["a", "b"]);
    producer.begin_transaction().unwrap();
    send(&producer, "foreign", 0, ["c"]);
    producer.flush(TIMEOUT).unwrap();
    query.process_all_available().unwrap();
    assert_eq!(texts(&sink.batches()), ["a", "b"], "the transaction is open");
    producer.commit_transaction(TIMEOUT).unwrap();
    query.process_all_available().unwrap();
    for value in ["d", "e"] {
        producer.begin_transaction().unwrap();
        send(&producer, "foreign", 0, [value]);
        producer.commit_transaction(TIMEOUT).unwrap();
        query.process_all_available().unwrap();
    }
    producer.begin_transaction().unwrap();
    send(&producer, "foreign", 0, ["aborted too"]);
    producer.flush(TIMEOUT).unwrap();
    producer.abort_transaction(TIMEOUT).unwrap();
    query.process_all_available().unwrap();
    query.stop().unwrap();
    assert_eq!(texts(&sink.batches()), ["a", "b", "c", "d", "e"]);
    let uncommitted = [options[0], options[1], ("kafka.isolation.level", "read_uncommitted")];
    let frame = stream(broker, &uncommitted).unwrap();
    assert_eq!(read(&frame, tempfile::tempdir().unwrap().path()).unwrap().0.len(), 7);
}

pub(crate) fn progress_says_how_far_behind(broker: &Broker) {
    Admin::new(broker).create("behind", 2);
    produce(broker, "behind", 0, ["a", "b", "c", "d"]);
    let frame =
        stream(broker, &[("subscribe", "behind"), ("startingOffsets", "earliest"), ("maxOffsetsPerTrigger", "1")]).unwrap();
    let query = frame.write_stream().sink(MemorySink::new()).start().unwrap();
    query.process_all_available().unwrap();
    query.stop().unwrap();
    let progress = query.recent_progress();
    let source = &progress[0].sources[0];
    assert_eq!(source.start, None);
    assert_eq!(source.end.as_ref().unwrap().as_json(), r#"{"behind":{"0":1,"1":0}}"#);
    assert_eq!(source.latest.as_ref().unwrap().as_json(), r#"{"behind":{"0":4,"1":0}}"#);
    let metrics = [("avg", "1.5"), ("max", "3"), ("min", "0")].map(|(n, v)| (format!("{n}OffsetsBehindLatest"), v.to_owned()));
    assert_eq!(source.metrics, metrics);
    assert_eq!(progress[1].sources[0].start, source.end);
    assert!(query.exception().is_none());
    assert!(query.await_termination(Some(Duration::ZERO)).unwrap());
}
