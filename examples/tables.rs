//! Streams of tables: the two examples of the Structured Streaming guide, chained.
//!
//! ```text
//! cargo run --release --example tables
//! ```
//!
//! 1. A stream of numbers is written to the table `myTable`, which is read while it is written; a stream of that table goes on to the
//!    table `newTable`, as Parquet.
//! 2. CSV files of `name,count` are dropped into a directory, one after another; a query sums the counts of each name.
//!
//! Everything is kept in a temporary directory: the warehouse, the checkpoints, the CSV files.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

use std::path::Path;
use std::process::ExitCode;

use tidegate::functions::{col, sum};
use tidegate::{OutputMode, Session};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match tempfile::tempdir().map_err(Into::into).and_then(|directory| run(directory.path())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(directory: &Path) -> Result<()> {
    let session = Session::builder().app_name("tables").warehouse(directory.join("warehouse")).build()?;
    from_table_to_table(&session, &directory.join("checkpoints"))?;
    files_as_they_come(&session, &directory.join("csv"))
}

fn from_table_to_table(session: &Session, checkpoints: &Path) -> Result<()> {
    // Ten rows in each epoch; `rate` gives rows by the clock.
    let numbers = session.read_stream().format("rate-micro-batch").option("rowsPerBatch", 10).load()?;
    let writing = numbers.write_stream().checkpoint(checkpoints.join("myTable")).once().to_table("myTable")?;
    writing.await_termination(None)?;
    println!("myTable");
    session.read().table("myTable")?.show()?;

    let values = session.read_stream().table("myTable")?.select([col("value")]);
    let copying = values.write_stream().checkpoint(checkpoints.join("newTable")).format("parquet").to_table("newTable")?;
    copying.process_all_available()?;
    // The query goes on: what is inserted into the one table comes out of the other.
    session.sql("INSERT INTO myTable VALUES (current_timestamp(), 1000)")?;
    copying.process_all_available()?;
    copying.stop()?;
    println!("newTable");
    session.read().table("newTable")?.order_by(["value"]).show()?;
    Ok(session.sql("SHOW TABLES")?.show()?)
}

fn files_as_they_come(session: &Session, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let people = session.read_stream().schema("name STRING, count INT").csv(&directory.to_string_lossy())?;
    let totals = people.group_by(["name"]).agg([sum("count").alias("count")]);
    let query = totals.write_stream().output_mode(OutputMode::Complete).format("console").start()?;
    for (file, lines) in [("1.csv", "ada,3\nbob,1\n"), ("2.csv", "ada,4\ncyd,7\n")] {
        // Written elsewhere and moved into the directory, so that it is there whole or not at all.
        let hidden = directory.join(format!(".{file}"));
        std::fs::write(&hidden, lines)?;
        std::fs::rename(hidden, directory.join(file))?;
        query.process_all_available()?;
    }
    query.stop()?;
    Ok(())
}
