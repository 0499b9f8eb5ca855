//! Dates and instants: from and to text, and between each other.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use chrono::Utc;
use chrono_tz::Tz;

use super::parse::trim;
use crate::datetime::calendar::{Date, MICROS_PER_DAY, MICROS_PER_SECOND, local_micros};
use crate::datetime::zone::Zone;

/// Reads a date as `CAST` does: `2024`, `2024-1`, `2024-1-2`, and anything after a blank or a `T` behind the day.
pub fn parse_date(text: &str) -> Option<i32> {
    let (sign, mut rest) = signed(trim(text));
    let mut parts = [0, 1, 1];
    for (n, part) in parts.iter_mut().enumerate() {
        let (value, digits, after) = number(rest);
        let enough = if n == 0 { (4..=7).contains(&digits) } else { (1..=2).contains(&digits) };
        if !enough {
            return None;
        }
        (*part, rest) = (value, after);
        match rest.as_bytes().first() {
            None => break,
            Some(b'-') if n < 2 => rest = &rest[1..],
            Some(b' ' | b'T') if n == 2 => break,
            Some(_) => return None,
        }
    }
    let [year, month, day] = parts;
    i32::try_from(Date::new(sign * year, month, day)?.days()).ok()
}

fn signed(text: &str) -> (i64, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    }
}

/// The number at the start: its value as far as it matters, how many digits it has, and what follows.
fn number(text: &str) -> (i64, usize, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let value = text.bytes().take(digits.min(18)).fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    (value, digits, &text[digits..])
}

/// What a text says of a point in time.
struct Moment<'a> {
    /// Days since 1970; `None` if there is only a time.
    day: Option<i64>,
    /// Microseconds of the day.
    time: i64,
    zone: Option<&'a str>,
}

fn parse_moment(text: &str) -> Option<Moment<'_>> {
    let text = trim(text);
    let (digits_first, after_digits) = (number(text).1, number(text).2);
    let time_only = text.starts_with('T') || ((1..=2).contains(&digits_first) && after_digits.starts_with(':'));
    if time_only {
        let (time, zone) = parse_time(text.strip_prefix('T').unwrap_or(text))?;
        return Some(Moment { day: None, time, zone });
    }
    let (sign, mut rest) = signed(text);
    let mut parts = [0, 1, 1];
    let mut time = None;
    for (n, part) in parts.iter_mut().enumerate() {
        let (value, digits, after) = number(rest);
        let enough = if n == 0 { (4..=6).contains(&digits) } else { (1..=2).contains(&digits) };
        if !enough {
            return None;
        }
        (*part, rest) = (value, after);
        match rest.as_bytes().first() {
            None => break,
            Some(b'-') if n < 2 => rest = &rest[1..],
            Some(b' ' | b'T') if n == 2 => time = Some(&rest[1..]),
            Some(_) => return None,
        }
    }
    let [year, month, day] = parts;
    let (time, zone) = time.map_or(Some((0, None)), parse_time)?;
    Some(Moment { day: Some(Date::new(sign * year, month, day)?.days()), time, zone })
}

/// Reads `h`, `h:m`, `h:m:s`, `h:m:s.f` with a zone behind the seconds.
fn parse_time(text: &str) -> Option<(i64, Option<&str>)> {
    let (mut rest, mut parts) = (text, [0; 3]);
    for (n, part) in parts.iter_mut().enumerate() {
        let (value, digits, after) = number(rest);
        if !(1..=2).contains(&digits) {
            return None;
        }
        (*part, rest) = (value, after);
        match rest.as_bytes().first() {
            None => break,
            Some(b':') if n < 2 => rest = &rest[1..],
            Some(_) if n == 2 => {}
            Some(_) => return None,
        }
    }
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let six = fraction.bytes().take(digits).chain(std::iter::repeat(b'0')).take(6);
        micros = six.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        rest = &fraction[digits..];
    }
    let [hours, minutes, seconds] = parts;
    let valid = hours < 24 && minutes < 60 && seconds < 60;
    valid.then(|| (((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros, (!rest.is_empty()).then(|| rest.trim())))
}

/// Reads an instant as `CAST` does; without a zone the text is in `session`'s, without a date it is today.
pub fn parse_timestamp(text: &str, session: Tz) -> Option<i64> {
    let moment = parse_moment(text)?;
    let zone = moment.zone.map_or(Some(session.into()), Zone::find)?;
    let day = moment.day.unwrap_or_else(|| zone.to_local(Utc::now().timestamp_micros()).div_euclid(MICROS_PER_DAY));
    zone.instant_of(local_micros(day, moment.time).ok()?)
}

/// Reads an instant as `CAST` does, but not one without a date; without a zone the text is in this one.
pub(crate) fn parse_dated_timestamp(text: &str, usual: Zone) -> Option<i64> {
    let moment = parse_moment(text)?;
    let zone = moment.zone.map_or(Some(usual), Zone::find)?;
    zone.instant_of(local_micros(moment.day?, moment.time).ok()?)
}

/// Reads what a clock shows as `CAST` does; a zone is not looked at.
pub fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    let moment = parse_moment(text)?;
    moment.zone.map_or(Some(Zone::UTC), Zone::find)?;
    local_micros(moment.day?, moment.time).ok()
}

/// As [`parse_timestamp_ntz`], of a text that names no zone.
pub(crate) fn parse_clock(text: &str) -> Option<i64> {
    let moment = parse_moment(text).filter(|moment| moment.zone.is_none())?;
    local_micros(moment.day?, moment.time).ok()
}

/// Writes `2024-01-02`, years beyond four digits with their sign.
pub fn write_date(out: &mut String, days: i64) {
    let Date { year, month, day } = Date::from_days(days);
    let written = match year {
        10_000.. => write!(out, "+{year}-{month:02}-{day:02}"),
        0..10_000 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "-{:04}-{month:02}-{day:02}", -year),
    };
    // A `String` takes everything.
    written.unwrap_or_default();
}

/// Writes what a clock shows: `2024-01-02 03:04:05.6`.
pub fn write_timestamp(out: &mut String, local: i64) {
    let (days, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    write_date(out, days);
    let seconds = time / MICROS_PER_SECOND;
    write!(out, " {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).unwrap_or_default();
    write_fraction(out, (time % MICROS_PER_SECOND) as u32);
}

/// Writes `.5` for 500 000 microseconds, nothing for none.
pub(super) fn write_fraction(out: &mut String, micros: u32) {
    if micros > 0 {
        write!(out, ".{micros:06}").unwrap_or_default();
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Casts between dates, instants and clock times; clocks are those of `zone`.
pub(super) fn between(values: &ArrayRef, to: &DataType, zone: Tz) -> ArrayRef {
    let session = Zone::from(zone);
    let to_utc = |local: i64| session.instant_of(local).unwrap_or(local);
    match (values.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(_, with_zone)) => {
            let midnight = |days: i32| i64::from(days).saturating_mul(MICROS_PER_DAY);
            let days = values.as_primitive::<Date32Type>();
            let moments = match with_zone {
                Some(_) => days.unary::<_, TimestampMicrosecondType>(|days| to_utc(midnight(days))),
                None => days.unary::<_, TimestampMicrosecondType>(midnight),
            };
            Arc::new(moments.with_data_type(to.clone()))
        }
        (DataType::Timestamp(_, with_zone), DataType::Date32) => {
            let zone = if with_zone.is_some() { session } else { Zone::UTC };
            let moments = values.as_primitive::<TimestampMicrosecondType>();
            Arc::new(moments.unary::<_, Date32Type>(|moment| zone.to_local(moment).div_euclid(MICROS_PER_DAY) as i32))
        }
        (DataType::Timestamp(_, from), _) => {
            let moments = values.as_primitive::<TimestampMicrosecondType>();
            let moments = match from {
                _ if session == Zone::UTC => moments.clone(),
                Some(_) => moments.unary(|moment| session.to_local(moment)),
                None => moments.unary(to_utc),
            };
            Arc::new(moments.with_data_type(to.clone()))
        }
        _ => Arc::clone(values),
    }
}
