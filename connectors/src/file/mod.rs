//! Files in a directory, as source and as sink.
//!
//! ```text
//! FileSource   location, glob, listing, partitions (what is there?) ─► seen, plan, planner (what is new, and which epoch gets it?)
//!              readers: a reader for each format
//!              split_reader, lines, compression (split ─► lines) ─► text_reader, or json_reader and csv_reader (lines ─► batches)
//!              parquet_reader, avro_reader, orc_reader ─► conform (their columns ─► ours), after a look at what is to be decompressed
//!              (parquet_pages, avro_blocks, orc_chunks)
//!              constants (columns that come from the path)
//!              object_directory, object_reader, object_parquet (the same of an object store: list, copy, read)
//! FileSink     partition_rows (rows ─► partitions) ─► sink_writer (rows ─► format ─► hidden file)
//!              ─► sink (rename, then one line in the manifest) ─► pending, compaction (small files ─► large ones)
//!              ─► object_sink (upload, then one object of object_manifest)
//! ```
//!
//! Both sides keep to one rule: a file is visible whole or not at all. The source expects its files to be *moved* into the
//! directory, and the sink moves its own into place. Names that begin with `.` or `_` are hidden from every reader, as they are
//! from Spark and Hadoop.

#[cfg(feature = "avro")]
mod avro_blocks;
#[cfg(feature = "avro")]
mod avro_reader;
#[cfg(feature = "avro")]
mod avro_writer;
#[cfg(test)]
mod bad_file_tests;
mod cleaner;
mod columns;
mod compaction;
mod compression;
mod conform;
mod constants;
mod csv_options;
mod csv_reader;
mod csv_rows;
mod csv_values;
mod directory_lock;
mod durable;
mod format;
#[cfg(test)]
mod format_tests;
mod forms;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod glob;
mod ignored;
mod inference;
mod json_cursor;
mod json_options;
mod json_reader;
mod json_rows;
mod lines;
mod listing;
mod location;
mod manifest;
mod object_directory;
mod object_manifest;
mod object_parquet;
mod object_reader;
mod object_sink;
#[cfg(test)]
mod object_tests;
#[cfg(feature = "orc")]
mod orc_chunks;
#[cfg(feature = "orc")]
mod orc_reader;
#[cfg(feature = "orc")]
mod orc_writer;
mod parquet_pages;
mod parquet_reader;
mod part;
mod partition_filter;
mod partition_rows;
mod partitions;
mod pending;
mod plan;
mod planner;
mod readers;
mod records;
#[cfg(test)]
mod round_trip_tests;
mod scalars;
mod seen;
mod sink;
mod sink_writer;
mod snappy;
mod source;
mod source_columns;
#[cfg(test)]
mod sources_tests;
mod split_reader;
mod text_reader;
mod value_text;
mod watch;

pub use cleaner::CleanSource;
pub(crate) use compaction::directory_of;
pub use compression::Compression;
pub use csv_options::CsvOptions;
pub use csv_rows::CsvWriteOptions;
pub use directory_lock::DirectoryLock;
pub(crate) use durable::{create_directory, remove_directory, remove_file, sync_directory};
pub use forms::{TextForm, TimeForms, TimeTexts, ValueForm};
pub use inference::{TextInference, TextRules};
pub use json_options::JsonOptions;
pub use json_rows::JsonWriteOptions;
pub(crate) use listing::FileState;
pub(crate) use listing::is_hidden;
pub(crate) use manifest::{checked_line, parse_checked_line};
pub use parquet_pages::check_parquet_pages;
pub use partition_filter::KeepPartitions;
pub(crate) use partition_filter::{FileValues, kept};
pub(crate) use partition_rows::PartitionRows;
pub(crate) use partitions::parse as parse_partition;
pub use records::ParseMode;
pub use sink::FileSink;
pub(crate) use sink_writer::StagedFile;
pub use source::FileSource;
pub(crate) use source_columns::LARGEST_MAX_LINE_BYTES;
pub(crate) use split_reader::FileSplit;
