//! The names of records in the catalogue: readable prefixes, numbers in big-endian order.

use std::fmt;

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// What is fixed for the life of the checkpoint.
    Meta,
    /// The offset log's entry of an epoch.
    Offsets(u64),
    /// What a source journalled up to an epoch, since the record before.
    Journal {
        /// The source.
        node: String,
        /// The last epoch.
        epoch: u64,
    },
    /// The commit log's entry of an epoch.
    Commit(u64),
    /// The manifest of an epoch.
    Manifest(u64),
    /// A segment that is small enough for the catalogue, by its name.
    Segment(String),
}

impl Key {
    /// The key's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Key::Meta => b"meta".to_vec(),
            Key::Offsets(epoch) => numbered("offsets/", *epoch),
            Key::Journal { node, epoch } => numbered(&format!("journal/{node}/"), *epoch),
            Key::Commit(epoch) => numbered("commits/", *epoch),
            Key::Manifest(epoch) => numbered("manifest/", *epoch),
            Key::Segment(name) => format!("segments/{name}").into_bytes(),
        }
    }

    /// The key with these bytes; `None` if no key has them.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes == b"meta" {
            return Some(Key::Meta);
        }
        if let Some(name) = bytes.strip_prefix(b"segments/") {
            return Some(Key::Segment(std::str::from_utf8(name).ok()?.to_owned()));
        }
        let (prefix, number) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        let epoch = u64::from_be_bytes(number.try_into().ok()?);
        match std::str::from_utf8(prefix).ok()? {
            "offsets/" => Some(Key::Offsets(epoch)),
            "commits/" => Some(Key::Commit(epoch)),
            "manifest/" => Some(Key::Manifest(epoch)),
            journal => {
                let node = journal.strip_prefix("journal/")?.strip_suffix('/')?.to_owned();
                Some(Key::Journal { node, epoch })
            }
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Meta => f.write_str("meta"),
            Key::Offsets(epoch) => write!(f, "offsets/{epoch}"),
            Key::Journal { node, epoch } => write!(f, "journal/{node}/{epoch}"),
            Key::Commit(epoch) => write!(f, "commits/{epoch}"),
            Key::Manifest(epoch) => write!(f, "manifest/{epoch}"),
            Key::Segment(name) => write!(f, "segments/{name}"),
        }
    }
}

fn numbered(prefix: &str, number: u64) -> Vec<u8> {
    let mut key = prefix.as_bytes().to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_back(node in "[a-z/ é]{0,12}", epoch: u64) {
            for key in [
                Key::Meta,
                Key::Offsets(epoch),
                Key::Journal { node: node.clone(), epoch },
                Key::Commit(epoch),
                Key::Manifest(epoch),
                Key::Segment(node.clone()),
            ] {
                prop_assert_eq!(Key::decode(&key.encode()), Some(key));
            }
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            if let Some(key) = Key::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }

        #[test]
        fn keys_of_later_epochs_sort_later(a: u64, b: u64) {
            prop_assert_eq!(a.cmp(&b), Key::Offsets(a).encode().cmp(&Key::Offsets(b).encode()));
        }
    }
}
