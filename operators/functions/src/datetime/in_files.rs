//! Text of files as dates and times, and the other way round.

use chrono_tz::Tz;
use datafusion::error::Result;

use super::pattern::Pattern;
use super::zone::Zone;
use crate::cast::time::parse_dated_timestamp;
use crate::function::Settings;

/// Reads instants in the form of ISO 8601, also in part, as casts do. A time without a date is none: it would be another instant when
/// it is read again on another day.
#[derive(Debug, Clone, Copy)]
pub struct UsualReader {
    zone: Zone,
}

impl UsualReader {
    /// For text without a zone in `zone` or else in the session's.
    ///
    /// # Errors
    /// `INVALID_TIMEZONE`.
    pub fn new(zone: Option<&str>, settings: &Settings) -> Result<Self> {
        Ok(UsualReader { zone: zone.map_or(Ok(Zone::from(settings.time_zone)), Zone::parse)? })
    }

    /// The microseconds since 1970-01-01 UTC of the instant that the text stands for.
    pub fn instant(&self, text: &str) -> Option<i64> {
        parse_dated_timestamp(text, self.zone)
    }

    /// Whether text without a zone is of UTC.
    pub fn is_utc(&self) -> bool {
        self.zone == Zone::UTC
    }
}

/// Reads dates and times of one pattern of Spark's.
#[derive(Debug, Clone)]
pub struct TimeReader {
    pattern: Pattern,
    zone: Zone,
}

impl TimeReader {
    /// A reader by this pattern, for text without a zone in `zone` or else in the session's.
    ///
    /// # Errors
    /// `INVALID_DATETIME_PATTERN.*` and `INVALID_TIMEZONE`.
    pub fn new(pattern: &str, zone: Option<&str>, settings: &Settings) -> Result<Self> {
        let zone = zone.map_or(Ok(Zone::from(settings.time_zone)), Zone::parse)?;
        Ok(TimeReader { pattern: Pattern::to_parse(pattern)?, zone })
    }

    /// The days since 1970-01-01 of the date that the text stands for.
    pub fn date(&self, text: &str) -> Option<i32> {
        self.pattern.read_date(text)
    }

    /// The microseconds since 1970-01-01 UTC of the instant that the text stands for.
    pub fn instant(&self, text: &str) -> Option<i64> {
        self.pattern.read_instant(text, self.zone)
    }

    /// The microseconds since 1970-01-01 of the wall-clock time that the text stands for.
    pub fn clock(&self, text: &str) -> Option<i64> {
        self.pattern.read_clock(text)
    }
}

/// Writes dates and times by one pattern of Spark's.
#[derive(Debug, Clone)]
pub struct TimeWriter {
    pattern: Pattern,
    zone: Zone,
}

impl TimeWriter {
    /// The form in which files have instants: to the millisecond, with the offset from UTC.
    pub const USUAL: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSXXXXX";
    /// The form in which names of directories have instants, before zeros at the end are [left out](Self::short_instant).
    pub const IN_NAMES: &str = "yyyy-MM-dd HH:mm:ss.SSSSSS";

    /// A writer by this pattern, of what a clock shows in `zone`, or else in the session's.
    ///
    /// # Errors
    /// `INVALID_DATETIME_PATTERN.*` and `INVALID_TIMEZONE`.
    pub fn new(pattern: &str, zone: Option<&str>, settings: &Settings) -> Result<Self> {
        let zone = zone.map_or(Ok(Zone::from(settings.time_zone)), Zone::parse)?;
        Ok(TimeWriter { pattern: Pattern::to_format(pattern)?, zone })
    }

    /// Whether it writes what clocks show in UTC.
    pub fn is_utc(&self) -> bool {
        self.zone == Zone::UTC
    }

    /// Appends a date, by days since 1970-01-01.
    pub fn date(&self, days: i64, out: &mut String) {
        self.pattern.write_date(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }), out);
    }

    /// Appends an instant, by microseconds since 1970-01-01 UTC.
    pub fn instant(&self, micros: i64, out: &mut String) {
        self.pattern.write_in(micros, self.zone, out);
    }

    /// Appends an instant, whose pattern ends with a fraction, without the zeros at the end of that.
    pub fn short_instant(&self, micros: i64, out: &mut String) {
        self.pattern.write_in(micros, self.zone, out);
        out.truncate(out.trim_end_matches('0').trim_end_matches('.').len());
    }

    /// Appends a time by the wall clock, by microseconds since 1970-01-01.
    pub fn clock(&self, micros: i64, out: &mut String) {
        self.pattern.write(micros, Tz::UTC, out);
    }
}
