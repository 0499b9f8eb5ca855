//! The sink: which records rows become, and that an epoch is visible once and whole.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use rdkafka::Message;
use tidegate::Session;
use tidegate::connectors::{KafkaSink, MemorySink};
use tidegate::runtime::{Epoch, EpochInfo, Error, LastCommitted, NodeId, QueryId, Sink, SinkContext, SinkSupplier, SinkWriter};

use crate::broker::Broker;
use crate::clients::{Admin, records, values};
use crate::sources::{session, texts};

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn of_values<'a>(values: impl IntoIterator<Item = &'a str>) -> RecordBatch {
    rows(vec![("value", Arc::new(StringArray::from_iter_values(values)))])
}

/// Writes a frame of these rows to Kafka.
fn write(broker: &Broker, batch: RecordBatch, options: &[(&str, &str)]) -> tidegate::Result<()> {
    let session: Session = session();
    let (input, frame) = session.memory_stream(batch.schema())?;
    input.add_data(batch)?;
    let writer = frame.write_stream().format("kafka").option("kafka.bootstrap.servers", broker.servers());
    writer.options(options.iter().copied()).available_now().start()?.await_termination(None)?;
    Ok(())
}

pub(crate) fn rows_come_back_as_they_went(broker: &Broker) {
    Admin::new(broker).create("round", 2);
    let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("k"), None, Some("gone"), None]));
    let sent: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"a"), Some(b""), None, None]));
    write(broker, rows(vec![("key", keys), ("value", sent)]), &[("topic", "round")]).unwrap();
    let reader = session().read_stream().format("kafka").option("kafka.bootstrap.servers", broker.servers());
    let frame = reader.option("subscribe", "round").option("startingOffsets", "earliest").load().unwrap();
    let both = "concat(coalesce(CAST(key AS STRING), 'none'), '=', coalesce(CAST(value AS STRING), 'none')) AS both";
    let sink = MemorySink::new();
    let query = frame.select_expr([both]).write_stream().sink(sink.clone()).available_now().start().unwrap();
    query.await_termination(None).unwrap();
    assert_eq!(texts(&sink.batches()), ["gone=none", "k=a", "none=", "none=none"]);
}

pub(crate) fn rows_choose_topic_and_partition(broker: &Broker) {
    let admin = Admin::new(broker);
    ["chosen-a", "chosen-b"].iter().for_each(|topic| admin.create(topic, 3));
    let topics: ArrayRef = Arc::new(StringArray::from(vec!["chosen-a", "chosen-b", "chosen-a"]));
    let partitions: ArrayRef = Arc::new(Int32Array::from(vec![2, 1, 0]));
    let sent: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
    let batch = rows(vec![("topic", topics), ("partition", partitions), ("value", sent)]);
    write(broker, batch.clone(), &[]).unwrap();
    let places = |topic: &str| {
        let mut places: Vec<(i32, String)> = records(broker, topic)
            .iter()
            .map(|record| (record.partition(), String::from_utf8_lossy(record.payload().unwrap()).into_owned()))
            .collect();
        places.sort_unstable();
        places
    };
    assert_eq!(places("chosen-a"), [(0, "z".to_owned()), (2, "x".to_owned())]);
    assert_eq!(places("chosen-b"), [(1, "y".to_owned())]);
    let wrong = write(broker, batch.project(&[1, 2]).unwrap(), &[]).unwrap_err().to_string();
    assert!(wrong.contains("topic option required"), "{wrong}");
}

/// Writes the rows of a batch query to Kafka.
fn save(broker: &Broker, sql: &str, options: &[(&str, &str)]) -> tidegate::Result<()> {
    let frame = session().sql(sql)?;
    let mut writer = frame.write().format("kafka").option("kafka.bootstrap.servers", broker.servers());
    for (name, value) in options {
        writer = writer.option(name, value);
    }
    writer.save("")
}

pub(crate) fn a_batch_is_written_whole_or_not_at_all(broker: &Broker) {
    let topic = ("topic", "batch-out");
    Admin::new(broker).create_with(topic.1, 3, &[("max.message.bytes", "50000")]);
    save(broker, "SELECT 'k' AS key, CAST(id AS STRING) AS value FROM range(5)", &[topic]).unwrap();
    assert_eq!(values(broker, topic.1), ["0", "1", "2", "3", "4"]);
    let partitions: Vec<i32> = records(broker, topic.1).iter().map(Message::partition).collect();
    assert!(partitions.iter().all(|partition| *partition == partitions[0]), "one key, one partition");
    for (sql, options, reason) in [
        ("SELECT CAST(1 / (id - 3) AS STRING) AS value FROM range(5)", vec![topic], "DIVIDE_BY_ZERO"),
        ("SELECT repeat('x', CAST(id * 30000 AS INT)) AS value FROM range(5)", vec![topic], "kafka.message.max.bytes"),
        ("SELECT 'x' AS value", vec![], "topic option required"),
        ("SELECT 'x' AS key", vec![topic], "Required attribute 'value' not found"),
        ("SELECT 1 AS value", vec![topic], "value attribute type must be"),
        ("SELECT CAST(null AS STRING) AS topic, 'x' AS value", vec![], "null topic"),
        ("SELECT 'x' AS value", vec![topic, ("kafka.key.serializer", "x")], "'key.serializer' is not supported"),
    ] {
        let error = save(broker, sql, &options).unwrap_err().to_string();
        assert!(error.contains(reason), "{sql}: {error}");
    }
    assert_eq!(values(broker, topic.1).len(), 5, "nothing of what failed is there");
    save(broker, "SELECT CAST(null AS BINARY) AS value WHERE false", &[topic]).unwrap();
    save(broker, "SELECT 'twice' AS value", &[topic, ("delivery.guarantee", "at-least-once")]).unwrap();
    assert_eq!(values(broker, topic.1).len(), 6);
    let by_partition = session().sql("SELECT 'x' AS value, 1 AS day").unwrap().write().format("kafka").partition_by(["day"]);
    let refused = by_partition.option("kafka.bootstrap.servers", broker.servers()).option("topic", topic.1).save("").unwrap_err();
    assert!(refused.to_string().contains("partition_by is of files"), "{refused}");
}

pub(crate) fn headers_go_out_and_come_back(broker: &Broker) {
    Admin::new(broker).create("headers", 1);
    let two = "array(named_struct('key', 'a', 'value', X'01'), named_struct('key', 'b', 'value', CAST(null AS BINARY)))";
    let rows =
        format!("SELECT 'both' AS value, {two} AS headers UNION ALL SELECT 'none', null UNION ALL SELECT 'empty', array()");
    let ways = [("with", Some(("includeHeaders", "true"))), ("without", None)];
    for (key, include) in ways {
        let rows = format!("SELECT '{key}' AS key, * FROM ({rows})");
        let options: Vec<(&str, &str)> = [("topic", "headers")].into_iter().chain(include).collect();
        save(broker, &rows, &options).unwrap();
    }
    let reader = session().read().option("kafka.bootstrap.servers", broker.servers()).option("subscribe", "headers");
    let frame = reader.option("includeHeaders", true).kafka().unwrap();
    let shown = frame
        .select_expr(["concat(CAST(key AS STRING), ' ', CAST(value AS STRING), ' ', coalesce(CAST(headers AS STRING), 'null'))"]);
    assert_eq!(
        texts(&shown.collect().unwrap()),
        [
            "with both [{a, \u{1}}, {b, null}]",
            "with empty null",
            "with none null",
            "without both null",
            "without empty null",
            "without none null"
        ]
    );
    let wrong = save(broker, "SELECT 'x' AS value, 'h' AS headers", &[("topic", "headers"), ("includeHeaders", "true")]);
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.contains("headers attribute type must be"), "{wrong}");
}

fn info(epoch: u64) -> EpochInfo {
    EpochInfo { epoch: Epoch::new(epoch), trigger_time_ms: 0, watermark: None, late_watermark: None }
}

/// A sink as a run of the query opens it.
struct Run {
    sink: Box<dyn Sink>,
    writers: Vec<Box<dyn SinkWriter>>,
    last: LastCommitted,
}

impl Run {
    fn new(broker: &Broker, topic: &str, query: QueryId, committed: Option<u64>, guarantee: &str) -> Self {
        let options =
            [("kafka.bootstrap.servers", broker.servers().as_str()), ("topic", topic), ("delivery.guarantee", guarantee)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut sink = KafkaSink::new(options).unwrap().supply().unwrap();
        let schema: SchemaRef = of_values([]).schema();
        let committed = committed.map(Epoch::new);
        sink.open(SinkContext { node: NodeId::new("out"), query, schema, parallelism: 2, committed }).unwrap();
        let last = sink.last_committed().unwrap();
        let writers = (0..2).map(|task| sink.writer(task).unwrap()).collect();
        Run { sink, writers, last }
    }

    fn exactly_once(broker: &Broker, topic: &str, query: QueryId, committed: Option<u64>) -> Self {
        Run::new(broker, topic, query, committed, "exactly-once")
    }

    fn write(&mut self, task: usize, epoch: u64, value: &str) -> Result<(), Error> {
        self.writers[task].write(info(epoch), of_values([value]))
    }

    fn commit(&mut self, epoch: u64) -> Result<(), Error> {
        let staged = self.writers.iter_mut().map(|writer| writer.stage(info(epoch))).collect::<Result<_, _>>()?;
        self.sink.commit(Epoch::new(epoch), staged)
    }
}

pub(crate) fn uncommitted_epochs_are_invisible(broker: &Broker) {
    let (topic, query) = ("invisible", QueryId::random());
    Admin::new(broker).create(topic, 1);
    let mut run = Run::exactly_once(broker, topic, query, None);
    run.write(0, 0, "lost").unwrap();
    drop(run);
    assert_eq!(values(broker, topic), [""; 0]);
    let mut run = Run::exactly_once(broker, topic, query, None);
    assert_eq!(run.last, LastCommitted::Nothing);
    run.write(0, 0, "a").unwrap();
    run.write(1, 0, "b").unwrap();
    run.commit(0).unwrap();
    assert_eq!(values(broker, topic), ["a", "b"]);
}

pub(crate) fn the_epoch_is_committed_with_its_rows(broker: &Broker) {
    let (topic, query) = ("recorded", QueryId::random());
    Admin::new(broker).create(topic, 1);
    let mut run = Run::exactly_once(broker, topic, query, None);
    run.write(0, 0, "a").unwrap();
    run.commit(0).unwrap();
    run.write(0, 1, "b").unwrap();
    run.commit(1).unwrap();
    run.commit(2).unwrap();
    // As after a crash right after the commit: the checkpoint knows of epoch 0 only.
    let mut run = Run::exactly_once(broker, topic, query, Some(0));
    assert_eq!(run.last, LastCommitted::Epoch(Epoch::new(1)), "an epoch without rows leaves no trace");
    run.commit(1).unwrap();
    run.write(0, 2, "c").unwrap();
    run.commit(2).unwrap();
    assert_eq!(values(broker, topic), ["a", "b", "c"]);
    assert_eq!(Run::exactly_once(broker, topic, query, Some(5)).last, LastCommitted::Epoch(Epoch::new(5)));
    assert_eq!(Run::exactly_once(broker, topic, QueryId::random(), None).last, LastCommitted::Nothing);
}

pub(crate) fn later_epochs_wait_for_earlier_ones(broker: &Broker) {
    let (topic, query) = ("overlap", QueryId::random());
    Admin::new(broker).create(topic, 1);
    let mut run = Run::exactly_once(broker, topic, query, None);
    run.write(0, 1, "second").unwrap();
    run.write(1, 0, "first").unwrap();
    run.write(0, 2, "third").unwrap();
    run.commit(0).unwrap();
    assert_eq!(values(broker, topic), ["first"]);
    run.write(0, 1, "second too").unwrap();
    run.commit(1).unwrap();
    assert_eq!(values(broker, topic), ["first", "second", "second too"]);
    let offsets: Vec<i64> = records(broker, topic).iter().map(Message::offset).collect();
    assert!(offsets.is_sorted());
    run.commit(2).unwrap();
    assert_eq!(values(broker, topic).len(), 4);
}

pub(crate) fn a_zombie_writes_nothing(broker: &Broker) {
    let (topic, query) = ("zombie", QueryId::random());
    Admin::new(broker).create(topic, 1);
    let mut zombie = Run::exactly_once(broker, topic, query, None);
    zombie.write(0, 0, "from the grave").unwrap();
    let mut successor = Run::exactly_once(broker, topic, query, None);
    assert_eq!(successor.last, LastCommitted::Nothing);
    let fenced = zombie.commit(0).unwrap_err();
    assert!(matches!(fenced, Error::SinkFenced(_)) && !fenced.is_retryable(), "{fenced}");
    successor.write(0, 0, "a").unwrap();
    let fenced = zombie.write(0, 1, "again").and_then(|()| zombie.commit(1)).unwrap_err();
    assert!(matches!(fenced, Error::SinkFenced(_)), "{fenced}");
    successor.commit(0).unwrap();
    drop(zombie);
    assert_eq!(values(broker, topic), ["a"]);
}

pub(crate) fn at_least_once_is_visible_at_once(broker: &Broker) {
    let (topic, query) = ("least", QueryId::random());
    Admin::new(broker).create(topic, 1);
    for visible in [1, 2] {
        let mut run = Run::new(broker, topic, query, None, "at-least-once");
        assert_eq!(run.last, LastCommitted::Untracked);
        run.write(0, 0, "a").unwrap();
        run.commit(0).unwrap();
        assert_eq!(values(broker, topic).len(), visible, "the same epoch again is there again");
    }
}
