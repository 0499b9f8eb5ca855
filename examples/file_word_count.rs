//! Counts the words of the text files in a directory, exactly once, whatever happens on the way.
//!
//! ```text
//! cargo run --release --example file_word_count -- --input DIR --output DIR --checkpoint DIR
//! ```
//!
//! Each epoch reads some of the files and commits one CSV file with the header `epoch,word,count`: the words that the epoch
//! touched, with their count so far. Kill it at any moment and start it again with the same arguments: it goes on where it was.
//! Files that are added later are counted by the next run.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tidegate::connectors::{FileSink, FileSource};
use tidegate::operators::{FlatMap, KeyedAggregate};
use tidegate::prelude::*;

#[derive(Parser)]
#[command(about = "Counts the words of the text files in a directory, exactly once")]
struct Arguments {
    /// The directory with the text files.
    #[arg(long)]
    input: PathBuf,
    /// The directory that the CSV files go to.
    #[arg(long)]
    output: PathBuf,
    /// The directory that makes the count resumable.
    #[arg(long)]
    checkpoint: PathBuf,
    /// How many tasks read, split and count.
    #[arg(long, default_value_t = 2)]
    parallelism: usize,
    /// How many files an epoch reads at most.
    #[arg(long, default_value_t = 100)]
    max_files_per_trigger: usize,
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
    let query = Query::new(topology(arguments)?).checkpoint(&arguments.checkpoint).trigger(Trigger::AvailableNow).start()?;
    let progress = progress_line();
    while !query.await_termination(Some(Duration::from_millis(100)))? {
        show(&progress, &query);
    }
    show(&progress, &query);
    progress.finish();
    Ok(())
}

fn topology(arguments: &Arguments) -> Result<Topology> {
    let files = FileSource::text(&arguments.input).max_files_per_trigger(arguments.max_files_per_trigger);
    let mut t = Topology::builder("file-word-count").default_parallelism(arguments.parallelism);
    let lines = t.source("lines", files);
    let words =
        t.operator("split", [lines], FlatMap::strings("value", "word", |line, words| words.extend(line.split_whitespace())));
    let count = KeyedAggregate::new(["word"]).count("count").epoch_column("epoch");
    let counts = t.operator("count", [words.hash(["word"])], count);
    t.sink("out", [counts], FileSink::csv(&arguments.output)).parallelism(1);
    t.build()
}

/// A line on a terminal; nothing when the output goes elsewhere.
fn progress_line() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        line.set_style(style);
    }
    line
}

fn show(progress: &ProgressBar, query: &QueryHandle) {
    let totals = query.totals();
    progress.set_message(format!("{} epochs, {} lines in, {} rows out", totals.epochs, totals.input_rows, totals.output_rows));
    progress.tick();
}
