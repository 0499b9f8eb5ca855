//! Whether the pages of a Parquet file can be held: the library makes room for as much as the header of a page says, and only then
//! finds out what is in it.
//!
//! ```text
//! a header, read by the library ─► walked here first: how much does the page hold? ─► an error, or the same bytes
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Error, ErrorKind, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::compression::most_held;

/// What a page may hold; writers make pages of some megabytes at most.
const MAX_PAGE_BYTES: u64 = 256 << 20;
/// The header of a page is some tens of bytes, and twice the longest value if it has statistics.
const MAX_HEADER_BYTES: usize = 16 << 20;
/// Structures within each other in a header.
const MAX_DEPTH: u8 = 8;
/// The most that a byte of gzip can stand for.
const MOST_FOR_A_BYTE_OF_GZIP: u64 = 1_032;

/// A Parquet file whose pages are looked at before they are decompressed.
#[derive(Debug)]
pub(crate) struct BoundedPages {
    file: File,
    length: u64,
    /// The columns by where their chunks begin.
    columns: BTreeMap<u64, Column>,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    index: usize,
    is_gzip: bool,
}

/// What is decompressed at once.
#[derive(Debug, Default)]
struct Held {
    /// Of each column its page, and its dictionary.
    pages: BTreeMap<(usize, bool), u64>,
    /// Where in the page whose header was read last the compressed bytes begin.
    compressed_from: usize,
}

impl BoundedPages {
    /// # Errors
    /// When a column is compressed in a way that this build can't read.
    pub(crate) fn new(file: File, metadata: &ParquetMetaData, groups: &[usize], leaves: impl Fn(usize) -> bool) -> Result<Self> {
        let mut columns = BTreeMap::new();
        let groups = groups.iter().filter_map(|group| metadata.row_groups().get(*group));
        for (index, chunk) in groups.flat_map(|group| group.columns().iter().enumerate()).filter(|(index, _)| leaves(*index)) {
            check_codec(chunk.compression())?;
            let is_gzip = matches!(chunk.compression(), Compression::GZIP(_));
            columns.insert(chunk.byte_range().0, Column { index, is_gzip });
        }
        Ok(BoundedPages { length: file.len(), file, columns, held: Arc::default() })
    }

    /// The column that a place in the file belongs to.
    fn column_at(&self, at: u64) -> Column {
        let column = self.columns.range(..=at).next_back().map(|(_, column)| *column);
        column.unwrap_or(Column { index: 0, is_gzip: false })
    }
}

impl Length for BoundedPages {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for BoundedPages {
    type T = PageHeader;

    fn get_read(&self, start: u64) -> Result<PageHeader> {
        let (file, column) = (self.file.get_read(start)?, self.column_at(start).index);
        let most_held = most_held(self.length);
        Ok(PageHeader { file, at: start, column, header: None, held: Arc::clone(&self.held), most_held })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at byte {start} lead out of the file")));
        }
        let bytes = self.file.get_bytes(start, length)?;
        if self.column_at(start).is_gzip {
            let from = self.held.lock().unwrap_or_else(PoisonError::into_inner).compressed_from;
            check_gzip(bytes.get(from..).unwrap_or_default(), start)?;
        }
        Ok(bytes)
    }
}

/// Looks at pages of a Parquet file, one after the other, that were read from byte `at` of it on.
///
/// # Errors
/// When one holds more than can be decompressed as a whole (256 MiB), and where there is no page.
pub fn check_parquet_pages(pages: &[u8], at: u64) -> io::Result<()> {
    let mut rest = pages;
    // Zeros may fill up the space behind the pages.
    let end = pages.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    while pages.len() - rest.len() < end {
        let from = at + (pages.len() - rest.len()) as u64;
        let mut walk = Walk { file: &mut rest, seen: Vec::new() };
        let page = walk.page()?;
        if !page.can_be_held() {
            return Err(too_large(from));
        }
        let content = usize::try_from(page.compressed).ok();
        // What is cut off its reader finds.
        let Some(after) = content.and_then(|content| rest.get(content..)) else { return Ok(()) };
        rest = after;
    }
    Ok(())
}

/// Whether this build can decompress it.
fn check_codec(codec: Compression) -> Result<()> {
    let is_known = match codec {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => true,
        Compression::GZIP(_) | Compression::LZ4 | Compression::LZ4_RAW if cfg!(feature = "parquet-codecs") => true,
        Compression::GZIP(_) | Compression::LZ4 | Compression::LZ4_RAW => {
            return Err(ParquetError::NYI(format!(
                "its columns are compressed with {codec}, which builds with the feature parquet-codecs read: add it to the dependency \
                 on Tidegate, or write the file with snappy or zstd"
            )));
        }
        Compression::BROTLI(_) | Compression::LZO => false,
    };
    let unknown = || ParquetError::NYI(format!("its columns are compressed with {codec}: write the file with snappy or zstd"));
    is_known.then_some(()).ok_or_else(unknown)
}

/// Gzip is decompressed until it ends, whatever the header says of it.
fn check_gzip(compressed: &[u8], at: u64) -> Result<()> {
    if compressed.len() as u64 * MOST_FOR_A_BYTE_OF_GZIP <= MAX_PAGE_BYTES {
        return Ok(());
    }
    let mut content = flate2::read::MultiGzDecoder::new(compressed).take(MAX_PAGE_BYTES + 1);
    // What is damaged is left for its reader to say.
    let held = io::copy(&mut content, &mut io::sink()).unwrap_or_default();
    if held > MAX_PAGE_BYTES { Err(too_large(at).into()) } else { Ok(()) }
}

fn too_large(at: u64) -> Error {
    let what = format!("a page at byte {at} holds more than {} MiB", MAX_PAGE_BYTES >> 20);
    Error::new(ErrorKind::InvalidData, what)
}

/// Reads the header of a page, after a look at it. It is looked at when it is read, as not each place that is asked for has one.
#[derive(Debug)]
pub(crate) struct PageHeader {
    file: BufReader<File>,
    at: u64,
    column: usize,
    header: Option<Cursor<Vec<u8>>>,
    held: Arc<Mutex<Held>>,
    most_held: u64,
}

impl Read for PageHeader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.header.is_none() {
            let header = self.look()?;
            self.header = Some(Cursor::new(header));
        }
        match self.header.as_mut().map_or(Ok(0), |header| header.read(out))? {
            0 => self.file.read(out),
            read => Ok(read),
        }
    }
}

impl PageHeader {
    /// The bytes of the header, if its page can be held.
    fn look(&mut self) -> io::Result<Vec<u8>> {
        let mut walk = Walk { file: &mut self.file, seen: Vec::new() };
        let page = walk.page()?;
        if !page.can_be_held() {
            return Err(too_large(self.at));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.compressed_from = usize::try_from(page.levels).unwrap_or_default();
        held.pages.insert((self.column, page.is_dictionary), page.size.unsigned_abs());
        let total: u64 = held.pages.values().sum();
        if total > self.most_held {
            let what = format!("the pages that are to be read at once, up to byte {}, hold {} MiB", self.at, total >> 20);
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        Ok(walk.seen)
    }
}

/// What the header of a page says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    is_dictionary: bool,
    /// Bytes, decompressed.
    size: i64,
    /// Bytes that follow the header.
    compressed: i64,
    /// Bytes before those that are compressed.
    levels: i64,
}

impl Page {
    fn can_be_held(&self) -> bool {
        (0..=MAX_PAGE_BYTES.cast_signed()).contains(&self.size)
    }
}

/// A walk through a structure in Thrift's compact protocol that keeps what it has seen.
struct Walk<'a, R> {
    file: &'a mut R,
    seen: Vec<u8>,
}

/// Thrift's types, as they are written.
mod kind {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

impl<R: Read> Walk<'_, R> {
    fn page(&mut self) -> io::Result<Page> {
        const PAGE_TYPE: i64 = 1;
        const UNCOMPRESSED_SIZE: i64 = 2;
        const COMPRESSED_SIZE: i64 = 3;
        const DATA_PAGE_V2: i64 = 8;
        const DICTIONARY: i64 = 2;
        let (mut page, mut id) = (Page::default(), 0);
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (PAGE_TYPE, kind::I32) => page.is_dictionary = self.number()? == DICTIONARY,
                // If it is there twice, the larger one counts.
                (UNCOMPRESSED_SIZE, kind::I32) => page.size = larger(page.size, self.number()?),
                (COMPRESSED_SIZE, kind::I32) => page.compressed = self.number()?,
                (PAGE_TYPE..=COMPRESSED_SIZE, _) => return Err(no_header()),
                (DATA_PAGE_V2, kind::STRUCT) => page.levels = self.levels()?,
                (_, kind) => self.skip(kind, MAX_DEPTH)?,
            }
        }
        Ok(page)
    }

    /// The levels of a page of version 2, which are not compressed.
    fn levels(&mut self) -> io::Result<i64> {
        const LEVELS: Range<i64> = 5..7;
        let (mut levels, mut id) = (0_i64, 0);
        while let Some(kind) = self.field(&mut id)? {
            match kind {
                kind::I32 if LEVELS.contains(&id) => levels = levels.saturating_add(self.number()?),
                kind => self.skip(kind, MAX_DEPTH)?,
            }
        }
        Ok(levels)
    }

    /// The type of the next field; `None` at the end of the structure.
    fn field(&mut self, id: &mut i64) -> io::Result<Option<u8>> {
        let byte = self.byte()?;
        let (delta, kind) = (byte >> 4, byte & 0xF);
        if kind == 0 {
            return Ok(None);
        }
        *id = if delta == 0 { self.number()? } else { id.saturating_add(delta.into()) };
        Ok(Some(kind))
    }

    fn skip(&mut self, kind: u8, depth: u8) -> io::Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(no_header()) };
        match kind {
            kind::TRUE | kind::FALSE => Ok(()),
            kind::BYTE => self.take(1),
            kind::I16 | kind::I32 | kind::I64 => self.varint().map(drop),
            kind::DOUBLE => self.take(8),
            kind::BINARY => {
                let length = self.varint()?;
                self.take(length)
            }
            kind::LIST | kind::SET => {
                let byte = self.byte()?;
                let (short, item) = (u64::from(byte >> 4), byte & 0xF);
                let items = if short == 0xF { self.varint()? } else { short };
                // Unlike a field, a flag in a list is a byte.
                let item = if matches!(item, kind::TRUE | kind::FALSE) { kind::BYTE } else { item };
                (0..items).try_for_each(|_| self.skip(item, depth))
            }
            kind::STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            _ => Err(no_header()),
        }
    }

    fn number(&mut self) -> io::Result<i64> {
        let bits = self.varint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut bits = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(bits);
            }
        }
        Err(no_header())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        self.seen.extend(byte);
        let [byte] = byte;
        if self.seen.len() > MAX_HEADER_BYTES { Err(no_header()) } else { Ok(byte) }
    }

    fn take(&mut self, bytes: u64) -> io::Result<()> {
        if (self.seen.len() as u64).saturating_add(bytes) > MAX_HEADER_BYTES as u64 {
            return Err(no_header());
        }
        if self.file.by_ref().take(bytes).read_to_end(&mut self.seen)? as u64 == bytes {
            Ok(())
        } else {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }
}

fn larger(one: i64, other: i64) -> i64 {
    // A negative size is none.
    if one < 0 || other < 0 { -1 } else { one.max(other) }
}

fn no_header() -> Error {
    Error::new(ErrorKind::InvalidData, "there is no page header where one should be")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::DataType;
    use parquet::arrow::ArrowWriter;
    use parquet::basic::ZstdLevel;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::*;

    use super::*;
    use crate::FileSource;
    use crate::file::sources_tests::{batches, schema};

    fn zigzag(number: i64, out: &mut Vec<u8>) {
        let mut bits = (number << 1 ^ number >> 63).cast_unsigned();
        while bits > 0x7F {
            out.push((bits & 0x7F) as u8 | 0x80);
            bits >>= 7;
        }
        out.push(bits as u8);
    }

    /// A header of these fields of 32 bits.
    fn header(fields: &[(u8, i64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, value) in fields {
            out.push(kind::I32);
            zigzag(i64::from(*id), &mut out);
            zigzag(*value, &mut out);
        }
        out.push(0);
        out
    }

    fn walked(bytes: &[u8]) -> io::Result<(Page, usize)> {
        let mut rest = bytes;
        let mut walk = Walk { file: &mut rest, seen: Vec::new() };
        let page = walk.page()?;
        let seen = walk.seen.len();
        assert_eq!(bytes[..seen], walk.seen);
        Ok((page, seen))
    }

    /// A file of zeros in columns, each of one page, whose headers say that it holds so much.
    fn write(path: &Path, columns: usize, said: Option<i64>) {
        let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 5_000]));
        let rows = RecordBatch::try_from_iter((0..columns).map(|n| (format!("c{n}"), Arc::clone(&zeros)))).unwrap();
        let codec = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(codec).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        let metadata = writer.close().unwrap();
        for column in metadata.row_group(0).columns().iter().filter(|_| said.is_some()) {
            let (from, length) = column.byte_range();
            let page = &mut bytes[from as usize..][..length as usize];
            let header = header(&[(1, 0), (2, said.unwrap()), (3, 10)]);
            page[..header.len()].copy_from_slice(&header);
        }
        std::fs::write(path, bytes).unwrap();
    }

    fn read(said: Option<i64>) -> std::result::Result<usize, String> {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.parquet"), 2, said);
        let rows = batches(&FileSource::parquet(dir.path(), schema(&[("c0", DataType::Int64)])));
        rows.map(|rows| rows.iter().map(RecordBatch::num_rows).sum()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_page_that_holds_too_much_is_refused_before_it_is_held() {
        assert_eq!(read(None), Ok(5_000));
        for said in [MAX_PAGE_BYTES as i64 + 1, i64::from(i32::MAX), -1, i64::from(i32::MIN)] {
            let error = read(Some(said)).unwrap_err();
            assert!(error.contains("a.parquet: ") && error.contains("a page at byte 4 holds more than 256 MiB"), "{error}");
        }
    }

    #[test]
    fn pages_that_hold_too_much_all_together_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        write(&path, 9, Some(128 << 20));
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(&path).unwrap()).unwrap();
        let starts: Vec<u64> = metadata.row_group(0).columns().iter().map(|column| column.byte_range().0).collect();
        let pages = BoundedPages::new(File::open(&path).unwrap(), &metadata, &[0], |_| true).unwrap();
        let header = |start: &u64| pages.get_read(*start).unwrap().read(&mut [0; 100]);
        // A page takes the place of the one before it in its column.
        for _ in 0..3 {
            starts[..8].iter().for_each(|start| assert!(header(start).is_ok()));
        }
        let error = header(&starts[8]).unwrap_err().to_string();
        assert!(error.contains("hold 1152 MiB"), "{error}");
    }

    #[test]
    fn headers_are_walked_in_any_order_and_with_anything_in_them() {
        let page = Page { size: 7, compressed: 9, ..Page::default() };
        assert_eq!(walked(&header(&[(3, 9), (2, 7), (1, 0)])).unwrap().0, page);
        assert_eq!(walked(&header(&[(1, 2), (2, 7)])).unwrap().0, Page { is_dictionary: true, compressed: 0, ..page });
        // The larger one of two counts, and a negative one is too large.
        assert_eq!(walked(&header(&[(2, 1 << 40), (2, 7)])).unwrap().0.size, 1 << 40);
        assert_eq!(walked(&header(&[(2, -5), (2, 7)])).unwrap().0.size, -1);
        let mut rich = vec![0x15, 6, 0x15, 14, 0x15, 18];
        // Version 2: 300 bytes of levels, a flag, and statistics of text, a list and a map's worth of nothing.
        rich.extend([0x5C, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0]);
        rich.push(0x15);
        zigzag(100, &mut rich);
        rich.push(0x15);
        zigzag(200, &mut rich);
        rich.extend([0x11, 0x1C, 0x18, 3, 1, 2, 3, 0x19, 0x21, 1, 2, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let whole = rich.len();
        rich.extend([0xFF; 10]);
        assert_eq!(walked(&rich).unwrap(), (Page { is_dictionary: false, size: 7, compressed: 9, levels: 300 }, whole));
        for end in 0..whole {
            assert!(walked(&rich[..end]).is_err(), "{end}");
        }
        assert!(walked(&[0x18, 1, 0, 0]).is_err(), "a size is a number");
    }

    #[test]
    fn pages_that_follow_each_other_are_looked_at() {
        let page = |size: i64| [header(&[(1, 0), (2, size), (3, 10)]), vec![0xFF; 10]].concat();
        let good = [page(1_000), page(MAX_PAGE_BYTES as i64), page(0)].concat();
        check_parquet_pages(&good, 4).unwrap();
        let bad = [&good[..], &page(1 << 30)].concat();
        let error = check_parquet_pages(&bad, 4).unwrap_err().to_string();
        assert!(error.contains(&format!("a page at byte {} holds more", 4 + good.len())), "{error}");
        assert!(check_parquet_pages(&[&good[..], &[0x18, 1, 0]].concat(), 4).is_err(), "no page");
        check_parquet_pages(&[0; 1_000], 4).unwrap();
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, seen)) = walked(&bytes) {
                prop_assert!(seen <= bytes.len());
            }
        }
    }

    #[test]
    fn gzip_that_holds_too_much_is_found() {
        let mut part = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::copy(&mut io::repeat(0).take(MAX_PAGE_BYTES / 16), &mut part).unwrap();
        let bomb = part.finish().unwrap().repeat(17);
        assert!(bomb.len() < 1 << 20);
        assert!(check_gzip(&bomb, 4).unwrap_err().to_string().contains("a page at byte 4 holds more than 256 MiB"));
        check_gzip(&bomb[..bomb.len() / 2], 4).unwrap();
        check_gzip(b"no gzip", 4).unwrap();
    }

    #[test]
    fn codecs_that_a_build_lacks_are_named() {
        for (codec, is_known) in [(Compression::LZO, false), (Compression::LZ4_RAW, cfg!(feature = "parquet-codecs"))] {
            let checked = check_codec(codec).map_err(|error| error.to_string());
            assert_eq!(checked.is_ok(), is_known);
            assert!(checked.err().is_none_or(|error| error.contains(&format!("compressed with {codec}"))));
        }
        check_codec(Compression::SNAPPY).unwrap();
    }
}
