//! So many numbers for each epoch, as a source.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{
    Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceReader, SourceSupplier, Split, Wake,
};

use crate::rate::{RateReader, RateSplit, rate_schema};

/// Gives the same number of rows in each epoch, whatever the clock says: Spark's `rate-micro-batch` source, for tests and benchmarks
/// that must see the same rows every time.
///
/// Rows have a `value` that counts from 0 and a `timestamp`, the same for all rows of an epoch. With the trigger `available-now` there
/// is one more epoch.
///
/// ```
/// use tidegate_connectors::RateMicroBatchSource;
/// use tidegate_runtime::SourceSupplier;
///
/// let source = RateMicroBatchSource::new(1_000).start_timestamp(1_700_000_000_000).advance_millis_per_batch(5_000);
/// assert_eq!(source.schema()?.field(1).name(), "value");
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RateMicroBatchSource {
    rows_per_batch: i64,
    partitions: Option<usize>,
    start_ms: i64,
    advance_ms: i64,
}

impl RateMicroBatchSource {
    /// So many rows in each epoch; the first has the timestamp 1970-01-01, each further one is a second later.
    pub fn new(rows_per_batch: i64) -> Self {
        RateMicroBatchSource { rows_per_batch, partitions: None, start_ms: 0, advance_ms: 1_000 }
    }

    /// Among how many splits an epoch's rows are dealt: one for each task, if it is not set.
    #[must_use]
    pub fn num_partitions(mut self, partitions: usize) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// The timestamp of the first epoch's rows, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn start_timestamp(mut self, millis: i64) -> Self {
        self.start_ms = millis;
        self
    }

    /// How much later the timestamp of each further epoch is, in milliseconds.
    #[must_use]
    pub fn advance_millis_per_batch(mut self, millis: i64) -> Self {
        self.advance_ms = millis;
        self
    }

    fn check(&self) -> Result<()> {
        let problem = match self {
            _ if self.rows_per_batch < 1 => "rows_per_batch must be at least 1",
            _ if self.partitions == Some(0) => "num_partitions must be at least 1",
            _ if self.start_ms < 0 => "start_timestamp must not be negative",
            _ if self.advance_ms < 0 => "advance_millis_per_batch must not be negative",
            _ => return Ok(()),
        };
        Err(Error::InvalidArgument(format!("{}: {problem}", self.describe())))
    }
}

impl SourceSupplier for RateMicroBatchSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(rate_schema())
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        self.check()?;
        Ok(Box::new(BatchPlanner { config: self.clone(), partitions: 1, frozen: None }))
    }

    fn describe(&self) -> String {
        format!("rate of {} rows an epoch", self.rows_per_batch)
    }
}

/// Where an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct BatchOffset {
    /// How many rows there are up to it.
    offset: i64,
    /// The timestamp of the next epoch's rows, in milliseconds since 1970.
    timestamp: i64,
}

struct BatchPlanner {
    config: RateMicroBatchSource,
    partitions: usize,
    /// Once the source is frozen: the end, as soon as it is known.
    frozen: Option<Option<BatchOffset>>,
}

impl BatchPlanner {
    fn start(&self) -> BatchOffset {
        BatchOffset { offset: 0, timestamp: self.config.start_ms }
    }

    fn decode(&self, offset: Option<&Offset>) -> Result<BatchOffset> {
        offset.map_or_else(|| Ok(self.start()), Offset::decode)
    }
}

impl Source for BatchPlanner {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        self.partitions = self.config.partitions.unwrap_or(context.parallelism.max(1));
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, _limit: ReadLimit) -> Result<Option<Offset>> {
        let from = self.decode(from)?;
        if let Some(Some(end)) = self.frozen {
            return if from.offset < end.offset { Offset::encode(&end).map(Some) } else { Ok(None) };
        }
        let overflow = || Error::InvalidArgument(format!("{} has too many rows", self.config.describe()));
        let end = BatchOffset {
            offset: from.offset.checked_add(self.config.rows_per_batch).ok_or_else(overflow)?,
            timestamp: from.timestamp.checked_add(self.config.advance_ms).ok_or_else(overflow)?,
        };
        if let Some(frozen) = &mut self.frozen {
            *frozen = Some(end);
        }
        Offset::encode(&end).map(Some)
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let (start, end) = (self.decode(range.start.as_ref())?, range.end.decode::<BatchOffset>()?);
        let (rows_start, rows_end, stride) = (start.offset, end.offset, self.partitions as i64);
        let firsts = (rows_start..rows_end).take(self.partitions);
        let split = |first| RateSplit { first, stride, rows_start, rows_end, start_ms: start.timestamp, ms_per_row: 0.0 };
        firsts.map(|first| Split::encode(&split(first))).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(RateReader { schema: Arc::clone(&rate_schema()) }))
    }

    fn freeze(&mut self) -> Result<()> {
        self.frozen = Some(None);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen.is_some()
    }

    fn wake(&self) -> Wake {
        // There is always more; nobody waits.
        Wake::Poll(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{read, source_context};
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    fn open(config: &RateMicroBatchSource) -> Box<dyn Source> {
        let mut source = config.supply().unwrap();
        source.open(source_context(None, Vec::new())).unwrap();
        source
    }

    fn plan(source: &mut dyn Source, start: Option<Offset>) -> Option<OffsetRange> {
        let end = source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap()?;
        Some(OffsetRange { start, end })
    }

    /// All rows, by value, with times in milliseconds.
    fn rows(source: &mut dyn Source, range: &OffsetRange) -> Vec<(i64, i64)> {
        let mut rows = Vec::new();
        for batch in read(source, range).unwrap() {
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().values().iter().map(|time| time / 1_000);
            rows.extend(batch.column(1).as_primitive::<Int64Type>().values().iter().copied().zip(times));
        }
        rows.sort_unstable();
        rows
    }

    #[test]
    fn the_same_rows_in_each_epoch_and_again() {
        let config = RateMicroBatchSource::new(3).start_timestamp(1_000).advance_millis_per_batch(50).num_partitions(2);
        let mut source = open(&config);
        let first = plan(&mut *source, None).unwrap();
        assert_eq!(first.end.as_json(), r#"{"offset":3,"timestamp":1050}"#);
        assert_eq!(rows(&mut *source, &first), [(0, 1_000), (1, 1_000), (2, 1_000)]);
        let second = plan(&mut *open(&config), Some(first.end)).unwrap();
        assert_eq!(source.splits(&second).unwrap().len(), 2);
        assert_eq!(rows(&mut *source, &second), [(3, 1_050), (4, 1_050), (5, 1_050)]);
    }

    #[test]
    fn available_now_is_one_epoch() {
        let mut source = open(&RateMicroBatchSource::new(2));
        let first = plan(&mut *source, None).unwrap();
        source.freeze().unwrap();
        let second = plan(&mut *source, Some(first.end)).unwrap();
        assert!(source.is_finished());
        assert_eq!(plan(&mut *source, Some(second.end)), None);
    }

    #[test]
    fn wrong_settings_are_refused() {
        let good = RateMicroBatchSource::new(1);
        for config in [
            RateMicroBatchSource::new(0),
            good.clone().num_partitions(0),
            good.clone().start_timestamp(-1),
            good.advance_millis_per_batch(-1),
        ] {
            assert!(matches!(config.supply(), Err(Error::InvalidArgument(_))), "{config:?}");
        }
    }
}
