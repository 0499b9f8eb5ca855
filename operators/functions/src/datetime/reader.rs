//! Text of files as dates and times, by a pattern.

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
        self.zone == Zone::UTC || self.zone == Zone::from(chrono_tz::Tz::UTC)
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
