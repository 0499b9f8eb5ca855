//! Few large files of many small ones, without a moment at which a row is there twice or not at all.
//!
//! A directory can't swap several files for one at once: whoever lists it in between would see rows twice, or miss them. So with
//! compaction the small files of epochs never appear in it. They are committed below the hidden directory `_pending`, where the
//! manifest names them: readers that know the manifest see an epoch's rows at its commit. When there are enough of them they are
//! written into one file, which is moved into place by one rename: that is when all other readers see the rows, each of them once
//! and for good. In the manifest the merge has two lines. The first says what will be merged; the second, after the rename, that
//! the merged file takes the place of the small ones. A crash between the two is completed when the sink opens again, never undone.
//!
//! The small files of the latest merge are kept until the next one, for readers that have listed them and not yet read them.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{
    EpochInfo, Error, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, Result, SourceContext, SourceOutput, SourceSupplier,
};

use super::compression::Compressor;
use super::format::{Format, FormatKind};
use super::manifest::CommittedFile;
use super::sink_writer::StagedBytes;
use super::source::FileSource;
use super::split_reader::content;

/// Where small files wait for being merged; hidden from readers that don't know the manifest.
pub(crate) const PENDING: &str = "_pending";

/// The path at which a pending file's rows will be visible; `None` for a file that is visible.
pub(crate) fn visible_path(path: &str) -> Option<&str> {
    path.strip_prefix(PENDING)?.strip_prefix('/')
}

/// The directory of a path, empty at the top.
pub(crate) fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Writes the rows of `files` below `dir` into `target`, durably, and says what the manifest will say of it.
pub(crate) fn merge(
    dir: &Path,
    files: &[CommittedFile],
    format: &Format,
    schema: &SchemaRef,
    target: &Path,
    info: EpochInfo,
) -> Result<CommittedFile> {
    let file = File::create_new(target).map_err(Error::io("create", target))?;
    let staged = StagedBytes::new(file, target.to_path_buf());
    let staged = match &format.kind {
        FormatKind::Csv(_) | FormatKind::Text(_) | FormatKind::Json(_) => join_lines(dir, files, format, schema, staged)?,
        FormatKind::Parquet => {
            rewrite(dir, files, format, schema, staged, info, |path| FileSource::parquet(path, Arc::clone(schema)))?
        }
        FormatKind::Avro => rewrite(dir, files, format, schema, staged, info, |path| FileSource::avro(path, Arc::clone(schema)))?,
        FormatKind::Orc => rewrite(dir, files, format, schema, staged, info, |path| FileSource::orc(path, Arc::clone(schema)))?,
    };
    // As old as its newest part: the file is not newer than its rows.
    let newest = files.iter().filter_map(|file| std::fs::metadata(dir.join(&file.path)).ok()?.modified().ok()).max();
    let newest = newest.unwrap_or_else(std::time::SystemTime::now);
    let (bytes, crc32c) = staged.seal(newest).map_err(Error::io("sync", target))?;
    let rows = files.iter().map(|file| file.rows).sum();
    Ok(CommittedFile { path: String::new(), rows, bytes, crc32c })
}

/// One file after the other; of their headers only the first.
fn join_lines(
    dir: &Path,
    files: &[CommittedFile],
    format: &Format,
    schema: &SchemaRef,
    staged: StagedBytes,
) -> Result<StagedBytes> {
    let target = staged.path().clone();
    let header = format.header(schema)?.len();
    let mut out = Compressor::new(format.codec, staged).map_err(Error::io("write", &target))?;
    for (number, file) in files.iter().enumerate() {
        let path = dir.join(&file.path);
        let mut from = content(File::open(&path).map_err(Error::io("open", &path))?, &path)?;
        if number > 0 {
            from.read_exact(&mut vec![0; header]).map_err(Error::io("read", &path))?;
        }
        std::io::copy(&mut from, &mut out).map_err(Error::io("merge", &path))?;
    }
    out.flush().map_err(Error::io("write", &target))?;
    out.finish().map_err(Error::io("write", &target))
}

/// The rows of all files, written anew.
fn rewrite(
    dir: &Path,
    files: &[CommittedFile],
    format: &Format,
    schema: &SchemaRef,
    staged: StagedBytes,
    info: EpochInfo,
    reader: impl Fn(std::path::PathBuf) -> FileSource,
) -> Result<StagedBytes> {
    let mut encoder = format.encoder(schema, staged)?;
    for file in files {
        let mut source = reader(dir.join(&file.path)).supply()?;
        source.open(context())?;
        let Some(end) = source.latest_offset(None, ReadLimit::All)? else {
            return Err(Error::damaged(dir.join(&file.path), "a committed file is gone"));
        };
        let splits = source.splits(&OffsetRange { start: None, end })?;
        let mut reader = source.reader(0)?;
        // The files' columns are as the sink writes them, of which the source makes all nullable.
        let mut write = |batch: RecordBatch| encoder.write(&RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?);
        for split in splits {
            reader.read(&split, &mut SourceOutput::new(info, &mut write))?;
        }
    }
    encoder.finish()
}

fn context() -> SourceContext {
    SourceContext {
        node: NodeId::new("compaction"),
        query: QueryId::random(),
        parallelism: 1,
        offset: None,
        journal: Vec::new(),
        notifier: Notifier::ignored(),
    }
}
