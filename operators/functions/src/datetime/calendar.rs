//! The proleptic Gregorian calendar over days since 1970-01-01, for the whole range of Spark's dates (more than five million years).

use datafusion::error::Result;

use crate::error::spark_error;

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub(crate) const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub(crate) const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

pub(crate) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// From Monday.
pub(crate) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A date of the calendar. Years before 1 count down: 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

impl Date {
    /// The date that is `days` days after 1970-01-01.
    pub(crate) fn from_days(days: i64) -> Self {
        // Years begin in March here, so that the leap day is the last of its year; an era is 400 of them.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Date {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
        }
    }

    /// The date of these fields, if there is one.
    pub(crate) fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        exists.then_some(Date { year, month, day })
    }

    /// How many days it is after 1970-01-01.
    pub(crate) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The date of these fields, or what is wrong with them.
    pub(crate) fn of(year: i64, month: i64, day: i64) -> Result<Self, String> {
        in_range("Year", year, -999_999_999, 999_999_999)?;
        in_range("MonthOfYear", month, 1, 12)?;
        if !(1..=31).contains(&day) {
            return Err(format!("Invalid value for DayOfMonth (valid values 1 - 28/31): {day}"));
        }
        if day <= days_in_month(year, month) {
            return Ok(Date { year, month, day });
        }
        let name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
        Err(if day == 29 {
            format!("Invalid date 'February 29' as '{year}' is not a leap year")
        } else {
            format!("Invalid date '{} {day}'", name.to_uppercase())
        })
    }

    /// The same day `months` later, or the last one of that month if it has fewer days.
    pub(crate) fn plus_months(self, months: i64) -> Self {
        let total = self.year * 12 + (self.month - 1) + months;
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
        Date { year, month, day: self.day.min(days_in_month(year, month)) }
    }

    /// 1 to 366.
    pub(crate) fn day_of_year(self) -> i64 {
        self.days() - Date { month: 1, day: 1, ..self }.days() + 1
    }

    /// 1 to 4.
    pub(crate) fn quarter(self) -> i64 {
        (self.month - 1) / 3 + 1
    }
}

/// Checks a field as Java's calendar does.
pub(crate) fn in_range(field: &str, value: i64, min: i64, max: i64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("Invalid value for {field} (valid values {min} - {max}): {value}"))
    }
}

pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 for Monday to 6 for Sunday.
pub(crate) fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

/// The year and week of ISO 8601: weeks begin on Monday and belong to the year of their Thursday.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = Date::from_days(days - weekday(days) + 3);
    (thursday.year, (thursday.day_of_year() - 1) / 7 + 1)
}

/// The microseconds from midnight of a time of day, or what is wrong with it.
pub(crate) fn time_of_day(hour: i64, minute: i64, second: i64, micros: i64) -> Result<i64, String> {
    in_range("HourOfDay", hour, 0, 23)?;
    in_range("MinuteOfHour", minute, 0, 59)?;
    in_range("SecondOfMinute", second, 0, 59)?;
    Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros)
}

/// A wall clock's microseconds since 1970-01-01 00:00, if they can be counted.
pub(crate) fn local_micros(days: i64, time_of_day: i64) -> Result<i64> {
    let micros = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time_of_day);
    i64::try_from(micros).map_err(|_| overflow())
}

/// A date of Spark, if it can hold so many days.
pub(crate) fn date32(days: i64) -> Result<i32> {
    i32::try_from(days).map_err(|_| overflow())
}

pub(crate) fn overflow() -> datafusion::error::DataFusionError {
    spark_error("ARITHMETIC_OVERFLOW", "overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.")
}

/// A wall clock as `yyyy-MM-dd HH:mm:ss[.ffffff]`, for messages.
pub(crate) fn show_local(micros: i64) -> String {
    let date = Date::from_days(micros.div_euclid(MICROS_PER_DAY));
    let time = micros.rem_euclid(MICROS_PER_DAY);
    let (hour, minute) = (time / MICROS_PER_HOUR, time / MICROS_PER_MINUTE % 60);
    let (second, fraction) = (time / MICROS_PER_SECOND % 60, time % MICROS_PER_SECOND);
    let sign = if date.year > 9999 { "+" } else { "" };
    let mut text = format!("{sign}{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}", date.year, date.month, date.day);
    if fraction != 0 {
        text.push('.');
        text.push_str(format!("{fraction:06}").trim_end_matches('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-800_000..800_000).step_by(13).chain([i64::from(i32::MIN), i64::from(i32::MAX), -719_468]) {
            let date = Date::from_days(days);
            assert_eq!(date.days(), days);
            assert_eq!(Date::of(date.year, date.month, date.day), Ok(date));
        }
        assert_eq!(Date::from_days(i64::from(i32::MAX)), Date { year: 5_881_580, month: 7, day: 11 });
    }

    #[test]
    fn weeks_are_those_of_iso() {
        for ((year, month, day), week) in
            [((2021, 1, 1), (2020, 53)), ((2021, 5, 1), (2021, 17)), ((2018, 12, 31), (2019, 1)), ((2024, 12, 29), (2024, 52))]
        {
            assert_eq!(iso_week(Date { year, month, day }.days()), week);
        }
    }

    #[test]
    fn bad_dates_are_explained() {
        for (fields, message) in [
            ((2021, 2, 29), "Invalid date 'February 29' as '2021' is not a leap year"),
            ((2021, 4, 31), "Invalid date 'APRIL 31'"),
            ((2021, 13, 1), "Invalid value for MonthOfYear (valid values 1 - 12): 13"),
            ((2021, 1, 0), "Invalid value for DayOfMonth (valid values 1 - 28/31): 0"),
        ] {
            assert_eq!(Date::of(fields.0, fields.1, fields.2), Err(message.to_owned()));
        }
    }
}
