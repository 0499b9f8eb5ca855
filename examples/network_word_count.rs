//! Counts the words that come over a socket, and prints the running counts for each epoch.
//!
//! ```text
//! cargo run --release --example network_word_count                                # counts a text that it serves to itself
//! nc -lk 9999                                                                     # in one terminal: type words here
//! cargo run --release --example network_word_count -- --host 127.0.0.1 --port 9999    # in another; Ctrl-C ends it
//! ```
//!
//! With `--checkpoint DIR` the counts go on at the next start. A socket can't be read again, so words that were received and not
//! yet committed when the process is killed are lost.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

#[path = "common/tide.rs"]
mod tide;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tidegate::connectors::{ConsoleSink, SocketSource};
use tidegate::operators::{Emit, FlatMap, KeyedAggregate};
use tidegate::prelude::*;

#[derive(Parser)]
#[command(about = "Counts the words that come over a socket")]
struct Arguments {
    /// The server's name or address; with --port.
    #[arg(long, requires = "port")]
    host: Option<String>,
    /// The server's port.
    #[arg(long)]
    port: Option<u16>,
    /// The directory that makes the counts go on at the next start.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let (host, port) = match arguments.port {
        Some(port) => (arguments.host.unwrap_or_else(|| "127.0.0.1".to_owned()), port),
        None => ("127.0.0.1".to_owned(), tide::serve_text()?),
    };
    let topology = topology(&host, port)?;
    println!("{}", topology.describe());
    let mut query = Query::new(topology);
    if let Some(checkpoint) = arguments.checkpoint {
        query = query.checkpoint(checkpoint);
    }
    let started = Instant::now();
    let query = query.start()?;
    tide::wait(&query)?;
    let (totals, seconds) = (query.totals(), started.elapsed().as_secs_f64());
    println!("{} epochs, {} rows, {:.0} rows/s", totals.epochs, totals.input_rows, totals.input_rows as f64 / seconds);
    Ok(())
}

fn topology(host: &str, port: u16) -> Result<Topology> {
    let mut t = Topology::builder("network-word-count");
    let lines = t.source("lines", SocketSource::new(host, port));
    let words =
        t.operator("split", [lines], FlatMap::strings("value", "word", |line, words| words.extend(line.split_whitespace())));
    let counts =
        t.operator("count", [words.hash(["word"])], KeyedAggregate::new(["word"]).count("count").emit(Emit::All)).parallelism(2);
    t.sink("console", [counts], ConsoleSink::new());
    t.build()
}
