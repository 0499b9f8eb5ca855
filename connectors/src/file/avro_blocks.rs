//! Whether the blocks of an Avro file can be held: the library's reader decompresses each as a whole, however much comes out of it.

use std::fs::File;
use std::io::{self, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};

/// What a block may hold; writers make blocks of some kilobytes to a few megabytes.
const MAX_BLOCK_BYTES: u64 = 256 << 20;
const MAGIC: &[u8; 4] = b"Obj\x01";
const SYNC_BYTES: i64 = 16;

/// How blocks are compressed, and the most bytes that one of them can stand for: what can't be too large is not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
}

impl Codec {
    fn of_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"null" => Codec::Null,
            b"deflate" => Codec::Deflate,
            b"snappy" => Codec::Snappy,
            b"zstandard" => Codec::Zstandard,
            b"bzip2" => Codec::Bzip2,
            _ => return None,
        })
    }

    fn most_for_a_byte(self) -> u64 {
        match self {
            Codec::Null => 1,
            Codec::Deflate => 1_032,
            Codec::Snappy => 64,
            Codec::Zstandard | Codec::Bzip2 => 1 << 15,
        }
    }
}

/// Fails if a block holds too much. Anything else that is wrong with the file is left for its reader to say. The file is at its start
/// afterwards.
pub(super) fn check_blocks(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.rewind()?;
    let checked = check(&mut BufReader::new(file), length);
    file.rewind()?;
    checked.or_else(|error| if error.kind() == ErrorKind::InvalidData { Err(error) } else { Ok(()) })
}

fn check(file: &mut (impl Read + Seek), length: u64) -> io::Result<()> {
    let Some(codec) = codec_of(file)? else { return Ok(()) };
    // A block: how many rows, how many bytes, these, and a mark.
    while long(file)?.is_some() {
        let Some(size) = long(file)?.and_then(|size| u64::try_from(size).ok()) else { return Ok(()) };
        let at = file.stream_position()?;
        if size > length.saturating_sub(at) {
            return Ok(());
        }
        if size.saturating_mul(codec.most_for_a_byte()) > MAX_BLOCK_BYTES && content_of(file, codec, size)? > MAX_BLOCK_BYTES {
            let what = format!("a block at byte {at} holds more than {} MiB", MAX_BLOCK_BYTES >> 20);
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        file.seek(SeekFrom::Start(at + size))?;
        file.seek_relative(SYNC_BYTES)?;
    }
    Ok(())
}

/// The codec that the header names; `None` if there is none that we know.
fn codec_of(file: &mut (impl Read + Seek)) -> io::Result<Option<Codec>> {
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let mut codec = Some(Codec::Null);
    loop {
        let entries = match long(file)? {
            None => return Ok(None),
            Some(0) => break,
            // The length of the entries in bytes comes first.
            Some(negative) if negative < 0 => long(file)?.map_or(0, |_| negative.unsigned_abs()),
            Some(entries) => entries.unsigned_abs(),
        };
        for _ in 0..entries {
            let (key, value) = (text(file)?, text(file)?);
            if key == b"avro.codec" {
                codec = Codec::of_name(&value);
            }
        }
    }
    file.seek_relative(SYNC_BYTES)?;
    Ok(codec)
}

/// How much a block holds, as far as it matters.
fn content_of(file: &mut impl Read, codec: Codec, size: u64) -> io::Result<u64> {
    let block = file.take(size);
    let mut content: Box<dyn Read + '_> = match codec {
        Codec::Null => return Ok(size),
        Codec::Snappy => return Ok(varint(&mut { block })?.unwrap_or(0)),
        Codec::Deflate => Box::new(flate2::read::DeflateDecoder::new(block)),
        Codec::Zstandard => Box::new(zstd::Decoder::new(block)?),
        Codec::Bzip2 => Box::new(bzip2::read::BzDecoder::new(block)),
    };
    let (mut piece, mut total) = (vec![0; 64 << 10], 0);
    while total <= MAX_BLOCK_BYTES {
        match content.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => total += read as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Damaged: its reader says so.
            Err(_) => break,
        }
    }
    Ok(total)
}

/// A short text of the header; an empty one for what is longer, such as the schema.
fn text(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    const SHORT: i64 = 64;
    let mut text = Vec::new();
    match long(file)? {
        Some(length @ 0..=SHORT) => {
            text.resize(usize::try_from(length).unwrap_or_default(), 0);
            file.read_exact(&mut text)?;
        }
        Some(length) if length > SHORT => file.seek_relative(length)?,
        _ => return Err(ErrorKind::UnexpectedEof.into()),
    }
    Ok(text)
}

/// A number as Avro writes it; `None` at the end of the file.
fn long(file: &mut impl Read) -> io::Result<Option<i64>> {
    Ok(varint(file)?.map(|bits| (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()))
}

fn varint(file: &mut impl Read) -> io::Result<Option<u64>> {
    let (mut bits, mut byte) = (0_u64, [0]);
    for shift in (0..64).step_by(7) {
        if file.read(&mut byte)? == 0 {
            return Ok(None);
        }
        let [byte] = byte;
        bits |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(bits));
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn write_long(out: &mut Vec<u8>, number: i64) {
        let mut bits = (number << 1 ^ number >> 63).cast_unsigned();
        while bits > 0x7F {
            out.push((bits & 0x7F) as u8 | 0x80);
            bits >>= 7;
        }
        out.push(bits as u8);
    }

    /// A file of blocks.
    fn avro(codec: &str, blocks: &[Vec<u8>]) -> File {
        let mut bytes = MAGIC.to_vec();
        write_long(&mut bytes, 2);
        let schema =
            r#"{"type":"record","name":"r","fields":[{"name":"a","type":"bytes"}],"doc":"longer than what is read of a header"}"#;
        for text in ["avro.schema", schema, "avro.codec", codec] {
            write_long(&mut bytes, text.len() as i64);
            bytes.extend_from_slice(text.as_bytes());
        }
        write_long(&mut bytes, 0);
        bytes.extend_from_slice(&[7; 16]);
        for block in blocks {
            write_long(&mut bytes, 1);
            write_long(&mut bytes, block.len() as i64);
            bytes.extend_from_slice(block);
            bytes.extend_from_slice(&[7; 16]);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    fn deflated(bytes: u64) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(&mut io::repeat(0).take(bytes), &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    fn zstandard(bytes: u64) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        io::copy(&mut io::repeat(0).take(bytes), &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_block_that_holds_too_much_is_found_before_it_is_held() {
        let large = MAX_BLOCK_BYTES + 1;
        let mut snappy = Vec::new();
        write_long(&mut snappy, -1 - i64::from(u32::MAX / 2));
        snappy.resize(5 << 20, 0);
        for (codec, block) in [("deflate", deflated(large)), ("zstandard", zstandard(large)), ("snappy", snappy)] {
            assert!(block.len() < 16 << 20);
            let error = check_blocks(&avro(codec, std::slice::from_ref(&block))).unwrap_err().to_string();
            assert!(error.contains("holds more than 256 MiB"), "{codec}: {error}");
            // Also if it is not the first.
            assert!(check_blocks(&avro(codec, &[deflated(9)[..].to_vec(), block])).is_err());
        }
        for (codec, block) in [("deflate", deflated(1 << 20)), ("zstandard", zstandard(MAX_BLOCK_BYTES)), ("null", vec![0; 100])]
        {
            check_blocks(&avro(codec, &[block.clone(), block])).unwrap();
        }
    }

    #[test]
    fn what_is_no_avro_is_left_to_the_reader() {
        let whole = avro("deflate", &[deflated(100)]);
        let length = whole.metadata().unwrap().len();
        for cut in 0..length {
            whole.set_len(length - cut).unwrap();
            check_blocks(&whole).unwrap();
        }
        check_blocks(&avro("unheard-of", &[vec![0; 10]])).unwrap();
        for codec in ["null", "deflate", "snappy", "zstandard", "bzip2"] {
            let mut bytes = Vec::new();
            let mut whole = avro(codec, &[deflated(100), deflated(100)]);
            whole.rewind().unwrap();
            whole.read_to_end(&mut bytes).unwrap();
            for (at, byte) in (0..bytes.len()).flat_map(|at| [0, 1, 0x7F, 0x80, 0xFF].map(|byte| (at, byte))) {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                // Whatever it says, it says it of any bytes.
                drop(check(&mut io::Cursor::new(&damaged), damaged.len() as u64));
            }
        }
        let mut other = tempfile::tempfile().unwrap();
        other.write_all(&[0xFF; 1_000]).unwrap();
        check_blocks(&other).unwrap();
        assert_eq!(other.stream_position().unwrap(), 0);
    }
}
