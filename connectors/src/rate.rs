//! Numbers by the clock, as a source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{
    Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier, Split,
    TARGET_BATCH_ROWS, Wake,
};

use crate::clock::now_micros;

/// Gives so many rows for each second that has passed since the query's first start: Spark's `rate` source, for trying things out
/// and for load tests.
///
/// Rows have a `timestamp` and a `value` that counts from 0. Both follow from an epoch's offsets alone, so an epoch that runs again
/// gives the same rows. What a stopped query missed it gets in its first epoch after the restart.
///
/// ```
/// use tidegate_connectors::RateSource;
/// use tidegate_runtime::SourceSupplier;
///
/// let source = RateSource::new().rows_per_second(1_000).ramp_up_seconds(10);
/// assert_eq!(source.schema()?.field(1).name(), "value");
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct RateSource {
    speed: Speed,
    partitions: Option<usize>,
    /// The time in milliseconds since 1970.
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl RateSource {
    /// One row a second.
    pub fn new() -> Self {
        let clock = Arc::new(|| now_micros() / 1_000);
        RateSource { speed: Speed { rows_per_second: 1, ramp_up_seconds: 0 }, partitions: None, clock }
    }

    /// How many rows each second brings.
    #[must_use]
    pub fn rows_per_second(mut self, rows: i64) -> Self {
        self.speed.rows_per_second = rows;
        self
    }

    /// How long it takes until the full speed is reached, in equal steps from nothing.
    #[must_use]
    pub fn ramp_up_seconds(mut self, seconds: i64) -> Self {
        self.speed.ramp_up_seconds = seconds;
        self
    }

    /// Among how many splits an epoch's rows are dealt: one for each task, if it is not set.
    #[must_use]
    pub fn num_partitions(mut self, partitions: usize) -> Self {
        self.partitions = Some(partitions);
        self
    }

    fn check(&self) -> Result<()> {
        let problem = match self {
            _ if self.speed.rows_per_second < 1 => "rows_per_second must be at least 1",
            _ if self.speed.ramp_up_seconds < 0 => "ramp_up_seconds must not be negative",
            _ if self.partitions == Some(0) => "num_partitions must be at least 1",
            _ => return Ok(()),
        };
        Err(Error::InvalidArgument(format!("{}: {problem}", self.describe())))
    }
}

impl Default for RateSource {
    fn default() -> Self {
        RateSource::new()
    }
}

impl fmt::Debug for RateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateSource").field("speed", &self.speed).field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl SourceSupplier for RateSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(rate_schema())
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        self.check()?;
        let schema = self.schema()?;
        Ok(Box::new(RatePlanner { config: self.clone(), schema, partitions: 1, start_ms: 0, now_ms: 0, frozen: false }))
    }

    fn describe(&self) -> String {
        format!("rate of {} rows a second", self.speed.rows_per_second)
    }
}

/// The columns of both rate sources.
pub(crate) fn rate_schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![Field::new("timestamp", timestamp, true), Field::new("value", DataType::Int64, true)]))
}

/// How many rows there are at which second.
#[derive(Debug, Clone, Copy)]
struct Speed {
    rows_per_second: i64,
    ramp_up_seconds: i64,
}

impl Speed {
    /// How many rows there are `seconds` after the start; Spark's formula. `None` if more than a number can hold.
    ///
    /// With 10 rows a second and 4 seconds to get there, speed goes up by 2 each second: 0 2 6 12 20 30 40 rows.
    fn rows_at(self, seconds: i64) -> Option<i64> {
        let step = self.rows_per_second / self.ramp_up_seconds.checked_add(1)?;
        let ramp = seconds.min(self.ramp_up_seconds);
        // One of two neighbours is even: halved before they are multiplied, so that less overflows.
        let (half, other) = if ramp % 2 == 0 { (ramp / 2, ramp + 1) } else { ((ramp + 1) / 2, ramp) };
        let ramped = half.checked_mul(other)?.checked_mul(step)?;
        ramped.checked_add((seconds - ramp).checked_mul(self.rows_per_second)?)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct RateOffset {
    /// When the query started for the first time, in milliseconds since 1970.
    start_ms: i64,
    /// How many seconds later the epoch ends.
    seconds: i64,
}

/// A part of an epoch's rows: every `stride`-th from `first` on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RateSplit {
    pub(crate) first: i64,
    pub(crate) stride: i64,
    /// The rows of the whole epoch.
    pub(crate) rows_start: i64,
    pub(crate) rows_end: i64,
    /// The time of the epoch's first row.
    pub(crate) start_ms: i64,
    pub(crate) ms_per_row: f64,
}

struct RatePlanner {
    config: RateSource,
    schema: SchemaRef,
    partitions: usize,
    start_ms: i64,
    /// The latest time seen: a clock that is set back stops the source, it does not confuse it.
    now_ms: i64,
    frozen: bool,
}

impl RatePlanner {
    fn tick(&mut self) {
        if !self.frozen {
            self.now_ms = self.now_ms.max((self.config.clock)());
        }
    }

    fn rows_at(&self, seconds: i64) -> Result<i64> {
        let overflow = || Error::InvalidArgument(format!("{} has too many rows for {seconds} seconds", self.config.describe()));
        self.config.speed.rows_at(seconds).ok_or_else(overflow)
    }
}

impl Source for RatePlanner {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        self.partitions = self.config.partitions.unwrap_or(context.parallelism.max(1));
        let logged = context.offset.as_ref().map(Offset::decode::<RateOffset>).transpose()?;
        let (now, logged_ms) = ((self.config.clock)(), logged.map_or(0, |offset| offset.start_ms + offset.seconds * 1_000));
        self.start_ms = logged.map_or(now, |offset| offset.start_ms);
        self.now_ms = now.max(logged_ms);
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, _limit: ReadLimit) -> Result<Option<Offset>> {
        self.tick();
        let from = from.map_or(Ok(0), |from| Ok::<_, Error>(from.decode::<RateOffset>()?.seconds))?;
        let seconds = (self.now_ms - self.start_ms) / 1_000;
        if seconds <= from {
            return Ok(None);
        }
        self.rows_at(seconds)?;
        Offset::encode(&RateOffset { start_ms: self.start_ms, seconds }).map(Some)
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let end: RateOffset = range.end.decode()?;
        let start = range.start.as_ref().map_or(Ok(RateOffset { seconds: 0, ..end }), Offset::decode::<RateOffset>)?;
        let (rows_start, rows_end) = (self.rows_at(start.seconds)?, self.rows_at(end.seconds)?);
        let start_ms = end.start_ms + start.seconds * 1_000;
        let ms_per_row = ((end.seconds - start.seconds) * 1_000) as f64 / (rows_end - rows_start) as f64;
        let stride = self.partitions as i64;
        let firsts = (rows_start..rows_end).take(self.partitions);
        firsts.map(|first| Split::encode(&RateSplit { first, stride, rows_start, rows_end, start_ms, ms_per_row })).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(RateReader { schema: Arc::clone(&self.schema) }))
    }

    fn freeze(&mut self) -> Result<()> {
        self.tick();
        self.frozen = true;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen
    }

    fn wake(&self) -> Wake {
        let into_second = ((self.config.clock)() - self.start_ms).rem_euclid(1_000);
        Wake::Poll(Duration::from_millis((1_000 - into_second).unsigned_abs()))
    }
}

/// Gives the rows of splits.
pub(crate) struct RateReader {
    pub(crate) schema: SchemaRef,
}

impl SourceReader for RateReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: RateSplit = split.decode()?;
        let mut values = std::iter::successors(Some(split.first), |value| value.checked_add(split.stride));
        loop {
            let batch: Vec<i64> = values.by_ref().take(TARGET_BATCH_ROWS).take_while(|value| *value < split.rows_end).collect();
            let is_last = batch.len() < TARGET_BATCH_ROWS;
            if !batch.is_empty() {
                out.emit(self.rows(&split, batch)?)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

impl RateReader {
    fn rows(&self, split: &RateSplit, values: Vec<i64>) -> Result<RecordBatch> {
        let times = values.iter().map(|value| split.micros_of(*value));
        let timestamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), vec![timestamps, Arc::new(Int64Array::from(values))])?)
    }
}

impl RateSplit {
    /// The time of a row: rows are spread evenly over their epoch, in whole milliseconds as in Spark.
    fn micros_of(&self, value: i64) -> i64 {
        let relative = ((value - self.rows_start) as f64 * self.ms_per_row + 0.5).floor() as i64;
        (self.start_ms + relative) * 1_000
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
