//! Sources and sinks of Tidegate: where rows come from and where they go.
//!
//! Each connector is a small configuration that implements [`SourceSupplier`] or [`SinkSupplier`]; what it supplies does the work.
//! Options, defaults and results follow Spark's connectors of the same name; where one differs, its page says so.
//!
//! | connector | after a failure |
//! | --- | --- |
//! | [`FileSource`]: text, JSON, CSV, Parquet, Avro and ORC files | the same files are read again, or the query fails |
//! | [`SocketSource`]: lines from a TCP server | lines may be lost: for trying things out |
//! | [`RateSource`]: numbers by the clock | the same numbers again |
//! | [`RateMicroBatchSource`]: so many numbers in each epoch | the same numbers again |
//! | `KafkaSource`, with the feature `kafka`: records of topics | the same records again, or the query fails |
//! | [`MemoryStream`]: rows that the program adds | the same rows again, within the process |
//! | [`FileSink`]: Parquet, Avro, ORC, JSON, CSV or text files | every row is in a committed file exactly once |
//! | [`TableSource`]: the rows of a table, commit by commit | the same rows again |
//! | [`TableSink`]: a table that any number of queries write | every row is in a commit exactly once |
//! | `KafkaSink`, with the feature `kafka`: records in topics | every row once, for readers of committed records |
//! | [`ConsoleSink`]: a table per epoch on the terminal | an epoch may be shown twice |
//! | [`MemorySink`]: rows that the program reads | exactly once, within the process |
//! | [`ForeachSink`]: user code, as rows arrive | rows may come twice |
//! | [`ForeachBatchSink`]: user code, for each epoch | an epoch may come twice, with the same number and rows |
//! | [`NoopSink`]: nowhere | an epoch may be counted twice |
//!
//! Connectors know the traits of [`tidegate_runtime`] and nothing of its tasks, operators or queries.
//!
//! [`SourceSupplier`]: tidegate_runtime::SourceSupplier
//! [`SinkSupplier`]: tidegate_runtime::SinkSupplier

mod clock;
mod console;
mod file;
mod foreach;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod instants;
#[cfg(feature = "kafka")]
mod kafka;
mod memory;
mod noop;
mod objects;
mod rate;
mod rate_micro_batch;
mod socket;
mod table;
#[cfg(test)]
mod testing;

/// The crate whose stores [`register_object_store`] takes: of this version, with the clients that the features `s3`, `gcs` and `azure`
/// switch on.
pub use object_store;

pub use console::ConsoleSink;
pub use file::{
    CleanSource, Compression, CsvOptions, CsvWriteOptions, DirectoryLock, FileSink, FileSource, JsonOptions, JsonWriteOptions,
    KeepPartitions, ParseMode, TextForm, TextInference, TextRules, TimeForms, TimeTexts, ValueForm, check_parquet_pages,
};
pub use foreach::{ForeachBatchSink, ForeachRow, ForeachSink, ForeachWriter};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaSink, KafkaSource};
pub use memory::{MemorySink, MemoryStream};
pub use noop::NoopSink;
pub use objects::register_object_store;
pub use rate::RateSource;
pub use rate_micro_batch::RateMicroBatchSource;
pub use socket::SocketSource;
pub use table::{Replaces, Table, TableDefinition, TableFile, TableFormat, TableSink, TableSource, table_names};
