//! The file `HEAD`: a second opinion on how far the logs reach.
//!
//! The catalogue's database drops what follows a damaged record without a word. Then its newest entries are gone and the rest
//! looks whole. `HEAD` is written after every step of the logs and says how far they reached, so a catalogue that ends earlier
//! is recognised. There are two slots, written in turn: a torn write leaves the other one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::codec::{self, Fault, Kind};
use super::records::Head;
use crate::error::{Error, Result};
use crate::failpoint;

/// A slot never spans two sectors of a disk.
const SLOT_BYTES: usize = 512;

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadState {
    /// There is no file.
    Missing,
    /// No slot can be read.
    Unreadable,
    /// The newest slot.
    Known(Head),
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    file: File,
}

/// Reads the file of the checkpoint `dir`.
///
/// # Errors
/// When it is there and can't be read, or a newer release wrote it.
pub(super) fn read(dir: &Path) -> Result<HeadState> {
    let path = dir.join("HEAD");
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(4 * SLOT_BYTES as u64).read_to_end(&mut bytes)) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(HeadState::Missing),
        Err(source) => Err(Error::Io { action: "read", path, source }),
        Ok(_) => newest(&bytes).map_err(|fault| fault.at(&path, "slot")),
    }
}

fn newest(bytes: &[u8]) -> Result<HeadState, Fault> {
    let slots: Vec<Result<Head, Fault>> =
        bytes.chunks(SLOT_BYTES).take(2).map(|slot| codec::decode_padded(Kind::Head, slot)).collect();
    if let Some(head) = slots.iter().filter_map(|slot| slot.as_ref().ok()).max_by_key(|head| head.sequence) {
        return Ok(HeadState::Known(head.clone()));
    }
    // A slot of a newer release counts only if no slot can be read: else it is a damaged one.
    let newer = slots.into_iter().find_map(|slot| slot.err().filter(|fault| matches!(fault, Fault::Version(_))));
    newer.map_or(Ok(HeadState::Unreadable), Err)
}

impl HeadFile {
    /// Opens the file of the checkpoint `dir`, and makes it if it is not there.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("HEAD");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(Error::io("open", &path))?;
        // The space is taken now: a full disk must not be able to stop the log between two records.
        file.set_len(2 * SLOT_BYTES as u64).and_then(|()| file.sync_all()).map_err(Error::io("write", &path))?;
        Ok(HeadFile { path, file })
    }

    /// Makes `head` durable in the slot that does not hold the one before.
    ///
    /// # Errors
    /// When it can't be written or synced.
    pub(super) fn write(&mut self, head: &Head) -> Result<()> {
        let mut slot = codec::encode(Kind::Head, head)?;
        if slot.len() > SLOT_BYTES {
            return Err(Error::Protocol("the slot of HEAD is too small".to_owned()));
        }
        slot.resize(SLOT_BYTES, 0);
        let (first, second) = slot.split_at(SLOT_BYTES / 16);
        let at = (head.sequence % 2) * SLOT_BYTES as u64;
        let seek = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(first));
        seek.map_err(Error::io("write", &self.path))?;
        failpoint::hit("head.torn")?;
        let rest = self.file.write_all(second).and_then(|()| self.file.sync_data());
        rest.map_err(Error::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::no_faults;
    use super::*;

    fn head(sequence: u64) -> Head {
        Head { sequence, query: "q".into(), planned: None, committed: None }
    }

    fn flip(dir: &Path, at: usize) {
        let mut bytes = std::fs::read(dir.join("HEAD")).unwrap();
        bytes[at] ^= 1;
        std::fs::write(dir.join("HEAD"), bytes).unwrap();
    }

    #[test]
    fn the_newest_good_slot_counts() {
        let _points = no_faults();
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), HeadState::Missing);
        let mut file = HeadFile::open(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), HeadState::Unreadable);
        for sequence in 1..=4 {
            file.write(&head(sequence)).unwrap();
            assert_eq!(read(dir.path()).unwrap(), HeadState::Known(head(sequence)));
        }
        flip(dir.path(), 20);
        assert_eq!(read(dir.path()).unwrap(), HeadState::Known(head(3)));
        flip(dir.path(), SLOT_BYTES + 20);
        assert_eq!(read(dir.path()).unwrap(), HeadState::Unreadable);
    }

    #[test]
    fn a_newer_release_is_recognised_when_nothing_else_can_be_read() {
        let _points = no_faults();
        let dir = tempfile::tempdir().unwrap();
        let mut file = HeadFile::open(dir.path()).unwrap();
        file.write(&head(0)).unwrap();
        flip(dir.path(), 5);
        assert!(matches!(read(dir.path()), Err(Error::CheckpointVersion { .. })));
    }
}
