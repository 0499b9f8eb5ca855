//! Copies of Parquet files in object stores that have only what is read of them.
//!
//! A copy is as long as the object. At their places in it are the footer, which says where the columns are, and the columns that are
//! asked for; between them are holes, which take no space. So the reader of Parquet files reads it as any other file.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use arrow::datatypes::Schema;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tidegate_runtime::{Error, Result};

use super::conform::{find, guarded};
use super::listing::FileState;
use crate::objects::{Expected, Objects};

/// As much is asked for at first at the end of a file: most footers are not longer.
const FOOTER_BYTES: u64 = 64 << 10;
/// A smaller file is asked for as a whole: one request takes less time than two.
const SMALL_BYTES: u64 = 1 << 20;
/// What lies between two parts is copied with them if it is not longer.
const GAP_BYTES: u64 = 128 << 10;

/// What a partial copy became.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// The columns are in it.
    Columns,
    /// The object is gone, or another is in its place.
    Changed,
    /// Nothing was copied: most of the file would have to be, or it can't be told which part.
    Nothing,
}

/// Copies what a reader of `columns` reads of an object into a new file.
pub(super) fn copy_columns(objects: &Objects, planned: &FileState, to: &Path, columns: &Schema) -> Result<Copied> {
    // Parts of two versions of an object must not meet in a copy: without tags they could.
    if planned.tag.is_none() || planned.len < SMALL_BYTES {
        return Ok(Copied::Nothing);
    }
    let expected = || Expected { tag: planned.tag.clone(), len: Some(planned.len) };
    let mut from = planned.len - FOOTER_BYTES.min(planned.len);
    let (footer, metadata) = loop {
        let Some(footer) = objects.read_range(&planned.path, expected(), from..planned.len)? else { return Ok(Copied::Changed) };
        let mut reader = ParquetMetaDataReader::new();
        match guarded("Parquet", to, || Ok::<_, Error>(reader.try_parse_sized(&footer, planned.len))) {
            Ok(Ok(())) => match reader.finish() {
                Ok(metadata) => break (footer, metadata),
                Err(_) => return Ok(Copied::Nothing),
            },
            Ok(Err(ParquetError::NeedMoreData(bytes))) if from > 0 && bytes as u64 > planned.len - from => {
                from = planned.len - planned.len.min(bytes as u64);
            }
            // Its reader says what is wrong with it.
            Ok(Err(_)) | Err(_) => return Ok(Copied::Nothing),
        }
    };
    // Of metadata that can't be true the reader of the whole file says so.
    let parts = guarded("Parquet", to, || Ok::<_, Error>(parts(&metadata, columns, from)));
    let Ok(Some(parts)) = parts else { return Ok(Copied::Nothing) };
    if parts.iter().map(|part| part.end - part.start).sum::<u64>() > planned.len / 4 * 3 {
        return Ok(Copied::Nothing);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(to).map_err(Error::io("create", to))?;
    let written = file.set_len(planned.len).and_then(|()| file.seek(SeekFrom::Start(from))).and_then(|_| file.write_all(&footer));
    written.map_err(Error::io("write", to))?;
    if objects.download_parts(&planned.path, to, expected(), parts)? { Ok(Copied::Columns) } else { Ok(Copied::Changed) }
}

/// Where the columns are before the footer, in order; `None` if the metadata can't be true.
fn parts(metadata: &ParquetMetaData, columns: &Schema, footer: u64) -> Option<Vec<Range<u64>>> {
    let in_file = metadata.file_metadata().schema_descr();
    let names = parquet_to_arrow_schema(in_file, None).ok()?;
    let roots: Vec<usize> = columns.fields().iter().filter_map(|field| find(names.fields(), field.name())).collect();
    let mut parts = Vec::new();
    for group in metadata.row_groups() {
        for (leaf, column) in group.columns().iter().enumerate() {
            if roots.contains(&in_file.get_column_root_idx(leaf)) {
                let (start, length) = column.byte_range();
                parts.push(start..start.checked_add(length)?.min(footer));
            }
        }
    }
    parts.retain(|part| part.start < part.end);
    parts.sort_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.start <= last.end.saturating_add(GAP_BYTES) => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::path::Path as Key;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    };
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    use tidegate_runtime::{Error, OffsetRange, ReadLimit, SourceSupplier};

    use crate::file::FileSource;
    use crate::register_object_store;
    use crate::testing::{read, source_context};

    /// Counts the requests for bytes, and the bytes.
    #[derive(Debug, Default)]
    struct Counted {
        inner: InMemory,
        requests: AtomicU64,
        bytes: AtomicU64,
    }

    impl std::fmt::Display for Counted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("counted")
        }
    }

    #[async_trait]
    impl ObjectStore for Counted {
        async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
            let is_head = options.head;
            let result = self.inner.get_opts(key, options).await?;
            if !is_head {
                self.requests.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(result.range.end - result.range.start, Ordering::Relaxed);
            }
            Ok(result)
        }

        async fn put_opts(&self, key: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
            self.inner.put_opts(key, payload, options).await
        }

        async fn put_multipart_opts(&self, key: &Key, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(key, options).await
        }

        fn delete_stream(&self, keys: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
            self.inner.delete_stream(keys)
        }

        fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.inner.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }

    fn columns() -> RecordBatch {
        let mixed = |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
        let texts = StringArray::from_iter_values((0..200_000).map(|n| format!("{:x}", mixed(n))));
        let columns: [(&str, ArrayRef); 4] = [
            ("a", Arc::new(texts.clone())),
            ("n", Arc::new(Int64Array::from_iter_values(0..200_000))),
            ("b", Arc::new(texts)),
            ("m", Arc::new(Int64Array::from_iter_values((0..200_000).map(mixed)))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn file(rows: &RecordBatch) -> Vec<u8> {
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(50_000)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(rows).unwrap();
        writer.into_inner().unwrap()
    }

    fn put(store: &Counted, bytes: Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.inner.put(&Key::from("in/a.parquet"), bytes.into())).unwrap();
    }

    /// A store with a file, which is planned; what is read of the columns after something was done.
    fn read_after(
        name: &str,
        schema: &SchemaRef,
        then: impl FnOnce(&Counted),
    ) -> (Arc<Counted>, Result<Vec<RecordBatch>, Error>) {
        let store = Arc::new(Counted::default());
        register_object_store(&format!("test://{name}"), Arc::clone(&store) as Arc<dyn ObjectStore>);
        put(&store, file(&columns()));
        let mut source = FileSource::parquet(format!("test://{name}/in"), Arc::clone(schema)).supply().unwrap();
        source.open(source_context(None, Vec::new())).unwrap();
        let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
        let range = OffsetRange { start: None, end };
        source.journal(&range).unwrap();
        then(&store);
        let rows = read(&mut *source, &range);
        (store, rows)
    }

    fn some(names: &[&str]) -> SchemaRef {
        let fields =
            names.iter().map(|name| Field::new(*name, if *name == "N" { DataType::Int64 } else { DataType::Utf8 }, true));
        Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
    }

    #[test]
    fn only_the_columns_that_are_read_are_asked_for() {
        let whole = file(&columns()).len() as u64;
        // Also by a name that differs by case; and a column that the file lacks.
        let (store, rows) = read_after("columns", &some(&["N", "missing"]), |_| ());
        let numbers: Vec<i64> =
            rows.unwrap().iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(numbers, (0..200_000).collect::<Vec<_>>());
        let (requests, bytes) = (store.requests.load(Ordering::Relaxed), store.bytes.load(Ordering::Relaxed));
        assert_eq!(requests, 1 + 4, "the footer, and a column of four row groups");
        assert!(bytes < whole / 4, "{bytes} of {whole}");
        // Most of it: in one request.
        let (store, rows) = read_after("most", &columns().schema(), |_| ());
        assert_eq!(rows.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 200_000);
        assert!(store.bytes.load(Ordering::Relaxed) < whole + 2 * super::FOOTER_BYTES);
    }

    #[test]
    fn another_object_in_its_place_is_an_error() {
        let (_, rows) = read_after("other", &some(&["N"]), |store| put(store, file(&columns())));
        let error = rows.unwrap_err();
        assert!(matches!(&error, Error::SourceDataLoss(what) if what.contains("test://other/in/a.parquet")), "{error}");
    }

    #[test]
    fn a_damaged_footer_is_named() {
        let store = Arc::new(Counted::default());
        register_object_store("test://damaged", Arc::clone(&store) as Arc<dyn ObjectStore>);
        let good = file(&columns());
        for damage in [1, 5, 9, 300] {
            let mut bytes = good.clone();
            let at = bytes.len() - damage;
            bytes[at] ^= 0xFF;
            put(&store, bytes);
            let mut source = FileSource::parquet("test://damaged/in", some(&["N"])).supply().unwrap();
            source.open(source_context(None, Vec::new())).unwrap();
            let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
            let range = OffsetRange { start: None, end };
            source.journal(&range).unwrap();
            match read(&mut *source, &range) {
                Ok(rows) => assert_eq!((damage, rows.iter().map(RecordBatch::num_rows).sum()), (300, 200_000)),
                Err(error) => assert!(error.to_string().contains("test://damaged/in/a.parquet"), "{error}"),
            }
        }
    }
}
