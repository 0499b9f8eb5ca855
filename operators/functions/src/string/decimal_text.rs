//! Digits of numbers: rounding, grouping, and how Java writes a floating-point number.

/// The shortest decimal digits of a positive finite number, and the power of ten of the first.
pub(super) fn shortest(text: &str) -> (Vec<u8>, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect();
    (digits, exponent.parse().unwrap_or(0))
}

/// Keeps `count` digits and rounds half up. Whether that took one digit more: then the first digit is worth ten times as much.
pub(super) fn round_half_up(digits: &mut Vec<u8>, count: i32) -> bool {
    let Ok(count) = usize::try_from(count) else {
        digits.clear();
        return false;
    };
    let up = digits.get(count).is_some_and(|digit| *digit >= 5);
    digits.truncate(count);
    if up { increment(digits) } else { false }
}

fn increment(digits: &mut Vec<u8>) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    digits.insert(0, 1);
    true
}

/// The number with `precision` digits after the point, rounded half up.
pub(super) fn fixed(value: f64, precision: usize) -> String {
    let (mut digits, mut exponent) = shortest(&format!("{:e}", value.abs()));
    let kept = exponent + 1 + precision as i32;
    if round_half_up(&mut digits, kept) {
        exponent += 1;
    }
    let digit = |place: i32| {
        let found = usize::try_from(exponent - place).ok().and_then(|at| digits.get(at));
        char::from(b'0' + found.copied().unwrap_or(0))
    };
    let mut text: String = (0..=exponent.max(0)).rev().map(digit).collect();
    if precision > 0 {
        text.push('.');
        text.extend((1..=precision as i32).map(|place| digit(-place)));
    }
    text
}

/// The number as `1.234560e+05`, rounded half up.
pub(super) fn scientific(value: f64, precision: usize) -> String {
    let (mut digits, mut exponent) = shortest(&format!("{:e}", value.abs()));
    if round_half_up(&mut digits, precision as i32 + 1) {
        exponent += 1;
    }
    digits.resize(precision + 1, 0);
    let mut text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    if precision > 0 {
        text.insert(1, '.');
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{text}e{sign}{:02}", exponent.abs())
}

/// As `Double.toString`, from the shortest digits in scientific form.
pub(super) fn java_text(scientific: &str) -> String {
    let negative = scientific.starts_with('-');
    let (digits, exponent) = shortest(scientific);
    let text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let with_fraction = |whole: &str, fraction: &str| format!("{whole}.{}", if fraction.is_empty() { "0" } else { fraction });
    let unsigned = if digits.iter().all(|digit| *digit == 0) {
        "0.0".to_owned()
    } else if (0..7).contains(&exponent) {
        let whole = exponent as usize + 1;
        let padded = format!("{text:0<whole$}");
        let (whole, fraction) = padded.split_at(whole);
        with_fraction(whole, fraction)
    } else if (-3..0).contains(&exponent) {
        with_fraction("0", &format!("{}{text}", "0".repeat(exponent.unsigned_abs() as usize - 1)))
    } else {
        let (whole, fraction) = text.split_at(1);
        format!("{}E{exponent}", with_fraction(whole, fraction))
    };
    if negative { format!("-{unsigned}") } else { unsigned }
}

/// Puts a comma after each group of digits, counted from the right.
pub(super) fn grouped(whole: &str, size: usize) -> String {
    let mut text = String::with_capacity(whole.len() + whole.len() / 3);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && size > 0 && (whole.len() - index).is_multiple_of(size) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A decimal's digits before and after the point, without its sign.
pub(super) fn decimal_digits(value: i128, scale: i8) -> (String, String) {
    let scale = usize::try_from(scale).unwrap_or(0);
    let text = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    (whole.to_owned(), fraction.to_owned())
}

/// A decimal's digits before and after the point with at most `precision` of the latter, rounded half to even.
pub(super) fn decimal_rounded(value: i128, scale: i8, precision: usize) -> (String, String) {
    let (whole, fraction) = decimal_digits(value, scale);
    if fraction.len() <= precision {
        return (whole, format!("{fraction:0<precision$}"));
    }
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    let kept = whole.len() + precision;
    let rest = digits.split_off(kept);
    let odd = digits.last().is_some_and(|digit| digit % 2 == 1);
    let up = match rest.split_first() {
        Some((5, rest)) => odd || rest.iter().any(|digit| *digit > 0),
        Some((first, _)) => *first > 5,
        None => false,
    };
    if up {
        increment(&mut digits);
    }
    let text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let (whole, fraction) = text.split_at(text.len() - precision);
    (whole.to_owned(), fraction.to_owned())
}
