//! Patterns of dates and times as Spark takes them: those of Java's `DateTimeFormatter`, less what Spark refuses.

use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;

/// A field of a date or time that a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Field {
    /// With 0 for 1 BC.
    Year,
    /// Counted from 1 in both eras.
    YearOfEra,
    /// 0 is BC.
    Era,
    Quarter,
    Month,
    Day,
    DayOfYear,
    /// From Monday, which is 1.
    Weekday,
    /// 1 to 7: which day it is in weeks counted from the month's first day.
    AlignedDay,
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11.
    HourOfHalf,
    /// 1 to 12.
    ClockHourOfHalf,
    /// 0 is before noon.
    Half,
    Minute,
    Second,
    Nano,
    /// Days since 1858-11-17.
    ModifiedJulianDay,
}

impl Field {
    /// Java's name of it, and which values it may have.
    pub(super) fn bounds(self) -> (&'static str, i64, i64) {
        match self {
            Field::Year => ("Year", -999_999_999, 999_999_999),
            Field::YearOfEra => ("YearOfEra", 1, 1_000_000_000),
            Field::Era => ("Era", 0, 1),
            Field::Quarter => ("QuarterOfYear", 1, 4),
            Field::Month => ("MonthOfYear", 1, 12),
            Field::Day => ("DayOfMonth", 1, 31),
            Field::DayOfYear => ("DayOfYear", 1, 366),
            Field::Weekday => ("DayOfWeek", 1, 7),
            Field::AlignedDay => ("AlignedDayOfWeekInMonth", 1, 7),
            Field::Hour => ("HourOfDay", 0, 23),
            Field::ClockHour => ("ClockHourOfDay", 1, 24),
            Field::HourOfHalf => ("HourOfAmPm", 0, 11),
            Field::ClockHourOfHalf => ("ClockHourOfAmPm", 1, 12),
            Field::Half => ("AmPmOfDay", 0, 1),
            Field::Minute => ("MinuteOfHour", 0, 59),
            Field::Second => ("SecondOfMinute", 0, 59),
            Field::Nano => ("NanoOfSecond", 0, 999_999_999),
            Field::ModifiedJulianDay => ("ModifiedJulianDay", i64::MIN, i64::MAX),
        }
    }
}

/// Which signs a number may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// A minus.
    Normal,
    /// A minus; a plus where there are more digits than the pattern has letters.
    Exceeding,
    /// None.
    Never,
}

/// How an offset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetStyle {
    /// What is written for no offset.
    pub(super) none: &'static str,
    pub(super) colons: bool,
    pub(super) minutes: Part,
    pub(super) seconds: Part,
}

/// Whether a part of an offset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Never,
    IfNotZero,
    Always,
}

/// One thing that is written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// Text as it is.
    Literal(String),
    /// A number of `min` to `max` digits. `reserved` of the digits that follow belong to the numbers after it, which it adjoins.
    Number {
        field: Field,
        min: usize,
        max: usize,
        sign: Sign,
        reserved: usize,
    },
    /// The last two digits of a year from 2000 to 2099.
    ShortYear {
        field: Field,
        reserved: usize,
    },
    /// A name of a month, weekday, half day, era or quarter.
    Name {
        field: Field,
        full: bool,
    },
    /// The digits of a fraction of a second: exactly `max` when written, `min` to `max` when read.
    Fraction {
        min: usize,
        max: usize,
    },
    Offset(OffsetStyle),
    /// `GMT+8`, or in full `GMT+08:00`.
    LocalizedOffset {
        full: bool,
    },
    /// A zone's id.
    ZoneId,
    /// A zone's name; a generic one doesn't say whether it is summer.
    ZoneName {
        full: bool,
        generic: bool,
    },
    /// What is read only if it is there.
    Optional(Vec<Item>),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(super) items: Vec<Item>,
}

impl Pattern {
    /// A pattern to write with.
    ///
    /// # Errors
    /// `INVALID_DATETIME_PATTERN.*` or, if it was a pattern of Spark 2, `INCONSISTENT_BEHAVIOR_CROSS_VERSION.*`.
    pub(crate) fn to_format(text: &str) -> Result<Self> {
        Pattern::new(text, false)
    }

    /// A pattern to read with.
    ///
    /// # Errors
    /// As [`Pattern::to_format`].
    pub(crate) fn to_parse(text: &str) -> Result<Self> {
        Pattern::new(text, true)
    }

    fn new(text: &str, parses: bool) -> Result<Self> {
        compile(text, parses).map(|items| Pattern { items }).map_err(|refusal| {
            if is_legacy(text) {
                spark_error(
                    "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
                    format!(
                        "You may get a different result due to the upgrading to Spark >= 3.0:\nFail to recognize '{text}' pattern in \
                         the DateTimeFormatter. You can form a valid datetime pattern with the guide from {GUIDE}."
                    ),
                )
            } else {
                refusal.into_error(text)
            }
        })
    }
}

const GUIDE: &str = "'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'";

/// Why a pattern is none.
#[derive(Debug)]
enum Refusal {
    WeekBased(char),
    Letter(char),
    TooLong(String),
    Malformed,
}

impl Refusal {
    fn into_error(self, text: &str) -> DataFusionError {
        match self {
            Refusal::WeekBased(letter) => spark_error(
                "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN",
                format!(
                    "You may get a different result due to the upgrading to Spark >= 3.0:\nAll week-based patterns are unsupported \
                     since Spark 3.0, detected week-based character: {letter}. Please use the SQL function EXTRACT instead."
                ),
            ),
            Refusal::Letter(letter) => spark_error(
                "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
                format!(
                    "Unrecognized datetime pattern: {text}. Illegal pattern character found in datetime pattern: {letter}. Please \
                     provide legal character."
                ),
            ),
            Refusal::TooLong(letters) => spark_error(
                "INVALID_DATETIME_PATTERN.LENGTH",
                format!(
                    "Unrecognized datetime pattern: {text}. Too many letters in datetime pattern: {letters}. Please reduce pattern \
                     length."
                ),
            ),
            Refusal::Malformed => spark_error(
                "INVALID_DATETIME_PATTERN.WITH_SUGGESTION",
                format!(
                    "Unrecognized datetime pattern: '{}'. You can form a valid datetime pattern with the guide from {GUIDE}.",
                    text.replace('\'', "\\'")
                ),
            ),
        }
    }
}

/// Whether Java's older `SimpleDateFormat` takes it: then Spark 2 gave it a meaning, which it may have lost.
fn is_legacy(text: &str) -> bool {
    let (mut quoted, mut xs) = (false, 0);
    for letter in text.chars() {
        xs = if letter == 'X' && !quoted { xs + 1 } else { 0 };
        match letter {
            '\'' => quoted = !quoted,
            _ if quoted || !letter.is_ascii_alphabetic() => (),
            _ if !"GyMLdkHmsSEDFwWahKzZYuX".contains(letter) || xs > 3 => return false,
            _ => (),
        }
    }
    !quoted
}

/// A piece of a pattern.
enum Token {
    Letters(char, usize),
    Literal(String),
    Open,
    Close,
}

fn compile(text: &str, parses: bool) -> Result<Vec<Item>, Refusal> {
    check(text, parses)?;
    let tokens = tokens(text)?;
    let has_era = tokens.iter().any(|token| matches!(token, Token::Letters('G', _)));
    let mut open: Vec<Vec<Item>> = vec![vec![]];
    for token in tokens {
        let item = match token {
            Token::Literal(literal) => Item::Literal(literal),
            Token::Letters(letter, count) => letters(letter, count, parses, has_era)?,
            Token::Open => {
                open.push(vec![]);
                continue;
            }
            Token::Close if open.len() > 1 => Item::Optional(open.pop().unwrap_or_default()),
            Token::Close => return Err(Refusal::Malformed),
        };
        push(&mut open, item);
    }
    // What is open at the end is closed there.
    while open.len() > 1
        && let Some(items) = open.pop()
    {
        push(&mut open, Item::Optional(items));
    }
    let mut items = open.pop().unwrap_or_default();
    reserve(&mut items);
    Ok(items)
}

fn push(open: &mut [Vec<Item>], item: Item) {
    if let Some(items) = open.last_mut() {
        items.push(item);
    }
}

/// What Spark refuses before Java sees it, outside of quotes.
fn check(text: &str, parses: bool) -> Result<(), Refusal> {
    for part in text.split('\'').step_by(2) {
        if let Some(letter) = part.chars().find(|letter| "YWwuec".contains(*letter)) {
            return Err(Refusal::WeekBased(letter));
        }
        let illegal = |letter: &char| "ABnNp".contains(*letter) || (parses && "EFqQ".contains(*letter));
        if let Some(letter) = part.chars().find(illegal) {
            return Err(Refusal::Letter(letter));
        }
        for (letter, count) in [("G", 5), ("M", 5), ("L", 5), ("E", 5), ("Q", 5), ("q", 5), ("y", 7)] {
            let letters = letter.repeat(count);
            if part.contains(&letters) {
                return Err(Refusal::TooLong(letters));
            }
        }
    }
    Ok(())
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = vec![];
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            _ if first.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.next_if_eq(&first).is_some() {
                    count += 1;
                }
                tokens.push(Token::Letters(first, count));
            }
            '\'' => {
                let mut literal = String::new();
                loop {
                    match chars.next() {
                        None => return Err(Refusal::Malformed),
                        Some('\'') if chars.next_if_eq(&'\'').is_none() => break,
                        Some(inner) => literal.push(inner),
                    }
                }
                // Two quotes are one.
                tokens.push(Token::Literal(if literal.is_empty() { "'".to_owned() } else { literal }));
            }
            '[' => tokens.push(Token::Open),
            ']' => tokens.push(Token::Close),
            '{' | '}' | '#' => return Err(Refusal::Malformed),
            other => tokens.push(Token::Literal(other.to_string())),
        }
    }
    Ok(tokens)
}

/// A number that may have any number of digits.
const ANY: usize = 19;

fn letters(letter: char, count: usize, parses: bool, has_era: bool) -> Result<Item, Refusal> {
    let number = |field, min, max, sign| Ok(Item::Number { field, min, max, sign, reserved: 0 });
    let one_or_two = |field| match count {
        1 => number(field, 1, ANY, Sign::Normal),
        2 => number(field, 2, 2, Sign::Never),
        _ => Err(Refusal::Malformed),
    };
    let year = if has_era { Field::YearOfEra } else { Field::Year };
    let name = |field, full| Ok(Item::Name { field, full });
    match (letter, count) {
        ('y', 2) => Ok(Item::ShortYear { field: year, reserved: 0 }),
        ('y', 1 | 3) => number(year, count, ANY, Sign::Normal),
        ('y', _) => number(year, count, ANY, Sign::Exceeding),
        ('M' | 'L', 1 | 2) => one_or_two(Field::Month),
        ('M' | 'L', _) => name(Field::Month, count == 4),
        ('Q' | 'q', 1 | 2) => one_or_two(Field::Quarter),
        ('Q' | 'q', _) => name(Field::Quarter, count == 4),
        ('d', _) => one_or_two(Field::Day),
        ('D', 1) => number(Field::DayOfYear, 1, ANY, Sign::Normal),
        ('D', 2 | 3) => number(Field::DayOfYear, count, 3, Sign::Never),
        ('E', _) => name(Field::Weekday, count == 4),
        ('F', 1) => number(Field::AlignedDay, 1, ANY, Sign::Normal),
        ('G', _) => name(Field::Era, count == 4),
        ('a', 1) => name(Field::Half, false),
        ('H', _) => one_or_two(Field::Hour),
        ('k', _) => one_or_two(Field::ClockHour),
        ('K', _) => one_or_two(Field::HourOfHalf),
        ('h', _) => one_or_two(Field::ClockHourOfHalf),
        ('m', _) => one_or_two(Field::Minute),
        ('s', _) => one_or_two(Field::Second),
        ('S', 1..=9) => Ok(Item::Fraction { min: if parses { 1 } else { count }, max: count }),
        ('g', 1..=19) => number(Field::ModifiedJulianDay, count, ANY, Sign::Normal),
        ('V', 2) => Ok(Item::ZoneId),
        ('z', 1..=4) => Ok(Item::ZoneName { full: count == 4, generic: false }),
        ('v', 1 | 4) => Ok(Item::ZoneName { full: count == 4, generic: true }),
        ('O', 1 | 4) => Ok(Item::LocalizedOffset { full: count == 4 }),
        ('X' | 'x', 1..=5) => Ok(Item::Offset(offset(count, letter == 'X'))),
        ('Z', 1..=3) => Ok(Item::Offset(offset(2, false))),
        ('Z', 4) => Ok(Item::LocalizedOffset { full: true }),
        ('Z', 5) => Ok(Item::Offset(offset(5, true))),
        _ => Err(Refusal::Malformed),
    }
}

fn offset(count: usize, zulu: bool) -> OffsetStyle {
    let colons = matches!(count, 3 | 5);
    let none = match count {
        _ if zulu => "Z",
        1 => "+00",
        _ if colons => "+00:00",
        _ => "+0000",
    };
    OffsetStyle {
        none,
        colons,
        minutes: if count == 1 { Part::IfNotZero } else { Part::Always },
        seconds: if count > 3 { Part::IfNotZero } else { Part::Never },
    }
}

/// Adjoining numbers: the first has as many digits as the fixed ones after it leave.
fn reserve(items: &mut [Item]) {
    let mut after = 0;
    for item in items.iter_mut().rev() {
        match item {
            Item::Number { min, max, sign: Sign::Never, reserved, .. } if min == max => {
                *reserved = after;
                after += *max;
            }
            // A year of two digits is fixed, but gives way no less than a free number.
            Item::ShortYear { reserved, .. } => {
                *reserved = after;
                after += 2;
            }
            Item::Number { reserved, .. } => {
                *reserved = after;
                after = 0;
            }
            Item::Optional(items) => {
                reserve(items);
                after = 0;
            }
            _ => after = 0,
        }
    }
    // Only a number of free width gives digits away.
    for item in items {
        match item {
            Item::Number { min, max, sign: Sign::Never, reserved, .. } if min == max => *reserved = 0,
            Item::ShortYear { reserved, .. } => *reserved = 0,
            _ => (),
        }
    }
}
