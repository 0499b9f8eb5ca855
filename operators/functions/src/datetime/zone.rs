//! Time zones as Java names and applies them.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{OffsetName, Tz};
use datafusion::error::Result;

use super::calendar::{Date, MICROS_PER_DAY, MICROS_PER_SECOND, is_leap, weekday};
use crate::error::spark_error;

/// The ids of three letters that Java knows by convention.
const SHORT_IDS: [(&str, &str); 28] = [
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
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

/// A time zone: a fixed offset, or the rules of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Seconds east of UTC.
    Fixed(i64),
    /// A region of the tz database.
    Region(Tz),
}

impl From<Tz> for Zone {
    fn from(tz: Tz) -> Self {
        match tz {
            Tz::UTC | Tz::Etc__UTC | Tz::GMT => Zone::Fixed(0),
            other => Zone::Region(other),
        }
    }
}

impl Zone {
    pub(crate) const UTC: Zone = Zone::Fixed(0);

    /// The zone of this id: a region, an offset, `UTC+1`, or one of Java's short ids.
    ///
    /// # Errors
    /// `INVALID_TIMEZONE`.
    pub(crate) fn parse(id: &str) -> Result<Zone> {
        Zone::find(id).ok_or_else(|| {
            spark_error(
                "INVALID_TIMEZONE",
                format!(
                    "The timezone: {id} is invalid. The timezone must be either a region-based zone ID or a zone offset. Region IDs \
                     must have the form 'area/city', such as 'America/Los_Angeles'. Zone offsets must be in the format '(+|-)HH', \
                     '(+|-)HH:mm’ or '(+|-)HH:mm:ss', e.g '-08' , '+01:00' or '-13:33:33', and must be in the range from -18:00 to \
                     +18:00. 'Z' and 'UTC' are accepted as synonyms for '+00:00'."
                ),
            )
        })
    }

    pub(crate) fn find(id: &str) -> Option<Zone> {
        let id = SHORT_IDS.iter().find(|(short, _)| *short == id).map_or(id, |(_, long)| long);
        if id == "Z" {
            return Some(Zone::UTC);
        }
        if id.starts_with(['+', '-']) {
            return parse_offset(id).map(Zone::Fixed);
        }
        for prefix in ["UTC", "GMT", "UT"] {
            match id.strip_prefix(prefix) {
                Some("") => return Some(Zone::UTC),
                Some(offset) if offset.starts_with(['+', '-']) => return parse_offset(offset).map(Zone::Fixed),
                _ => (),
            }
        }
        id.parse::<Tz>().ok().map(Zone::from)
    }

    /// The offset at an instant, in seconds.
    pub(crate) fn offset_at(self, instant: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Region(tz) => i64::from(tz.offset_from_utc_datetime(&naive(known(instant))).fix().local_minus_utc()),
        }
    }

    /// The wall clock at an instant.
    pub(crate) fn to_local(self, instant: i64) -> i64 {
        instant.saturating_add(self.offset_at(instant) * MICROS_PER_SECOND)
    }

    /// The instant at which a clock shows this: where it shows it twice, the first; where it skips it, as if it hadn't been put
    /// forward yet.
    pub(crate) fn to_instant(self, local: i64) -> i64 {
        local.saturating_sub(self.offset_of_local(local) * MICROS_PER_SECOND)
    }

    /// As [`Zone::to_instant`], if it can be counted.
    pub(crate) fn instant_of(self, local: i64) -> Option<i64> {
        local.checked_sub(self.offset_of_local(local) * MICROS_PER_SECOND)
    }

    fn offset_of_local(self, local: i64) -> i64 {
        let tz = match self {
            Zone::Fixed(seconds) => return seconds,
            Zone::Region(tz) => tz,
        };
        let mut clock = naive(known(local));
        // The longest gap is a whole day (Samoa skipped 2011-12-30).
        for _ in 0..=26 * 4 {
            match tz.offset_from_local_datetime(&clock) {
                MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
                    return i64::from(offset.fix().local_minus_utc());
                }
                MappedLocalTime::None => clock = clock.checked_sub_signed(TimeDelta::minutes(15)).unwrap_or(clock),
            }
        }
        i64::from(tz.offset_from_utc_datetime(&clock).fix().local_minus_utc())
    }

    /// The instant `local` in the offset that holds at `near`, if the clock shows it there, else as [`Zone::instant_of`].
    pub(crate) fn instant_near(self, local: i64, near: i64) -> Option<i64> {
        let offset = self.offset_at(near);
        let instant = local.checked_sub(offset * MICROS_PER_SECOND)?;
        if self.offset_at(instant) == offset { Some(instant) } else { self.instant_of(local) }
    }
}

/// The same time of a year that has the same calendar and whose transitions are known: they are listed up to the year 2099.
fn known(micros: i64) -> i64 {
    const LISTED: i64 = 4_102_444_800 * MICROS_PER_SECOND;
    if micros < LISTED {
        return micros;
    }
    let year = Date::from_days(micros.div_euclid(MICROS_PER_DAY)).year;
    let first = |year: i64| Date { year, month: 1, day: 1 }.days();
    let alike = |other: &i64| is_leap(*other) == is_leap(year) && weekday(first(*other)) == weekday(first(year));
    // Within 28 years of no century that is no leap year all calendars occur.
    let other = (2070..2098).find(alike).unwrap_or(2070);
    micros - (first(year) - first(other)) * MICROS_PER_DAY
}

/// What a region calls its time at an instant, such as `EDT`.
pub(crate) fn abbreviation(tz: Tz, instant: i64) -> Option<String> {
    tz.offset_from_utc_datetime(&naive(known(instant))).abbreviation().map(str::to_owned)
}

/// As chrono counts; what it can't count lies outside of all rules, so the nearest it can count has the same offset.
fn naive(micros: i64) -> NaiveDateTime {
    // About the year -260000: a margin for the offset.
    const LIMIT: i64 = -8_200_000_000_000 * MICROS_PER_SECOND;
    DateTime::from_timestamp_micros(micros.max(LIMIT)).unwrap_or_default().naive_utc()
}

/// Reads `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+hhmmss` as seconds; with colons, hours and last minutes may have one digit.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, digits) = text.split_at_checked(1)?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::calendar::{MICROS_PER_HOUR, MICROS_PER_MINUTE, local_micros};

    fn at(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> i64 {
        local_micros(Date { year, month, day }.days(), hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE).unwrap()
    }

    #[test]
    fn ids_are_those_of_java() {
        let summer = at(2021, 7, 1, 0, 0);
        for (id, minutes) in [
            ("CST", -300),
            ("IST", 330),
            ("HST", -600),
            ("MST", -420),
            ("BST", 360),
            ("ACT", 570),
            ("CET", 120),
            ("UT", 0),
            ("Zulu", 0),
            ("GMT0", 0),
            ("Etc/GMT+3", -180),
            ("+05", 300),
            ("-08:30", -510),
            ("+0530", 330),
            ("UTC+5", 300),
            ("UT+5", 300),
            ("+2", 120),
            ("+1:5", 65),
            ("UTC+01:30", 90),
            ("Z", 0),
            ("EST5EDT", -240),
        ] {
            assert_eq!(Zone::parse(id).unwrap().offset_at(summer), minutes * 60, "{id}");
        }
        for id in ["foo", "", "+19:00", "america/new_york", "utc", "EDT", "+530", "+05:60", "z", "+1:5:10", "+01:05:1"] {
            assert!(Zone::parse(id).is_err(), "{id}");
        }
    }

    #[test]
    fn gaps_move_forward_and_overlaps_take_the_first() {
        let zone = Zone::parse("America/New_York").unwrap();
        assert_eq!(zone.to_instant(at(2021, 3, 14, 2, 30)), at(2021, 3, 14, 7, 30));
        assert_eq!(zone.to_instant(at(2021, 11, 7, 1, 30)), at(2021, 11, 7, 5, 30));
        let samoa = Zone::parse("Pacific/Apia").unwrap();
        assert_eq!(samoa.to_local(samoa.to_instant(at(2011, 12, 30, 12, 0))), at(2011, 12, 31, 12, 0));
        assert_eq!(zone.offset_at(at(7404, 7, 1, 0, 0)), -4 * 3600);
        assert_eq!(zone.offset_at(at(7404, 1, 1, 0, 0)), -5 * 3600);
        for zone in [zone, samoa] {
            assert_eq!(zone.to_instant(zone.to_local(i64::MAX / 2)), i64::MAX / 2);
        }
    }
}
