//! The child process: this test binary again, told by its environment what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidegate::connectors::object_store::local::LocalFileSystem;
use tidegate::connectors::{FileSink, FileSource, register_object_store};
use tidegate::operators::{FlatMap, KeyedAggregate};
use tidegate::prelude::*;
use tidegate::runtime::{CheckpointOptions, failpoint};

/// What a child runs.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) checkpoint: PathBuf,
    pub(crate) parallelism: usize,
    pub(crate) in_flight: usize,
    /// Up to which size, in bytes, snapshot runs lie in the catalogue.
    pub(crate) inline_limit: usize,
    /// After how many epochs small files of the output are merged; 0 for never.
    pub(crate) compact_every: usize,
    /// The directory of an object store that is known as [`STORE_URL`].
    pub(crate) store: Option<PathBuf>,
    /// `FAILPOINTS`, as the `fail` crate reads it.
    pub(crate) failpoints: String,
}

/// What a child that fails in good order ends with; a crash ends with a signal.
pub(crate) const FAILED: i32 = 3;

const INPUT: &str = "TIDEGATE_CHILD_INPUT";
const OUTPUT: &str = "TIDEGATE_CHILD_OUTPUT";
const CHECKPOINT: &str = "TIDEGATE_CHILD_CHECKPOINT";
const PARALLELISM: &str = "TIDEGATE_CHILD_PARALLELISM";
const INLINE_LIMIT: &str = "TIDEGATE_CHILD_INLINE_LIMIT";
/// What the output's path begins with if it is in an object store.
pub(crate) const STORE_URL: &str = "local://store";

const STORE: &str = "TIDEGATE_CHILD_STORE";
const COMPACT_EVERY: &str = "TIDEGATE_CHILD_COMPACT_EVERY";
const IN_FLIGHT: &str = "TIDEGATE_CHILD_IN_FLIGHT";

/// Makes an object store known that keeps its objects below a directory.
pub(crate) fn register_store(directory: &Path) {
    let store = LocalFileSystem::new_with_prefix(directory).unwrap();
    register_object_store(STORE_URL, Arc::new(store));
}

/// Starts a child.
pub(crate) fn start(job: &Job) -> Child {
    test_alone("child::run_as_child")
        .env(INPUT, &job.input)
        .env(OUTPUT, &job.output)
        .env(CHECKPOINT, &job.checkpoint)
        .env(PARALLELISM, job.parallelism.to_string())
        .env(IN_FLIGHT, job.in_flight.to_string())
        .envs(job.store.iter().map(|store| (STORE, store)))
        .env(COMPACT_EVERY, job.compact_every.to_string())
        .env(INLINE_LIMIT, job.inline_limit.to_string())
        .env("FAILPOINTS", &job.failpoints)
        .spawn()
        .unwrap()
}

/// This binary once more, to run one test, which a variable of the environment tells that it is a child.
pub(crate) fn test_alone(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Ends a child as its work did.
pub(crate) fn exit(done: Result<(), impl Display>) -> ! {
    if let Err(error) = done {
        eprintln!("child failed: {error}");
        std::process::exit(FAILED);
    }
    std::process::exit(0);
}

/// Does nothing in the test run itself; the child's whole life in a child.
#[test]
fn run_as_child() {
    let Some(input) = std::env::var_os(INPUT) else { return };
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let number = |name| std::env::var(name).unwrap().parse::<usize>().unwrap();
    failpoint::enable_from_env();
    if let Some(store) = std::env::var_os(STORE) {
        register_store(Path::new(&store));
    }
    let options = CheckpointOptions {
        open_deadline: Duration::from_secs(20),
        inline_limit: number(INLINE_LIMIT),
        ..CheckpointOptions::default()
    };
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        let query = Query::new(topology(input.clone().into(), path(OUTPUT), number(PARALLELISM), number(COMPACT_EVERY) as u64)?)
            .checkpoint(path(CHECKPOINT))
            .checkpoint_options(options.clone())
            .max_epochs_in_flight(number(IN_FLIGHT))
            .trigger(Trigger::AvailableNow)
            .start()?;
        query.await_termination(None)?;
        Ok(())
    };
    exit(run());
}

/// Files → words → count, parallelism as told → files. One file in each epoch.
fn topology(input: PathBuf, output: PathBuf, parallelism: usize, compact_every: u64) -> Result<Topology> {
    let mut t = Topology::builder("exactly-once").default_parallelism(parallelism);
    let lines = t.source("lines", FileSource::text(input).max_files_per_trigger(1).split_bytes(512));
    let words =
        t.operator("split", [lines], FlatMap::strings("value", "word", |line, words| words.extend(line.split_whitespace())));
    let count = KeyedAggregate::new(["word"]).count("count").epoch_column("epoch");
    let counts = t.operator("count", [words.hash(["word"])], count);
    let sink = FileSink::csv(output);
    t.sink("out", [counts], if compact_every > 0 { sink.compact_every(compact_every) } else { sink });
    t.build()
}
