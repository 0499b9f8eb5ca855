//! `sequence`: numbers, dates or timestamps at equal steps.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Int64Type, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use chrono::{DateTime, Days, Months, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::error::{DataFusionError, Result};

use super::arguments::{common_type_of, mismatch};
use super::build::too_long;
use super::lists::{MAX_ELEMENTS, list_of, nulls_of, too_many_elements};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{DAY_TIME_INTERVAL, YEAR_MONTH_INTERVAL, is_integral, is_timestamp, list};

const MICROS_PER_DAY: i64 = 86_400_000_000;

pub(super) fn sequence(call: &Call<'_>) -> Result<Resolved> {
    let bounds: Vec<DataType> = call.args.iter().take(2).map(|arg| arg.data_type.clone()).collect();
    let step = call.args.get(2).map(|arg| arg.data_type.clone());
    let common = common_type_of(&bounds).ok_or_else(|| wrong_types(call))?;
    match (common, step) {
        (common, step) if is_integral(&common) => {
            let types = [common, step.unwrap_or(DataType::Null)];
            let common = common_type_of(&types).filter(is_integral).ok_or_else(|| wrong_types(call))?;
            let returns = list(common.clone());
            Ok(Resolved::new(vec![common.clone(); call.len()], returns, move |call| numbers(call, &common)).fallible())
        }
        (common, step) if common == DataType::Date32 || is_timestamp(&common) => {
            let zone = if matches!(common, DataType::Timestamp(_, Some(_))) { call.settings.time_zone } else { Tz::UTC };
            let mut args = vec![common.clone(); 2];
            match step {
                None => {}
                Some(step @ (DAY_TIME_INTERVAL | YEAR_MONTH_INTERVAL)) => args.push(step),
                Some(DataType::Null) => args.push(DAY_TIME_INTERVAL),
                Some(_) => return Err(wrong_types(call)),
            }
            Ok(Resolved::new(args, list(common.clone()), move |call| moments(call, &common, zone)).fallible())
        }
        _ => Err(wrong_types(call)),
    }
}

fn wrong_types(call: &Call<'_>) -> DataFusionError {
    mismatch(
        call,
        "SEQUENCE_WRONG_INPUT_TYPES",
        "`sequence` uses the wrong parameter type. The parameter type must conform to:\n1. The start and stop expressions must resolve to \
         the same type.\n2. If start and stop expressions resolve to the (\"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP_NTZ\") type, then the \
         step expression must resolve to the (\"INTERVAL\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL DAY TO SECOND\") type.\n3. \
         Otherwise, if start and stop expressions resolve to the \"INTEGRAL\" type, then the step expression must resolve to the same type.",
    )
}

/// The error for steps that lead away from the end.
fn bad_boundaries(start: i64, stop: i64, step: i64) -> DataFusionError {
    spark_error("ILLEGAL_ARGUMENT", format!("requirement failed: Illegal sequence boundaries: {start} to {stop} by {step}"))
}

fn leads_there(start: i64, stop: i64, step: i64) -> bool {
    (step > 0 && start <= stop) || (step < 0 && start >= stop) || (step == 0 && start == stop)
}

/// How many values there are from `start` to `stop`.
fn count(start: i64, stop: i64, step: i64) -> Result<usize> {
    let distance = (i128::from(stop) - i128::from(start)).unsigned_abs();
    let count = if step == 0 { 1 } else { distance / i128::from(step).unsigned_abs() + 1 };
    usize::try_from(count).ok().filter(|count| *count <= MAX_ELEMENTS).ok_or_else(|| too_long("sequence", count))
}

/// Collects the sequences of all rows.
struct Sequences {
    values: Vec<i64>,
    ends: Vec<i32>,
    nulls: Option<NullBuffer>,
}

impl Sequences {
    /// For each row whose arguments aren't null, `row` adds its values.
    fn collect(rows: usize, nulls: Option<NullBuffer>, mut row: impl FnMut(usize, &mut Vec<i64>) -> Result<()>) -> Result<Self> {
        let (mut values, mut ends) = (Vec::new(), vec![0]);
        for index in 0..rows {
            if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) {
                row(index, &mut values)?;
            }
            ends.push(i32::try_from(values.len()).map_err(|_| too_many_elements(values.len()))?);
        }
        Ok(Sequences { values, ends, nulls })
    }

    fn finish(self, element: &DataType) -> Result<ArrayRef> {
        let values: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(self.values));
        let values = match element {
            // Dates count days in 32 bits, and a kernel casts them from those only.
            DataType::Date32 => cast(&cast(&values, &DataType::Int32)?, element)?,
            _ => cast(&values, element)?,
        };
        list_of(values, OffsetBuffer::new(ScalarBuffer::from(self.ends)), self.nulls)
    }
}

fn numbers(invocation: &Invocation<'_>, element: &DataType) -> Result<ArrayRef> {
    let columns = (0..invocation.args.len())
        .map(|index| Ok(cast(&invocation.array(index)?, &DataType::Int64)?))
        .collect::<Result<Vec<ArrayRef>>>()?;
    let nulls = nulls_of(&columns.iter().collect::<Vec<_>>());
    let columns: Vec<_> = columns.iter().map(|column| column.as_primitive::<Int64Type>()).collect();
    let sequences = Sequences::collect(invocation.rows, nulls, |row, values| {
        let (start, stop) = (columns[0].value(row), columns[1].value(row));
        let step = columns.get(2).map_or(if start <= stop { 1 } else { -1 }, |steps| steps.value(row));
        if !leads_there(start, stop, step) {
            return Err(bad_boundaries(start, stop, step));
        }
        push_all(values, start, stop, step)
    })?;
    sequences.finish(element)
}

fn push_all(values: &mut Vec<i64>, start: i64, stop: i64, step: i64) -> Result<()> {
    // Each product is between start and stop: it may wrap on the way, but not in the end.
    values.extend((0..count(start, stop, step)? as i64).map(|index| start.wrapping_add(index.wrapping_mul(step))));
    Ok(())
}

/// A step in time: of months, days of the calendar, and microseconds.
#[derive(Debug, Clone, Copy)]
struct Step {
    months: i64,
    days: i64,
    micros: i64,
}

impl Step {
    /// About how long it is: its sign is what counts.
    fn length(self) -> i128 {
        i128::from(self.months) * 28 * i128::from(MICROS_PER_DAY)
            + i128::from(self.days) * i128::from(MICROS_PER_DAY)
            + i128::from(self.micros)
    }

    /// The moment that many steps after `start`; `None` beyond what a timestamp can be.
    fn after(self, start: i64, times: i64, zone: Tz) -> Option<i64> {
        let mut local = zone.from_utc_datetime(&naive(start)?);
        if self.months != 0 || self.days != 0 {
            let wall = add_months(local.naive_local(), self.months.checked_mul(times)?)?;
            let wall = add_days(wall, self.days.checked_mul(times)?)?;
            local = at_wall_clock(zone, wall, &local)?;
        }
        let micros = local.timestamp_micros();
        micros.checked_add(self.micros.checked_mul(times)?)
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|moment| moment.naive_utc())
}

fn add_months(wall: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { wall.checked_sub_months(count) } else { wall.checked_add_months(count) }
}

fn add_days(wall: NaiveDateTime, days: i64) -> Option<NaiveDateTime> {
    let count = Days::new(days.unsigned_abs());
    if days < 0 { wall.checked_sub_days(count) } else { wall.checked_add_days(count) }
}

/// The moment when clocks show `wall`. When they show it twice, with the offset that `before` has, or the earlier one; when they
/// skip it, as much later as they skip.
fn at_wall_clock(zone: Tz, wall: NaiveDateTime, before: &DateTime<Tz>) -> Option<DateTime<Tz>> {
    use chrono::{MappedLocalTime, Offset};
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(moment) => Some(moment),
        MappedLocalTime::Ambiguous(earlier, later) if before.offset().fix() == later.offset().fix() => {
            Some(later).filter(|_| earlier.offset().fix() != before.offset().fix())
        }
        MappedLocalTime::Ambiguous(earlier, _) => Some(earlier),
        MappedLocalTime::None => (1..=48).find_map(|hours| {
            let shift = TimeDelta::hours(hours);
            let earlier = zone.from_local_datetime(&wall.checked_sub_signed(shift)?).latest()?;
            earlier.checked_add_signed(shift)
        }),
    }
}

fn moments(invocation: &Invocation<'_>, element: &DataType, zone: Tz) -> Result<ArrayRef> {
    let columns = (0..invocation.args.len()).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
    let nulls = nulls_of(&columns.iter().collect::<Vec<_>>());
    let is_date = element == &DataType::Date32;
    let micros = |column: &ArrayRef, row: usize| match is_date {
        true => i64::from(column.as_primitive::<Date32Type>().value(row)).saturating_mul(MICROS_PER_DAY),
        false => column.as_primitive::<TimestampMicrosecondType>().value(row),
    };
    let sequences = Sequences::collect(invocation.rows, nulls, |row, values| {
        let (start, stop) = (micros(&columns[0], row), micros(&columns[1], row));
        let (step, given) = match columns.get(2) {
            None => (Step { months: 0, days: if start <= stop { 1 } else { -1 }, micros: 0 }, MICROS_PER_DAY),
            Some(steps) => step_of(steps, row),
        };
        if is_date && step.months == 0 && step.days == 0 {
            let kind = if given == 0 && matches!(columns[2].data_type(), DataType::Interval(IntervalUnit::YearMonth)) {
                "year to month"
            } else {
                "day to second"
            };
            let message =
                format!("sequence step must be an interval {kind} of day granularity if start and end values are dates");
            return Err(spark_error("ILLEGAL_ARGUMENT", message));
        }
        let length = step.length();
        let sign = length.signum() as i64;
        if !leads_there(start, stop, sign) {
            return Err(bad_boundaries(start, stop, given));
        }
        if step.months == 0 && step.days == 0 {
            return push_all(values, start, stop, step.micros);
        }
        let past = if sign < 0 { Ordering::Less } else { Ordering::Greater };
        let limit = count(start, stop, length.clamp(i64::MIN.into(), i64::MAX.into()) as i64)?;
        for times in 0.. {
            let Some(next) = step.after(start, times, zone).filter(|next| next.cmp(&stop) != past) else { break };
            values.push(if is_date { next.div_euclid(MICROS_PER_DAY) } else { next });
            if values.len() > MAX_ELEMENTS {
                return Err(too_long("sequence", limit as u128));
            }
        }
        Ok(())
    })?;
    sequences.finish(element)
}

/// The step of a row, and how it is given: in months or in microseconds.
fn step_of(steps: &ArrayRef, row: usize) -> (Step, i64) {
    match steps.data_type() {
        DataType::Interval(_) => {
            let months = i64::from(steps.as_primitive::<IntervalYearMonthType>().value(row));
            (Step { months, days: 0, micros: 0 }, months)
        }
        _ => {
            let micros = steps.as_primitive::<DurationMicrosecondType>().value(row);
            (Step { months: 0, days: micros / MICROS_PER_DAY, micros: micros % MICROS_PER_DAY }, micros)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_calendar_of_the_zone() {
        let zone = Tz::America__New_York;
        let at = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        let day = Step { months: 0, days: 1, micros: 0 };
        // Clocks go forward on 10 March: noon to noon is 23 hours.
        assert_eq!(day.after(at("2024-03-09T17:00:00Z"), 1, zone), Some(at("2024-03-10T16:00:00Z")));
        // 02:30 is skipped: it becomes 03:30.
        assert_eq!(day.after(at("2024-03-09T07:30:00Z"), 1, zone), Some(at("2024-03-10T07:30:00Z")));
        // 01:30 comes twice on 3 November: the first of them.
        assert_eq!(day.after(at("2024-11-02T05:30:00Z"), 1, zone), Some(at("2024-11-03T05:30:00Z")));
        let month = Step { months: 1, days: 0, micros: 0 };
        assert_eq!(month.after(at("2024-01-31T05:00:00Z"), 1, zone), Some(at("2024-02-29T05:00:00Z")));
        assert_eq!(month.after(at("2024-01-31T05:00:00Z"), 2, zone), Some(at("2024-03-31T04:00:00Z")));
    }
}
