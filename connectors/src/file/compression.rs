//! Compressed files: what their names say, and the streams that read and write them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};

use super::snappy::{SnappyReader, SnappyWriter};

/// How much a reader may hold at once of what it decompressed, in a file of so many bytes: some for each column, however small they
/// are, and what an ordinary large file needs.
pub(crate) fn most_held(file_bytes: u64) -> u64 {
    const OF_ANY_FILE: u64 = 1 << 30;
    OF_ANY_FILE.saturating_add(file_bytes.saturating_mul(8))
}

/// How a file is compressed as a whole: what Spark and Hadoop know by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.gz`
    Gzip,
    /// `.deflate`: a zlib stream
    Deflate,
    /// `.bz2`
    Bzip2,
    /// `.zst`
    Zstd,
    /// `.snappy`, in the frame of Hadoop
    Snappy,
}

impl Compression {
    const ALL: [Compression; 5] =
        [Compression::Gzip, Compression::Deflate, Compression::Bzip2, Compression::Zstd, Compression::Snappy];

    /// The compression that the end of a file's name stands for.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        Self::ALL.into_iter().find(|codec| extension.eq_ignore_ascii_case(codec.extension()))
    }

    /// The end of the names of such files.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Compression::Gzip => "gz",
            Compression::Deflate => "deflate",
            Compression::Bzip2 => "bz2",
            Compression::Zstd => "zst",
            Compression::Snappy => "snappy",
        }
    }

    /// What the file holds, decompressed piece by piece: however much comes out of it, no more than a window is held.
    pub(crate) fn decoder(self, file: File) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Compression::Deflate => Box::new(flate2::read::ZlibDecoder::new(file)),
            Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(file)),
            Compression::Zstd => Box::new(zstd::Decoder::new(file)?),
            Compression::Snappy => Box::new(SnappyReader::new(io::BufReader::new(file))),
        })
    }
}

/// Writes into `W`, compressed or as it is.
pub(crate) enum Compressor<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Deflate(flate2::write::ZlibEncoder<W>),
    Bzip2(bzip2::write::BzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
    Snappy(SnappyWriter<W>),
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(codec: Option<Compression>, out: W) -> io::Result<Self> {
        Ok(match codec {
            None => Compressor::Plain(out),
            Some(Compression::Gzip) => Compressor::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
            Some(Compression::Deflate) => {
                Compressor::Deflate(flate2::write::ZlibEncoder::new(out, flate2::Compression::default()))
            }
            Some(Compression::Bzip2) => Compressor::Bzip2(bzip2::write::BzEncoder::new(out, bzip2::Compression::default())),
            Some(Compression::Zstd) => Compressor::Zstd(zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            Some(Compression::Snappy) => Compressor::Snappy(SnappyWriter::new(out)),
        })
    }

    /// Ends the stream and gives back what it was written into.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Compressor::Plain(out) => Ok(out),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Deflate(encoder) => encoder.finish(),
            Compressor::Bzip2(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
            Compressor::Snappy(writer) => writer.finish(),
        }
    }

    /// What it is written into.
    pub(crate) fn get_ref(&self) -> &W {
        match self {
            Compressor::Plain(out) => out,
            Compressor::Gzip(encoder) => encoder.get_ref(),
            Compressor::Deflate(encoder) => encoder.get_ref(),
            Compressor::Bzip2(encoder) => encoder.get_ref(),
            Compressor::Zstd(encoder) => encoder.get_ref(),
            Compressor::Snappy(writer) => writer.get_ref(),
        }
    }

    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Compressor::Plain(out) => out,
            Compressor::Gzip(encoder) => encoder,
            Compressor::Deflate(encoder) => encoder,
            Compressor::Bzip2(encoder) => encoder,
            Compressor::Zstd(encoder) => encoder,
            Compressor::Snappy(writer) => writer,
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.as_write().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.as_write().flush()
    }
}

impl<W: Write> fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    fn compressed(codec: Compression, content: &[u8]) -> Vec<u8> {
        let mut writer = Compressor::new(Some(codec), Vec::new()).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    fn decompressed(codec: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let mut content = Vec::new();
        codec.decoder(file)?.read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn every_codec_reads_what_it_writes_and_notices_what_is_cut_off() {
        let content: Vec<u8> = (0..700_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for codec in Compression::ALL {
            let bytes = compressed(codec, &content);
            assert!(bytes.len() < content.len());
            assert!(decompressed(codec, &bytes).unwrap() == content, "{codec:?}");
            assert!(decompressed(codec, &compressed(codec, b"")).unwrap().is_empty());
            assert!(decompressed(codec, &bytes[..bytes.len() - 5]).is_err(), "{codec:?}");
            assert!(decompressed(codec, b"no such magic, but long enough to hold a header").is_err(), "{codec:?}");
        }
    }

    #[test]
    fn streams_in_a_row_are_one_file() {
        for codec in [Compression::Gzip, Compression::Bzip2, Compression::Zstd, Compression::Snappy] {
            let both = [compressed(codec, b"one"), compressed(codec, b"two")].concat();
            assert_eq!(decompressed(codec, &both).unwrap(), b"onetwo", "{codec:?}");
        }
    }

    #[test]
    fn names_say_how_a_file_is_compressed() {
        assert_eq!(Compression::of_name("a.csv.GZ"), Some(Compression::Gzip));
        assert_eq!((Compression::of_name("a.csv"), Compression::of_name("gz")), (None, None));
    }
}
