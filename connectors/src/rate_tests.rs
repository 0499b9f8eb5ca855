//! Tests of the rate source against Spark's figures, with a clock that stands still until it is moved.

use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;
use crate::testing::{read, source_context};

const START: i64 = 1_700_000_000_250;

fn with_clock(config: RateSource, now: &Arc<AtomicI64>) -> RateSource {
    let now = Arc::clone(now);
    RateSource { clock: Arc::new(move || now.load(Ordering::SeqCst)), ..config }
}

fn open(config: &RateSource, offset: Option<Offset>) -> Box<dyn Source> {
    let mut source = config.supply().unwrap();
    source.open(source_context(offset, Vec::new())).unwrap();
    source
}

fn plan(source: &mut dyn Source, start: Option<Offset>) -> Option<OffsetRange> {
    let end = source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap()?;
    Some(OffsetRange { start, end })
}

/// All rows, by value, with times relative to the start in milliseconds.
fn rows(source: &mut dyn Source, range: &OffsetRange) -> Vec<(i64, i64)> {
    let columns = |batch: &RecordBatch| {
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let values = batch.column(1).as_primitive::<Int64Type>().values().to_vec();
        values.into_iter().zip(times.into_iter().map(|time| time / 1_000 - START)).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = read(source, range).unwrap().iter().flat_map(columns).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn rows_by_second_as_in_spark() {
    let ramp = Speed { rows_per_second: 10, ramp_up_seconds: 4 };
    assert_eq!((0..=6).map(|s| ramp.rows_at(s).unwrap()).collect::<Vec<_>>(), [0, 2, 6, 12, 20, 30, 40]);
    let even = Speed { rows_per_second: 3, ramp_up_seconds: 0 };
    assert_eq!((0..4).map(|s| even.rows_at(s).unwrap()).collect::<Vec<_>>(), [0, 3, 6, 9]);
    // Too slow for a step each second: nothing until the full speed.
    let slow = Speed { rows_per_second: 2, ramp_up_seconds: 4 };
    assert_eq!((3..7).map(|s| slow.rows_at(s).unwrap()).collect::<Vec<_>>(), [0, 0, 2, 4]);
    assert_eq!(Speed { rows_per_second: i64::MAX, ramp_up_seconds: 0 }.rows_at(2), None);
}

#[test]
fn whole_seconds_only_and_the_same_rows_after_a_restart() {
    let now = Arc::new(AtomicI64::new(START));
    let config = with_clock(RateSource::new().rows_per_second(2).num_partitions(3), &now);
    let mut source = open(&config, None);
    assert_eq!(plan(&mut *source, None), None);
    assert_eq!(source.wake(), Wake::Poll(Duration::from_millis(1_000)));
    now.store(START + 2_999, Ordering::SeqCst);
    assert_eq!(source.wake(), Wake::Poll(Duration::from_millis(1)));
    let first = plan(&mut *source, None).unwrap();
    assert_eq!(first.end.as_json(), format!(r#"{{"start_ms":{START},"seconds":2}}"#));
    assert_eq!(rows(&mut *source, &first), [(0, 0), (1, 500), (2, 1_000), (3, 1_500)]);
    now.store(START + 3_500, Ordering::SeqCst);
    let mut source = open(&config, Some(first.end.clone()));
    assert_eq!(rows(&mut *source, &first), [(0, 0), (1, 500), (2, 1_000), (3, 1_500)]);
    let second = plan(&mut *source, Some(first.end)).unwrap();
    assert_eq!(rows(&mut *source, &second), [(4, 2_000), (5, 2_500)]);
}

#[test]
fn partitions_and_batches_lose_and_repeat_nothing() {
    let now = Arc::new(AtomicI64::new(START));
    let count = 2 * TARGET_BATCH_ROWS as i64;
    for partitions in [1, 2, 7] {
        now.store(START, Ordering::SeqCst);
        let config = with_clock(RateSource::new().rows_per_second(count).num_partitions(partitions), &now);
        let mut source = open(&config, None);
        now.store(START + 2_000, Ordering::SeqCst);
        let range = plan(&mut *source, None).unwrap();
        assert_eq!(source.splits(&range).unwrap().len(), partitions);
        let values: Vec<i64> = rows(&mut *source, &range).into_iter().map(|(value, _)| value).collect();
        assert_eq!(values, (0..2 * count).collect::<Vec<_>>());
    }
}

#[test]
fn a_clock_set_back_stops_the_source_for_that_time() {
    let now = Arc::new(AtomicI64::new(START));
    let config = with_clock(RateSource::new(), &now);
    let mut source = open(&config, None);
    now.store(START + 5_000, Ordering::SeqCst);
    let first = plan(&mut *source, None).unwrap();
    now.store(START - 3_600_000, Ordering::SeqCst);
    assert_eq!(plan(&mut *source, Some(first.end.clone())), None);
    assert_eq!(plan(&mut *open(&config, Some(first.end.clone())), Some(first.end.clone())), None);
    now.store(START + 6_000, Ordering::SeqCst);
    assert!(plan(&mut *source, Some(first.end)).is_some());
}

#[test]
fn freezing_fixes_the_end() {
    let now = Arc::new(AtomicI64::new(START));
    let mut source = open(&with_clock(RateSource::new(), &now), None);
    now.store(START + 3_000, Ordering::SeqCst);
    source.freeze().unwrap();
    now.store(START + 9_000, Ordering::SeqCst);
    let range = plan(&mut *source, None).unwrap();
    assert_eq!(rows(&mut *source, &range).len(), 3);
    assert_eq!(plan(&mut *source, Some(range.end)), None);
    assert!(source.is_finished());
}

#[test]
fn wrong_settings_are_refused() {
    for config in
        [RateSource::new().rows_per_second(0), RateSource::new().ramp_up_seconds(-1), RateSource::new().num_partitions(0)]
    {
        assert!(matches!(config.supply(), Err(Error::InvalidArgument(_))), "{config:?}");
    }
}
