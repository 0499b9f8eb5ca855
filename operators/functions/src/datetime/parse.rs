//! Reads text by a pattern, as strictly as Java does.

use std::collections::BTreeMap;

use chrono_tz::{TZ_VARIANTS, Tz};

use super::calendar::{Date, days_in_month, in_range, is_leap, local_micros, time_of_day};
use super::format::{ZONE_NAMES, name};
use super::pattern::{Field, Item, OffsetStyle, Part, Pattern, Sign};
use super::zone::Zone;

/// What a text says: the clock, and the zone if it names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Days since 1970-01-01.
    pub(super) days: i64,
    /// Microseconds from midnight.
    pub(super) time: i64,
    pub(super) zone: Option<Zone>,
}

impl Pattern {
    /// What `text` says. Missing fields are those of 1970-01-01 00:00.
    ///
    /// # Errors
    /// A sentence on what doesn't match.
    pub(super) fn read(&self, text: &str) -> Result<Reading, String> {
        let mut reader = Reader { text, fields: BTreeMap::new(), zone: None, offset: None };
        let end = reader.items(&self.items, 0).map_err(|at| format!("{} at index {}", could_not(text), index(text, at)))?;
        if end < text.len() {
            return Err(format!("{}, unparsed text found at index {}", could_not(text), index(text, end)));
        }
        let Reader { mut fields, zone, offset, .. } = reader;
        let zone = zone.or(offset.map(Zone::Fixed));
        let date = date(&mut fields).map_err(|message| format!("{}: {message}", could_not(text)))?;
        let hour = hour(&mut fields).map_err(|message| format!("{}: {message}", could_not(text)))?;
        let date = match date {
            Some(date) => date,
            None => date_of_1970(&fields)?,
        };
        let or_zero = |field| fields.get(&field).copied().unwrap_or(0);
        let time = time_of_day(hour, or_zero(Field::Minute), or_zero(Field::Second), or_zero(Field::Nano) / 1_000)
            .map_err(|message| format!("{}: {message}", could_not(text)))?;
        Ok(Reading { days: date.days(), time, zone })
    }

    /// The date that `text` says, if it fits.
    pub(crate) fn read_date(&self, text: &str) -> Option<i32> {
        i32::try_from(self.read(text).ok()?.days).ok()
    }

    /// The instant that `text` says, in `session` if it names no zone.
    pub(crate) fn read_instant(&self, text: &str, session: Zone) -> Option<i64> {
        let reading = self.read(text).ok()?;
        reading.zone.unwrap_or(session).instant_of(local_micros(reading.days, reading.time).ok()?)
    }

    /// What a clock shows as `text` says; a zone is not looked at.
    pub(crate) fn read_clock(&self, text: &str) -> Option<i64> {
        let reading = self.read(text).ok()?;
        local_micros(reading.days, reading.time).ok()
    }
}

/// The date of fields that are too few for one: what is missing is that of 1970-01-01.
fn date_of_1970(fields: &BTreeMap<Field, i64>) -> Result<Date, String> {
    let get = |field| fields.get(&field).copied();
    let year = get(Field::Year).unwrap_or(1970);
    let Some(day) = get(Field::DayOfYear) else {
        return Date::of(year, get(Field::Month).unwrap_or(1), get(Field::Day).unwrap_or(1));
    };
    let date = of_year_day(year, day)?;
    for (field, own) in [(Field::Month, date.month), (Field::Day, date.day)] {
        if let Some(given) = get(field).filter(|given| *given != own) {
            let (name, shown) = (field.bounds().0, show_date(date));
            return Err(format!("Conflict found: Field {name} {given} differs from {name} {own} derived from {shown}."));
        }
    }
    Ok(date)
}

fn of_year_day(year: i64, day: i64) -> Result<Date, String> {
    let (year, day) = (check(Field::Year, year)?, check(Field::DayOfYear, day)?);
    if day == 366 && !is_leap(year) {
        return Err(format!("Invalid date 'DayOfYear 366' as '{year}' is not a leap year"));
    }
    Ok(Date::from_days(Date { year, month: 1, day: 1 }.days() + day - 1))
}

fn show_date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

fn could_not(text: &str) -> String {
    if text.chars().count() > 64 {
        let start: String = text.chars().take(64).collect();
        format!("Text '{start}...' could not be parsed")
    } else {
        format!("Text '{text}' could not be parsed")
    }
}

/// A place in the text as Java counts it.
fn index(text: &str, at: usize) -> usize {
    text.get(..at).map_or(at, |before| before.encode_utf16().count())
}

fn check(field: Field, value: i64) -> Result<i64, String> {
    let (name, min, max) = field.bounds();
    match field {
        Field::Day if !(min..=max).contains(&value) => Err(format!("Invalid value for {name} (valid values 1 - 28/31): {value}")),
        Field::DayOfYear if !(min..=max).contains(&value) => {
            Err(format!("Invalid value for {name} (valid values 1 - 365/366): {value}"))
        }
        _ => in_range(name, value, min, max).map(|()| value),
    }
}

/// The date that the fields make up, if they do. A year of an era becomes a year.
fn date(fields: &mut BTreeMap<Field, i64>) -> Result<Option<Date>, String> {
    if let (Some(&year), Some(&era)) = (fields.get(&Field::YearOfEra), fields.get(&Field::Era)) {
        let (year, era) = (check(Field::YearOfEra, year)?, check(Field::Era, era)?);
        fields.insert(Field::Year, if era == 0 { 1 - year } else { year });
    }
    let get = |field| fields.get(&field).copied();
    let ymd = match (get(Field::Year), get(Field::Month), get(Field::Day)) {
        (Some(year), Some(month), Some(day)) => Some(Date::of(year, month, day)?),
        _ => None,
    };
    let by_day_of_year = match (get(Field::Year), get(Field::DayOfYear)) {
        (Some(year), Some(day)) if ymd.is_none() => Some(of_year_day(year, day)?),
        _ => None,
    };
    let by_julian_day =
        get(Field::ModifiedJulianDay).map(|days| Date::from_days(days.saturating_sub(40_587).clamp(-1 << 40, 1 << 40)));
    let date = ymd.or(by_day_of_year).or(by_julian_day);
    if let Some(date) = date {
        debug_assert!(date.day <= days_in_month(date.year, date.month));
        let derived = [(Field::Month, date.month), (Field::Day, date.day), (Field::DayOfYear, date.day_of_year())];
        for (field, own) in derived {
            if let Some(given) = get(field).filter(|given| *given != own) {
                let name = field.bounds().0;
                let shown = show_date(date);
                return Err(format!("Conflict found: Field {name} {own} differs from {name} {given} derived from {shown}"));
            }
        }
    }
    Ok(date)
}

/// The hour of the day. Without an hour it is midnight, or noon if the text says that it is after noon; without a half of the day
/// it is the first.
fn hour(fields: &mut BTreeMap<Field, i64>) -> Result<i64, String> {
    if let Some(hour) = fields.remove(&Field::ClockHour) {
        derive(fields, Field::ClockHour, Field::Hour, check(Field::ClockHour, hour)? % 24)?;
    }
    if let Some(hour) = fields.remove(&Field::ClockHourOfHalf) {
        derive(fields, Field::ClockHourOfHalf, Field::HourOfHalf, check(Field::ClockHourOfHalf, hour)? % 12)?;
    }
    if let (Some(&half), Some(&hour)) = (fields.get(&Field::Half), fields.get(&Field::HourOfHalf)) {
        let hour = check(Field::HourOfHalf, hour)?;
        fields.remove(&Field::Half);
        fields.remove(&Field::HourOfHalf);
        derive(fields, Field::Half, Field::Hour, half * 12 + hour)?;
    }
    let get = |field| fields.get(&field).copied();
    let (half, hour_of_half) = (get(Field::Half), get(Field::HourOfHalf));
    let Some(hour) = get(Field::Hour) else {
        return match hour_of_half {
            Some(hour) => check(Field::HourOfHalf, hour),
            None => Ok(if half == Some(1) { 12 } else { 0 }),
        };
    };
    check(Field::Hour, hour)?;
    let (minute, second, nano) = (get(Field::Minute), get(Field::Second), get(Field::Nano));
    // Java doesn't compare where a field in between is missing.
    let complete = minute.is_some() || (second.is_none() && nano.is_none());
    if complete && (second.is_some() || nano.is_none() || minute.is_none()) {
        for (field, own, given) in [(Field::HourOfHalf, hour % 12, hour_of_half), (Field::Half, hour / 12, half)] {
            if let Some(given) = given.filter(|given| *given != own) {
                let (name, minute) = (field.bounds().0, minute.unwrap_or(0));
                return Err(format!(
                    "Conflict found: Field {name} {own} differs from {name} {given} derived from {hour:02}:{minute:02}"
                ));
            }
        }
    }
    Ok(hour)
}

fn derive(fields: &mut BTreeMap<Field, i64>, from: Field, field: Field, value: i64) -> Result<(), String> {
    match fields.insert(field, value) {
        Some(old) if old != value => {
            let (name, from) = (field.bounds().0, from.bounds().0);
            Err(format!("Conflict found: {name} {old} differs from {name} {value} while resolving  {from}"))
        }
        _ => Ok(()),
    }
}

/// What has been read of a text. Its methods take the place to read at, and give the place after, or where it doesn't match.
struct Reader<'a> {
    text: &'a str,
    fields: BTreeMap<Field, i64>,
    /// The last zone that was named.
    zone: Option<Zone>,
    /// An offset, which counts only without a zone.
    offset: Option<i64>,
}

impl Reader<'_> {
    fn items(&mut self, items: &[Item], start: usize) -> Result<usize, usize> {
        items.iter().try_fold(start, |at, item| self.item(item, at))
    }

    fn item(&mut self, item: &Item, at: usize) -> Result<usize, usize> {
        match item {
            Item::Literal(literal) => self.literal(literal, at).ok_or(at),
            Item::Number { field, min, max, sign, reserved } => self.number(*field, (*min, *max), *sign, *reserved, at),
            Item::ShortYear { field, .. } => {
                let digits = self.digits(at, 2);
                let value = digits.filter(|digits| digits.len() == 2).and_then(|digits| digits.parse::<i64>().ok());
                self.set(*field, 2000 + value.ok_or(at)?, at, at + 2)
            }
            Item::Name { field, full } => {
                let (_, min, max) = field.bounds();
                let found = (min..=max).find_map(|value| Some((value, self.literal(&name(*field, value, *full), at)?)));
                let (value, end) = found.ok_or(at)?;
                self.set(*field, value, at, end)
            }
            Item::Fraction { min, max } => {
                let digits = self.digits(at, *max).filter(|digits| digits.len() >= *min).ok_or(at)?;
                let end = at + digits.len();
                let nanos = format!("{digits:0<9}").parse::<i64>().map_err(|_| at)?;
                self.set(Field::Nano, nanos, at, end)
            }
            Item::Offset(style) => {
                let (offset, end) = self.offset(*style, at).ok_or(at)?;
                self.set_offset(offset, at, end)
            }
            Item::LocalizedOffset { full } => {
                let (offset, end) = self.localized_offset(*full, at).ok_or(at)?;
                self.set_offset(offset, at, end)
            }
            Item::ZoneId => {
                let (zone, end) = self.zone_id(at, false).ok_or(at)?;
                self.zone = Some(zone);
                Ok(end)
            }
            Item::ZoneName { .. } => {
                let (zone, end) = self.zone_id(at, true).ok_or(at)?;
                self.zone = Some(zone);
                Ok(end)
            }
            Item::Optional(items) => {
                let (fields, zone, offset) = (self.fields.clone(), self.zone, self.offset);
                Ok(self.items(items, at).unwrap_or_else(|_| {
                    (self.fields, self.zone, self.offset) = (fields, zone, offset);
                    at
                }))
            }
        }
    }

    fn rest(&self, at: usize) -> &str {
        self.text.get(at..).unwrap_or_default()
    }

    /// Up to `max` digits.
    fn digits(&self, at: usize, max: usize) -> Option<&str> {
        let rest = self.rest(at);
        let count = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
        rest.get(..count)
    }

    fn set(&mut self, field: Field, value: i64, at: usize, end: usize) -> Result<usize, usize> {
        match self.fields.insert(field, value) {
            Some(old) if old != value => Err(at),
            _ => Ok(end),
        }
    }

    fn set_offset(&mut self, offset: i64, at: usize, end: usize) -> Result<usize, usize> {
        match self.offset.replace(offset) {
            Some(old) if old != offset => Err(at),
            _ => Ok(end),
        }
    }

    /// Whatever the case of its letters.
    fn literal(&self, literal: &str, at: usize) -> Option<usize> {
        let mut rest = self.rest(at).chars();
        let same = |one: char, other: char| one == other || one.to_lowercase().eq(other.to_lowercase());
        literal
            .chars()
            .all(|wanted| rest.next().is_some_and(|own| same(own, wanted)))
            .then(|| self.text.len() - rest.as_str().len())
    }

    fn number(
        &mut self,
        field: Field,
        (min, max): (usize, usize),
        sign: Sign,
        reserved: usize,
        at: usize,
    ) -> Result<usize, usize> {
        let first = self.rest(at).bytes().next();
        let (negative, positive) = (first == Some(b'-'), first == Some(b'+'));
        let allowed = match sign {
            Sign::Normal => !positive,
            Sign::Exceeding => true,
            Sign::Never => !positive && !negative,
        };
        if !allowed {
            return Err(at);
        }
        let start = at + usize::from(negative || positive);
        let digits = self.digits(start, max + reserved).unwrap_or_default();
        if digits.len() < min {
            return Err(start);
        }
        let count = if reserved > 0 { digits.len().saturating_sub(reserved).max(min) } else { digits.len() };
        let value = digits.get(..count).and_then(|digits| digits.parse::<i64>().ok()).ok_or(start)?;
        if negative && value == 0 {
            return Err(at);
        }
        // A plus says that there are more digits than usual, and must then be there.
        if sign == Sign::Exceeding && !negative && positive != (count > min) {
            return Err(at);
        }
        self.set(field, if negative { -value } else { value }, at, start + count)
    }

    fn two_digits(&self, at: usize, max: i64) -> Option<i64> {
        let value = self.digits(at, 2).filter(|digits| digits.len() == 2)?.parse::<i64>().ok()?;
        (value <= max).then_some(value)
    }

    fn sign(&self, at: usize) -> Option<i64> {
        match self.rest(at).bytes().next()? {
            b'+' => Some(1),
            b'-' => Some(-1),
            _ => None,
        }
    }

    fn offset(&self, style: OffsetStyle, at: usize) -> Option<(i64, usize)> {
        if let Some(end) = self.literal(style.none, at).filter(|_| !style.none.starts_with('+')) {
            return Some((0, end));
        }
        let sign = self.sign(at)?;
        let mut total = self.two_digits(at + 1, 18)? * 3600;
        let mut end = at + 3;
        for (part, unit) in [(style.minutes, 60), (style.seconds, 1)] {
            if part == Part::Never {
                continue;
            }
            let place = if style.colons { self.literal(":", end) } else { Some(end) };
            match place.and_then(|place| Some((place, self.two_digits(place, 59)?))) {
                Some((place, value)) => (total, end) = (total + value * unit, place + 2),
                None if part == Part::Always => return None,
                None => break,
            }
        }
        (total <= 18 * 3600).then_some((sign * total, end))
    }

    fn localized_offset(&self, full: bool, at: usize) -> Option<(i64, usize)> {
        let mut end = self.literal("GMT", at)?;
        let Some(sign) = self.sign(end) else { return Some((0, end)) };
        end += 1;
        let digits = self.digits(end, 2).filter(|digits| if full { digits.len() == 2 } else { !digits.is_empty() })?;
        let mut total = digits.parse::<i64>().ok()? * 3600;
        end += digits.len();
        for unit in [60, 1] {
            match self.literal(":", end).and_then(|place| Some((place, self.two_digits(place, 59)?))) {
                Some((place, value)) => (total, end) = (total + value * unit, place + 2),
                None if full && unit == 60 => return None,
                None => break,
            }
        }
        (total <= 18 * 3600).then_some((sign * total, end))
    }

    /// The longest id (or, with `names`, abbreviation) of a zone that is there.
    fn zone_id(&self, at: usize, names: bool) -> Option<(Zone, usize)> {
        const ID: OffsetStyle = OffsetStyle { none: "Z", colons: true, minutes: Part::Always, seconds: Part::IfNotZero };
        if self.sign(at).is_some() {
            return self.offset(ID, at).map(|(offset, end)| (Zone::Fixed(offset), end));
        }
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(end) = self.literal(prefix, at)
                && self.sign(end).is_some()
                && let Some((offset, end)) = self.offset(ID, end)
            {
                return Some((Zone::Fixed(offset), end));
            }
        }
        if names {
            let long = ZONE_NAMES.iter().find_map(|(short, long)| Some((named(short)?, self.literal(long, at)?)));
            let utc = self.literal("Coordinated Universal Time", at).map(|end| (Zone::UTC, end));
            if let Some(found) = long.or(utc) {
                return Some(found);
            }
        }
        let rest = self.rest(at);
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte)).count();
        (1..=length).rev().find_map(|length| {
            let id = rest.get(..length)?;
            let zone = if names { named(id) } else { None };
            Some((zone.or_else(|| region(id))?, at + length))
        })
    }
}

fn region(id: &str) -> Option<Zone> {
    if ["Z", "UTC", "GMT", "UT"].iter().any(|utc| utc.eq_ignore_ascii_case(id)) {
        return Some(Zone::UTC);
    }
    let exact = id.parse::<Tz>().ok();
    exact.or_else(|| TZ_VARIANTS.iter().copied().find(|tz| tz.name().eq_ignore_ascii_case(id))).map(Zone::from)
}

/// The regions that abbreviations in English stand for.
fn named(abbreviation: &str) -> Option<Zone> {
    let tz = match abbreviation.to_ascii_uppercase().as_str() {
        "PST" | "PDT" | "PT" => Tz::America__Los_Angeles,
        "MST" | "MDT" | "MT" => Tz::America__Denver,
        "CST" | "CDT" | "CT" => Tz::America__Chicago,
        "EST" | "EDT" | "ET" => Tz::America__New_York,
        "AKST" | "AKDT" => Tz::America__Anchorage,
        "AST" | "ADT" => Tz::America__Halifax,
        "HST" => Tz::Pacific__Honolulu,
        "BST" => Tz::Europe__London,
        "WET" | "WEST" => Tz::Europe__Lisbon,
        "CET" | "CEST" => Tz::Europe__Paris,
        "EET" | "EEST" => Tz::Europe__Bucharest,
        "MSK" => Tz::Europe__Moscow,
        "IST" => Tz::Asia__Kolkata,
        "JST" => Tz::Asia__Tokyo,
        "KST" => Tz::Asia__Seoul,
        _ => return None,
    };
    Some(Zone::from(tz))
}
