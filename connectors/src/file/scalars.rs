//! Values written as text: dates, times and decimals, in the forms that Spark reads.

/// A decimal of the given scale, rounded half up; `None` if the text is no number, or one with more than `precision` digits.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mut mantissa, mut exponent, mut seen, mut after_point) = (0_i128, 0_i64, false, false);
    let mut rest = digits;
    while let Some((byte, tail)) = rest.split_first() {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                // More digits than fit are below everything that rounding looks at.
                match mantissa.checked_mul(10).and_then(|m| m.checked_add(i128::from(byte - b'0'))) {
                    Some(more) => {
                        mantissa = more;
                        exponent -= i64::from(after_point);
                    }
                    None => exponent += i64::from(!after_point),
                }
            }
            b'.' if !after_point => after_point = true,
            b'e' | b'E' if seen => {
                exponent = exponent.checked_add(std::str::from_utf8(tail).ok()?.parse::<i32>().ok()?.into())?;
                break;
            }
            _ => return None,
        }
        rest = tail;
    }
    if !seen {
        return None;
    }
    let unscaled = shift(mantissa, exponent + i64::from(scale))?;
    let limit = 10_i128.checked_pow(precision.into())?;
    (unscaled < limit).then_some(if negative { -unscaled } else { unscaled })
}

/// `mantissa` times ten to the power of `by`, rounded half up.
fn shift(mantissa: i128, by: i64) -> Option<i128> {
    if mantissa == 0 {
        return Some(0);
    }
    let power = u32::try_from(by.unsigned_abs()).ok().and_then(|by| 10_i128.checked_pow(by));
    match (by >= 0, power) {
        (true, power) => mantissa.checked_mul(power?),
        (false, Some(power)) => Some(mantissa / power + i128::from(mantissa % power >= power / 2 && power > 1)),
        // Less than half of the last place.
        (false, None) => Some(0),
    }
}

/// Days since 1970-01-01: `2024`, `2024-1`, `2024-01-31`, and anything after `2024-01-31T` or a blank.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let (days, rest) = calendar_date(text.trim_ascii())?;
    match rest {
        Rest::End | Rest::Time(_) => i32::try_from(days).ok(),
    }
}

/// Microseconds since 1970-01-01 UTC: a date, a time of day from the hour on, and a zone; UTC where none is given.
pub(crate) fn instant(text: &[u8]) -> Option<i64> {
    let (local, zone) = local_time(text)?;
    let offset = if zone.is_empty() { 0 } else { zone_offset_seconds(zone)? };
    local.checked_sub(offset * 1_000_000)
}

/// Microseconds since 1970-01-01 of a wall clock: as [`instant`], but without a zone.
pub(crate) fn wall_clock(text: &[u8]) -> Option<i64> {
    let (local, zone) = local_time(text)?;
    zone.is_empty().then_some(local)
}

/// A floating-point number in digits; names of special numbers are the caller's.
pub(crate) fn float<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    // The standard library knows names in any case, which are no numbers here.
    let is_number = text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if is_number { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// A floating-point number as Java reads it: with blanks around it, a suffix, or in hexadecimal digits.
pub(crate) fn java_float<T: Float>(text: &[u8]) -> Option<T> {
    if let Some(number) = float(text) {
        return Some(number);
    }
    let is_blank = |byte: &&u8| **byte <= b' ';
    let start = text.iter().take_while(is_blank).count();
    let end = text.len() - text.iter().skip(start).rev().take_while(is_blank).count();
    let text = text.get(start..end)?;
    let plain = match text {
        [digits @ .., b'f' | b'F' | b'd' | b'D'] => digits,
        digits => digits,
    };
    float(plain).or_else(|| hexadecimal(plain).map(T::from_wide))
}

/// `0x1.8p3`: the exponent is one of two, in decimal digits, and must be there.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let [b'0', b'x' | b'X', rest @ ..] = digits else { return None };
    let exponent_at = rest.iter().position(|byte| matches!(byte, b'p' | b'P'))?;
    let (mantissa, exponent) = rest.split_at(exponent_at);
    let mut exponent: i32 = std::str::from_utf8(exponent.get(1..)?).ok()?.parse().ok()?;
    let (mut value, mut seen, mut after_point) = (0.0_f64, false, false);
    for byte in mantissa {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                seen = true;
                value = value.mul_add(16.0, f64::from(digit));
                exponent = exponent.checked_sub(if after_point { 4 } else { 0 })?;
            }
            None if *byte == b'.' && !after_point => after_point = true,
            None => return None,
        }
    }
    let value = value * 2.0_f64.powi(exponent);
    seen.then_some(if negative { -value } else { value })
}

/// The two types of floating-point numbers.
pub(crate) trait Float: std::str::FromStr {
    fn from_wide(value: f64) -> Self;
}

impl Float for f32 {
    fn from_wide(value: f64) -> Self {
        value as f32
    }
}

impl Float for f64 {
    fn from_wide(value: f64) -> Self {
        value
    }
}

/// A whole number with an optional sign.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() > 18 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let value = digits.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// What follows a date.
enum Rest<'a> {
    End,
    /// After the `T` or blank.
    Time(&'a [u8]),
}

fn calendar_date(text: &[u8]) -> Option<(i64, Rest<'_>)> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (year, rest) = digits(text, 4, 7)?;
    let year = if negative { -year } else { year };
    let (month, rest) = match rest {
        [b'-', rest @ ..] => digits(rest, 1, 2)?,
        [] => return Some((days_from_civil(year, 1, 1)?, Rest::End)),
        _ => return None,
    };
    let (day, rest) = match rest {
        [b'-', rest @ ..] => digits(rest, 1, 2)?,
        [] => return Some((days_from_civil(year, month, 1)?, Rest::End)),
        _ => return None,
    };
    let rest = match rest {
        [] => Rest::End,
        [b'T' | b' ', time @ ..] => Rest::Time(time),
        _ => return None,
    };
    Some((days_from_civil(year, month, day)?, rest))
}

/// Microseconds by the wall clock, and the text of the zone.
fn local_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (days, rest) = calendar_date(text.trim_ascii())?;
    let (micros, zone) = match rest {
        Rest::End => (0, &[][..]),
        Rest::Time(time) => time_of_day(time)?,
    };
    Some((days.checked_mul(86_400_000_000)?.checked_add(micros)?, zone.trim_ascii()))
}

fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(text, 1, 2)?;
    let (minute, rest) = after_colon(rest)?;
    let (second, rest) = if minute.is_some() { after_colon(rest)? } else { (None, rest) };
    let (minute, has_seconds, second) = (minute.unwrap_or(0), second.is_some(), second.unwrap_or(0));
    let (micros, zone) = match rest {
        [b'.', rest @ ..] if has_seconds => {
            let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, zone) = rest.split_at(len);
            let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
            (padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')), zone)
        }
        rest => (0, rest),
    };
    let fits = hour < 24 && minute < 60 && second < 60;
    fits.then_some((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, zone))
}

/// A number of one or two digits after a colon, if there is a colon.
fn after_colon(text: &[u8]) -> Option<(Option<i64>, &[u8])> {
    match text {
        [b':', rest @ ..] => digits(rest, 1, 2).map(|(number, rest)| (Some(number), rest)),
        rest => Some((None, rest)),
    }
}

/// `Z`, `UTC`, `GMT`, `UT`, and offsets with or without one of these before them: `+1`, `+01:30`, `-0130`, `+01:30:15`.
fn zone_offset_seconds(zone: &[u8]) -> Option<i64> {
    let offset = [&b"UTC"[..], b"GMT", b"UT", b"Z"].iter().find_map(|name| zone.strip_prefix(*name)).unwrap_or(zone);
    let (sign, offset) = match offset {
        [] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(offset, 1, 2)?;
    let (minutes, rest) = match rest {
        [] => (0, rest),
        [b':', rest @ ..] => digits(rest, 1, 2)?,
        rest => digits(rest, 2, 2)?,
    };
    let (seconds, rest) = match rest {
        [] => (0, rest),
        [b':', rest @ ..] => digits(rest, 1, 2)?,
        rest => digits(rest, 2, 2)?,
    };
    let total = (hours * 60 + minutes) * 60 + seconds;
    (rest.is_empty() && minutes < 60 && seconds < 60 && total <= 18 * 3_600).then_some(sign * total)
}

/// A number of `min` to `max` digits, and what follows it; more digits are none.
fn digits(text: &[u8], min: usize, max: usize) -> Option<(i64, &[u8])> {
    let len = text.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(len);
    (len >= min).then(|| (number.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')), rest))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, which goes on for ever in both directions; `None` if there is none.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // A year that begins in March has its leap day at its end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_up_and_overflow_to_none() {
        let cases = [
            ("1.555", Some(156)),
            ("-1.555", Some(-156)),
            ("1.5", Some(150)),
            ("1e2", Some(10_000)),
            ("1.25E-1", Some(13)),
            ("99999", None),
            ("999.994", Some(99_999)),
            ("999.995", None),
            ("0e99", Some(0)),
            ("1e-400", Some(0)),
            (".5", Some(50)),
            ("", None),
            (".", None),
            ("1x", None),
            ("1.00000000000000000000000000000000000000000000000009", Some(100)),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text.as_bytes(), 5, 2), expected, "{text}");
        }
    }

    #[test]
    fn dates_and_times_in_sparks_forms() {
        let day = 19_723; // 2024-01-01
        let at = |seconds: i64| Some(day * 86_400_000_000 + seconds * 1_000_000);
        let cases = [
            ("2024-01-01", at(0)),
            ("2024", at(0)),
            (" 2024-1-1T1:2:3 ", at(3_723)),
            ("2024-01-01 10", at(36_000)),
            ("2024-01-01T00:00:00+0200", at(-7_200)),
            ("2024-01-01T10:11:12+02:00", at(29_472)),
            ("2024-01-01T00:00:00UTC", at(0)),
            ("2024-01-01T00:00:00 GMT-1", at(3_600)),
            ("2024-01-01T00:00:00.123456789Z", at(0).map(|t| t + 123_456)),
            ("2024-01-01 24:00:00", None),
            ("2024-02-30", None),
            ("12:00", None),
            ("2024-01-01T00:00:00x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(instant(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(wall_clock(b"2024-01-01T00:00:01"), at(1));
        assert_eq!(wall_clock(b"2024-01-01T00:00:01Z"), None);
        for (text, expected) in [
            ("2024-01-01T10:11:12", Some(19_723)),
            ("2024-01-01 x", Some(19_723)),
            ("2024-01-01x", None),
            ("2024-13-01", None),
            ("1969-12-31", Some(-1)),
            ("0001-01-01", Some(-719_162)),
            ("-0001-03-01", Some(-719_834)),
            ("20", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(integer(b"+12"), Some(12));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"1.0"), None);
        assert_eq!(integer(b"-"), None);
        assert_eq!(float::<f64>(b"1e3"), Some(1_000.0));
        assert_eq!(float::<f64>(b"inf"), None);
    }
}
