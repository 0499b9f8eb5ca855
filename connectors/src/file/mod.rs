//! Files in a directory, as source and as sink.
//!
//! ```text
//! TextFileSource   listing (what is new?) ─► plan (which files does an epoch get?) ─► text_reader (splits ─► lines ─► batches)
//! FileSink         sink_writer (rows ─► format ─► hidden file) ─► sink (rename, then one line in the manifest)
//! ```
//!
//! Both sides keep to one rule: a file is visible whole or not at all. The source expects its files to be *moved* into the
//! directory, and the sink moves its own into place. Names that begin with `.` or `_` are hidden from every reader, as they are
//! from Spark and Hadoop.

mod durable;
mod format;
mod lines;
mod listing;
mod manifest;
mod part;
mod plan;
mod sink;
mod sink_writer;
mod text_reader;
mod text_source;

pub use sink::FileSink;
pub use text_source::TextFileSource;
