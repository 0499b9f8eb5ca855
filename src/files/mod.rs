//! Files as the user names them: a format, a path and Spark's options, for streams and for batches.
//!
//! `options` makes the connector's settings of the options; `inference` finds out the columns that the user did not give; `paths` reads
//! several paths as one; `stream` is what queries read. `output` writes a batch by its save mode.

mod inference;
mod options;
mod output;
mod paths;
mod stream;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegate_connectors::FileSource;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::session::Session;
use crate::source_table::fingerprint;

pub(crate) use options::sink;
pub(crate) use output::Output;
pub use paths::Paths;
use paths::outermost;
pub(crate) use stream::{FileStream, table};

/// What makes a path a pattern.
const GLOB: [char; 4] = ['*', '?', '[', '{'];

/// Whether a path is the URL of a place in an object store.
pub(crate) fn is_url(path: &str) -> bool {
    path.contains("://")
}

/// A number that changes when the files of sources, which are below the paths, come, go or are written again.
///
/// # Errors
/// When they can't be listed.
pub(crate) fn version(sources: &[FileSource], paths: &[String]) -> Result<u64> {
    let versions = sources.iter().zip(paths).map(|(source, path)| match is_url(path) {
        true => Ok(source.fingerprint()?),
        false => fingerprint(path),
    });
    versions.into_iter().try_fold(0, |all: u64, own| Ok(all.rotate_left(7).wrapping_add(own?)))
}

/// The error of a reader that is given no path.
pub(crate) fn without_path() -> Error {
    Error::analysis("UNABLE_TO_INFER_SCHEMA", "Files are read from at least one path: none is given.")
}

/// A request for files.
pub(crate) struct FileRequest<'a> {
    pub(crate) session: &'a Session,
    pub(crate) format: &'a str,
    /// At least one; of a stream exactly one.
    pub(crate) paths: &'a [String],
    /// What the user says of the columns.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) options: &'a Options,
    pub(crate) is_stream: bool,
}

/// Files that can be read.
pub(crate) struct Files {
    /// Those of the paths, one source for each; they all have the same columns.
    pub(crate) sources: Vec<FileSource>,
    /// The paths that have a source.
    pub(crate) paths: Vec<String>,
    /// The columns: those of the files, then the partitions that these don't have.
    pub(crate) schema: SchemaRef,
    /// How many of them are partitions.
    pub(crate) partitions: usize,
}

impl FileRequest<'_> {
    /// The sources of the files, with the columns that the user gave or that are inferred.
    pub(crate) fn files(&self) -> Result<Files> {
        let empty = self.sources(self.paths, &Arc::new(Schema::empty()))?;
        if self.is_stream && self.schema.is_none() && self.format != "text" && !self.may_infer() {
            return Err(self.schema_missing());
        }
        empty.iter().zip(self.paths).try_for_each(|(source, path)| self.check_path(source, path))?;
        let partitions = self.partitions(&empty)?;
        let given = match (self.format, &self.schema) {
            ("text", None) => Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)])),
            (_, Some(schema)) => Arc::clone(schema),
            (_, None) => self.infer(&empty)?,
        };
        let same = |one: &Field, other: &Field| one.name().eq_ignore_ascii_case(other.name());
        // The type that the user gives counts more than the one that the directories suggest.
        let partition = |found: Field| match given.fields().iter().find(|field| same(field, &found)) {
            Some(field) if self.schema.is_some() => field.as_ref().clone(),
            _ => found,
        };
        let partitions: Vec<Field> = partitions.into_iter().map(partition).collect();
        // Columns that files were found to have keep their place, and their values give way to those of the directories.
        let is_inferred = self.schema.is_none();
        let of_directory = |field: &Field| partitions.iter().find(|partition| same(partition, field));
        let in_files = given.fields().iter().filter(|field| is_inferred || of_directory(field).is_none());
        let in_files: Vec<Field> = in_files.map(|field| of_directory(field).unwrap_or(field).clone()).collect();
        let is_text = matches!(&in_files[..], [field] if *field.data_type() == DataType::Utf8);
        if self.format == "text" && !is_text {
            return Err(Error::analysis("INVALID_SCHEMA", "Text files have one column of strings"));
        }
        let names: Vec<String> = partitions.iter().map(|field| field.name().clone()).collect();
        let (in_both, only_named): (Vec<Field>, Vec<Field>) =
            partitions.into_iter().partition(|partition| in_files.iter().any(|field| same(field, partition)));
        let in_both: Vec<String> = in_both.iter().map(|field| field.name().clone()).collect();
        let schema = Arc::new(Schema::new([in_files, only_named].concat()));
        // A file of a partitioned table is one, whichever of the paths leads to it.
        let paths = if names.is_empty() { self.paths.to_vec() } else { outermost(self.paths) };
        let sources = self
            .sources(&paths, &schema)?
            .into_iter()
            .map(|source| source.partition_columns(names.iter().cloned()).partition_columns_in_files(in_both.iter().cloned()));
        Ok(Files { sources: sources.collect(), paths, schema, partitions: names.len() })
    }

    /// Whether there may be files that don't fail a query.
    ///
    /// # Errors
    /// When an option can't be used.
    pub(crate) fn passes_over_files(&self) -> Result<bool> {
        Ok(options::ignored(self)? != (false, false))
    }

    /// Sources of the files below the paths, with these columns and the user's options.
    fn sources(&self, paths: &[String], schema: &SchemaRef) -> Result<Vec<FileSource>> {
        paths.iter().map(|path| options::source(self, path, schema)).collect()
    }

    fn check_path(&self, source: &FileSource, path: &str) -> Result<()> {
        let is_there = match is_url(path) {
            // An object store has no directories: a stream may wait for the first file.
            true => self.is_stream || path.contains(GLOB) || source.is_there()?,
            false => path.contains(GLOB) || std::path::Path::new(path).exists(),
        };
        if is_there {
            return Ok(());
        }
        Err(Error::analysis("PATH_NOT_FOUND", format!("Path does not exist: {path}.")))
    }

    /// The partition columns of the directories below all paths.
    fn partitions(&self, sources: &[FileSource]) -> Result<Vec<Field>> {
        let infer = self.infers_partitions();
        if let [source] = sources {
            return Ok(source.discover_partitions(infer)?);
        }
        let mut found: Vec<(Vec<Field>, &String)> = Vec::new();
        for (source, path) in sources.iter().zip(self.paths) {
            let partitions = source.discover_partitions(infer)?;
            // Where no file is, the directories say nothing.
            if !partitions.is_empty() || !source.files()?.is_empty() {
                found.push((partitions, path));
            }
        }
        paths::common_partitions(found, self.options.get("basePath").is_some())
    }

    fn infers_partitions(&self) -> bool {
        let conf = self.session.config("spark.sql.sources.partitionColumnTypeInference.enabled");
        conf.is_none_or(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether a stream without a given schema infers one when it is loaded.
    fn may_infer(&self) -> bool {
        let conf = self.session.config("spark.sql.streaming.schemaInference");
        conf.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn schema_missing(&self) -> Error {
        Error::Streaming(format!(
            "Schema must be specified when creating a streaming source DataFrame of {} files: call .schema(\"name STRING, …\"), or set \
             spark.sql.streaming.schemaInference to true if files with all columns are there already",
            self.format
        ))
    }
}
