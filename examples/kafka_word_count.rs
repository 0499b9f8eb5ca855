//! Counts the words of the records of Kafka topics, and prints the running counts.
//!
//! ```text
//! tests/kafka/broker.sh                                                              # in one terminal: a broker at 127.0.0.1:9092
//! cargo run --release --features kafka --example kafka_word_count -- --topics lines --serve   # writes a text to the topic, counts it
//! cargo run --release --features kafka --example kafka_word_count -- --topics lines           # what comes from now on; Ctrl-C ends it
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

#[path = "common/tide.rs"]
mod tide;

use std::process::ExitCode;

use clap::Parser;
use tidegate::functions::{col, explode, lit, split};
use tidegate::{OutputMode, Session};

#[derive(Parser)]
#[command(about = "Counts the words of the records of Kafka topics")]
struct Arguments {
    /// The addresses of brokers, with commas.
    #[arg(long, default_value = "127.0.0.1:9092")]
    servers: String,
    /// The topics to read, with commas.
    #[arg(long)]
    topics: String,
    /// First write a text to the topic, a line a record; count what is there, then end.
    #[arg(long)]
    serve: bool,
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
    let session = Session::builder().app_name("KafkaWordCount").build()?;
    if arguments.serve {
        serve(&session, arguments)?;
    }
    let records = session.read_stream().format("kafka").option("kafka.bootstrap.servers", &arguments.servers);
    let records = records.option("subscribe", &arguments.topics);
    let records = records.option("startingOffsets", if arguments.serve { "earliest" } else { "latest" }).load()?;
    let lines = records.select([col("value").cast("STRING").alias("line")]);
    let words = lines.select([explode(split("line", lit(" "))).alias("word")]).filter("word != ''");
    let counts = words.group_by(["word"]).count().write_stream().output_mode(OutputMode::Complete).format("console");
    match arguments.serve {
        true => Ok(counts.available_now().start()?.await_termination(None).map(drop)?),
        false => tide::wait(counts.start()?.handle()),
    }
}

/// The lines of the text as a stream of one epoch, to the topic.
fn serve(session: &Session, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let port = tide::serve_text()?;
    let lines = session.read_stream().format("socket").option("host", "127.0.0.1").option("port", port).load()?;
    let writer = lines.write_stream().format("kafka").option("kafka.bootstrap.servers", &arguments.servers);
    writer.option("topic", &arguments.topics).start()?.await_termination(None)?;
    Ok(())
}
