//! The options of the source and the sink, as Spark names them. Names count without regard to case.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use regex::Regex;
use tidegate_runtime::{Error, Result};

use super::client::ClientOptions;
use super::offsets::{EARLIEST, LATEST, Offsets, Partition};

/// Which partitions are read.
#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    /// All partitions of these topics.
    Topics(Vec<String>),
    /// All partitions of the topics whose whole name matches.
    Pattern(Regex),
    /// These partitions.
    Assigned(Vec<Partition>),
}

/// A place in every partition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Position {
    Earliest,
    Latest,
    /// The offset of each partition, or [`EARLIEST`] or [`LATEST`].
    Offsets(Offsets),
    /// The first record of this time, in milliseconds, or later.
    Time(i64),
    /// The same with a time for each partition.
    Times(Offsets),
}

/// What is done for a partition that has no record as late as asked for: `startingOffsetsByTimestampStrategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoneThatLate {
    Fail,
    Latest,
}

/// Whether a query or a batch reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Stream,
    Batch,
}

/// What a source reads, and how.
#[derive(Debug, Clone)]
pub(crate) struct SourceOptions {
    pub(crate) subscription: Subscription,
    pub(crate) start: Position,
    /// Of a batch.
    pub(crate) end: Position,
    pub(crate) none_that_late: NoneThatLate,
    pub(crate) fail_on_data_loss: bool,
    pub(crate) max_offsets: Option<u64>,
    pub(crate) min_offsets: Option<u64>,
    /// How long fewer than `min_offsets` may wait.
    pub(crate) max_delay: Duration,
    pub(crate) min_partitions: Option<usize>,
    pub(crate) include_headers: bool,
    pub(crate) group_prefix: String,
    pub(crate) poll_timeout: Duration,
    /// How often a question to the cluster is repeated after it failed, and after which time.
    pub(crate) retries: u32,
    pub(crate) retry_interval: Duration,
    pub(crate) client: ClientOptions,
}

impl SourceOptions {
    pub(crate) fn new(options: &BTreeMap<String, String>, reading: Reading) -> Result<Self> {
        let given = Given(options);
        let client = ClientOptions::new(options)?;
        let subscription = given.subscription()?;
        if reading == Reading::Stream {
            given.refuse(&["endingOffsets", "endingOffsetsByTimestamp", "endingTimestamp"], "not valid in streaming queries")?;
        } else {
            given.refuse(&["maxOffsetsPerTrigger", "minOffsetsPerTrigger"], "not valid in batch queries")?;
        }
        let default = if reading == Reading::Stream { Position::Latest } else { Position::Earliest };
        let start = given.position("starting", "startingOffsets")?.unwrap_or(default);
        let end = given.position("ending", "endingOffsets")?.unwrap_or(Position::Latest);
        check_positions(&subscription, reading, &start, &end)?;
        let (max_offsets, min_offsets) = (given.positive("maxOffsetsPerTrigger")?, given.positive("minOffsetsPerTrigger")?);
        if let (Some(min), Some(max)) = (min_offsets, max_offsets)
            && min > max
        {
            return Err(Error::InvalidArgument(format!(
                "The value of minOffsetsPerTrigger({min}) must be less than or equal to maxOffsetsPerTrigger({max})."
            )));
        }
        let none_that_late = match given.lowercase("startingOffsetsByTimestampStrategy").as_deref() {
            None | Some("error") => NoneThatLate::Fail,
            Some("latest") => NoneThatLate::Latest,
            Some(other) => return Err(invalid("startingOffsetsByTimestampStrategy", other, "error or latest")),
        };
        let milliseconds =
            |name, default| Ok::<_, Error>(Duration::from_millis(given.parsed(name, "milliseconds")?.unwrap_or(default)));
        Ok(SourceOptions {
            subscription,
            start,
            end,
            none_that_late,
            fail_on_data_loss: given.parsed("failOnDataLoss", "true or false")?.unwrap_or(true),
            max_offsets,
            min_offsets,
            max_delay: given.duration("maxTriggerDelay")?.unwrap_or(Duration::from_secs(15 * 60)),
            min_partitions: given.positive("minPartitions")?.and_then(|n| usize::try_from(n).ok()),
            include_headers: given.parsed("includeHeaders", "true or false")?.unwrap_or(false),
            group_prefix: given.get("groupIdPrefix").unwrap_or("tidegate-kafka-source").to_owned(),
            poll_timeout: milliseconds("kafkaConsumer.pollTimeoutMs", 120_000)?,
            retries: given.parsed("fetchOffset.numRetries", "a number")?.unwrap_or(3),
            retry_interval: milliseconds("fetchOffset.retryIntervalMs", 10)?,
            client,
        })
    }
}

/// How sure it is that a row comes once: `delivery.guarantee`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// Where a sink writes, and how.
#[derive(Debug, Clone)]
pub(crate) struct SinkOptions {
    /// Of every row: a column `topic` does not count then.
    pub(crate) topic: Option<String>,
    pub(crate) include_headers: bool,
    pub(crate) guarantee: Guarantee,
    pub(crate) transactional_prefix: String,
    pub(crate) client: ClientOptions,
}

impl SinkOptions {
    pub(crate) fn new(options: &BTreeMap<String, String>) -> Result<Self> {
        let given = Given(options);
        let guarantee = match given.lowercase("delivery.guarantee").as_deref() {
            None | Some("exactly-once") => Guarantee::ExactlyOnce,
            Some("at-least-once") => Guarantee::AtLeastOnce,
            Some(other) => return Err(invalid("delivery.guarantee", other, "exactly-once or at-least-once")),
        };
        Ok(SinkOptions {
            topic: given.get("topic").map(str::to_owned),
            include_headers: given.parsed("includeHeaders", "true or false")?.unwrap_or(false),
            guarantee,
            transactional_prefix: given.get("transactionalIdPrefix").unwrap_or("tidegate").to_owned(),
            client: ClientOptions::new(options)?,
        })
    }
}

/// Spark's rules for what may be said of start and end.
fn check_positions(subscription: &Subscription, reading: Reading, start: &Position, end: &Position) -> Result<()> {
    let refuse = |problem: &str| Err(Error::InvalidArgument(problem.to_owned()));
    match (reading, start, end) {
        (Reading::Batch, Position::Latest, _) => {
            return refuse("starting offset can't be latest for batch queries on Kafka");
        }
        (Reading::Batch, Position::Offsets(start), _) if start.iter().any(|(_, offset)| offset == LATEST) => {
            return refuse("startingOffsets can't be latest (-1) for batch queries on Kafka");
        }
        (_, _, Position::Earliest) => return refuse("ending offset can't be earliest for batch queries on Kafka"),
        (_, _, Position::Offsets(end)) if end.iter().any(|(_, offset)| offset == EARLIEST) => {
            return refuse("endingOffsets can't be earliest (-2) for batch queries on Kafka");
        }
        _ => {}
    }
    for (name, position) in [("startingOffsets", start), ("endingOffsets", end)] {
        let (Position::Offsets(offsets) | Position::Times(offsets)) = position else { continue };
        if let Some((partition, offset)) = offsets.iter().find(|(_, offset)| *offset < EARLIEST) {
            return refuse(&format!("'{name}' has the offset {offset} for partition {partition}: at least -2 is possible"));
        }
        if let Subscription::Assigned(assigned) = subscription
            && !(offsets.partitions().eq(assigned.iter().collect::<std::collections::BTreeSet<_>>()))
        {
            return refuse(&format!(
                "If '{name}' contains specific offsets, you must specify all TopicPartitions of 'assign', and no other."
            ));
        }
    }
    Ok(())
}

fn invalid(name: &str, value: &str, expected: &str) -> Error {
    Error::InvalidArgument(format!("Invalid value '{value}' for option '{name}': {expected}"))
}

/// The options as they were given, with names in lower case.
struct Given<'a>(&'a BTreeMap<String, String>);

impl<'a> Given<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(&name.to_lowercase()).map(|value| value.trim())
    }

    fn lowercase(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_lowercase)
    }

    fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        let Some(text) = self.lowercase(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, &text, expected))
    }

    fn positive(&self, name: &str) -> Result<Option<u64>> {
        match self.parsed(name, "a positive number")? {
            Some(0) => Err(invalid(name, "0", "a positive number")),
            number => Ok(number),
        }
    }

    /// As Spark writes durations: `15m`, `10s`; milliseconds without a unit.
    fn duration(&self, name: &str) -> Result<Option<Duration>> {
        let Some(text) = self.lowercase(name) else { return Ok(None) };
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let milliseconds = match unit.trim() {
            "" | "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(invalid(name, &text, "a time like 15m or 10s")),
        };
        let number = text[..text.len() - unit.len()].parse::<u64>().ok().and_then(|n| n.checked_mul(milliseconds));
        number.map(|ms| Some(Duration::from_millis(ms))).ok_or_else(|| invalid(name, &text, "a time like 15m or 10s"))
    }

    fn refuse(&self, names: &[&str], why: &str) -> Result<()> {
        match names.iter().find(|name| self.get(name).is_some()) {
            Some(name) => Err(Error::InvalidArgument(format!("option '{name}' is {why}"))),
            None => Ok(()),
        }
    }

    fn subscription(&self) -> Result<Subscription> {
        let ways: Vec<&str> =
            ["assign", "subscribe", "subscribePattern"].into_iter().filter(|way| self.get(way).is_some()).collect();
        let [way] = ways[..] else {
            let message = match ways.is_empty() {
                true => "One of the following options must be specified for Kafka source: assign, subscribe, subscribePattern.",
                false => {
                    "Only one of the following options can be specified for Kafka source: assign, subscribe, subscribePattern."
                }
            };
            return Err(Error::InvalidArgument(message.to_owned()));
        };
        let value = self.get(way).unwrap_or_default();
        match way {
            "assign" => assigned(value).map(Subscription::Assigned),
            "subscribe" => {
                let mut topics: Vec<String> =
                    value.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
                topics.sort_unstable();
                topics.dedup();
                match topics.is_empty() {
                    true => Err(invalid(way, value, "a topic, or several with commas")),
                    false => Ok(Subscription::Topics(topics)),
                }
            }
            _ => Regex::new(&format!("^(?:{value})$"))
                .map(Subscription::Pattern)
                .map_err(|_| invalid(way, value, "a regular expression for the names of topics")),
        }
    }

    /// The place that `<side>Timestamp`, `<side>OffsetsByTimestamp` or `<side>Offsets` says, in this order.
    fn position(&self, side: &str, offsets_option: &str) -> Result<Option<Position>> {
        let name = format!("{side}Timestamp");
        if let Some(time) = self.parsed::<i64>(&name, "milliseconds since 1970")? {
            return match time {
                0.. => Ok(Some(Position::Time(time))),
                _ => Err(invalid(&name, &time.to_string(), "milliseconds since 1970")),
            };
        }
        let name = format!("{side}OffsetsByTimestamp");
        if let Some(text) = self.get(&name) {
            return Offsets::parse(&name, text).map(|times| Some(Position::Times(times)));
        }
        let Some(text) = self.get(offsets_option) else { return Ok(None) };
        Ok(Some(match text.to_lowercase().as_str() {
            "earliest" => Position::Earliest,
            "latest" => Position::Latest,
            _ => Position::Offsets(Offsets::parse(offsets_option, text)?),
        }))
    }
}

/// `{"topicA":[0,1],"topicB":[2]}`
fn assigned(text: &str) -> Result<Vec<Partition>> {
    let topics: BTreeMap<String, Vec<i32>> = serde_json::from_str(text).map_err(|e| {
        Error::InvalidArgument(format!(r#"Option 'assign' must be JSON like {{"topicA":[0,1]}}, got {text}: {e}"#))
    })?;
    let partitions =
        topics.iter().flat_map(|(topic, numbers)| numbers.iter().map(|number| Partition::new(topic.clone(), *number)));
    let partitions: Vec<Partition> = partitions.collect();
    match partitions.iter().any(|partition| partition.number < 0) || partitions.is_empty() {
        true => Err(invalid("assign", text, "partitions from 0 on")),
        false => Ok(partitions),
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
