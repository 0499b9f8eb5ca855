//! The quick example of Structured Streaming: counts the words that come over a socket, and prints the running counts.
//!
//! ```text
//! cargo run --release --example structured_network_word_count                               # counts a text that it serves to itself
//! cargo run --release --example structured_network_word_count -- --sql                      # the same query written in SQL
//! nc -lk 9999                                                                               # in one terminal: type words here
//! cargo run --release --example structured_network_word_count -- --host localhost --port 9999   # in another; Ctrl-C ends it
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

#[path = "common/tide.rs"]
mod tide;

use std::process::ExitCode;

use clap::Parser;
use tidegate::functions::{explode, lit, split};
use tidegate::{DataFrame, OutputMode, Result, Session};

#[derive(Parser)]
#[command(about = "Counts the words that come over a socket, as a query on a table")]
struct Arguments {
    /// The server's name or address; with --port.
    #[arg(long, requires = "port")]
    host: Option<String>,
    /// The server's port.
    #[arg(long)]
    port: Option<u16>,
    /// Write the query in SQL rather than with DataFrames.
    #[arg(long)]
    sql: bool,
    /// Print what will run before it runs.
    #[arg(long)]
    explain: bool,
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
        Some(port) => (arguments.host.unwrap_or_else(|| "localhost".to_owned()), port),
        None => ("127.0.0.1".to_owned(), tide::serve_text()?),
    };
    let session = Session::builder().app_name("StructuredNetworkWordCount").build()?;
    let lines = session.read_stream().format("socket").option("host", host).option("port", port).load()?;
    let counts = if arguments.sql { by_sql(&session, &lines)? } else { by_data_frame(&lines) };
    if arguments.explain {
        counts.explain()?;
    }
    let query = counts.write_stream().output_mode(OutputMode::Complete).format("console").start()?;
    tide::wait(query.handle())
}

fn by_data_frame(lines: &DataFrame) -> DataFrame {
    let words = lines.select([explode(split("value", lit(" "))).alias("word")]);
    words.group_by(["word"]).count()
}

fn by_sql(session: &Session, lines: &DataFrame) -> Result<DataFrame> {
    lines.create_or_replace_temp_view("lines")?;
    session.sql("SELECT word, count(*) AS count FROM (SELECT explode(split(value, ' ')) AS word FROM lines) GROUP BY word")
}
