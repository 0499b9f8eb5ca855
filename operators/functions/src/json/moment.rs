//! Dates and times as JSON texts hold them: read as a cast reads them, written in the ISO form, or both by a pattern.

use std::fmt::Write;

use chrono::{DateTime, Duration, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::error::Result;

use crate::error::spark_error;

const SECOND: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Days since 1970-01-01 of a date, if there is such a date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March, so that the day that may be missing is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// Reads the parts of a text from its front.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn eat(&mut self, char: char) -> bool {
        let rest = self.0.strip_prefix(char);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn digits(&mut self) -> &'a str {
        let (digits, rest) = self.0.split_at(self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len()));
        self.0 = rest;
        digits
    }

    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.digits();
        if (least..=most).contains(&digits.len()) { digits.parse().ok() } else { None }
    }

    fn date(&mut self, year_digits: usize) -> Option<i64> {
        let negative = !self.eat('+') && self.eat('-');
        let year = self.number(4, year_digits)?;
        let month = if self.eat('-') { Some(self.number(1, 2)?) } else { None };
        let day = if month.is_some() && self.eat('-') { self.number(1, 2)? } else { 1 };
        days(if negative { -year } else { year }, month.unwrap_or(1), day)
    }

    /// Microseconds of a day.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(1, 2)?;
        let minute = if self.eat(':') { Some(self.number(1, 2)?) } else { None };
        let second = if minute.is_some() && self.eat(':') { Some(self.number(1, 2)?) } else { None };
        let micros = if second.is_some() && self.eat('.') { fraction(self.digits()) } else { 0 };
        time_of(hour, minute.unwrap_or(0), second.unwrap_or(0), micros)
    }
}

fn time_of(hour: i64, minute: i64, second: i64, micros: i64) -> Option<i64> {
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some(((hour * 60 + minute) * 60 + second) * SECOND + micros)
}

/// The microseconds of the digits after a point; what is finer is cut.
fn fraction(digits: &str) -> i64 {
    let digits = &digits[..digits.len().min(6)];
    digits.parse::<i64>().unwrap_or(0) * 10_i64.pow(6 - digits.len() as u32)
}

/// Reads a date as a cast does.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut reader = Reader(text.trim());
    let date = reader.date(7)?;
    // What follows after a blank or a `T` doesn't count.
    let ends = reader.0.is_empty() || reader.0.starts_with([' ', 'T']);
    i32::try_from(date).ok().filter(|_| ends)
}

/// Reads a timestamp as a cast does. Without a time zone a wall clock is read, and the text must not name one.
pub(crate) fn parse_timestamp(text: &str, zone: Option<Tz>) -> Option<i64> {
    let mut reader = Reader(text.trim());
    let date = reader.date(6)?;
    let mut time = 0;
    if !reader.0.is_empty() {
        if !reader.eat(' ') && !reader.eat('T') {
            return None;
        }
        time = reader.time()?;
    }
    let local = date.checked_mul(DAY_SECONDS * SECOND)?.checked_add(time)?;
    let named = reader.0.trim();
    match zone {
        None => named.is_empty().then_some(local),
        Some(zone) if named.is_empty() => to_utc(local, zone),
        Some(_) => match zone_named(named)? {
            Zone::Offset(seconds) => local.checked_sub(seconds * SECOND),
            Zone::Region(zone) => to_utc(local, zone),
        },
    }
}

enum Zone {
    Offset(i64),
    Region(Tz),
}

fn zone_named(name: &str) -> Option<Zone> {
    if name == "Z" {
        return Some(Zone::Offset(0));
    }
    let after = ["UTC", "GMT", "UT"].into_iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    if after.is_empty() {
        return Some(Zone::Offset(0));
    }
    if !after.starts_with(['+', '-']) {
        return name.parse().ok().map(Zone::Region);
    }
    offset(after).map(Zone::Offset)
}

/// Seconds of `+02`, `+2:30`, `+0230` or `+02:30:15`.
fn offset(text: &str) -> Option<i64> {
    let mut reader = Reader(text);
    let negative = !reader.eat('+') && reader.eat('-');
    let digits = reader.digits();
    let (hours, minutes) = if digits.len() == 4 { digits.split_at(2) } else { (digits, "0") };
    let (hours, mut minutes): (i64, i64) = (hours.parse().ok().filter(|_| digits.len() <= 4)?, minutes.parse().ok()?);
    let mut seconds = 0;
    if reader.eat(':') {
        minutes = reader.number(1, 2)?;
        if reader.eat(':') {
            seconds = reader.number(2, 2)?;
        }
    }
    let total = (hours * 60 + minutes) * 60 + seconds;
    let valid = reader.0.is_empty() && minutes < 60 && seconds < 60 && total <= 18 * 3600;
    valid.then_some(if negative { -total } else { total })
}

/// The instant of a wall clock's time. Of two the earlier; one that a change of the clocks leaves out is moved on by the change.
fn to_utc(local: i64, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
        return Some(local);
    }
    let Some(naive) = DateTime::from_timestamp_micros(local).map(|time| time.naive_utc()) else { return Some(local) };
    let offset_of = |time: NaiveDateTime| {
        zone.from_local_datetime(&time).earliest().map(|time| i64::from(time.offset().fix().local_minus_utc()))
    };
    let seconds = offset_of(naive).or_else(|| offset_of(naive - Duration::hours(3)))?;
    local.checked_sub(seconds * SECOND)
}

fn to_local(instant: i64, zone: Tz) -> (i64, i64) {
    if zone == Tz::UTC {
        return (instant, 0);
    }
    let Some(time) = DateTime::from_timestamp_micros(instant) else { return (instant, 0) };
    let seconds = i64::from(zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc());
    (instant + seconds * SECOND, seconds)
}

/// How dates and times are written and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    /// A letter, and how often it stands there.
    Field(char, usize),
}

/// A moment by its parts.
#[derive(Debug, Clone, Copy)]
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    offset: Option<i64>,
}

impl Fields {
    fn of(days: i64, time: i64, offset: Option<i64>) -> Fields {
        let (year, month, day) = civil(days);
        let (seconds, micros) = (time / SECOND, time % SECOND);
        Fields { year, month, day, hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60, micros, offset }
    }
}

impl Pattern {
    /// `yyyy-MM-dd`, the default for dates.
    pub(crate) fn iso_date() -> Pattern {
        Pattern(vec![
            Item::Field('y', 4),
            Item::Literal("-".to_owned()),
            Item::Field('M', 2),
            Item::Literal("-".to_owned()),
            Item::Field('d', 2),
        ])
    }

    /// `yyyy-MM-dd'T'HH:mm:ss.SSS`, the default for times of a wall clock.
    pub(crate) fn iso_local() -> Pattern {
        let mut items = Pattern::iso_date().0;
        for (literal, letter, count) in [("T", 'H', 2), (":", 'm', 2), (":", 's', 2), (".", 'S', 3)] {
            items.extend([Item::Literal(literal.to_owned()), Item::Field(letter, count)]);
        }
        Pattern(items)
    }

    /// `yyyy-MM-dd'T'HH:mm:ss.SSSXXX`, the default for instants.
    pub(crate) fn iso_instant() -> Pattern {
        let mut items = Pattern::iso_local().0;
        items.push(Item::Field('X', 3));
        Pattern(items)
    }

    /// Reads a pattern of letters.
    ///
    /// # Errors
    /// When a letter is not supported.
    pub(crate) fn parse(text: &str) -> Result<Pattern> {
        let mut items = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\'' => {
                    let quoted: String = chars.by_ref().take_while(|char| *char != '\'').collect();
                    items.push(Item::Literal(if quoted.is_empty() { "'".to_owned() } else { quoted }));
                }
                'A'..='Z' | 'a'..='z' => {
                    let mut count = 1;
                    while chars.next_if_eq(&char).is_some() {
                        count += 1;
                    }
                    let supported = match char {
                        'y' | 'u' => count <= 6,
                        'M' | 'd' | 'H' | 'm' | 's' => count <= 2,
                        'S' => count <= 9,
                        'X' | 'x' => count <= 3,
                        _ => false,
                    };
                    if !supported {
                        return Err(spark_error(
                            "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
                            format!(
                                "Unrecognized datetime pattern: '{text}'. '{}' is not supported here.",
                                char.to_string().repeat(count)
                            ),
                        ));
                    }
                    items.push(Item::Field(char, count));
                }
                own => items.push(Item::Literal(own.to_string())),
            }
        }
        Ok(Pattern(items))
    }

    /// Writes a date.
    pub(crate) fn write_date(&self, days: i32, out: &mut String) {
        self.write(&Fields::of(i64::from(days), 0, None), out);
    }

    /// Writes a timestamp: an instant in a time zone, or a wall clock's time.
    pub(crate) fn write_timestamp(&self, micros: i64, zone: Option<Tz>, out: &mut String) {
        let (local, offset) = match zone {
            Some(zone) => to_local(micros, zone),
            None => (micros, 0),
        };
        let day = DAY_SECONDS * SECOND;
        self.write(&Fields::of(local.div_euclid(day), local.rem_euclid(day), zone.map(|_| offset)), out);
    }

    fn write(&self, fields: &Fields, out: &mut String) {
        for item in &self.0 {
            let written = match item {
                Item::Literal(text) => out.write_str(text),
                Item::Field('y' | 'u', 2) => write!(out, "{:02}", fields.year.rem_euclid(100)),
                Item::Field('y' | 'u', width) => {
                    let sign = if fields.year < 0 {
                        "-"
                    } else if *width >= 4 && fields.year > 9999 {
                        "+"
                    } else {
                        ""
                    };
                    write!(out, "{sign}{:0width$}", fields.year.abs())
                }
                Item::Field('S', width) => out.write_str(&format!("{:06}000", fields.micros)[..*width.min(&9)]),
                Item::Field(letter @ ('X' | 'x'), count) => write_offset(fields.offset.unwrap_or(0), *letter == 'X', *count, out),
                Item::Field(letter, width) => {
                    let value = match letter {
                        'M' => fields.month,
                        'd' => fields.day,
                        'H' => fields.hour,
                        'm' => fields.minute,
                        _ => fields.second,
                    };
                    write!(out, "{value:0width$}")
                }
            };
            debug_assert!(written.is_ok(), "a string takes every text");
        }
    }

    fn read(&self, text: &str) -> Option<Fields> {
        let mut fields = Fields { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, micros: 0, offset: None };
        let mut reader = Reader(text);
        for item in &self.0 {
            match item {
                Item::Literal(text) => reader.0 = reader.0.strip_prefix(text.as_str())?,
                Item::Field('y' | 'u', 2) => fields.year = 2000 + reader.take(2, 2)?,
                Item::Field('y' | 'u', width) => {
                    let negative = !reader.eat('+') && reader.eat('-');
                    let year = reader.take(*width, if *width == 1 { 6 } else { *width })?;
                    fields.year = if negative { -year } else { year };
                }
                Item::Field('S', width) => {
                    let digits = reader.0.get(..*width).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
                    reader.0 = &reader.0[*width..];
                    fields.micros = fraction(digits);
                }
                Item::Field('X' | 'x', _) => {
                    if reader.eat('Z') {
                        fields.offset = Some(0);
                    } else {
                        fields.offset = Some(offset(std::mem::take(&mut reader.0))?);
                    }
                }
                Item::Field(letter, width) => {
                    let value = reader.take(*width, 2)?;
                    match letter {
                        'M' => fields.month = value,
                        'd' => fields.day = value,
                        'H' => fields.hour = value,
                        'm' => fields.minute = value,
                        _ => fields.second = value,
                    }
                }
            }
        }
        reader.0.is_empty().then_some(fields)
    }

    /// Reads a date.
    pub(crate) fn parse_date(&self, text: &str) -> Option<i32> {
        let fields = self.read(text)?;
        i32::try_from(days(fields.year, fields.month, fields.day)?).ok()
    }

    /// Reads a timestamp; without a time zone, of a wall clock.
    pub(crate) fn parse_timestamp(&self, text: &str, zone: Option<Tz>) -> Option<i64> {
        let fields = self.read(text)?;
        let time = time_of(fields.hour, fields.minute, fields.second, fields.micros)?;
        let local = days(fields.year, fields.month, fields.day)?.checked_mul(DAY_SECONDS * SECOND)?.checked_add(time)?;
        match (zone, fields.offset) {
            (None, _) => Some(local),
            (Some(_), Some(offset)) => local.checked_sub(offset * SECOND),
            (Some(zone), None) => to_utc(local, zone),
        }
    }
}

impl Reader<'_> {
    /// A number of at least and at most so many digits, as many as there are.
    fn take(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(count).filter(|_| count >= least)?;
        self.0 = rest;
        digits.parse().ok()
    }
}

fn write_offset(seconds: i64, zulu: bool, count: usize, out: &mut String) -> std::fmt::Result {
    if seconds == 0 && zulu {
        return out.write_str("Z");
    }
    let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let (hours, minutes) = (size / 3600, size / 60 % 60);
    match count {
        1 if minutes == 0 => write!(out, "{sign}{hours:02}"),
        1 | 2 => write!(out, "{sign}{hours:02}{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}:{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str, zone: Tz) -> Option<String> {
        let mut out = String::new();
        Pattern::iso_instant().write_timestamp(parse_timestamp(text, Some(zone))?, Some(zone), &mut out);
        Some(out)
    }

    #[test]
    fn timestamps_are_read_as_casts_read_them() {
        for (text, time) in [
            ("2024-13-01", None),
            ("2024-01-01T00:00:00.1234567Z", Some("2024-01-01T00:00:00.123Z")),
            ("2024-01-01T25:00:00", None),
            ("2024-01-01 00:00:00 Europe/Berlin", Some("2023-12-31T23:00:00.000Z")),
            ("2024", Some("2024-01-01T00:00:00.000Z")),
            ("2024-05", Some("2024-05-01T00:00:00.000Z")),
            (" 2024-01-01 ", Some("2024-01-01T00:00:00.000Z")),
            ("2024-01-01T1:2:3", Some("2024-01-01T01:02:03.000Z")),
            ("2024-01-01T10", Some("2024-01-01T10:00:00.000Z")),
            ("2024-01-01T10:20:30+0200", Some("2024-01-01T08:20:30.000Z")),
            ("2024-01-01T10:20:30GMT+2", Some("2024-01-01T08:20:30.000Z")),
            ("2024-01-01T10:20:30.", Some("2024-01-01T10:20:30.000Z")),
            ("20240101", None),
            ("12024-01-01", Some("+12024-01-01T00:00:00.000Z")),
            ("2024-01-01Z", None),
        ] {
            assert_eq!(instant(text, Tz::UTC).as_deref(), time, "{text}");
        }
        // A time that is left out in spring, and one that is there twice in autumn.
        assert_eq!(instant("2024-03-31 02:30:00", Tz::Europe__Berlin).as_deref(), Some("2024-03-31T03:30:00.000+02:00"));
        assert_eq!(instant("2024-10-27 02:30:00", Tz::Europe__Berlin).as_deref(), Some("2024-10-27T02:30:00.000+02:00"));
    }

    #[test]
    fn dates_are_read_as_casts_read_them() {
        for (text, date) in [
            ("2024", Some("2024-01-01")),
            ("2024-01-01T", Some("2024-01-01")),
            ("2024-01-01 xx", Some("2024-01-01")),
            ("2024-01-01xx", None),
            ("2024-02-30", None),
            ("99-01-01", None),
            ("-0001-01-01", Some("-0001-01-01")),
            ("1234567-01-01", Some("+1234567-01-01")),
        ] {
            let written = parse_date(text).map(|days| {
                let mut out = String::new();
                Pattern::iso_date().write_date(days, &mut out);
                out
            });
            assert_eq!(written.as_deref(), date, "{text}");
        }
    }

    #[test]
    fn patterns_read_what_they_write() {
        let pattern = Pattern::parse("dd/MM/yyyy 'at' HH:mm:ss.SSSSSS XXX").unwrap();
        let text = "02/01/2024 at 03:04:05.000120 +02:00";
        let micros = pattern.parse_timestamp(text, Some(Tz::UTC)).unwrap();
        assert_eq!(instant("2024-01-02T01:04:05Z", Tz::UTC), {
            let mut out = String::new();
            Pattern::iso_instant().write_timestamp(micros, Some(Tz::UTC), &mut out);
            Some(out)
        });
        assert!(Pattern::parse("EEE").is_err());
        assert_eq!(Pattern::parse("dd/MM/yyyy").unwrap().parse_date("2/1/2024"), None);
    }
}
