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
