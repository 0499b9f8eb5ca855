//! Snappy in the frame of Hadoop: blocks, each the length of its content and then chunks of a length and as much Snappy.

use std::io::{self, ErrorKind, Read, Write};

/// The content of a block that is written: Hadoop's buffer.
const BLOCK_BYTES: usize = 256 << 10;
/// A chunk that is read: no writer makes larger ones, and a damaged length must not allocate without bound.
const MAX_CHUNK_BYTES: usize = 64 << 20;

/// Three bytes of Snappy stand for 64 of content at most.
const MAX_RATIO: usize = 22;

/// Reads a file of blocks.
pub(crate) struct SnappyReader<R> {
    inner: R,
    /// How much of the open block's content is still to come.
    left: usize,
    chunk: Vec<u8>,
    content: Vec<u8>,
    /// How much of `content` was given.
    at: usize,
}

impl<R: Read> SnappyReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        SnappyReader { inner, left: 0, chunk: Vec::new(), content: Vec::new(), at: 0 }
    }

    /// Decompresses the next chunk; `false` at the end of the file.
    fn next_chunk(&mut self) -> io::Result<bool> {
        while self.left == 0 {
            match self.length(true)? {
                Some(length) => self.left = length,
                None => return Ok(false),
            }
        }
        let length = self.length(false)?.unwrap_or_default();
        if length > MAX_CHUNK_BYTES {
            return Err(damaged("a chunk is impossibly long"));
        }
        // What lengths say is believed, and memory taken for it, as far as there are bytes.
        self.chunk.clear();
        if self.inner.by_ref().take(length as u64).read_to_end(&mut self.chunk)? < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let size = snap::raw::decompress_len(&self.chunk).map_err(io::Error::other)?;
        if size > self.left || size > MAX_CHUNK_BYTES || size > length.saturating_mul(MAX_RATIO) || size == 0 {
            return Err(damaged("a chunk is larger than its block"));
        }
        self.content.resize(size, 0);
        snap::raw::Decoder::new().decompress(&self.chunk, &mut self.content).map_err(io::Error::other)?;
        (self.at, self.left) = (0, self.left - size);
        Ok(true)
    }

    /// A length; `None` if the file ends where it may.
    fn length(&mut self, may_end: bool) -> io::Result<Option<usize>> {
        let mut bytes = [0; 4];
        let first = loop {
            match self.inner.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        match first {
            0 if may_end => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => self.inner.read_exact(bytes.get_mut(read..).unwrap_or_default())?,
        }
        Ok(Some(u32::from_be_bytes(bytes) as usize))
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.content.len() && !self.next_chunk()? {
            return Ok(0);
        }
        let ready = self.content.get(self.at..).unwrap_or_default();
        let len = ready.len().min(out.len());
        for (to, from) in out.iter_mut().zip(ready) {
            *to = *from;
        }
        self.at += len;
        Ok(len)
    }
}

/// Writes a file of blocks.
pub(crate) struct SnappyWriter<W> {
    inner: W,
    block: Vec<u8>,
}

impl<W: Write> SnappyWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        SnappyWriter { inner, block: Vec::new() }
    }

    pub(crate) fn get_ref(&self) -> &W {
        &self.inner
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for SnappyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES - self.block.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.block.extend_from_slice(taken);
        if self.block.len() == BLOCK_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let chunk = snap::raw::Encoder::new().compress_vec(&self.block).map_err(io::Error::other)?;
        // Both fit: a block is small.
        self.inner.write_all(&(self.block.len() as u32).to_be_bytes())?;
        self.inner.write_all(&(chunk.len() as u32).to_be_bytes())?;
        self.inner.write_all(&chunk)?;
        self.block.clear();
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_no_memory_without_bytes() {
        let block = |chunk_length: u32, chunk: &[u8]| [&u32::MAX.to_be_bytes()[..], &chunk_length.to_be_bytes(), chunk].concat();
        // A chunk that says to be of 64 MiB, and one that says to become that.
        for bytes in [block(64 << 20, b"short"), block(5, &[0x80, 0x80, 0x80, 0x20, 0])] {
            let mut reader = SnappyReader::new(bytes.as_slice());
            assert!(reader.read(&mut [0]).is_err());
            assert!(reader.chunk.capacity() + reader.content.capacity() < 1 << 10);
        }
        // As dense as Snappy can be.
        let mut writer = SnappyWriter::new(Vec::new());
        writer.write_all(&[7; 200_000]).unwrap();
        let mut content = Vec::new();
        SnappyReader::new(writer.finish().unwrap().as_slice()).read_to_end(&mut content).unwrap();
        assert!(content == [7; 200_000]);
    }
}
