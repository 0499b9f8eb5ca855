//! Positions in the partitions of topics, in Spark's JSON form: `{"topic":{"0":23,"1":-2}}`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Result};

/// The position after the newest record, in an option.
pub(crate) const LATEST: i64 = -1;

/// The position of the oldest record, in an option.
pub(crate) const EARLIEST: i64 = -2;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: i32,
}

impl Partition {
    pub(crate) fn new(topic: impl Into<String>, number: i32) -> Self {
        Partition { topic: topic.into(), number }
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.number)
    }
}

/// A number for each of some partitions: the offset of the next record, or a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offsets(BTreeMap<Partition, i64>);

impl Offsets {
    /// Reads the value of the option `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| {
            Error::InvalidArgument(format!(
                r#"Option '{name}' must be JSON like {{"topicA":{{"0":23,"1":-1}},"topicB":{{"0":-2}}}}, got {text}: {e}"#
            ))
        })
    }

    pub(crate) fn get(&self, partition: &Partition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    pub(crate) fn insert(&mut self, partition: Partition, offset: i64) {
        self.0.insert(partition, offset);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Partition, i64)> {
        self.0.iter().map(|(partition, offset)| (partition, *offset))
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.0.keys()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same partitions, each not beyond its position in `limit`, or those of `limit` if it has fewer.
    pub(crate) fn capped(self, limit: &Offsets) -> Self {
        let capped = |(partition, offset): (Partition, i64)| Some((limit.get(&partition)?.min(offset), partition));
        self.0.into_iter().filter_map(capped).map(|(offset, partition)| (partition, offset)).collect()
    }

    /// How many offsets lie between `start` and here.
    pub(crate) fn since(&self, start: &Offsets) -> u64 {
        self.iter().map(|(partition, end)| distance(start.get(partition).unwrap_or(0), end)).sum()
    }

    /// At most about `limit` offsets after `start`, dealt to partitions in proportion to what they have; each that has something gets
    /// something.
    pub(crate) fn limited(&self, start: &Offsets, limit: u64) -> Self {
        let total = self.since(start);
        if total <= limit {
            return self.clone();
        }
        let share = |(partition, end): (&Partition, i64)| {
            let begin = start.get(partition).unwrap_or(0);
            let size = distance(begin, end);
            // As Spark deals them: a share below one is one, others are rounded down.
            let share = limit as f64 * (size as f64 / total as f64);
            let share = if share < 1.0 { share.ceil() } else { share.floor() };
            (partition.clone(), begin.saturating_add(share as i64).min(end).max(begin.min(end)))
        };
        self.iter().map(share).collect()
    }
}

/// How far `end` is after `start`; nothing, if it is before.
pub(crate) fn distance(start: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(start)).unwrap_or(0)
}

impl FromIterator<(Partition, i64)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (Partition, i64)>>(offsets: I) -> Self {
        Offsets(offsets.into_iter().collect())
    }
}

impl Serialize for Offsets {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut topics: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
        for (partition, offset) in self.iter() {
            topics.entry(&partition.topic).or_default().insert(partition.number, offset);
        }
        topics.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Offsets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let topics = BTreeMap::<String, BTreeMap<i32, i64>>::deserialize(deserializer)?;
        let mut offsets = BTreeMap::new();
        for (topic, partitions) in topics {
            for (number, offset) in partitions {
                match offsets.entry(Partition::new(topic.clone(), number)) {
                    Entry::Vacant(entry) => entry.insert(offset),
                    Entry::Occupied(_) => return Err(serde::de::Error::custom("a partition is there twice")),
                };
            }
        }
        Ok(Offsets(offsets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(text: &str) -> Offsets {
        Offsets::parse("startingOffsets", text).unwrap()
    }

    #[test]
    fn the_json_form_is_sparks() {
        let text = r#"{"a":{"0":23,"1":-1,"10":4},"b":{"0":-2}}"#;
        assert_eq!(serde_json::to_string(&offsets(text)).unwrap(), text);
        assert_eq!(offsets(text).get(&Partition::new("a", 10)), Some(4));
        for wrong in ["", "latest", "[]", r#"{"a":1}"#, r#"{"a":{"x":1}}"#, r#"{"a":{"0":"1"}}"#] {
            let error = Offsets::parse("startingOffsets", wrong).unwrap_err().to_string();
            assert!(error.contains("'startingOffsets' must be JSON"), "{error}");
        }
    }

    #[test]
    fn a_limit_is_dealt_in_proportion() {
        let (start, end) = (offsets(r#"{"a":{"0":100,"1":0,"2":7}}"#), offsets(r#"{"a":{"0":400,"1":100,"2":7}}"#));
        assert_eq!(end.since(&start), 400);
        assert_eq!(end.limited(&start, 40), offsets(r#"{"a":{"0":130,"1":10,"2":7}}"#));
        assert_eq!(end.limited(&start, 1), offsets(r#"{"a":{"0":101,"1":1,"2":7}}"#));
        assert_eq!(end.limited(&start, 400), end);
    }

    #[test]
    fn a_cap_leaves_no_partition_beyond_it() {
        let cap = offsets(r#"{"a":{"0":5,"1":9}}"#);
        assert_eq!(offsets(r#"{"a":{"0":7,"1":3,"2":1}}"#).capped(&cap), offsets(r#"{"a":{"0":5,"1":3}}"#));
    }
}
