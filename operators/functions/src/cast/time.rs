//! Dates and instants: from and to text, between each other, and time zones.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::parse::trim;

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub const DAY: i64 = 86_400 * SECOND;

/// A time zone as SQL can name it: a region, or an offset in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// A region of the time zone database.
    Region(Tz),
    /// Seconds east of Greenwich.
    Offset(i32),
}

impl Zone {
    /// The instant at which the zone's clocks show `local`; where they show it twice, the first, where they skip it, as much later.
    pub fn to_utc(self, local: i64) -> Option<i64> {
        match self {
            Zone::Region(zone) => local_to_utc(local, zone),
            Zone::Offset(seconds) => local.checked_sub(i64::from(seconds) * SECOND),
        }
    }

    /// What the zone's clocks show at an instant.
    pub fn to_local(self, utc: i64) -> i64 {
        match self {
            Zone::Region(zone) => utc_to_local(utc, zone),
            Zone::Offset(seconds) => utc.saturating_add(i64::from(seconds) * SECOND),
        }
    }
}

/// Short names that Java's `ZoneId.SHORT_IDS` adds.
const SHORT_NAMES: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

/// Reads a time zone: `Europe/Paris`, `PST`, `+01:00`, `+1`, `UTC+1`, `Z`.
pub fn parse_zone(text: &str) -> Option<Zone> {
    let text = SHORT_NAMES.iter().find(|(short, _)| *short == text).map_or(text, |(_, long)| long);
    if matches!(text, "Z" | "UTC" | "GMT" | "UT") {
        return Some(Zone::Offset(0));
    }
    let offset = ["UTC", "GMT", "UT"].into_iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    if offset.starts_with(['+', '-']) {
        return parse_offset(offset).map(Zone::Offset);
    }
    Tz::from_str(text).ok().map(Zone::Region)
}

/// Reads `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+hhmmss`; with colons, hours and last minutes may have one digit.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = text.split_at_checked(1)?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i32>().ok())?;
    let (hours, minutes, seconds) = if digits.contains(':') {
        let parts: Vec<&str> = digits.split(':').collect();
        let long = |at: usize| parts.get(at).is_none_or(|part| part.len() == 2);
        let last_minutes = parts.len() == 2 && parts.get(1).is_some_and(|part| part.len() == 1);
        if !(1..=2).contains(&parts.first()?.len()) || !(long(1) || last_minutes) || !long(2) || parts.len() > 3 {
            return None;
        }
        let part = |at: usize| parts.get(at).map_or(Some(0), |part| number(part));
        (part(0)?, part(1)?, part(2)?)
    } else {
        let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), number);
        match digits.len() {
            1 => (number(digits)?, 0, 0),
            2 | 4 | 6 => (part(0)?, part(2)?, part(4)?),
            _ => return None,
        }
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= 18 * 3600).then_some(if sign == "-" { -total } else { total })
}

/// The time of a calendar's clock, as far as the calendar of `chrono` goes.
fn naive(micros: i64) -> NaiveDateTime {
    let edge = if micros < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_micros(micros).unwrap_or(edge).naive_utc()
}

/// What the zone's clocks show at an instant, in microseconds since 1970 as they count.
pub fn utc_to_local(utc: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return utc;
    }
    let offset = zone.offset_from_utc_datetime(&naive(utc)).fix().local_minus_utc();
    utc.saturating_add(i64::from(offset) * SECOND)
}

/// The instant at which the zone's clocks show `local`; where they show it twice, the first, where they skip it, as much later.
pub fn local_to_utc(local: i64, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
        return Some(local);
    }
    let time = naive(local);
    let offset = match zone.offset_from_local_datetime(&time) {
        MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => offset.fix(),
        // Skipped: what was valid before.
        MappedLocalTime::None => zone.offset_from_utc_datetime(&naive(local.saturating_sub(DAY))).fix(),
    };
    local.checked_sub(i64::from(offset.local_minus_utc()) * SECOND)
}

/// As [`local_to_utc`]; where clocks show `local` twice, the instant whose offset is the one at `near`.
pub fn local_to_utc_near(local: i64, zone: Tz, near: i64) -> Option<i64> {
    if zone != Tz::UTC
        && let MappedLocalTime::Ambiguous(_, later) = zone.offset_from_local_datetime(&naive(local))
        && later.fix() == zone.offset_from_utc_datetime(&naive(near)).fix()
    {
        return local.checked_sub(i64::from(later.fix().local_minus_utc()) * SECOND);
    }
    local_to_utc(local, zone)
}

/// Days since 1970 of a date of the Gregorian calendar; `None` if there is no such date.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    // A year from March to February: the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, in_era) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    Some(era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468)
}

/// Year, month and day of a number of days since 1970.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, in_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// How many days a month has.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date moved by months; past the end of a month it is the month's last day.
pub fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    days_from_civil(year, month, day.min(days_in_month(year, month))).unwrap_or(days)
}

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
    i32::try_from(days_from_civil(sign * year, month as u32, day as u32)?).ok()
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
    Some(Moment { day: Some(days_from_civil(sign * year, month as u32, day as u32)?), time, zone })
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
    valid.then(|| (((hours * 60 + minutes) * 60 + seconds) * SECOND + micros, (!rest.is_empty()).then(|| rest.trim())))
}

/// Reads an instant as `CAST` does; without a zone the text is in `session`'s, without a date it is today.
pub fn parse_timestamp(text: &str, session: Tz) -> Option<i64> {
    let moment = parse_moment(text)?;
    let zone = moment.zone.map_or(Some(Zone::Region(session)), parse_zone)?;
    let day = moment.day.unwrap_or_else(|| zone.to_local(Utc::now().timestamp_micros()).div_euclid(DAY));
    zone.to_utc(whole(day, moment.time)?)
}

/// Reads what a clock shows as `CAST` does; a zone is not looked at.
pub fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    let moment = parse_moment(text)?;
    moment.zone.map_or(Some(Zone::Offset(0)), parse_zone)?;
    whole(moment.day?, moment.time)
}

/// The first and the last representable day are not whole ones.
fn whole(day: i64, time: i64) -> Option<i64> {
    i64::try_from(i128::from(day) * i128::from(DAY) + i128::from(time)).ok()
}

/// Writes `2024-01-02`, years beyond four digits with their sign.
pub fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil_from_days(days);
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
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    write_date(out, days);
    let seconds = time / SECOND;
    write!(out, " {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).unwrap_or_default();
    write_fraction(out, (time % SECOND) as u32);
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
    let to_utc = |local: i64| local_to_utc(local, zone).unwrap_or(local);
    match (values.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(_, with_zone)) => {
            let midnight = |days: i32| i64::from(days).saturating_mul(DAY);
            let days = values.as_primitive::<Date32Type>();
            let moments = match with_zone {
                Some(_) => days.unary::<_, TimestampMicrosecondType>(|days| to_utc(midnight(days))),
                None => days.unary::<_, TimestampMicrosecondType>(midnight),
            };
            Arc::new(moments.with_data_type(to.clone()))
        }
        (DataType::Timestamp(_, with_zone), DataType::Date32) => {
            let zone = if with_zone.is_some() { zone } else { Tz::UTC };
            let moments = values.as_primitive::<TimestampMicrosecondType>();
            Arc::new(moments.unary::<_, Date32Type>(|moment| utc_to_local(moment, zone).div_euclid(DAY) as i32))
        }
        (DataType::Timestamp(_, from), _) => {
            let moments = values.as_primitive::<TimestampMicrosecondType>();
            let moments = match from {
                _ if zone == Tz::UTC => moments.clone(),
                Some(_) => moments.unary(|moment| utc_to_local(moment, zone)),
                None => moments.unary(to_utc),
            };
            Arc::new(moments.with_data_type(to.clone()))
        }
        _ => Arc::clone(values),
    }
}
