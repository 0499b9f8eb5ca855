//! A broker that hangs: it keeps its connections and answers nothing.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use tidegate::connectors::MemorySink;
use tidegate::runtime::{Epoch, EpochInfo, Error, OffsetRange, ReadLimit, SourceOutput};

use crate::broker::Broker;
use crate::clients::{Admin, produce, values};
use crate::sources::{planner, session, stream};

/// By when every wait must have ended.
const DEADLINE: Duration = Duration::from_secs(150);

/// How long the broker hangs: long for a query, short for its client.
const HANG: Duration = Duration::from_secs(4);

pub(crate) fn hung_broker_is_waited_for(broker: &Broker) {
    let admin = Admin::new(broker);
    admin.create("hung", 2);
    admin.create("hung-out", 2);
    let numbers: Vec<String> = (0..20_000).map(|n| format!("{n:05}")).collect();
    for partition in 0..2 {
        produce(broker, "hung", partition, numbers.iter().map(String::as_str).skip(partition as usize).step_by(2));
    }
    let options = [("subscribe", "hung"), ("startingOffsets", "earliest"), ("maxOffsetsPerTrigger", "100")];
    let writer =
        stream(broker, &options).unwrap().write_stream().format("kafka").option("kafka.bootstrap.servers", broker.servers());
    let checkpoint = tempfile::tempdir().unwrap();
    let query = writer.option("topic", "hung-out").checkpoint(checkpoint.path()).available_now().start().unwrap();
    // Wherever in its epochs the query is.
    let mut hangs = 0;
    while !query.await_termination(Some(Duration::from_millis(700))).unwrap() && hangs < 3 {
        let hung = broker.hang();
        hangs += 1;
        let ended = query.await_termination(Some(HANG)).unwrap();
        drop(hung);
        if ended {
            break;
        }
    }
    query.await_termination(None).unwrap();
    assert!(hangs > 0, "the query was over before the broker hung");
    assert_eq!(values(broker, "hung-out"), numbers);
}

/// Gives the error with which each of these ends, in time.
fn errors<const N: usize>(calls: [Box<dyn FnOnce() -> String + Send>; N]) -> [String; N] {
    let ends = calls.map(|call| {
        let (ends, ended) = crossbeam_channel::bounded(1);
        std::thread::spawn(move || ends.send(call()).unwrap_or_default());
        ended
    });
    ends.map(|ended| ended.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("a call hangs with the broker")))
}

pub(crate) fn hung_broker_is_named_when_it_takes_too_long(broker: &Broker) {
    Admin::new(broker).create("hung-long", 1);
    produce(broker, "hung-long", 0, ["a", "b"]);
    let options = [("subscribe", "hung-long"), ("fetchOffset.numRetries", "0"), ("kafkaConsumer.pollTimeoutMs", "700")];
    let (mut asking, mut reading) = (planner(broker, &options), planner(broker, &options));
    let end = reading.latest_offset(None, ReadLimit::All).unwrap().unwrap();
    let splits = reading.splits(&OffsetRange { start: None, end }).unwrap();
    let mut reader = reading.reader(0).unwrap();
    let mut patient = planner(broker, &options[..1]).reader(0).unwrap();
    let same = splits.clone();
    let idle = stream(broker, &[("subscribe", "hung-long")]).unwrap().write_stream().sink(MemorySink::new()).start().unwrap();
    idle.process_all_available().unwrap();
    let value: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let (input, rows) = session().memory_stream("value STRING").unwrap();
    input.add_data(RecordBatch::try_from_iter_with_nullable([("value", value, true)]).unwrap()).unwrap();
    let sink =
        rows.write_stream().format("kafka").option("kafka.bootstrap.servers", broker.servers()).option("topic", "hung-long");

    let servers = broker.servers();
    let hung = broker.hang();
    let info = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };
    let [asked, read, cancelled, written, stopped] = errors([
        Box::new(move || asking.latest_offset(None, ReadLimit::All).unwrap_err().to_string()),
        Box::new(move || {
            let mut take = |_batch| Ok(());
            reader.read(&splits[0], &mut SourceOutput::new(info, &mut take)).unwrap_err().to_string()
        }),
        // Nobody wants the records any more.
        Box::new(move || {
            let mut take = |batch: RecordBatch| if batch.num_rows() == 0 { Err(Error::Cancelled) } else { Ok(()) };
            patient.read(&same[0], &mut SourceOutput::new(info, &mut take)).unwrap_err().to_string()
        }),
        Box::new(move || {
            let query = sink.available_now().start().and_then(|query| query.await_termination(None));
            query.map(drop).unwrap_err().to_string()
        }),
        // A query that waits for nothing can be stopped.
        Box::new(move || idle.stop().map_or_else(|error| error.to_string(), |()| "stopped".to_owned())),
    ]);
    drop(hung);
    assert!(asked.contains(&servers) && asked.contains("look up") && asked.contains("imed out"), "{asked}");
    assert!(read.contains("Cannot fetch record for offset 0 of partition hung-long-0 in 700 milliseconds"), "{read}");
    assert_eq!(cancelled, Error::Cancelled.to_string());
    assert!(written.contains(&servers) && written.contains("open a transactional producer"), "{written}");
    assert!(stopped == "stopped" || stopped.contains(&servers), "{stopped}");
    println!("asked: {asked}\nread: {read}\nwritten: {written}\nstopped: {stopped}");
}
