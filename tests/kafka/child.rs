//! The child process: this test program again, told by its environment what to do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use tidegate::Session;

/// What a child that fails in good order ends with; a crash ends with a signal.
pub(crate) const FAILED: i32 = 3;

const CHECKPOINT: &str = "TIDEGATE_KAFKA_CHILD_CHECKPOINT";
const SERVERS: &str = "TIDEGATE_KAFKA_CHILD_SERVERS";
const PARALLELISM: &str = "TIDEGATE_KAFKA_CHILD_PARALLELISM";
const TOPICS: &str = "TIDEGATE_KAFKA_CHILD_TOPICS";

/// Starts a child that removes duplicates on the way from one topic to another.
pub(crate) fn start(servers: &str, topics: (&str, &str), checkpoint: &Path, parallelism: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(CHECKPOINT, checkpoint)
        .env(SERVERS, servers)
        .env(TOPICS, format!("{},{}", topics.0, topics.1))
        .env(PARALLELISM, parallelism.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHECKPOINT).is_some()
}

pub(crate) fn run() -> ExitCode {
    match query() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("child failed: {error}");
            ExitCode::from(FAILED as u8)
        }
    }
}

fn query() -> Result<(), Box<dyn std::error::Error>> {
    let (servers, topics) = (std::env::var(SERVERS)?, std::env::var(TOPICS)?);
    let (from, to) = topics.split_once(',').unwrap();
    let session = Session::builder().parallelism(std::env::var(PARALLELISM)?.parse()?).build()?;
    let records = session.read_stream().format("kafka").option("kafka.bootstrap.servers", &servers).option("subscribe", from);
    let records = records.option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", 100).load()?;
    let unique = records.select_expr(["CAST(value AS STRING) AS value"]).drop_duplicates();
    let query = unique.write_stream().format("kafka").option("kafka.bootstrap.servers", &servers).option("topic", to);
    let query = query.checkpoint(PathBuf::from(std::env::var_os(CHECKPOINT).unwrap())).available_now().start()?;
    query.await_termination(None)?;
    Ok(())
}
