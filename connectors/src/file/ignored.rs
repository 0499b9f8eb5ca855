//! Files that are gone or damaged and are to be passed over: Spark's `ignoreMissingFiles` and `ignoreCorruptFiles`.

use std::fmt;
use std::path::PathBuf;

use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::split_reader::FileSplit;

/// Which files don't fail a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ignored {
    /// Damaged ones: the rows before the damage are read.
    pub(crate) corrupt: bool,
    /// Those that are gone when they are to be read.
    pub(crate) missing: bool,
}

/// What is wrong with the content of a file; not that it changed, which is never passed over.
#[derive(Debug)]
pub(crate) struct Damaged(pub(crate) String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

impl Ignored {
    /// Whether the error is one of a damaged file, and those are passed over.
    pub(crate) fn has(self, error: &Error) -> bool {
        self.corrupt && is_damage(error)
    }

    /// What reads files below `dir` and passes these over.
    pub(crate) fn reader(self, inner: Box<dyn SourceReader>, dir: PathBuf) -> Box<dyn SourceReader> {
        if self == Ignored::default() { inner } else { Box::new(Passing { inner, dir, ignored: self }) }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "Only these are errors of reading a file's content")]
fn is_damage(error: &Error) -> bool {
    match error {
        Error::User(error) => error.is::<Damaged>(),
        Error::Io { action, .. } => matches!(*action, "read" | "decompress"),
        _ => false,
    }
}

/// Reads files, and ends at the damage of one as if that were its end.
struct Passing {
    inner: Box<dyn SourceReader>,
    dir: PathBuf,
    ignored: Ignored,
}

impl SourceReader for Passing {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let (epoch, mut is_downstream) = (out.epoch(), false);
        let mut emit = |batch| out.emit(batch).inspect_err(|_| is_downstream = true);
        let read = self.inner.read(split, &mut SourceOutput::new(epoch, &mut emit));
        let Err(error) = read else { return Ok(()) };
        if is_downstream {
            return Err(error);
        }
        let path = self.dir.join(&split.decode::<FileSplit>()?.file.path);
        if self.ignored.missing && !path.try_exists().unwrap_or(true) {
            tracing::warn!(file = %path.display(), "missing file skipped");
            return Ok(());
        }
        if self.ignored.has(&error) {
            tracing::warn!(file = %path.display(), error = %error, "rest of a damaged file skipped");
            return Ok(());
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, SchemaRef};
    use tidegate_runtime::{OffsetRange, ReadLimit, SourceSupplier};

    use super::*;
    use crate::file::compression::Compressor;
    use crate::file::round_trip_tests::write;
    use crate::file::sources_tests::{batches, names_below, schema};
    use crate::testing::{read, source_context};
    use crate::{Compression, FileSink, FileSource, ParseMode};

    fn numbers() -> SchemaRef {
        schema(&[("n", DataType::Int64)])
    }

    fn rows(found: &Result<Vec<RecordBatch>>) -> usize {
        found.as_ref().unwrap().iter().map(RecordBatch::num_rows).sum()
    }

    #[test]
    fn rows_before_the_damage_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Compressor::new(Some(Compression::Gzip), Vec::new()).unwrap();
        (0..200_000).for_each(|n| writeln!(writer, "{n}").unwrap());
        let whole = writer.finish().unwrap();
        std::fs::write(dir.path().join("a.csv.gz"), &whole[..whole.len() - 1_000]).unwrap();
        std::fs::write(dir.path().join("b.csv"), "1\n2\n").unwrap();
        let source = FileSource::csv(dir.path(), numbers());
        assert!(batches(&source).unwrap_err().to_string().contains("a.csv.gz"));
        let found = rows(&batches(&source.ignore_corrupt_files(true)));
        assert!((100_000..200_002).contains(&found), "{found}");
    }

    #[test]
    fn files_of_no_format_are_passed_over() {
        let table: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
        let table = RecordBatch::try_from_iter_with_nullable([("n", table, true)]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut kinds = vec![(FileSink::parquet(path("p")), FileSource::parquet(path("p"), numbers()))];
        if cfg!(feature = "avro") {
            kinds.push((FileSink::avro(path("a")), FileSource::avro(path("a"), numbers())));
        }
        if cfg!(feature = "orc") {
            kinds.push((FileSink::orc(path("o")), FileSource::orc(path("o"), numbers())));
        }
        for (sink, mut source) in kinds {
            write(&sink, std::slice::from_ref(&table));
            // The sink's manifest would hide files that it does not know.
            let plain = dir.path().join("plain");
            std::fs::create_dir(&plain).unwrap();
            for name in names_below(sink.directory()) {
                std::fs::copy(sink.directory().join(&name), plain.join(&name)).unwrap();
            }
            std::fs::write(plain.join("no"), "neither this nor that, but long enough").unwrap();
            source.path.clone_from(&plain);
            assert!(batches(&source).is_err(), "{}", source.describe());
            assert!(source.columns_of_files(true).is_err());
            let source = source.ignore_corrupt_files(true);
            assert_eq!(rows(&batches(&source)), 10);
            assert_eq!(source.columns_of_files(true).unwrap().unwrap().fields().len(), 1);
            std::fs::remove_dir_all(&plain).unwrap();
        }
    }

    #[test]
    fn files_that_are_gone_are_passed_over_if_they_are_to_be() {
        let dir = tempfile::tempdir().unwrap();
        for (ignores, corrupt) in [(true, false), (false, true), (false, false)] {
            for name in ["a.csv", "b.csv"] {
                std::fs::write(dir.path().join(name), "1\n").unwrap();
            }
            let source = FileSource::csv(dir.path(), numbers()).ignore_missing_files(ignores).ignore_corrupt_files(corrupt);
            let mut source = source.supply().unwrap();
            source.open(source_context(None, Vec::new())).unwrap();
            let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
            let range = OffsetRange { start: None, end };
            source.journal(&range).unwrap();
            std::fs::remove_file(dir.path().join("a.csv")).unwrap();
            match read(&mut *source, &range) {
                Ok(found) => assert!(ignores && found.len() == 1),
                Err(error) => assert!(!ignores && error.to_string().contains("a.csv was planned but is gone"), "{error}"),
            }
        }
    }

    #[test]
    fn what_is_no_damage_fails() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.csv"), "1\nx\n").unwrap();
        let source = FileSource::csv(dir.path(), numbers()).mode(ParseMode::FailFast).ignore_corrupt_files(true);
        assert!(batches(&source).unwrap_err().to_string().contains("MALFORMED_RECORD_IN_PARSING"));
        let mut source = FileSource::csv(dir.path(), numbers()).ignore_corrupt_files(true).supply().unwrap();
        source.open(source_context(None, Vec::new())).unwrap();
        let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
        std::fs::write(dir.path().join("a.csv"), "1\n2\n3\n").unwrap();
        let error = read(&mut *source, &OffsetRange { start: None, end }).unwrap_err().to_string();
        assert!(error.contains("has grown since it was planned"), "{error}");
    }
}
