//! Plans which ranges of offsets an epoch has.
//!
//! An offset of the source holds the next offset of each partition. The first epoch has no start: where it begins follows from the
//! options and from what the cluster had at that moment, so it goes into the journal. A partition that a start does not know is new and
//! begins at 0.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceReader, Split, Wake};

use super::cluster::Cluster;
use super::offsets::{EARLIEST, LATEST, Offsets, Partition, distance};
use super::options::{NoneThatLate, Position, Reading, SourceOptions, Subscription};
use super::reader::Reader;
use super::rows::Column;

/// How often an idle query asks for new records: at first, and after it has found none for a while.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// A part of a partition: from `start` up to and without `end`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KafkaSplit {
    pub(crate) partition: Partition,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The planning half of the source.
pub(crate) struct Planner {
    options: SourceOptions,
    reading: Reading,
    columns: Vec<Column>,
    cluster: Option<Cluster>,
    /// Where the first epoch begins.
    initial: Option<Offsets>,
    /// What is not gone beyond: the end of a batch, or what was there at a freeze.
    limit: Option<Offsets>,
    /// What there was at the last look.
    latest: Offsets,
    last_trigger: Option<Instant>,
    /// How many looks in a row found nothing.
    idle: u32,
}

impl Planner {
    pub(crate) fn new(options: SourceOptions, reading: Reading, columns: Vec<Column>) -> Self {
        Planner {
            options,
            reading,
            columns,
            cluster: None,
            initial: None,
            limit: None,
            latest: Offsets::default(),
            last_trigger: None,
            idle: 0,
        }
    }

    fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().ok_or_else(|| Error::Protocol("the source is not open".to_owned()))
    }

    /// The partitions at the first start: a topic that was named must be there.
    fn first_partitions(&self) -> Result<BTreeSet<Partition>> {
        let partitions = self.cluster()?.partitions()?;
        let missing = |what: String| {
            let servers = self.options.client.servers();
            Err(Error::InvalidArgument(format!("[UNKNOWN_TOPIC_OR_PARTITION] there is no {what} at {servers}: create it first")))
        };
        match &self.options.subscription {
            Subscription::Topics(topics) => match topics.iter().find(|topic| !partitions.iter().any(|p| p.topic == **topic)) {
                Some(topic) => missing(format!("topic {topic}")),
                None => Ok(partitions),
            },
            Subscription::Assigned(assigned) => match assigned.iter().find(|partition| !partitions.contains(partition)) {
                Some(partition) => missing(format!("partition {partition}")),
                None => Ok(partitions),
            },
            Subscription::Pattern(_) => Ok(partitions),
        }
    }

    /// Where the first epoch begins: found out once.
    fn initial(&mut self) -> Result<Offsets> {
        if let Some(initial) = &self.initial {
            return Ok(initial.clone());
        }
        let partitions = self.first_partitions()?;
        let start = self.options.start.clone();
        let none_that_late = self.options.none_that_late;
        let initial = self.resolve("starting", &start, &partitions, none_that_late)?;
        self.initial = Some(initial.clone());
        Ok(initial)
    }

    /// The offsets that a position stands for now.
    fn resolve(
        &self,
        side: &str,
        position: &Position,
        partitions: &BTreeSet<Partition>,
        none_that_late: NoneThatLate,
    ) -> Result<Offsets> {
        let cluster = self.cluster()?;
        match position {
            Position::Earliest => cluster.earliest(partitions.iter().cloned()),
            Position::Latest => cluster.latest(partitions.iter().cloned()),
            Position::Offsets(offsets) => {
                check_complete(side, offsets, partitions)?;
                self.in_bounds(side, offsets, partitions)
            }
            Position::Time(time) => {
                let times = partitions.iter().map(|partition| (partition.clone(), *time)).collect();
                self.by_time(&times, none_that_late)
            }
            Position::Times(times) => {
                check_complete(side, times, partitions)?;
                self.by_time(times, none_that_late)
            }
        }
    }

    /// Offsets that a user gave, with what -1 and -2 stand for; others must still, or already, be there.
    fn in_bounds(&self, side: &str, offsets: &Offsets, partitions: &BTreeSet<Partition>) -> Result<Offsets> {
        let (earliest, latest) =
            (self.cluster()?.earliest(partitions.iter().cloned())?, self.cluster()?.latest(partitions.iter().cloned())?);
        let bounded = |(partition, offset): (&Partition, i64)| {
            let (low, high) = (earliest.get(partition).unwrap_or(0), latest.get(partition).unwrap_or(i64::MAX));
            let offset = match offset {
                EARLIEST => low,
                LATEST => high,
                offset if (low..=high.max(low)).contains(&offset) => offset,
                offset => {
                    self.data_loss(format!(
                        "KAFKA_DATA_LOSS.START_OFFSET_RESET: the {side} offset {offset} of partition {partition} is not there: it has {low} \
                         to {high}"
                    ))?;
                    offset.clamp(low, high.max(low))
                }
            };
            Ok((partition.clone(), offset))
        };
        offsets.iter().map(bounded).collect()
    }

    fn by_time(&self, times: &Offsets, none_that_late: NoneThatLate) -> Result<Offsets> {
        let found = self.cluster()?.at_times(times)?;
        let missing: Vec<Partition> = times.partitions().filter(|partition| found.get(partition).is_none()).cloned().collect();
        if let (NoneThatLate::Fail, Some(partition)) = (none_that_late, missing.first()) {
            return Err(Error::InvalidArgument(format!(
                "No offset matched from request of topic-partition {partition} and timestamp {}: its records are older; set \
                 'startingOffsetsByTimestampStrategy' to 'latest' to start after them",
                times.get(partition).unwrap_or_default()
            )));
        }
        let latest = self.cluster()?.latest(missing)?;
        Ok(found.iter().chain(latest.iter()).map(|(partition, offset)| (partition.clone(), offset)).collect())
    }

    /// Fails, if the user wants that; else says it and goes on.
    fn data_loss(&self, what: String) -> Result<()> {
        data_loss(&self.options, what)
    }

    /// Looks how far partitions reach. Gives where an epoch after `known` begins: as `known` says, without partitions that are gone,
    /// with those that are new.
    fn look(&mut self, known: &Offsets) -> Result<Offsets> {
        let partitions = self.cluster()?.partitions()?;
        let gone: Vec<String> = known.partitions().filter(|p| !partitions.contains(p)).map(ToString::to_string).collect();
        if !gone.is_empty() {
            self.data_loss(format!("KAFKA_DATA_LOSS.PARTITIONS_DELETED: partitions {} are gone", gone.join(", ")))?;
        }
        self.latest = self.cluster()?.latest(partitions.iter().cloned())?;
        let new: Vec<Partition> = partitions.iter().filter(|partition| known.get(partition).is_none()).cloned().collect();
        let mut begin = self.cluster()?.earliest(new)?;
        for (partition, earliest) in begin.iter().filter(|(_, earliest)| *earliest > 0) {
            self.data_loss(format!(
                "KAFKA_DATA_LOSS.ADDED_PARTITION_DOES_NOT_START_FROM_OFFSET_ZERO: the new partition {partition} starts from {earliest}"
            ))?;
        }
        for (partition, from) in known.iter() {
            let Some(latest) = self.latest.get(partition) else { continue };
            if latest < from {
                self.data_loss(format!(
                    "KAFKA_DATA_LOSS.PARTITION_OFFSET_CHANGED: partition {partition} ends at {latest}, and was read up to {from}"
                ))?;
            }
            begin.insert(partition.clone(), from);
        }
        Ok(begin)
    }

    /// Whether there is less than `minOffsetsPerTrigger`, and there has not been an epoch for less than `maxTriggerDelay`.
    fn waits_for_more(&self, begin: &Offsets, end: &Offsets) -> bool {
        let Some(min) = self.options.min_offsets.filter(|_| self.limit.is_none()) else { return false };
        let recent = self.last_trigger.is_some_and(|last| last.elapsed() <= self.options.max_delay);
        recent && end.since(begin) < min
    }
}

/// Fails, if the user wants that; else says it and goes on.
pub(crate) fn data_loss(options: &SourceOptions, what: String) -> Result<()> {
    if !options.fail_on_data_loss {
        tracing::warn!(what, "records of kafka are lost");
        return Ok(());
    }
    Err(Error::SourceDataLoss(format!(
        "{what}. Some data may have been lost because they are not available in Kafka any more; either the data was aged out by Kafka or \
         the topic may have been deleted before all the data in the topic was processed. If you don't want your streaming query to fail \
         on such cases, set the source option \"failOnDataLoss\" to \"false\"."
    )))
}

fn check_complete(side: &str, offsets: &Offsets, partitions: &BTreeSet<Partition>) -> Result<()> {
    if offsets.partitions().eq(partitions) {
        return Ok(());
    }
    let list =
        |partitions: &mut dyn Iterator<Item = &Partition>| partitions.map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::InvalidArgument(format!(
        "If {side} offsets are specific, you must specify all TopicPartitions. Use -1 for latest, -2 for earliest. Specified: {}; assigned: \
         {}",
        list(&mut offsets.partitions()),
        list(&mut partitions.iter())
    )))
}

impl Source for Planner {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        self.cluster = Some(Cluster::connect(&self.options)?);
        let journal = context.journal.first().map(|entry| serde_json::from_slice(&entry.data));
        self.initial = journal.transpose().map_err(|e| Error::user(format!("the journal is not of the Kafka source: {e}")))?;
        if self.initial.is_none() {
            self.initial()?;
        } else {
            self.cluster()?.partitions()?;
        }
        if self.reading == Reading::Batch {
            let partitions = self.first_partitions()?;
            let end = self.options.end.clone();
            self.limit = Some(self.resolve("ending", &end, &partitions, NoneThatLate::Latest)?);
        }
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let known: Offsets = from.map_or_else(|| self.initial(), Offset::decode)?;
        let begin = self.look(&known)?;
        let mut end = self.latest.clone();
        if let Some(limit) = &self.limit {
            end = end.capped(limit);
        }
        if limit == ReadLimit::Configured {
            if from.is_some() && self.waits_for_more(&begin, &end) {
                self.idle = self.idle.saturating_add(1);
                return Ok(None);
            }
            if let Some(max) = self.options.max_offsets {
                end = end.limited(&begin, max);
            }
        }
        // The first epoch may be empty: it makes durable where the query has begun.
        if from.is_some() && end == known {
            self.idle = self.idle.saturating_add(1);
            return Ok(None);
        }
        self.idle = 0;
        self.last_trigger = Some(Instant::now());
        Offset::encode(&end).map(Some)
    }

    fn journal(&mut self, range: &OffsetRange) -> Result<Option<Vec<u8>>> {
        match range.start {
            Some(_) => Ok(None),
            None => serde_json::to_vec(&self.initial()?).map(Some).map_err(Error::user),
        }
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let start = range.start.as_ref().map_or_else(|| self.initial(), Offset::decode)?;
        splits(&start, &range.end.decode()?, self.options.min_partitions).iter().map(Split::encode).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(Reader::new(self.options.clone(), &self.columns)))
    }

    fn freeze(&mut self) -> Result<()> {
        let partitions = self.cluster()?.partitions()?;
        self.limit = Some(self.cluster()?.latest(partitions)?);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.limit.is_some()
    }

    fn wake(&self) -> Wake {
        Wake::Poll((POLL.0 * 2u32.saturating_pow(self.idle / 8)).min(POLL.1))
    }

    fn reported_latest(&self) -> Option<Offset> {
        match self.latest.is_empty() {
            true => None,
            false => Offset::encode(&self.latest).ok(),
        }
    }

    fn metrics(&self, end: &Offset) -> Vec<(String, String)> {
        let Ok(end) = end.decode::<Offsets>() else { return Vec::new() };
        let behind: Vec<u64> =
            self.latest.iter().map(|(partition, latest)| distance(end.get(partition).unwrap_or(0), latest)).collect();
        let (Some(min), Some(max)) = (behind.iter().min(), behind.iter().max()) else { return Vec::new() };
        let average = behind.iter().sum::<u64>() as f64 / behind.len() as f64;
        [("avg", format!("{average:?}")), ("max", max.to_string()), ("min", min.to_string())]
            .map(|(name, value)| (format!("{name}OffsetsBehindLatest"), value))
            .into()
    }
}

/// One split for each partition, also for one without new records, so that a partition stays with its task from epoch to epoch. With
/// `min_partitions` large ones are cut; the further pieces come after all the first ones.
fn splits(start: &Offsets, end: &Offsets, min_partitions: Option<usize>) -> Vec<KafkaSplit> {
    let whole = |(partition, end): (&Partition, i64)| {
        let start = start.get(partition).unwrap_or(0);
        KafkaSplit { partition: partition.clone(), start, end }
    };
    let mut splits: Vec<KafkaSplit> = end.iter().map(whole).collect();
    let with_records = splits.iter().filter(|split| split.start < split.end).count();
    let Some(min) = min_partitions.filter(|min| *min > with_records) else { return splits };
    let total = end.since(start) as f64;
    let mut further = Vec::new();
    for split in &mut splits {
        let size = distance(split.start, split.end);
        let pieces = ((size as f64 / total * min as f64).round() as u64).clamp(1, size.max(1));
        let cuts: Vec<i64> =
            (1..pieces).map(|n| split.start + (u128::from(size) * u128::from(n) / u128::from(pieces)) as i64).collect();
        let ends = cuts.iter().skip(1).copied().chain([split.end]);
        further.extend(cuts.iter().zip(ends).map(|(start, end)| KafkaSplit {
            start: *start,
            end,
            partition: split.partition.clone(),
        }));
        split.end = cuts.first().copied().unwrap_or(split.end);
    }
    splits.append(&mut further);
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(text: &str) -> Offsets {
        Offsets::parse("x", text).unwrap()
    }

    fn cut(start: &str, end: &str, min: Option<usize>) -> Vec<(i32, i64, i64)> {
        let splits = splits(&offsets(start), &offsets(end), min);
        splits.into_iter().map(|split| (split.partition.number, split.start, split.end)).collect()
    }

    #[test]
    fn every_partition_has_a_split_and_a_new_one_begins_at_zero() {
        assert_eq!(cut(r#"{"a":{"0":5,"1":7}}"#, r#"{"a":{"0":9,"1":7,"2":3}}"#, None), [(0, 5, 9), (1, 7, 7), (2, 0, 3)]);
    }

    #[test]
    fn min_partitions_cuts_the_large_ones() {
        let ends = r#"{"a":{"0":90,"1":10}}"#;
        let pieces = cut(r#"{"a":{"0":0,"1":0}}"#, ends, Some(10));
        assert_eq!(pieces.len(), 10);
        assert_eq!(pieces[..3], [(0, 0, 10), (1, 0, 10), (0, 10, 20)]);
        assert_eq!(pieces.last(), Some(&(0, 80, 90)));
        assert_eq!(cut(r#"{"a":{"0":0,"1":0}}"#, ends, Some(2)).len(), 2);
        assert_eq!(cut(r#"{"a":{"0":0}}"#, r#"{"a":{"0":2}}"#, Some(9)), [(0, 0, 1), (0, 1, 2)]);
    }
}
