//! Whether the chunks of an ORC file can be held: the library decompresses each as a whole, however much comes out of it.
//!
//! ```text
//! a file: stripes (streams, then a footer), metadata, footer, postscript      all but the last: chunks, each with its length
//! ```

use std::fs::File;
use std::io::{self, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use orc_rust::reader::ChunkReader;
use orc_rust::reader::metadata::FileMetadata;

use super::compression::most_held;

/// What a chunk may hold: the format has no larger ones.
const MAX_CHUNK_BYTES: u64 = 8 << 20;
/// What the description of a stripe or of the file may hold.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
const MOST_FOR_A_BYTE_OF_DEFLATE: u64 = 1_032;
/// A block of zstd holds no more.
const ZSTD_BLOCK_BYTES: u64 = 128 << 10;

/// How chunks are compressed, by the numbers that the format gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Zlib,
    Snappy,
    Lzo,
    Lz4,
    Zstd,
}

/// An ORC file whose chunks are looked at before they are decompressed.
#[derive(Debug)]
pub(crate) struct BoundedChunks {
    file: File,
    length: u64,
    codec: Option<Codec>,
    /// What a chunk holds at most, as the file says.
    block_bytes: u64,
    /// Whether streams are read: what is read before is the end of the file, which was looked at when it was opened.
    reads_streams: Arc<AtomicBool>,
    held: Mutex<Held>,
}

/// What is decompressed at once: a chunk of each stream of a stripe.
#[derive(Debug, Default)]
struct Held {
    /// Where the stream began that was read last.
    last: u64,
    bytes: u64,
}

impl BoundedChunks {
    /// Looks at how the file is compressed, and at its footer.
    ///
    /// # Errors
    /// When it can't be read, and when the footer holds too much. What else is wrong with it is left for the library to say.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let reads_streams = Arc::default();
        let mut chunks = BoundedChunks { file, length, codec: None, block_bytes: 0, reads_streams, held: Mutex::default() };
        let Some(postscript) = chunks.postscript()? else { return Ok(chunks) };
        (chunks.codec, chunks.block_bytes) = (postscript.codec, postscript.block_bytes);
        if chunks.codec.is_some() && chunks.block_bytes > MAX_CHUNK_BYTES {
            return Err(too_large(length, "a chunk, as is said", MAX_CHUNK_BYTES));
        }
        chunks.check_footer(postscript.metadata_from, postscript.footer_from)?;
        chunks.check_footer(postscript.footer_from, postscript.from)?;
        Ok(chunks)
    }

    /// Looks at the footers of the stripes, which the library decompresses as a whole.
    ///
    /// # Errors
    /// When one can't be read or holds too much.
    pub(crate) fn check_stripes(&self, metadata: &FileMetadata) -> io::Result<()> {
        self.reads_streams.store(true, Ordering::Relaxed);
        metadata.stripe_metadatas().iter().try_for_each(|stripe| {
            let from = stripe.offset().saturating_add(stripe.index_length()).saturating_add(stripe.data_length());
            self.check_footer(from, from.saturating_add(stripe.footer_length()))
        })
    }

    /// A second reader of the same file.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(BoundedChunks {
            file: self.file.try_clone()?,
            length: self.length,
            codec: self.codec,
            block_bytes: self.block_bytes,
            reads_streams: Arc::clone(&self.reads_streams),
            held: Mutex::default(),
        })
    }

    fn check_footer(&self, from: u64, to: u64) -> io::Result<()> {
        let bytes = self.bytes(from, to.saturating_sub(from))?;
        let total = self.chunks(&bytes).fold(0, |total: u64, chunk| total.saturating_add(self.content_of(chunk, 0)));
        if total > MAX_FOOTER_BYTES { Err(too_large(from, "a footer", MAX_FOOTER_BYTES)) } else { Ok(()) }
    }

    fn bytes(&self, from: u64, length: u64) -> io::Result<Bytes> {
        if from.checked_add(length).is_none_or(|end| end > self.length) {
            let what = format!("{length} bytes at byte {from} lead out of the file");
            return Err(Error::new(ErrorKind::UnexpectedEof, what));
        }
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(from))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The compressed chunks of a stream.
    fn chunks<'a>(&self, stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = if self.codec.is_some() { stream } else { &[] };
        std::iter::from_fn(move || {
            loop {
                let (header, after) = rest.split_first_chunk::<3>()?;
                let bits = u32::from_le_bytes([header[0], header[1], header[2], 0]);
                let (chunk, after) = after.split_at_checked((bits >> 1) as usize)?;
                rest = after;
                if bits & 1 == 0 {
                    return Some(chunk);
                }
            }
        })
    }

    /// How much a chunk holds at most. It is not looked into if it can't be more than `enough`.
    fn content_of(&self, chunk: &[u8], enough: u64) -> u64 {
        let length = chunk.len() as u64;
        match self.codec {
            None => length,
            Some(Codec::Zlib) => deflated(chunk, enough),
            Some(Codec::Snappy) => snap::raw::decompress_len(chunk).map_or(0, |content| content as u64),
            // Room is made for as much as the file says, and for no more.
            Some(Codec::Lz4) => self.block_bytes,
            // Stored as it is, a chunk of the file's size is no longer.
            Some(Codec::Lzo) => {
                if length > self.block_bytes {
                    u64::MAX
                } else {
                    length
                }
            }
            Some(Codec::Zstd) => zstd_bound(chunk).unwrap_or(u64::MAX),
        }
    }

    /// Fails if a chunk holds too much, or the chunks of a stripe all together.
    fn check_stream(&self, from: u64, stream: &[u8]) -> io::Result<()> {
        let largest = self.chunks(stream).map(|chunk| self.content_of(chunk, MAX_CHUNK_BYTES)).max().unwrap_or(0);
        if largest > MAX_CHUNK_BYTES {
            return Err(too_large(from, "a chunk of the stream", MAX_CHUNK_BYTES));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // The footer of a stripe is read before its streams, which lie in front of it: who goes back begins a stripe.
        if from < held.last {
            held.bytes = 0;
        }
        (held.last, held.bytes) = (from, held.bytes + largest);
        let most = most_held(self.length);
        if held.bytes > most { Err(too_large(from, "what is read at once, up to the stream", most)) } else { Ok(()) }
    }

    fn postscript(&self) -> io::Result<Option<Postscript>> {
        let Some(at) = self.length.checked_sub(1) else { return Ok(None) };
        let Some(length) = self.bytes(at, 1)?.first().map(|length| u64::from(*length)) else { return Ok(None) };
        let Some(from) = at.checked_sub(length) else { return Ok(None) };
        Ok(Postscript::of(&self.bytes(from, length)?, from))
    }
}

impl ChunkReader for BoundedChunks {
    type T = BufReader<File>;

    fn len(&self) -> u64 {
        self.length
    }

    fn get_read(&self, from: u64) -> io::Result<BufReader<File>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(from))?;
        Ok(BufReader::new(file))
    }

    fn get_bytes(&self, from: u64, length: u64) -> io::Result<Bytes> {
        let bytes = self.bytes(from, length)?;
        if self.reads_streams.load(Ordering::Relaxed) {
            self.check_stream(from, &bytes)?;
        }
        Ok(bytes)
    }
}

fn too_large(at: u64, what: &str, limit: u64) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} at byte {at} holds more than {} MiB", limit >> 20))
}

/// How much comes out of deflate, but no more than is too much.
fn deflated(chunk: &[u8], enough: u64) -> u64 {
    let most = (chunk.len() as u64).saturating_mul(MOST_FOR_A_BYTE_OF_DEFLATE);
    if most <= enough {
        return most;
    }
    let mut content = flate2::read::DeflateDecoder::new(chunk).take(MAX_CHUNK_BYTES + 1);
    let (mut piece, mut total) = (vec![0; 64 << 10], 0);
    // What is damaged is left for its reader to say.
    while let Ok(read @ 1..) = content.read(&mut piece) {
        total += read as u64;
    }
    total
}

/// How much comes out of zstd at most, by the headers of its blocks; `None` for what is no zstd.
fn zstd_bound(mut chunk: &[u8]) -> Option<u64> {
    const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
    let mut total = 0_u64;
    while !chunk.is_empty() {
        let (magic, rest) = chunk.split_first_chunk::<4>()?;
        if magic[1..] == [0x2A, 0x4D, 0x18] && magic[0] & 0xF0 == 0x50 {
            // A frame to be skipped.
            let (length, rest) = rest.split_first_chunk::<4>()?;
            chunk = rest.get(u32::from_le_bytes(*length) as usize..)?;
            continue;
        }
        if *magic != MAGIC {
            return None;
        }
        let (descriptor, rest) = rest.split_first()?;
        let is_single = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
        let content = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        let mut rest = rest.get(usize::from(!is_single) + dictionary + content..)?;
        loop {
            let (header, after) = rest.split_first_chunk::<3>()?;
            let bits = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let (is_last, size) = (bits & 1 != 0, bits >> 3);
            let (stored, held) = match bits >> 1 & 3 {
                // As it is, one byte many times, and compressed.
                0 => (size, u64::from(size)),
                1 => (1, u64::from(size)),
                2 => (size, ZSTD_BLOCK_BYTES),
                _ => return None,
            };
            total += held;
            rest = after.get(stored as usize..)?;
            if is_last {
                break;
            }
        }
        let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
        chunk = rest.get(checksum..)?;
    }
    Some(total)
}

/// The end of the file, which is not compressed: how all else is.
#[derive(Debug, PartialEq, Eq)]
struct Postscript {
    codec: Option<Codec>,
    block_bytes: u64,
    /// Where the metadata, the footer and the postscript itself begin.
    metadata_from: u64,
    footer_from: u64,
    from: u64,
}

impl Postscript {
    /// A record of Protobuf that begins at byte `from` of the file; `None` for what is none.
    fn of(mut bytes: &[u8], from: u64) -> Option<Self> {
        const FOOTER_LENGTH: u64 = 1;
        const COMPRESSION: u64 = 2;
        const BLOCK_SIZE: u64 = 3;
        const METADATA_LENGTH: u64 = 5;
        let (mut footer, mut codec, mut block_bytes, mut metadata) = (0, 0, 256 << 10, 0);
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            match (tag >> 3, tag & 7) {
                (field, 0) => {
                    let number = varint(&mut bytes)?;
                    match field {
                        FOOTER_LENGTH => footer = number,
                        COMPRESSION => codec = number,
                        BLOCK_SIZE => block_bytes = number,
                        METADATA_LENGTH => metadata = number,
                        _ => {}
                    }
                }
                (_, 2) => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    bytes = bytes.get(length..)?;
                }
                (_, 1) => bytes = bytes.get(8..)?,
                (_, 5) => bytes = bytes.get(4..)?,
                _ => return None,
            }
        }
        let codec = match codec {
            0 => None,
            1 => Some(Codec::Zlib),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lzo),
            4 => Some(Codec::Lz4),
            5 => Some(Codec::Zstd),
            _ => return None,
        };
        let footer_from = from.checked_sub(footer)?;
        Some(Postscript { codec, block_bytes, metadata_from: footer_from.checked_sub(metadata)?, footer_from, from })
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut bits = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        bits |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(bits);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::FileSource;
    use crate::file::sources_tests::{batches, schema};

    fn number(out: &mut Vec<u8>, field: u8, mut value: u64) {
        out.push(field << 3);
        while value > 0x7F {
            out.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn chunk(content: &[u8]) -> Vec<u8> {
        let header = (content.len() as u32) << 1;
        [&header.to_le_bytes()[..3], content].concat()
    }

    /// A file of one stream, then a footer.
    fn orc(codec: u64, block_bytes: u64, stream: &[u8], footer: &[u8]) -> Vec<u8> {
        let mut postscript = Vec::new();
        number(&mut postscript, 1, footer.len() as u64);
        number(&mut postscript, 2, codec);
        number(&mut postscript, 3, block_bytes);
        number(&mut postscript, 5, 0);
        postscript.extend(b"\xC2\xF4\x03\x03ORC");
        [stream, footer, &postscript, &[postscript.len() as u8]].concat()
    }

    fn opened(bytes: &[u8]) -> io::Result<BoundedChunks> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        BoundedChunks::new(file)
    }

    /// Reads streams of this length, one after the other.
    fn read(bytes: &[u8], streams: &[usize]) -> io::Result<()> {
        let chunks = opened(bytes)?;
        chunks.reads_streams.store(true, Ordering::Relaxed);
        let mut from = 0;
        for length in streams {
            chunks.get_bytes(from, *length as u64)?;
            from += *length as u64;
        }
        Ok(())
    }

    fn deflate(bytes: u64) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        io::copy(&mut io::repeat(0).take(bytes), &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    fn zstandard(bytes: u64) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        io::copy(&mut io::repeat(0).take(bytes), &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    fn snappy(bytes: u64) -> Vec<u8> {
        let mut header = vec![0; 10];
        let mut at = 0;
        let mut value = bytes;
        while value > 0x7F {
            header[at] = (value & 0x7F) as u8 | 0x80;
            value >>= 7;
            at += 1;
        }
        header[at] = value as u8;
        header
    }

    const ZLIB: u64 = 1;
    const SNAPPY: u64 = 2;
    const LZ4: u64 = 4;
    const ZSTD: u64 = 5;

    #[test]
    fn a_chunk_that_holds_too_much_is_refused_before_it_is_held() {
        let large = 64 << 20;
        let bombs = [
            (ZLIB, deflate(large), deflate(1 << 20)),
            (ZSTD, zstandard(large), zstandard(1 << 20)),
            (SNAPPY, snappy(large), snappy(1 << 20)),
        ];
        for (codec, bomb, ordinary) in bombs {
            assert!(bomb.len() < 1 << 20, "{codec}");
            let (bomb, ordinary) = (chunk(&bomb), chunk(&ordinary));
            let error = read(&orc(codec, 1 << 18, &bomb, &[]), &[bomb.len()]).unwrap_err().to_string();
            assert!(error.contains("a chunk of the stream at byte 0 holds more than 8 MiB"), "{codec}: {error}");
            let both = [&ordinary[..], &bomb].concat();
            assert!(read(&orc(codec, 1 << 18, &both, &[]), &[both.len()]).is_err(), "also if it is not the first");
            read(&orc(codec, 1 << 18, &both, &[]), &[ordinary.len()]).unwrap();
        }
        let error = opened(&orc(LZ4, 1 << 40, &[], &[])).unwrap_err().to_string();
        assert!(error.contains("a chunk, as is said"), "{error}");
    }

    #[test]
    fn streams_that_hold_too_much_all_together_are_refused() {
        let stream = chunk(&zstandard(7 << 20));
        let streams = stream.repeat(200);
        let lengths = vec![stream.len(); 200];
        let error = read(&orc(ZSTD, 1 << 18, &streams, &[]), &lengths).unwrap_err().to_string();
        assert!(error.contains("what is read at once"), "{error}");
        read(&orc(ZSTD, 1 << 18, &streams, &[]), &lengths[..100]).unwrap();
    }

    #[test]
    fn a_footer_that_holds_too_much_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let footer = chunk(&deflate(7 << 20)).repeat(10);
        std::fs::write(dir.path().join("a.orc"), orc(ZLIB, 1 << 18, b"ORC", &footer)).unwrap();
        let source = FileSource::orc(dir.path(), schema(&[("a", arrow::datatypes::DataType::Int64)]));
        let error = batches(&source).unwrap_err().to_string();
        assert!(error.contains("a.orc: ") && error.contains("a footer at byte 3 holds more than 64 MiB"), "{error}");
        assert!(source.columns_of_files(false).is_err());
    }

    #[test]
    fn zstd_is_bounded_by_its_blocks() {
        for bytes in [0, 1, 255, 256, 1_000, 65_536, 300_000, 5 << 20] {
            let mut content = vec![7; bytes];
            content.iter_mut().enumerate().for_each(|(n, byte)| *byte = ((n * n) >> 5) as u8);
            for level in [1, 3, 19] {
                let one = zstd::encode_all(&content[..], level).unwrap();
                let bound = zstd_bound(&one).unwrap();
                assert!((bytes as u64..=bytes as u64 + (256 << 10)).contains(&bound), "{bytes} bytes, {bound} at most");
                assert_eq!(zstd_bound(&one.repeat(2)), Some(2 * bound));
                for end in 1..one.len().min(40) {
                    assert_eq!(zstd_bound(&one[..end]), None, "cut off");
                }
            }
        }
    }

    #[test]
    fn what_is_no_orc_is_left_to_the_library() {
        let whole = orc(ZLIB, 1 << 18, &chunk(&deflate(100)), &chunk(&deflate(100)));
        for end in 0..whole.len() {
            drop(opened(&whole[..end]));
        }
        for (at, byte) in (0..whole.len()).flat_map(|at| [0, 1, 0x7F, 0x80, 0xFF].map(|byte| (at, byte))) {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            drop(read(&damaged, &[whole.len() / 2]));
        }
    }
}
