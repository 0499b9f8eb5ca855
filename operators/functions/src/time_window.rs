//! Windows of event time: which windows a timestamp is in.
//!
//! Source of the rules: the Structured Streaming guide, "Window operations on event time"; windows are half-open, aligned to
//! 1970-01-01T00:00:00Z plus the start offset.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DurationMicrosecondArray, ListArray, PrimitiveArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, DurationMicrosecondType, Field, Fields, TimestampMicrosecondType};
use datafusion::error::Result;

use crate::datetime::parse_interval;
use crate::error::spark_error;
use crate::function::Resolved;
use crate::types::{DAY_TIME_INTERVAL, element, list};

/// The length, slide and offset of windows, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// How long a window is.
    pub length: i64,
    /// How far one starts after the other: the length, for tumbling windows.
    pub slide: i64,
    /// Where the first starts after 1970-01-01T00:00:00Z.
    pub offset: i64,
}

impl WindowSpec {
    /// Checks the parameters.
    ///
    /// # Errors
    /// `DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION` and `DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE`, as in Spark.
    pub fn new(length: i64, slide: i64, offset: i64) -> Result<Self> {
        let range = |name: &str, value: i64| {
            let text = format!("The {name} must be between (0, 9223372036854775807] (current value = {value}L).");
            spark_error("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", text)
        };
        let order = |left: &str, value: i64, right: &str, bound: i64, sign: &str| {
            let text = format!("The `{left}`({value}L) must be {sign} the `{right}`({bound}L).");
            spark_error("DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION", text)
        };
        match () {
            () if length <= 0 => Err(range("`window_duration`", length)),
            () if slide <= 0 => Err(range("`slide_duration`", slide)),
            () if slide > length => Err(order("slide_duration", slide, "window_duration", length, "<=")),
            () if offset.unsigned_abs() >= slide.unsigned_abs() => {
                Err(order("abs(start_time)", offset.abs(), "slide_duration", slide, "<"))
            }
            () => Ok(WindowSpec { length, slide, offset }),
        }
    }

    /// What the function that gives these windows is called: the parameters are part of its identity, two windows of other lengths
    /// are not the same.
    pub fn name(self) -> String {
        let WindowSpec { length, slide, offset } = self;
        format!("window[{length}, {slide}, {offset}]")
    }

    /// The windows that a function of this name gives, if it is such a function.
    pub fn of_name(name: &str) -> Option<Self> {
        let mut parameters = name.strip_prefix("window[")?.strip_suffix(']')?.split(", ").map(str::parse);
        let [length, slide, offset] = [parameters.next()?.ok()?, parameters.next()?.ok()?, parameters.next()?.ok()?];
        WindowSpec::new(length, slide, offset).ok().filter(|_| parameters.next().is_none())
    }

    /// Whether a time is in exactly one window.
    pub fn is_tumbling(self) -> bool {
        self.length == self.slide
    }

    /// The start of the newest window that holds `time`.
    fn newest_start(self, time: i64) -> i64 {
        time - (time - self.offset).rem_euclid(self.slide)
    }

    /// The windows of each time: a struct of start and end for tumbling windows, an array of such structs, the newest first, for
    /// sliding ones. Null for null.
    pub fn resolve(self, time: &DataType) -> Resolved {
        let window = window_type(time);
        if self.is_tumbling() {
            let fields = window_fields(time);
            let kernel = move |call: &crate::Invocation<'_>| {
                let times = call.array(0)?;
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let starts: TimestampMicrosecondArray = times.unary(|time| self.newest_start(time));
                Ok(self.windows(&fields, starts, times.data_type(), times.nulls().cloned()))
            };
            return Resolved::new(vec![time.clone()], window, kernel);
        }
        let (fields, list_type) = (window_fields(time), list(window));
        let kernel = move |call: &crate::Invocation<'_>| {
            let times = call.array(0)?;
            Ok(self.sliding(&fields, times.as_primitive::<TimestampMicrosecondType>()))
        };
        Resolved::new(vec![time.clone()], list_type, kernel)
    }

    /// The pane of each time: the first of those times around it that are in the same windows. Null for null.
    pub fn pane(self, time: &DataType) -> Resolved {
        let pane = gcd(self.length, self.slide);
        Resolved::new(vec![time.clone()], time.clone(), move |call: &crate::Invocation<'_>| {
            let times = call.array(0)?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let panes: TimestampMicrosecondArray = times.unary(|time| time - (time - self.offset).rem_euclid(pane));
            Ok(Arc::new(panes.with_data_type(times.data_type().clone())))
        })
    }

    fn windows(
        self,
        fields: &Fields,
        starts: PrimitiveArray<TimestampMicrosecondType>,
        time: &DataType,
        nulls: Option<NullBuffer>,
    ) -> ArrayRef {
        let ends: TimestampMicrosecondArray = starts.unary(|start| start.saturating_add(self.length));
        let columns: Vec<ArrayRef> =
            [starts, ends].into_iter().map(|column| Arc::new(column.with_data_type(time.clone())) as ArrayRef).collect();
        Arc::new(StructArray::new(fields.clone(), columns, nulls))
    }

    fn sliding(self, fields: &Fields, times: &TimestampMicrosecondArray) -> ArrayRef {
        let mut starts = Vec::with_capacity(times.len() * 2);
        let mut offsets = vec![0i32];
        for time in times {
            if let Some(time) = time {
                let newest = self.newest_start(time);
                // Only windows that reach beyond the time hold it: with a slide that does not divide the length, one fewer.
                starts.extend((0..).map(|n| newest - n * self.slide).take_while(|start| start + self.length > time));
            }
            offsets.push(starts.len() as i32);
        }
        let windows = self.windows(fields, starts.into(), times.data_type(), None);
        let field = element(windows.data_type().clone());
        Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), windows, times.nulls().cloned()))
    }
}

/// The time that stands for a window of times of this type, as a function of the window: one microsecond before its end.
pub fn window_time(time: &DataType) -> Resolved {
    Resolved::new(vec![window_type(time)], time.clone(), |call: &crate::Invocation<'_>| {
        let windows = call.array(0)?;
        let windows = windows.as_struct();
        let ends = windows.column(1).as_primitive::<TimestampMicrosecondType>();
        let times: TimestampMicrosecondArray = ends.unary(|end| end.saturating_sub(1));
        let nulls = NullBuffer::union(windows.nulls(), times.nulls());
        let times = TimestampMicrosecondArray::new(times.values().clone(), nulls);
        Ok(Arc::new(times.with_data_type(ends.data_type().clone())))
    })
}

/// The session that a time begins, as a function of the time and a gap: a struct of the time and its end. Null if one is null.
pub fn session(time: &DataType) -> Resolved {
    let fields = window_fields(time);
    Resolved::new(vec![time.clone(), DAY_TIME_INTERVAL], window_type(time), move |call: &crate::Invocation<'_>| {
        let (times, gaps) = (call.array(0)?, call.array(1)?);
        let (times, gaps) = (times.as_primitive::<TimestampMicrosecondType>(), gaps.as_primitive::<DurationMicrosecondType>());
        let nulls = NullBuffer::union(times.nulls(), gaps.nulls());
        let ends: Vec<i64> = times.values().iter().zip(gaps.values()).map(|(time, gap)| time.saturating_add(*gap)).collect();
        let column = |values: TimestampMicrosecondArray| Arc::new(values.with_data_type(times.data_type().clone())) as ArrayRef;
        let starts = column(TimestampMicrosecondArray::new(times.values().clone(), nulls.clone()));
        let ends = column(TimestampMicrosecondArray::new(ends.into(), nulls.clone()));
        Ok(Arc::new(StructArray::new(fields.clone(), vec![starts, ends], nulls)))
    })
}

/// The gaps that texts like `10 seconds` are, as a function of the text.
pub fn session_gap() -> Resolved {
    let kernel = |call: &crate::Invocation<'_>| {
        let texts = call.array(0)?;
        let gap = |text: Option<&str>| text.map(gap_micros).transpose();
        let gaps = texts.as_string::<i32>().iter().map(gap).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(DurationMicrosecondArray::from(gaps)) as ArrayRef)
    };
    Resolved::new(vec![DataType::Utf8], DAY_TIME_INTERVAL, kernel).fallible()
}

/// The microseconds of an interval of a fixed length.
///
/// # Errors
/// `CANNOT_PARSE_INTERVAL`, and for months, which have no fixed length.
pub fn gap_micros(text: &str) -> Result<i64> {
    let interval = parse_interval(text)?;
    if interval.months != 0 {
        let message = format!("Intervals greater than a month is not supported ({text}).");
        return Err(spark_error("_LEGACY_ERROR_TEMP_3231", message));
    }
    let days = i64::from(interval.days).checked_mul(86_400_000_000);
    days.and_then(|days| days.checked_add(interval.micros))
        .ok_or_else(|| spark_error("CANNOT_PARSE_INTERVAL", format!("the interval '{text}' is too long")))
}

/// The greatest common divisor of two positive numbers.
fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn window_fields(time: &DataType) -> Fields {
    vec![Field::new("start", time.clone(), true), Field::new("end", time.clone(), true)].into()
}

/// The type of a window over times of this type: `struct<start,end>`.
pub fn window_type(time: &DataType) -> DataType {
    DataType::Struct(window_fields(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Invocation;
    use crate::types::timestamp;
    use datafusion::logical_expr::ColumnarValue;

    fn windows(spec: WindowSpec, time: i64) -> Vec<(i64, i64)> {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![time]).with_timezone("UTC"));
        let resolved = spec.resolve(&timestamp());
        let given = (resolved.kernel)(&Invocation { args: &[ColumnarValue::Array(times)], rows: 1 }).unwrap();
        assert_eq!(given.data_type(), &resolved.returns);
        let windows = given.as_list_opt::<i32>().map_or_else(|| Arc::clone(&given), |list| Arc::clone(list.values()));
        let column = |n: usize| windows.as_struct().column(n).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        column(0).into_iter().zip(column(1)).collect()
    }

    #[test]
    fn windows_are_half_open_and_aligned() {
        let tumbling = WindowSpec::new(10, 10, 0).unwrap();
        assert_eq!(windows(tumbling, 9), [(0, 10)]);
        assert_eq!(windows(tumbling, 10), [(10, 20)]);
        assert_eq!(windows(tumbling, -1), [(-10, 0)]);
        assert_eq!(windows(WindowSpec::new(10, 10, 3).unwrap(), 2), [(-7, 3)]);
        assert_eq!(windows(WindowSpec::new(10, 5, 0).unwrap(), 12), [(10, 20), (5, 15)]);
        assert_eq!(windows(WindowSpec::new(10, 4, 0).unwrap(), 11), [(8, 18), (4, 14)]);
    }

    #[test]
    fn the_times_of_a_pane_are_in_the_same_windows() {
        for (length, slide, offset) in [(10, 5, 0), (10, 4, 3), (12, 8, -5), (7, 3, 1)] {
            let spec = WindowSpec::new(length, slide, offset).unwrap();
            assert_eq!(WindowSpec::of_name(&spec.name()), Some(spec));
            let resolved = spec.pane(&timestamp());
            for time in -40..40 {
                let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![time]).with_timezone("UTC"));
                let panes = (resolved.kernel)(&Invocation { args: &[ColumnarValue::Array(times)], rows: 1 }).unwrap();
                let pane = panes.as_primitive::<TimestampMicrosecondType>().value(0);
                assert!(pane <= time && time < pane + gcd(length, slide));
                assert_eq!(windows(spec, pane), windows(spec, time), "{spec:?} {time}");
            }
        }
        assert_eq!(WindowSpec::of_name("window[1, 2]"), None);
        assert_eq!(WindowSpec::of_name("session_window"), None);
    }

    #[test]
    fn bad_windows_are_refused() {
        for (length, slide, offset) in [(0, 1, 0), (1, 0, 0), (5, 10, 0), (10, 5, 5), (10, 10, -10)] {
            assert!(WindowSpec::new(length, slide, offset).is_err(), "{length} {slide} {offset}");
        }
    }
}
