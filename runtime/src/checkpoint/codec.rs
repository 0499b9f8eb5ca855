//! Records to bytes and back: the only module that knows bincode.
//!
//! Every record is wrapped in an envelope, so that it can be checked without being understood:
//!
//! ```text
//! magic "TGCK" | version u16 | kind u8 | 0 u8 | payload length u32 | CRC-32C of all the rest u32 | payload
//! ```
//!
//! The format version is read before the checksum is: a newer release may check by other means.

use std::path::Path;

pub(super) use bincode::{Decode, Encode};

use crate::error::{Error, Result};

/// The newest format that this release reads, and the one that it writes.
pub(super) const FORMAT_VERSION: u16 = 1;

/// What the envelope adds to a payload.
pub(super) const ENVELOPE_BYTES: usize = 16;

const MAGIC: [u8; 4] = *b"TGCK";
/// No record is near this size: what claims to be is damaged, and must not make the decoder allocate.
const DECODE_LIMIT: usize = 1 << 30;

/// What a record is about. Its number is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// What is fixed for the life of the checkpoint.
    Meta = 1,
    /// An entry of the offset log.
    Offsets = 2,
    /// What a source journalled in one epoch or more.
    Journal = 3,
    /// An entry of the commit log.
    Commit = 4,
    /// The runs that make up the state after an epoch.
    Manifest = 5,
    /// A slot of the file `HEAD`.
    Head = 6,
    /// Stands for a record of another kind that lies in a segment.
    Pointer = 7,
    /// A segment that is small enough to lie in the catalogue.
    Segment = 8,
}

/// Why bytes are not the record that they should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They don't pass a check.
    Damaged(String),
    /// A newer release wrote them.
    Version(u16),
}

impl Fault {
    /// The error to report for the record `name` of `path`.
    pub(super) fn at(self, path: &Path, name: impl std::fmt::Display) -> Error {
        match self {
            Fault::Damaged(what) => Error::damaged(path, format!("record {name}: {what}")),
            Fault::Version(found) => Error::CheckpointVersion { path: path.to_path_buf(), found, supported: FORMAT_VERSION },
        }
    }
}

/// The record in its envelope.
///
/// # Errors
/// When it is too large to be a record.
pub(super) fn encode<T: Encode>(kind: Kind, record: &T) -> Result<Vec<u8>> {
    bincode::encode_to_vec(record, config()).map_err(Error::user).and_then(|payload| seal(kind, &payload))
}

/// `payload` in an envelope.
///
/// # Errors
/// When it is too large to be a record.
pub(super) fn seal(kind: Kind, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= DECODE_LIMIT)
        .ok_or_else(|| Error::InvalidArgument(format!("a {kind:?} record of {} bytes is too large", payload.len())))?;
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[kind as u8, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    let crc = checksum(&bytes, payload);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Reads a record of this kind, which must fill `bytes`.
pub(super) fn decode<T: Decode<()>>(kind: Kind, bytes: &[u8]) -> Result<T, Fault> {
    let payload = unseal(kind, bytes)?;
    let (record, read) = bincode::decode_from_slice(payload, config()).map_err(|e| damaged(format!("can't be read: {e}")))?;
    if read == payload.len() { Ok(record) } else { Err(damaged(format!("has {} bytes too many", payload.len() - read))) }
}

/// Like [`decode`], for a record in front of padding.
pub(super) fn decode_padded<T: Decode<()>>(kind: Kind, bytes: &[u8]) -> Result<T, Fault> {
    let length: [u8; 4] = array(bytes, 8)?;
    let end = ENVELOPE_BYTES.saturating_add(u32::from_le_bytes(length) as usize);
    decode(kind, bytes.get(..end).ok_or_else(|| damaged("its length is wrong"))?)
}

/// Whether `bytes` say that they are a record of this kind. They may still be damaged.
pub(super) fn claims(kind: Kind, bytes: &[u8]) -> bool {
    bytes.get(6) == Some(&(kind as u8))
}

/// The checked payload of an envelope that `bytes` must fill.
pub(super) fn unseal(kind: Kind, bytes: &[u8]) -> Result<&[u8], Fault> {
    if array::<4>(bytes, 0)? != MAGIC {
        return Err(damaged("is not a record of a checkpoint"));
    }
    let version = u16::from_le_bytes(array(bytes, 4)?);
    if version > FORMAT_VERSION {
        return Err(Fault::Version(version));
    }
    let length = u32::from_le_bytes(array(bytes, 8)?) as usize;
    let crc = u32::from_le_bytes(array(bytes, 12)?);
    let payload = &bytes[ENVELOPE_BYTES..];
    if payload.len() != length {
        return Err(damaged(format!("has {} bytes instead of {length}", payload.len())));
    }
    if checksum(&bytes[..12], payload) != crc {
        return Err(damaged("does not match its checksum"));
    }
    if !claims(kind, bytes) {
        return Err(damaged(format!("is not of the kind {kind:?}")));
    }
    Ok(payload)
}

/// The hash by which records name one another.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), payload)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).ok_or_else(|| damaged("is cut off"))
}

fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged(what.into())
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_newer_version_is_refused_by_number() {
        let mut bytes = encode(Kind::Meta, &7_u64).unwrap();
        bytes[4..6].copy_from_slice(&9_u16.to_le_bytes());
        assert_eq!(decode::<u64>(Kind::Meta, &bytes), Err(Fault::Version(9)));
    }

    #[test]
    fn trailing_bytes_and_other_kinds_are_refused() {
        let mut bytes = seal(Kind::Meta, &[7, 0]).unwrap();
        assert_eq!(decode::<u8>(Kind::Meta, &bytes), Err(damaged("has 1 bytes too many")));
        assert_eq!(decode::<u8>(Kind::Head, &bytes), Err(damaged("is not of the kind Head")));
        bytes.push(0);
        assert_eq!(unseal(Kind::Meta, &bytes), Err(damaged("has 3 bytes instead of 2")));
    }

    #[test]
    fn a_length_that_lies_does_not_allocate() {
        // A bincode string of 2^60 bytes.
        let bytes = seal(Kind::Meta, &[253, 0, 0, 0, 0, 0, 0, 0, 16]).unwrap();
        assert!(decode::<String>(Kind::Meta, &bytes).is_err());
    }

    proptest! {
        #[test]
        fn records_come_back(text in ".*", number: u64) {
            let bytes = encode(Kind::Offsets, &(text.clone(), number)).unwrap();
            prop_assert_eq!(decode::<(String, u64)>(Kind::Offsets, &bytes), Ok((text.clone(), number)));
            let mut padded = bytes;
            padded.extend([0; 40]);
            prop_assert_eq!(decode_padded::<(String, u64)>(Kind::Offsets, &padded), Ok((text, number)));
        }

        #[test]
        fn every_flipped_bit_and_cut_is_noticed(text in ".{0,40}", at: prop::sample::Index, bit in 0..8_u8) {
            let mut bytes = encode(Kind::Offsets, &text).unwrap();
            let at = at.index(bytes.len());
            prop_assert!(decode::<String>(Kind::Offsets, &bytes[..at]).is_err());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode::<String>(Kind::Offsets, &bytes).is_err());
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            prop_assert!(decode::<Vec<String>>(Kind::Offsets, &bytes).is_err());
            prop_assert!(decode_padded::<Vec<String>>(Kind::Offsets, &bytes).is_err());
        }
    }
}
