//! JSON events from a Kafka topic, counted in windows of event time, to another topic: exactly once, whatever happens on the way.
//!
//! ```text
//! tests/kafka/broker.sh                                                # in one terminal: a broker at 127.0.0.1:9092
//! cargo run --release --features kafka --example kafka_to_kafka -- --events 100000 --checkpoint DIR   # makes events, counts them
//! cargo run --release --features kafka --example kafka_to_kafka -- --checkpoint DIR                   # goes on; Ctrl-C ends it
//! ```
//!
//! An event is `{"who": "u7", "at": "2026-01-01T00:00:00Z"}`; each window and person becomes one record when the watermark has passed
//! the window: `{"start": …, "end": …, "who": "u7", "count": 12}`. Kill it at any moment and start it again with the same checkpoint:
//! a consumer with `isolation.level=read_committed` sees every window once.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

#[path = "common/tide.rs"]
#[allow(dead_code, reason = "the text is another example's")]
mod tide;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tidegate::functions::{col, window};
use tidegate::{DataFrame, Session};

#[derive(Parser)]
#[command(about = "Counts JSON events of a Kafka topic in windows, to another topic")]
struct Arguments {
    /// The addresses of brokers, with commas.
    #[arg(long, default_value = "127.0.0.1:9092")]
    servers: String,
    /// The topic with the events.
    #[arg(long, default_value = "events")]
    from: String,
    /// The topic that the counts go to.
    #[arg(long, default_value = "counts")]
    to: String,
    /// The directory that makes the query resumable.
    #[arg(long)]
    checkpoint: PathBuf,
    /// First make so many events, a thousand for each second; count what is there, then end.
    #[arg(long)]
    events: Option<u64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let session = Session::builder().app_name("KafkaToKafka").build()?;
    if let Some(events) = arguments.events {
        make_events(&session, arguments, events)?;
    }
    let records = session.read_stream().format("kafka").option("kafka.bootstrap.servers", &arguments.servers);
    let records = records.option("subscribe", &arguments.from).option("startingOffsets", "earliest").load()?;
    let writer = counts(&records).write_stream().format("kafka").option("kafka.bootstrap.servers", &arguments.servers);
    let writer = writer.option("topic", &arguments.to).checkpoint(&arguments.checkpoint);
    match arguments.events {
        Some(_) => Ok(writer.available_now().start()?.await_termination(None).map(drop)?),
        None => tide::wait(writer.start()?.handle()),
    }
}

fn counts(records: &DataFrame) -> DataFrame {
    let events = records
        .select_expr(["from_json(CAST(value AS STRING), 'who STRING, at TIMESTAMP') AS event"])
        .select_expr(["event.who AS who", "event.at AS at"])
        .with_watermark("at", "10 seconds");
    let counts = events.group_by([window(col("at"), "1 minute"), col("who")]).count();
    counts.select_expr([
        "who AS key",
        "to_json(named_struct('start', window.start, 'end', window.end, 'who', who, 'count', count)) AS value",
    ])
}

/// Events of seven people, by the clock of the rate source.
fn make_events(session: &Session, arguments: &Arguments, events: u64) -> Result<(), Box<dyn std::error::Error>> {
    let rows =
        session.read_stream().format("rate-micro-batch").option("rowsPerBatch", 1_000).option("numPartitions", 1).load()?;
    let rows = rows.filter(format!("value < {events}").as_str());
    let made = rows.select_expr(["to_json(named_struct('who', concat('u', value % 7), 'at', timestamp)) AS value"]);
    let writer = made.write_stream().format("kafka").option("kafka.bootstrap.servers", &arguments.servers);
    let query = writer.option("topic", &arguments.from).start()?;
    while query.last_progress().is_none_or(|progress| (progress.epoch.number() + 1) * 1_000 < events) {
        if query.await_termination(Some(std::time::Duration::from_millis(20)))? {
            break;
        }
    }
    query.stop()?;
    Ok(())
}
