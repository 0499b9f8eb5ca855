//! Where a query's watermark is, and why.

use std::fmt;

use chrono::{DateTime, SecondsFormat};

use super::watermarks::WatermarkPolicy;
use crate::types::{Epoch, NodeId, TaskId, Watermark};

/// Where a query's watermark is, and which of its inputs holds it there. Its [`Display`](fmt::Display) tells it in words.
///
/// ```text
/// watermark 2026-03-01T08:00:05Z: the least of 2 inputs
///   clicks (watermark): 2026-03-01T08:00:05Z since epoch 4 of 2026-03-01T08:00:16.020Z, holds it
///     task 0: 2026-03-01T08:00:05Z since epoch 4
///   views (watermark-2): 2026-03-01T08:00:09Z since epoch 6 of 2026-03-01T08:00:20.004Z
///     task 0: 2026-03-01T08:00:09Z since epoch 6
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WatermarkReport {
    /// The watermark after the newest committed epoch; `None` when no operator of the query reports one.
    pub watermark: Option<Watermark>,
    /// Which of several inputs' it is.
    pub policy: WatermarkPolicy,
    /// How long an input may be silent and still hold it back, in milliseconds; for ever, if not set.
    pub idle_after_ms: Option<i64>,
    /// When this was asked for, in milliseconds since 1970-01-01 UTC: it says which inputs are idle.
    pub as_of_ms: i64,
    /// The operators that report event time.
    pub inputs: Vec<WatermarkInput>,
}

/// An operator that reports event time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WatermarkInput {
    /// The operator.
    pub node: NodeId,
    /// The sources that its rows come from.
    pub sources: Vec<NodeId>,
    /// The greatest event time that it has reported, less the delay; `None`: it has had no row with a time, and counts as 1970.
    pub watermark: Option<Watermark>,
    /// The epoch that moved it there; `None` if that was before this run.
    pub since: Option<EpochStamp>,
    /// What its tasks have reported in this run. Where nothing is exchanged before the operator, a task has the partitions that the
    /// source's task of the same number reads.
    pub tasks: Vec<TaskEventTime>,
    /// When it last had input or the run started, in milliseconds since 1970-01-01 UTC.
    pub heard_ms: i64,
}

/// The greatest event time that a task has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskEventTime {
    /// The task.
    pub task: TaskId,
    /// The time, less the delay.
    pub watermark: Watermark,
    /// The epoch in which it came.
    pub since: EpochStamp,
}

/// An epoch and when it was triggered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpochStamp {
    /// The epoch.
    pub epoch: Epoch,
    /// In milliseconds since 1970-01-01 UTC.
    pub trigger_time_ms: i64,
}

impl WatermarkReport {
    /// The inputs that hold the watermark where it is: it moves when they do. None when all are idle.
    pub fn holders(&self) -> impl Iterator<Item = &WatermarkInput> {
        let of = |input: &WatermarkInput| input.watermark.unwrap_or(Watermark::ZERO);
        let counts = |input: &&WatermarkInput| !self.is_idle(input);
        let chosen = self.policy.choose(self.inputs.iter().filter(counts).map(of));
        self.inputs.iter().filter(counts).filter(move |input| Some(of(input)) == chosen)
    }

    /// Whether an input has been silent for so long that it does not count.
    pub fn is_idle(&self, input: &WatermarkInput) -> bool {
        self.idle_after_ms.is_some_and(|timeout| self.as_of_ms.saturating_sub(input.heard_ms) >= timeout)
    }
}

impl fmt::Display for WatermarkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(watermark) = self.watermark else {
            return write!(f, "no watermark: no operator of the query reports event time");
        };
        write!(f, "watermark {}", time(watermark.micros()))?;
        let all_idle = self.inputs.iter().all(|input| self.is_idle(input));
        match (self.inputs.len(), self.policy) {
            (0 | 1, _) => {}
            (inputs, _) if all_idle => write!(f, ": the greatest of {inputs} inputs, as all are idle")?,
            (inputs, WatermarkPolicy::Min) => write!(f, ": the least of {inputs} inputs")?,
            (inputs, WatermarkPolicy::Max) => write!(f, ": the greatest of {inputs} inputs")?,
        }
        let holders: Vec<&NodeId> = self.holders().map(|input| &input.node).collect();
        for input in &self.inputs {
            let sources: Vec<&str> = input.sources.iter().map(NodeId::as_str).collect();
            write!(f, "\n  {} ({}): ", sources.join(", "), input.node)?;
            match input.watermark {
                Some(watermark) => write!(f, "{}", time(watermark.micros()))?,
                None => write!(f, "no row with a time yet")?,
            }
            if let Some(EpochStamp { epoch, trigger_time_ms }) = input.since {
                write!(f, " since epoch {epoch} of {}", time(trigger_time_ms.saturating_mul(1_000)))?;
            }
            if self.is_idle(input) {
                write!(f, ", idle since {}", time(input.heard_ms.saturating_mul(1_000)))?;
            } else if holders.contains(&&input.node) {
                write!(f, ", holds it")?;
            }
            for task in &input.tasks {
                write!(
                    f,
                    "\n    task {}: {} since epoch {}",
                    task.task.subtask,
                    time(task.watermark.micros()),
                    task.since.epoch
                )?;
            }
        }
        Ok(())
    }
}

fn time(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| format!("{micros} µs"), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_holds_the_watermark() {
        let stamp = |epoch: u64, seconds: i64| EpochStamp { epoch: Epoch::new(epoch), trigger_time_ms: seconds * 1_000 };
        let input = |source: &str, node: &str, micros: Option<i64>, since: Option<EpochStamp>, heard_ms: i64| WatermarkInput {
            node: NodeId::new(node),
            sources: vec![NodeId::new(source)],
            watermark: micros.map(Watermark::from_micros),
            since,
            tasks: Vec::new(),
            heard_ms,
        };
        let mut report = WatermarkReport {
            watermark: Some(Watermark::from_micros(5_000_000)),
            policy: WatermarkPolicy::Min,
            idle_after_ms: None,
            as_of_ms: 61_000,
            inputs: vec![
                input("clicks", "w1", Some(5_000_000), Some(stamp(4, 60)), 60_000),
                input("views", "w2", Some(9_500_000), Some(stamp(6, 61)), 61_000),
            ],
        };
        assert_eq!(
            report.to_string(),
            "watermark 1970-01-01T00:00:05Z: the least of 2 inputs\n  \
             clicks (w1): 1970-01-01T00:00:05Z since epoch 4 of 1970-01-01T00:01:00Z, holds it\n  \
             views (w2): 1970-01-01T00:00:09.500Z since epoch 6 of 1970-01-01T00:01:01Z"
        );
        report.idle_after_ms = Some(1_000);
        report.inputs[1].watermark = None;
        assert_eq!(
            report.to_string(),
            "watermark 1970-01-01T00:00:05Z: the least of 2 inputs\n  \
             clicks (w1): 1970-01-01T00:00:05Z since epoch 4 of 1970-01-01T00:01:00Z, idle since 1970-01-01T00:01:00Z\n  \
             views (w2): no row with a time yet since epoch 6 of 1970-01-01T00:01:01Z, holds it"
        );
        report.watermark = None;
        assert!(report.to_string().starts_with("no watermark"));
    }
}
