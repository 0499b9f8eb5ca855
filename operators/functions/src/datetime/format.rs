//! Writes instants by a pattern.

use std::fmt::Write;

use chrono_tz::Tz;

use super::calendar::{Date, MICROS_PER_DAY, MICROS_PER_SECOND, MONTHS, WEEKDAYS, weekday};
use super::pattern::{Field, Item, OffsetStyle, Part, Pattern, Sign};
use super::zone::{Zone, abbreviation};

/// What the items of a pattern are written from.
struct Moment {
    instant: i64,
    date: Date,
    days: i64,
    /// Microseconds from midnight.
    time: i64,
    /// Seconds.
    offset: i64,
    zone: Tz,
}

impl Pattern {
    /// Appends an instant as a clock in `zone` shows it.
    pub(crate) fn write(&self, instant: i64, zone: Tz, out: &mut String) {
        self.write_at(instant, Zone::from(zone).offset_at(instant), zone, out);
    }

    /// The same for zones without a name too: where the pattern has one, it is that of UTC.
    pub(crate) fn write_in(&self, instant: i64, zone: Zone, out: &mut String) {
        match zone {
            Zone::Region(region) => self.write(instant, region, out),
            Zone::Fixed(offset) => self.write_at(instant, offset, Tz::UTC, out),
        }
    }

    fn write_at(&self, instant: i64, offset: i64, zone: Tz, out: &mut String) {
        let local = instant.saturating_add(offset * MICROS_PER_SECOND);
        let days = local.div_euclid(MICROS_PER_DAY);
        let (date, time) = (Date::from_days(days), local.rem_euclid(MICROS_PER_DAY));
        Moment { instant, date, days, time, offset, zone }.write(&self.items, out);
    }

    /// Appends a date: dates reach further than instants.
    pub(crate) fn write_date(&self, days: i32, out: &mut String) {
        let days = i64::from(days);
        let (instant, date) = (days.saturating_mul(MICROS_PER_DAY), Date::from_days(days));
        Moment { instant, date, days, time: 0, offset: 0, zone: Tz::UTC }.write(&self.items, out);
    }
}

impl Moment {
    fn get(&self, field: Field) -> i64 {
        let hour = self.time / (3600 * MICROS_PER_SECOND);
        match field {
            Field::Year => self.date.year,
            Field::YearOfEra if self.date.year > 0 => self.date.year,
            Field::YearOfEra => 1 - self.date.year,
            Field::Era => i64::from(self.date.year > 0),
            Field::Quarter => self.date.quarter(),
            Field::Month => self.date.month,
            Field::Day => self.date.day,
            Field::DayOfYear => self.date.day_of_year(),
            Field::Weekday => weekday(self.days) + 1,
            Field::AlignedDay => (self.date.day - 1) % 7 + 1,
            Field::Hour => hour,
            Field::ClockHour => (hour + 23) % 24 + 1,
            Field::HourOfHalf => hour % 12,
            Field::ClockHourOfHalf => (hour + 11) % 12 + 1,
            Field::Half => hour / 12,
            Field::Minute => self.time / (60 * MICROS_PER_SECOND) % 60,
            Field::Second => self.time / MICROS_PER_SECOND % 60,
            Field::Nano => self.time % MICROS_PER_SECOND * 1_000,
            Field::ModifiedJulianDay => self.days + 40_587,
        }
    }

    fn write(&self, items: &[Item], out: &mut String) {
        for item in items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Number { field, min, sign, .. } => number(self.get(*field), *min, *sign, out),
                Item::ShortYear { field, .. } => number(self.get(*field).abs() % 100, 2, Sign::Never, out),
                Item::Name { field, full } => out.push_str(&name(*field, self.get(*field), *full)),
                Item::Fraction { max, .. } => {
                    let digits = format!("{:09}", self.get(Field::Nano));
                    out.push_str(digits.get(..*max).unwrap_or(&digits));
                }
                Item::Offset(style) => self.offset(*style, out),
                Item::LocalizedOffset { full } => self.localized_offset(*full, out),
                Item::ZoneId => out.push_str(self.zone.name()),
                Item::ZoneName { full, generic } => out.push_str(&self.zone_name(*full, *generic)),
                Item::Optional(items) => self.write(items, out),
            }
        }
    }

    fn offset(&self, style: OffsetStyle, out: &mut String) {
        let (hours, minutes, seconds) = parts(self.offset);
        let wanted = |part, value| part == Part::Always || (part == Part::IfNotZero && value != 0);
        let (minutes_too, seconds_too) = (wanted(style.minutes, minutes), wanted(style.seconds, seconds));
        if hours == 0 && !(minutes_too && minutes != 0) && !seconds_too {
            out.push_str(style.none);
            return;
        }
        let colon = if style.colons { ":" } else { "" };
        append(out, format_args!("{}{hours:02}", sign(self.offset)));
        if minutes_too || seconds_too {
            append(out, format_args!("{colon}{minutes:02}"));
        }
        if seconds_too {
            append(out, format_args!("{colon}{seconds:02}"));
        }
    }

    fn localized_offset(&self, full: bool, out: &mut String) {
        out.push_str("GMT");
        if self.offset == 0 {
            return;
        }
        let (hours, minutes, seconds) = parts(self.offset);
        append(out, format_args!("{}", sign(self.offset)));
        if full {
            append(out, format_args!("{hours:02}:{minutes:02}"));
        } else if minutes != 0 || seconds != 0 {
            append(out, format_args!("{hours}:{minutes:02}"));
        } else {
            append(out, format_args!("{hours}"));
        }
        if seconds != 0 {
            append(out, format_args!(":{seconds:02}"));
        }
    }

    fn zone_name(&self, full: bool, generic: bool) -> String {
        let Zone::Region(zone) = Zone::from(self.zone) else {
            return if full { "Coordinated Universal Time" } else { "UTC" }.to_owned();
        };
        let abbreviation = abbreviation(zone, self.instant);
        let short = abbreviation.as_deref().unwrap_or(zone.name());
        let found = ZONE_NAMES.iter().find(|(name, _)| *name == short).map(|(_, long)| *long);
        match found {
            Some(long) if full && generic => long.replace(" Standard", "").replace(" Daylight", ""),
            Some(long) if full => long.to_owned(),
            _ if generic => short.replace("ST", "T").replace("DT", "T"),
            _ => short.to_owned(),
        }
    }
}

/// The names in English of zones by their abbreviation in the tz database.
pub(super) const ZONE_NAMES: [(&str, &str); 24] = [
    ("PST", "Pacific Standard Time"),
    ("PDT", "Pacific Daylight Time"),
    ("MST", "Mountain Standard Time"),
    ("MDT", "Mountain Daylight Time"),
    ("CST", "Central Standard Time"),
    ("CDT", "Central Daylight Time"),
    ("EST", "Eastern Standard Time"),
    ("EDT", "Eastern Daylight Time"),
    ("AKST", "Alaska Standard Time"),
    ("AKDT", "Alaska Daylight Time"),
    ("HST", "Hawaii-Aleutian Standard Time"),
    ("AST", "Atlantic Standard Time"),
    ("ADT", "Atlantic Daylight Time"),
    ("GMT", "Greenwich Mean Time"),
    ("BST", "British Summer Time"),
    ("WET", "Western European Standard Time"),
    ("WEST", "Western European Summer Time"),
    ("CET", "Central European Standard Time"),
    ("CEST", "Central European Summer Time"),
    ("EET", "Eastern European Standard Time"),
    ("EEST", "Eastern European Summer Time"),
    ("MSK", "Moscow Standard Time"),
    ("JST", "Japan Standard Time"),
    ("KST", "Korean Standard Time"),
];

fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    out.write_fmt(arguments).unwrap_or_default();
}

fn parts(offset: i64) -> (i64, i64, i64) {
    let size = offset.abs();
    (size / 3600, size / 60 % 60, size % 60)
}

fn sign(offset: i64) -> char {
    if offset < 0 { '-' } else { '+' }
}

fn number(value: i64, width: usize, sign: Sign, out: &mut String) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push('-');
    } else if sign == Sign::Exceeding && digits.len() > width {
        out.push('+');
    }
    out.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len())));
    out.push_str(&digits);
}

/// The name of a field's value.
pub(super) fn name(field: Field, value: i64, full: bool) -> String {
    let index = value.max(1) as usize - 1;
    let long = match field {
        Field::Month => MONTHS.get(index).copied().unwrap_or_default(),
        Field::Weekday => WEEKDAYS.get(index).copied().unwrap_or_default(),
        Field::Half => return if value == 0 { "AM" } else { "PM" }.to_owned(),
        Field::Era => {
            let (short, long) = if value == 0 { ("BC", "Before Christ") } else { ("AD", "Anno Domini") };
            return if full { long } else { short }.to_owned();
        }
        Field::Quarter if full => {
            let ordinal = ["1st", "2nd", "3rd", "4th"].get(index).copied().unwrap_or_default();
            return format!("{ordinal} quarter");
        }
        Field::Quarter => return format!("Q{value}"),
        _ => return value.to_string(),
    };
    if full { long } else { long.get(..3).unwrap_or(long) }.to_owned()
}
