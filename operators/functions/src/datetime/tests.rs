//! What Spark gives, call by call.

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::FUNCTIONS;
use super::calendar::{Date, MICROS_PER_DAY, show_local};
use crate::error::SparkError;
use crate::function::{Arg, Call, Invocation, Settings};
use crate::types::{TIMESTAMP_NTZ, timestamp};

/// `d'…'` is a date, `t'…'` a timestamp in UTC, `n'…'` one without zone, `i'…'` and `l'…'` integers, `f'…'` a double, `m'…'` a
/// decimal with its digits, `b'…'` a boolean, `y'…'` months, `u'…'` microseconds, `null` nothing; all else is a string.
fn argument(text: &str) -> ScalarValue {
    let Some((kind, inner)) = text.strip_suffix('\'').and_then(|text| text.split_once('\'')) else {
        let null = text == "null";
        return if null { ScalarValue::Null } else { ScalarValue::Utf8(Some(text.to_owned())) };
    };
    let of = |data_type: &DataType| {
        let strings = ScalarValue::Utf8(Some(inner.to_owned())).to_array().unwrap();
        ScalarValue::try_from_array(&cast(&strings, data_type).unwrap(), 0).unwrap()
    };
    match kind {
        "d" => of(&DataType::Date32),
        "t" => of(&timestamp()),
        "n" => of(&TIMESTAMP_NTZ),
        "i" => of(&DataType::Int32),
        "l" => of(&DataType::Int64),
        "f" => of(&DataType::Float64),
        "b" => of(&DataType::Boolean),
        "m" => {
            let scale = inner.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let digits: i128 = inner.replace('.', "").parse().unwrap();
            ScalarValue::Decimal128(Some(digits), 38, scale as i8)
        }
        "y" => ScalarValue::IntervalYearMonth(Some(inner.parse().unwrap())),
        "u" => ScalarValue::DurationMicrosecond(Some(inner.parse().unwrap())),
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    }
}

fn show(array: &ArrayRef) -> String {
    if array.is_null(0) {
        return "null".to_owned();
    }
    match ScalarValue::try_from_array(array, 0).unwrap() {
        ScalarValue::Date32(Some(days)) => {
            let date = Date::from_days(i64::from(days));
            format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
        }
        ScalarValue::TimestampMicrosecond(Some(micros), _) => show_local(micros),
        ScalarValue::DurationMicrosecond(Some(micros)) => format!("{micros} us"),
        ScalarValue::IntervalYearMonth(Some(months)) => format!("{months} months"),
        ScalarValue::Float64(Some(value)) => format!("{value:?}"),
        ScalarValue::Decimal128(Some(value), _, scale) => format!("{}e-{scale}", value),
        other => other.to_string(),
    }
}

/// The value of a call written `name(a, b)`, or the condition of its error.
fn value(call: &str, time_zone: Tz) -> String {
    let (name, rest) = call.split_once('(').unwrap();
    let inner = rest.strip_suffix(')').unwrap();
    let values: Vec<ScalarValue> =
        inner.split(", ").filter(|text| !text.is_empty() || inner.contains(',')).map(argument).collect();
    let arg = |value: &ScalarValue| Arg { data_type: value.data_type(), literal: Some(value.clone()), sql: value.to_string() };
    let args: Vec<Arg> = values.iter().map(arg).collect();
    let settings = Settings { time_zone };
    let call = Call { name, args: &args, settings: &settings };
    let function = FUNCTIONS.iter().find(|function| function.names.contains(&name)).unwrap();
    let run = || -> datafusion::error::Result<String> {
        function.arity.check(name, values.len())?;
        let resolved = (function.resolve)(&call)?;
        let cast_one = |(value, wanted): (&ScalarValue, &DataType)| value.to_array().and_then(|array| Ok(cast(&array, wanted)?));
        let scalars: Vec<ArrayRef> = values.iter().zip(&resolved.args).map(cast_one).collect::<Result<_, _>>()?;
        let single: Vec<ColumnarValue> = scalars
            .iter()
            .map(|array| ScalarValue::try_from_array(array, 0).map(ColumnarValue::Scalar))
            .collect::<Result<_, _>>()?;
        let result = (resolved.kernel)(&Invocation { args: &single, rows: 1 })?;
        assert_eq!((result.data_type(), result.len()), (&resolved.returns, 1), "{name}");
        // Columns give the same as literals.
        let repeat = |array: &ArrayRef| ScalarValue::try_from_array(array, 0).and_then(|value| value.to_array_of_size(3));
        let columns = scalars.iter().map(|array| repeat(array).map(ColumnarValue::Array)).collect::<Result<Vec<_>, _>>()?;
        let repeated = (resolved.kernel)(&Invocation { args: &columns, rows: 3 })?;
        assert_eq!((repeated.len(), show(&repeated.slice(2, 1))), (3, show(&result)), "{name}");
        Ok(show(&result))
    };
    run().unwrap_or_else(|error| match SparkError::find(&error) {
        Some(found) => format!("!{}", found.condition),
        None => format!("!{error}"),
    })
}

fn check(cases: &[(&str, &str)]) {
    check_in(Tz::UTC, cases);
}

fn check_in(zone: Tz, cases: &[(&str, &str)]) {
    for (call, expected) in cases {
        assert_eq!(value(call, zone), *expected, "{call}");
    }
}

#[test]
fn fields_of_dates_and_times() {
    check(&[
        ("year(d'2024-01-02')", "2024"),
        ("year(null)", "null"),
        ("year(i'1')", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("quarter(d'2021-12-01')", "4"),
        ("weekday(d'2024-01-02')", "1"),
        ("dayofweek(d'2024-01-02')", "3"),
        ("dayofweek(d'2021-01-03')", "1"),
        ("weekofyear(d'2021-01-01')", "53"),
        ("dayofyear(d'2020-12-31')", "366"),
        ("hour(t'2024-01-02 03:04:05.7')", "3"),
        ("minute(n'2024-01-02 03:04:05.7')", "4"),
        ("second(t'1969-12-31 23:59:58.7')", "58"),
        ("hour(i'1')", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("dayname(d'2021-05-01')", "Sat"),
        ("monthname(d'2021-05-01')", "May"),
        ("extract(YEAROFWEEK, d'2021-01-01')", "2020"),
        ("date_part(dow_iso, d'2021-01-03')", "7"),
        ("date_part(DOW, d'2021-01-03')", "1"),
        ("extract(qtr, d'2021-05-01')", "2"),
        ("extract(w, d'2021-05-01')", "17"),
        ("extract(doy, d'2021-05-01')", "121"),
        ("extract(d, d'2021-05-01')", "1"),
        ("extract(S, t'2021-01-01 01:02:03.456789')", "3456789e-6"),
        ("extract(seconds, t'1969-12-31 23:59:59.5')", "59500000e-6"),
        ("extract(hr, n'2021-01-01 01:02:03')", "1"),
        ("extract(foo, d'2021-05-01')", "!INVALID_EXTRACT_FIELD"),
        ("extract(epoch, t'2021-05-01 00:00:00')", "!INVALID_EXTRACT_FIELD"),
        ("date_part(null, d'2021-05-01')", "null"),
        ("date_part(year, null)", "null"),
        ("extract(year, y'14')", "1"),
        ("extract(month, y'-14')", "-2"),
        ("extract(day, u'-93784500000')", "-1"),
        ("extract(hour, u'-93784500000')", "-2"),
        ("extract(minute, u'-93784500000')", "-3"),
        ("extract(second, u'-93784500000')", "-4500000e-6"),
        ("extract(year, u'1')", "!INVALID_EXTRACT_FIELD"),
    ]);
}

#[test]
fn dates_are_computed() {
    check(&[
        ("date_add(d'2021-05-01', i'3')", "2021-05-04"),
        ("date_add(d'2021-05-01', i'2147483647')", "-5877590-10-20"),
        ("date_add(d'2021-05-01', l'3')", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("date_add(null, i'3')", "null"),
        ("dateadd(d'2021-05-01', 3)", "2021-05-04"),
        ("date_sub(d'2021-05-01', i'1')", "2021-04-30"),
        ("datediff(d'2021-05-01', d'2021-05-04')", "-3"),
        ("add_months(d'2021-01-31', i'1')", "2021-02-28"),
        ("add_months(d'2020-02-29', i'12')", "2021-02-28"),
        ("add_months(d'2021-02-28', i'1')", "2021-03-28"),
        ("add_months(d'2021-01-31', i'-2')", "2020-11-30"),
        ("add_months(d'2021-01-31', i'2147483647')", "!ARITHMETIC_OVERFLOW"),
        ("last_day(d'2020-02-03')", "2020-02-29"),
        ("next_day(d'2021-02-03', MON)", "2021-02-08"),
        ("next_day(d'2021-02-01', mo)", "2021-02-08"),
        ("next_day(d'2021-02-01', Tu)", "2021-02-02"),
        ("next_day(d'2021-02-01', thurs)", "!ILLEGAL_DAY_OF_WEEK"),
        ("next_day(null, xx)", "null"),
        ("trunc(d'2021-05-04', year)", "2021-01-01"),
        ("trunc(d'2021-05-04', week)", "2021-05-03"),
        ("trunc(d'2021-05-04', quarter)", "2021-04-01"),
        ("trunc(d'2021-05-04', mm)", "2021-05-01"),
        ("trunc(d'2021-05-04', day)", "null"),
        ("make_date(i'2021', i'2', i'3')", "2021-02-03"),
        ("make_date(null, i'2', i'3')", "null"),
        ("make_date(i'2021', i'2', i'30')", "!DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION"),
        ("make_date(i'10000000', i'1', i'3')", "!ARITHMETIC_OVERFLOW"),
        ("make_date(i'-1', i'1', i'1')", "-001-01-01"),
        ("unix_date(d'1970-01-02')", "1"),
        ("unix_date(1970-01-02)", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("date_from_unix_date(i'-1')", "1969-12-31"),
        ("months_between(t'2021-03-31 10:00:00', t'2021-02-28 12:00:00')", "1.0"),
        ("months_between(t'1997-02-28 10:30:00', t'1996-10-30 00:00:00')", "3.94959677"),
        ("months_between(t'1997-02-28 10:30:00', t'1996-10-30 00:00:00', b'false')", "3.9495967741935485"),
        ("months_between(t'1960-01-01 00:00:00', t'2020-05-17 03:00:00')", "-724.52016129"),
        ("months_between(t'2020-02-28 00:00:00', t'2020-01-31 00:00:00')", "0.90322581"),
        ("months_between(t'2020-02-28 00:00:00', t'2020-01-31 00:00:00', null)", "null"),
    ]);
}

#[test]
fn timestamps_are_computed() {
    check(&[
        ("date_trunc(YYYY, t'2021-05-04 10:11:12.345678')", "2021-01-01 00:00:00"),
        ("date_trunc(quarter, t'2021-05-04 10:11:12.345678')", "2021-04-01 00:00:00"),
        ("date_trunc(mm, t'2021-05-04 10:11:12.345678')", "2021-05-01 00:00:00"),
        ("date_trunc(week, t'2021-05-04 10:11:12.345678')", "2021-05-03 00:00:00"),
        ("date_trunc(dd, n'2021-05-04 10:11:12.345678')", "2021-05-04 00:00:00"),
        ("date_trunc(hour, t'1969-12-31 23:30:00')", "1969-12-31 23:00:00"),
        ("date_trunc(second, t'2021-05-04 10:11:12.345678')", "2021-05-04 10:11:12"),
        ("date_trunc(millisecond, t'2021-05-04 10:11:12.345678')", "2021-05-04 10:11:12.345"),
        ("date_trunc(microsecond, t'2021-05-04 10:11:12.345678')", "2021-05-04 10:11:12.345678"),
        ("date_trunc(WEEKS, t'2021-05-04 10:11:12')", "null"),
        ("date_trunc(null, t'2021-05-04 10:11:12')", "null"),
        ("unix_seconds(t'1969-12-31 23:59:59.5')", "-1"),
        ("unix_millis(t'1969-12-31 23:59:59.9995')", "-1"),
        ("unix_micros(t'1970-01-01 00:00:01')", "1000000"),
        ("unix_seconds(1970-01-02)", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("timestamp_seconds(i'1')", "1970-01-01 00:00:01"),
        ("timestamp_seconds(m'1.5')", "1970-01-01 00:00:01.5"),
        ("timestamp_seconds(m'1.1234567')", "!Execution error: Rounding necessary"),
        ("timestamp_seconds(f'1.1234567')", "1970-01-01 00:00:01.123456"),
        ("timestamp_seconds(f'NaN')", "null"),
        ("timestamp_seconds(l'9223372036854775807')", "!DATETIME_OVERFLOW"),
        ("timestamp_seconds(m'12345678901234567890123456.5')", "!DATETIME_OVERFLOW"),
        ("timestamp_seconds(1)", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("timestamp_millis(l'-1')", "1969-12-31 23:59:59.999"),
        ("timestamp_millis(m'1.5')", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("timestamp_micros(i'-1')", "1969-12-31 23:59:59.999999"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', m'6.789')", "2021-02-03 04:05:06.789"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', i'60')", "2021-02-03 04:06:00"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', i'6', +02:00)", "2021-02-03 02:05:06"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', i'6', null)", "null"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', i'6', foo)", "!INVALID_TIMEZONE"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', m'60.5')", "!INVALID_FRACTION_OF_SECOND"),
        ("make_timestamp(i'2021', i'2', i'3', i'4', i'5', i'-1')", "!DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION"),
        ("make_timestamp(i'2021', i'2', i'3', i'24', i'5', i'1')", "!DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION"),
        ("make_timestamp_ntz(i'2021', i'2', i'3', i'4', i'5', m'6.5')", "2021-02-03 04:05:06.5"),
        ("try_make_timestamp(i'2021', i'2', i'30', i'4', i'5', i'6')", "null"),
        ("try_make_timestamp_ntz(i'2021', i'2', i'3', i'4', i'5', i'61')", "null"),
        ("try_make_timestamp_ltz(i'2021', i'2', i'3', i'4', i'5', i'6', foo)", "!INVALID_TIMEZONE"),
        ("make_timestamp_ltz(i'2021', i'2', i'3', i'4', i'5', i'6', PST)", "2021-02-03 12:05:06"),
        ("timestampadd(MONTH, i'1', t'2021-01-31 00:00:00')", "2021-02-28 00:00:00"),
        ("dateadd(YEAR, i'-1', t'2020-02-29 00:00:00')", "2019-02-28 00:00:00"),
        ("date_add(week, i'1', d'2021-01-01')", "2021-01-08 00:00:00"),
        ("timestampadd(QUARTER, i'1', n'2021-01-01 00:00:00')", "2021-04-01 00:00:00"),
        ("timestampadd(DAYOFYEAR, i'1', t'2021-01-31 00:00:00')", "2021-02-01 00:00:00"),
        ("timestampadd(MILLISECOND, i'5', t'2021-01-31 00:00:00')", "2021-01-31 00:00:00.005"),
        ("timestampadd(DAY, null, t'2021-01-31 00:00:00')", "null"),
        ("timestampadd(MONTH, l'3000000000', t'2021-01-31 00:00:00')", "!DATETIME_OVERFLOW"),
        ("timestampadd(HOUR, l'9223372036854775807', t'2021-01-31 00:00:00')", "!DATETIME_OVERFLOW"),
        ("timestampadd(foo, i'1', t'2021-01-31 00:00:00')", "!INVALID_PARAMETER_VALUE.DATETIME_UNIT"),
        ("timestampadd(DAY, i'1', i'1')", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("timestampdiff(MONTH, t'2021-01-31 00:00:00', t'2021-02-28 00:00:00')", "0"),
        ("timestampdiff(MONTH, t'2021-01-31 01:00:00', t'2021-03-01 00:00:00')", "0"),
        ("timestampdiff(MONTH, t'2021-03-15 00:00:00', t'2021-01-15 00:00:01')", "-1"),
        ("timestampdiff(YEAR, t'2020-02-29 00:00:00', t'2021-02-28 00:00:00')", "0"),
        ("timestampdiff(QUARTER, d'2021-01-01', d'2022-01-01')", "4"),
        ("datediff(DAY, d'2021-01-01', d'2021-02-01')", "31"),
        ("date_diff(WEEK, d'2021-01-15', d'2021-01-01')", "-2"),
        ("timestampdiff(HOUR, t'2021-01-01 00:00:00', t'2021-01-01 10:59:00')", "10"),
        ("timestampdiff(MICROSECOND, t'2021-01-01 00:00:00', t'2021-01-01 00:00:01')", "1000000"),
        ("timestampdiff(DAYOFYEAR, d'2021-01-01', d'2021-02-01')", "!INVALID_PARAMETER_VALUE.DATETIME_UNIT"),
        ("from_utc_timestamp(t'2021-07-01 00:00:00', America/New_York)", "2021-06-30 20:00:00"),
        ("to_utc_timestamp(t'2021-03-14 02:30:00', America/New_York)", "2021-03-14 07:30:00"),
        ("to_utc_timestamp(t'2021-11-07 01:30:00', America/New_York)", "2021-11-07 05:30:00"),
        ("from_utc_timestamp(t'2021-07-01 00:00:00', foo)", "!INVALID_TIMEZONE"),
        ("convert_timezone(America/New_York, Asia/Tokyo, n'2021-07-01 00:00:00')", "2021-07-01 13:00:00"),
        ("convert_timezone(Asia/Tokyo, n'2021-07-01 00:00:00')", "2021-07-01 09:00:00"),
        ("convert_timezone(UTC, null, n'2021-07-01 00:00:00')", "null"),
        ("current_timezone()", "UTC"),
        ("make_dt_interval(i'1', i'2', i'3', m'4.5')", "93784500000 us"),
        ("make_dt_interval()", "0 us"),
        ("make_dt_interval(null)", "null"),
        ("make_dt_interval(i'2147483647')", "!INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION"),
        ("make_ym_interval(i'-1', i'-13')", "-25 months"),
        ("make_ym_interval(i'2147483647', i'2')", "!INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION"),
    ]);
    assert_eq!(93_784_500_000, MICROS_PER_DAY + 7_384_500_000);
}

#[test]
fn a_session_has_its_clock() {
    check_in(
        Tz::America__New_York,
        &[
            ("hour(t'2021-07-01 00:00:00')", "20"),
            ("hour(n'2021-07-01 00:00:00')", "0"),
            ("date_trunc(day, t'2021-07-01 00:00:00')", "2021-06-30 04:00:00"),
            ("date_trunc(month, t'2021-12-01 06:00:00')", "2021-12-01 05:00:00"),
            // The second of the two hours from one to two stays the second.
            ("date_trunc(hour, t'2021-11-07 06:30:00')", "2021-11-07 06:00:00"),
            ("timestampadd(DAY, i'1', t'2021-03-13 12:00:00')", "2021-03-14 11:00:00"),
            ("timestampadd(HOUR, i'23', t'2021-03-13 12:00:00')", "2021-03-14 11:00:00"),
            ("timestampdiff(HOUR, t'2021-03-13 12:00:00', t'2021-03-14 11:00:00')", "24"),
            ("make_timestamp(i'2021', i'3', i'14', i'2', i'30', i'0')", "2021-03-14 07:30:00"),
            ("date_format(t'2021-07-01 00:00:00', yyyy-MM-dd HH:mm:ss VV z zzzz O OOOO XXX x Z)", NEW_YORK),
            ("to_timestamp(2021-07-01 00:00, yyyy-MM-dd HH:mm)", "2021-07-01 04:00:00"),
            ("to_date(2021-07-01 01:00 Z, yyyy-MM-dd HH:mm X)", "2021-06-30"),
            ("unix_timestamp(d'1970-01-01')", "18000"),
            ("current_timezone()", "America/New_York"),
        ],
    );
}

const NEW_YORK: &str = "2021-06-30 20:00:00 America/New_York EDT Eastern Daylight Time GMT-4 GMT-04:00 -04:00 -04 -0400";

#[test]
fn timestamps_are_written_by_patterns() {
    for (pattern, expected) in [
        ("G GGGG", "AD Anno Domini"),
        ("y yy yyy yyyy yyyyy", "2024 24 2024 2024 02024"),
        ("M MM MMM MMMM L LL LLL LLLL", "3 03 Mar March 3 03 Mar March"),
        ("d dd E EEE EEEE a", "7 07 Thu Thu Thursday PM"),
        ("h hh H HH k kk K KK m mm s ss", "3 03 15 15 15 15 3 03 4 04 5 05"),
        ("S SS SSS SSSSSS SSSSSSSSS", "0 06 067 067890 067890000"),
        ("VV z zzzz O OOOO v vvvv", "UTC UTC Coordinated Universal Time GMT GMT UTC Coordinated Universal Time"),
        ("X XX XXX x xx xxx xxxx xxxxx Z ZZZZ ZZZZZ", "Z Z Z +00 +0000 +00:00 +0000 +00:00 +0000 GMT Z"),
        ("Q QQ QQQ QQQQ q D DD DDD F g", "1 01 Q1 1st quarter 1 67 67 067 7 60376"),
        ("[yyyy][-MM] [yyyy", "2024-03 2024"),
        ("yyyy-MM-dd'T'HH", "2024-03-07T15"),
        ("'a''b' '' yyyy", "a'b ' 2024"),
        ("日yyyy年", "日2024年"),
        ("", ""),
    ] {
        assert_eq!(value(&format!("date_format(t'2024-03-07 15:04:05.067890', {pattern})"), Tz::UTC), expected, "{pattern}");
    }
    check(&[
        ("date_format(d'2024-01-31', F)", "3"),
        ("date_format(d'2024-01-31', null)", "null"),
        ("date_format(i'1', yyyy)", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("date_format(t'2024-01-01 00:00:00', h k K H a)", "12 24 0 0 AM"),
        ("date_format(t'2024-01-01 12:00:00', h k K H a)", "12 12 0 12 PM"),
        ("from_unixtime(i'0')", "1970-01-01 00:00:00"),
        ("from_unixtime(i'-1', HH)", "23"),
        ("from_unixtime(l'9223372036854775807')", "1969-12-31 23:59:59"),
        ("from_unixtime(l'99999999999')", "5138-11-16 09:46:39"),
        ("from_unixtime(l'327403382400', yyyy G)", "+12345 AD"),
        ("from_unixtime(l'-63549360000', yyyy G yyyy)", "0045 BC 0045"),
        ("from_unixtime(i'0', null)", "null"),
        ("from_unixtime(i'0', YYYY)", "!INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"),
    ]);
}

#[test]
fn bad_patterns_are_refused() {
    let inconsistent = "!INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION";
    let unknown = "!INVALID_DATETIME_PATTERN.WITH_SUGGESTION";
    for (patterns, condition) in [
        (
            "GGGGG yyyyyyy MMMMM LLLLL ddd EEEEE aa hhh HHH kkk KKK mmm sss SSSSSSSSSS zzzzz ZZZZZZ DDDD FF Y u w W yyyy]",
            inconsistent,
        ),
        ("yyyy#MM yyyy{MM}", inconsistent),
        ("V VVV VVVV OO OOO XXXXXX l b t T i j", unknown),
        ("A n N B p", "!INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"),
        ("QQQQQ qqqqq", "!INVALID_DATETIME_PATTERN.LENGTH"),
        ("e c", "!INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN"),
    ] {
        for pattern in patterns.split(' ') {
            assert_eq!(value(&format!("date_format(d'2024-01-02', {pattern})"), Tz::UTC), condition, "{pattern}");
            if !pattern.contains(['Q', 'q', 'E', 'F']) {
                assert_eq!(value(&format!("try_to_timestamp(x, {pattern})"), Tz::UTC), condition, "{pattern}");
            }
        }
    }
    check(&[
        ("to_timestamp(Wed, EEE)", inconsistent),
        ("to_timestamp(1, F)", inconsistent),
        ("to_timestamp(1 2021, Q yyyy)", "!INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"),
        ("unix_timestamp(x, YYYY)", inconsistent),
        ("to_timestamp(null, YYYY)", "null"),
    ]);
}

#[test]
fn timestamps_are_read_by_patterns() {
    let bad = "!CANNOT_PARSE_TIMESTAMP";
    for (text, pattern, expected) in [
        ("21", "yy", "2021-01-01 00:00:00"),
        ("99", "yy", "2099-01-01 00:00:00"),
        ("1999", "yy", bad),
        ("21", "y", "0021-01-01 00:00:00"),
        ("21", "yyyy", bad),
        ("12021", "yyyy", bad),
        ("+12021", "yyyy", "+12021-01-01 00:00:00"),
        ("12021", "yyyyy", "+12021-01-01 00:00:00"),
        ("2021-1-2", "yyyy-M-d", "2021-01-02 00:00:00"),
        ("2021-1-2", "yyyy-MM-dd", bad),
        ("20210102", "yyyyMMdd", "2021-01-02 00:00:00"),
        ("20210102030405", "yyyyMMddHHmmss", "2021-01-02 03:04:05"),
        ("20210102030405678", "yyyyMMddHHmmssSSS", bad),
        ("20213", "yyyyM", bad),
        ("210203", "yyMMdd", "2021-02-03 00:00:00"),
        ("3 feb 2021", "d MMM yyyy", "2021-02-03 00:00:00"),
        ("3 February 2021", "d MMMM yyyy", "2021-02-03 00:00:00"),
        ("3 Feb 2021", "d MMMM yyyy", bad),
        ("2021-034", "yyyy-DDD", "2021-02-03 00:00:00"),
        ("2021-34", "yyyy-D", "2021-02-03 00:00:00"),
        ("2021-366", "yyyy-DDD", bad),
        ("2021-02-03 035", "yyyy-MM-dd DDD", bad),
        ("2021-02-03 12:30 AM", "yyyy-MM-dd hh:mm a", "2021-02-03 00:30:00"),
        ("2021-02-03 13:30 AM", "yyyy-MM-dd hh:mm a", bad),
        ("2021-02-03 01:30 pm", "yyyy-MM-dd hh:mm a", "2021-02-03 13:30:00"),
        ("2021-02-03 12:30", "yyyy-MM-dd hh:mm", "2021-02-03 00:30:00"),
        ("2021-02-03 00:30 PM", "yyyy-MM-dd KK:mm a", "2021-02-03 12:30:00"),
        ("2021-02-03 24:30", "yyyy-MM-dd kk:mm", "2021-02-03 00:30:00"),
        ("2021-02-03 24:00", "yyyy-MM-dd HH:mm", bad),
        ("2021-02-03 PM", "yyyy-MM-dd a", "2021-02-03 12:00:00"),
        ("10:11:12.1", "HH:mm:ss.SSS", "1970-01-01 10:11:12.1"),
        ("10:11:12.123", "HH:mm:ss.S", bad),
        ("10:11:12", "HH:mm:ss[.SSS]", "1970-01-01 10:11:12"),
        ("10:11:12.123456789", "HH:mm:ss.SSSSSSSSS", "1970-01-01 10:11:12.123456"),
        ("2021-02-03 10:11:12+02:00", "yyyy-MM-dd HH:mm:ssXXX", "2021-02-03 08:11:12"),
        ("2021-02-03 10:11:12Z", "yyyy-MM-dd HH:mm:ssXXX", "2021-02-03 10:11:12"),
        ("2021-02-03 10:11:12Z", "yyyy-MM-dd HH:mm:ssxxx", bad),
        ("2021-02-03 10:11:12+0200", "yyyy-MM-dd HH:mm:ssZ", "2021-02-03 08:11:12"),
        ("2021-02-03 10:11:12+02:30", "yyyy-MM-dd HH:mm:ssX", bad),
        ("2021-02-03 10:11:12+02", "yyyy-MM-dd HH:mm:ssXX", bad),
        ("2021-02-03 10:11:12 europe/paris", "yyyy-MM-dd HH:mm:ss VV", "2021-02-03 09:11:12"),
        ("2021-02-03 10:11:12 PST", "yyyy-MM-dd HH:mm:ss VV", bad),
        ("2021-02-03 10:11:12 PST", "yyyy-MM-dd HH:mm:ss z", "2021-02-03 18:11:12"),
        ("2021-02-03 10:11:12 Pacific Standard Time", "yyyy-MM-dd HH:mm:ss zzzz", "2021-02-03 18:11:12"),
        ("2021-02-03 10:11:12 GMT+2", "yyyy-MM-dd HH:mm:ss O", "2021-02-03 08:11:12"),
        ("2021-02-03 10:11:12 GMT+02:00", "yyyy-MM-dd HH:mm:ss OOOO", "2021-02-03 08:11:12"),
        ("0044-03-15 BC", "yyyy-MM-dd G", "-043-03-15 00:00:00"),
        ("02-29", "MM-dd", bad),
        ("034", "DDD", "1970-02-03 00:00:00"),
        ("03 034", "MM DDD", bad),
        ("13 08", "HH hh", bad),
        ("13:01 AM", "HH:mm a", bad),
        ("13 01 AM", "HH ss a", "1970-01-01 13:00:01"),
        ("13 01", "HH kk", bad),
        ("16:CETGMT+2", "k:zO", "1970-01-01 15:00:00"),
        ("+02:00 +03:00", "XXX XXX", bad),
        ("2021-02-03 10 2021", "yyyy-MM-dd HH yyyy", "2021-02-03 10:00:00"),
        ("2021-02-03 10 2022", "yyyy-MM-dd HH yyyy", bad),
        ("2021-02-29", "yyyy-MM-dd", bad),
        (" 2021-02-03", "yyyy-MM-dd", bad),
        ("2021-02-03 ", "yyyy-MM-dd", bad),
        ("", "yyyy-MM-dd", bad),
        ("2021a", "yyyy'A'", "2021-01-01 00:00:00"),
        ("1.2.2021", "d.M.yyyy", "2021-02-01 00:00:00"),
        ("-2021-02-03", "yyyy-MM-dd", "-2021-02-03 00:00:00"),
    ] {
        assert_eq!(value(&format!("to_timestamp({text}, {pattern})"), Tz::UTC), expected, "{text} by {pattern}");
    }
    check(&[
        ("try_to_timestamp(x, yyyy)", "null"),
        ("try_to_date(x, yyyy)", "null"),
        ("to_date(04/05/21, dd/MM/yy)", "2021-05-04"),
        ("to_date(2021-02-03 23:05 -05:00, yyyy-MM-dd HH:mm XXX)", "2021-02-04"),
        ("to_date(d'2021-01-01', yyyy)", "2021-01-01"),
        ("to_timestamp_ntz(2021-02-03 04:05 +02:00, yyyy-MM-dd HH:mm XXX)", "2021-02-03 04:05:00"),
        ("to_timestamp(2021-01-01, null)", "null"),
        ("to_unix_timestamp(10:11, HH:mm)", "36660"),
        ("unix_timestamp(2021-02-03 04:05:06)", "1612325106"),
        ("unix_timestamp(2021-02-03)", bad),
        ("unix_timestamp(t'1969-12-31 23:59:59.5')", "0"),
        ("unix_timestamp(i'1')", "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
}

#[test]
fn bad_texts_are_explained() {
    let read = |text: &str, pattern: &str| super::pattern::Pattern::to_parse(pattern).unwrap().read(text).unwrap_err();
    for (text, pattern, message) in [
        ("2021-05-04 10", "yyyy-MM-dd", "Text '2021-05-04 10' could not be parsed, unparsed text found at index 10"),
        ("2021-05", "yyyy-MM-dd", "Text '2021-05' could not be parsed at index 7"),
        ("日x", "日yyyy年", "Text '日x' could not be parsed at index 1"),
        ("2021-02-30", "yyyy-MM-dd", "Text '2021-02-30' could not be parsed: Invalid date 'FEBRUARY 30'"),
        ("02-29", "MM-dd", "Invalid date 'February 29' as '1970' is not a leap year"),
        ("0", "h", "Text '0' could not be parsed: Invalid value for ClockHourOfAmPm (valid values 1 - 12): 0"),
        (
            "2021-01-32",
            "yyyy-MM-dd",
            "Text '2021-01-32' could not be parsed: Invalid value for DayOfMonth (valid values 1 - 28/31): 32",
        ),
    ] {
        assert_eq!(read(text, pattern), message);
    }
}
