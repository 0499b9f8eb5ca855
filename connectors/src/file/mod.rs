//! Files in a directory, as source and as sink.
//!
//! ```text
//! FileSource   location, listing (what is new?) ─► plan (which files does an epoch get?) ─► a reader for each format
//!              split_reader, lines (split ─► lines) ─► text_reader, or json_reader and csv_reader (lines ─► columns ─► batches)
//!              parquet_reader (split ─► row groups ─► batches)
//! FileSink     sink_writer (rows ─► format ─► hidden file) ─► sink (rename, then one line in the manifest)
//! ```
//!
//! Both sides keep to one rule: a file is visible whole or not at all. The source expects its files to be *moved* into the
//! directory, and the sink moves its own into place. Names that begin with `.` or `_` are hidden from every reader, as they are
//! from Spark and Hadoop.

mod columns;
mod csv_reader;
mod durable;
mod format;
#[cfg(test)]
mod format_tests;
mod json_cursor;
mod json_reader;
mod json_rows;
mod lines;
mod listing;
mod location;
mod manifest;
mod parquet_reader;
mod part;
mod plan;
mod records;
mod scalars;
mod sink;
mod sink_writer;
mod source;
mod split_reader;
mod text_reader;

pub(crate) use durable::sync_directory;
pub(crate) use listing::FileState;
pub(crate) use manifest::{checked_line, parse_checked_line};
pub use records::ParseMode;
pub use sink::FileSink;
pub(crate) use sink_writer::StagedFile;
pub use source::FileSource;
pub(crate) use split_reader::FileSplit;
