//! The benchmark's queries over its files: what `docs/BENCHMARKS.md` measures against other engines.
//!
//! ```text
//! cargo run --release --example bench -- --files-per-epoch 2 --query wordcount --data DIR --format parquet --out OUT --checkpoint CK
//! ```
//!
//! It reads `DIR/<stream>/<format>/part-*`, two files an epoch, writes the result below `OUT`, commits a checkpoint for each epoch,
//! and prints one line of JSON. Killed at any moment and started again with the same directories it goes on, and the output is that
//! of a run that was not killed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use tidegate::connectors::FileSink;
use tidegate::{DataFrame, OutputMode, Result, Session};

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    query: String,
    #[arg(long)]
    data: PathBuf,
    /// `parquet`, `json`, `json2` or `txt`.
    #[arg(long, default_value = "parquet")]
    format: String,
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    checkpoint: PathBuf,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How many files of each stream an epoch takes.
    #[arg(long, default_value_t = 2)]
    files_per_epoch: usize,
    #[arg(long, value_enum, default_value_t = SinkKind::Parquet)]
    sink: SinkKind,
    /// Print what will run.
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SinkKind {
    Parquet,
    Noop,
}

/// The columns of each stream.
const STREAMS: [(&str, &str); 6] = [
    ("lines", "value STRING"),
    ("keys", "key BIGINT, value BIGINT, ts TIMESTAMP"),
    ("bid", "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP, extra STRING"),
    (
        "ads",
        "user_id STRING, page_id STRING, ad_id STRING, ad_type STRING, event_type STRING, event_time TIMESTAMP, ip_address STRING",
    ),
    (
        "person",
        "id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING, dateTime TIMESTAMP, extra STRING",
    ),
    (
        "auction",
        "id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT, dateTime TIMESTAMP, expires TIMESTAMP, \
         seller BIGINT, category BIGINT, extra STRING",
    ),
];

/// The column whose watermark is declared, and how far it stays behind.
const WATERMARKS: [(&str, &str); 4] =
    [("bid", "dateTime"), ("ads", "event_time"), ("person", "dateTime"), ("auction", "dateTime")];
const DELAY: &str = "4 seconds";

/// Each query: its text, its output mode, and the streams that are read with a watermark.
fn query(name: &str) -> Option<(&'static str, OutputMode, &'static [&'static str])> {
    use OutputMode::{Append, Update};
    Some(match name {
        "wordcount" => (
            "SELECT word, count(*) AS cnt FROM (SELECT explode(split(value, ' ')) AS word FROM lines) GROUP BY word",
            Update,
            &[],
        ),
        "keys" => ("SELECT key, count(*) AS cnt FROM keys GROUP BY key", Update, &[]),
        "q0" => ("SELECT auction, bidder, price, dateTime, extra FROM bid", Append, &[]),
        "q1" => ("SELECT auction, bidder, price * 908 div 1000 AS price, dateTime, extra FROM bid", Append, &[]),
        "q2" => ("SELECT auction, price FROM bid WHERE auction % 123 = 0", Append, &[]),
        "q3" => (
            "SELECT p.name, p.city, p.state, a.id AS auction_id FROM auction a JOIN person p ON a.seller = p.id \
             WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')",
            Append,
            &[],
        ),
        "q5" => (
            "SELECT b.end - INTERVAL 10 SECONDS AS wstart, m.auction AS auction, m.cnt AS cnt FROM (\
               SELECT window(window_time(w), '2 seconds') AS b, max(struct(cnt, auction)) AS m FROM (\
                 SELECT window AS w, auction, count(*) AS cnt FROM bid GROUP BY window(dateTime, '10 seconds', '2 seconds'), auction) \
               GROUP BY window(window_time(w), '2 seconds'))",
            Append,
            &["bid"],
        ),
        "q8" => (
            "SELECT p.id, p.name, a.auction_id, p.pw.start AS wstart FROM \
               (SELECT id, name, window(dateTime, '10 seconds') AS pw FROM person) p JOIN \
               (SELECT id AS auction_id, seller, window(dateTime, '10 seconds') AS aw FROM auction) a \
               ON p.id = a.seller AND p.pw = a.aw",
            Append,
            &["person", "auction"],
        ),
        "q11" => (
            "SELECT bidder, session_window.start AS wstart, session_window.end AS wend, count(*) AS cnt FROM bid \
             GROUP BY bidder, session_window(dateTime, '10 seconds')",
            Append,
            &["bid"],
        ),
        "dedup" => ("SELECT auction, bidder, price, dateTime FROM bid", Append, &["bid"]),
        "q7" => (
            "SELECT window.start AS wstart, max(price) AS maxprice, count(*) AS cnt FROM bid GROUP BY window(dateTime, '10 seconds')",
            Append,
            &["bid"],
        ),
        "q12" => (
            "SELECT bidder, window.start AS wstart, count(*) AS cnt FROM bid GROUP BY bidder, window(dateTime, '10 seconds')",
            Append,
            &["bid"],
        ),
        "ysb" => (
            "SELECT campaign_id, window.start AS wstart, count(*) AS cnt FROM ads JOIN campaigns USING (ad_id) \
             WHERE event_type = 'view' GROUP BY campaign_id, window(event_time, '10 seconds')",
            Append,
            &["ads"],
        ),
        _ => return None,
    })
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
    let started = Instant::now();
    let (text, mode, watermarks) = query(&arguments.query).ok_or_else(|| format!("there is no query {}", arguments.query))?;
    let session = Session::builder().app_name("bench").parallelism(arguments.threads).build()?;
    for (stream, schema) in STREAMS {
        if text.split(|c: char| !c.is_alphanumeric()).any(|word| word == stream) {
            view(&session, arguments, stream, schema, watermarks.contains(&stream))?;
        }
    }
    if text.contains("campaigns") {
        let campaigns = session.read().parquet(arguments.data.join("campaigns/parquet").to_string_lossy())?;
        campaigns.create_or_replace_temp_view("campaigns")?;
    }
    let mut frame: DataFrame = session.sql(text)?;
    if arguments.query == "dedup" {
        frame = frame.drop_duplicates_within_watermark(["auction", "bidder", "price"]).drop(["dateTime"]);
    }
    if arguments.explain {
        frame.explain()?;
    }
    let writer = frame.write_stream().output_mode(mode).checkpoint(&arguments.checkpoint).available_now();
    let writer = match arguments.sink {
        SinkKind::Parquet => writer.sink(FileSink::parquet(&arguments.out)),
        SinkKind::Noop => writer.format("noop"),
    };
    let query = writer.start()?;
    let prepared = started.elapsed();
    query.await_termination(None)?;
    let totals = query.handle().totals();
    println!(
        "{{\"wall_s\": {:.3}, \"plan_s\": {:.3}, \"epochs\": {}, \"input_rows\": {}, \"output_rows\": {}}}",
        (started.elapsed() - prepared).as_secs_f64(),
        prepared.as_secs_f64(),
        totals.epochs,
        totals.input_rows,
        totals.output_rows
    );
    Ok(())
}

/// Declares a stream under its name.
fn view(session: &Session, arguments: &Arguments, stream: &str, schema: &str, has_watermark: bool) -> Result<()> {
    let (folder, format) = match (stream, arguments.format.as_str()) {
        (_, "parquet") => ("parquet", "parquet"),
        ("lines", _) => ("txt", "text"),
        (_, other) => (other, "json"),
    };
    let path: PathBuf = Path::new(&arguments.data).join(stream).join(folder);
    let reader = session.read_stream().format(format).schema(schema).option("maxFilesPerTrigger", arguments.files_per_epoch);
    let mut frame = reader.option("name", stream).option("path", path.display()).load()?;
    if has_watermark {
        let column = WATERMARKS.iter().find(|(own, _)| *own == stream).map_or("dateTime", |(_, column)| column);
        frame = frame.with_watermark(column, DELAY);
    }
    frame.create_or_replace_temp_view(stream)
}
