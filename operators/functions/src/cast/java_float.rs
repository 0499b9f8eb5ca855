//! Digits of floating-point numbers as Java writes them.
//!
//! Spark's text of a `double` is `Double.toString`'s. Up to JDK 18 that isn't always the shortest one: `2e23` is written
//! `1.9999999999999998E23`, and a whole number below 2⁶² with all the digits that its bits determine.

use std::fmt::Write;

use num_bigint::BigUint;

/// A positive finite number as `0.d₁d₂d₃… × 10^exponent`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digits {
    /// The digits as ASCII, without zeros at the end.
    pub(super) digits: Vec<u8>,
    /// Where the point is.
    pub(super) exponent: i32,
}

impl Digits {
    /// The digits of a positive finite `double`.
    pub(super) fn of_f64(value: f64) -> Self {
        Binary::of_f64(value).digits(|| format!("{value:e}"))
    }

    /// The digits of a positive finite `float`.
    pub(super) fn of_f32(value: f32) -> Self {
        Binary::of_f32(value).digits(|| format!("{value:e}"))
    }

    fn new(mut digits: Vec<u8>, exponent: i32) -> Self {
        while digits.len() > 1 && digits.last() == Some(&b'0') {
            digits.pop();
        }
        Digits { digits, exponent }
    }
}

/// Writes a `double` as `Double.toString` does.
pub(crate) fn write_f64(out: &mut String, value: f64) {
    write_with(out, value, || Digits::of_f64(value.abs()));
}

/// Writes a `float` as `Float.toString` does.
pub(crate) fn write_f32(out: &mut String, value: f32) {
    write_with(out, f64::from(value), || Digits::of_f32(value.abs()));
}

fn write_with(out: &mut String, value: f64, digits: impl FnOnce() -> Digits) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    if value.is_infinite() {
        return out.push_str("Infinity");
    }
    if value == 0.0 {
        return out.push_str("0.0");
    }
    let Digits { digits, exponent } = digits();
    let digits = std::str::from_utf8(&digits).unwrap_or_default();
    let or_zero = |text: &'static str, rest: &str| if rest.is_empty() { text } else { "" };
    match exponent {
        1..=7 => {
            let point = digits.len().min(exponent as usize);
            let (whole, fraction) = digits.split_at(point);
            out.push_str(whole);
            out.extend(std::iter::repeat_n('0', exponent as usize - point));
            out.push('.');
            out.push_str(fraction);
            out.push_str(or_zero("0", fraction));
        }
        -2..=0 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize));
            out.push_str(digits);
        }
        _ => {
            let (first, fraction) = digits.split_at(digits.len().min(1));
            out.push_str(first);
            out.push('.');
            out.push_str(fraction);
            out.push_str(or_zero("0", fraction));
            // A `String` takes everything.
            write!(out, "E{}", exponent - 1).unwrap_or_default();
        }
    }
}

/// A number as `significand × 2^(exponent - 52)`, its significand's highest bit being bit 52.
struct Binary {
    significand: u64,
    exponent: i32,
    /// How many bits of the significand the number's format holds.
    bits: i32,
}

/// Where a significand's highest bit is.
const HIGH: i32 = 52;

impl Binary {
    fn of_f64(value: f64) -> Self {
        Binary::new(value.to_bits() & ((1 << 52) - 1), (value.to_bits() >> 52) as i32 & 0x7ff, 1023, 53)
    }

    fn of_f32(value: f32) -> Self {
        let bits = value.to_bits();
        Binary::new(u64::from(bits & ((1 << 23) - 1)) << 29, (bits >> 23) as i32 & 0xff, 127, 24)
    }

    fn new(fraction: u64, biased: i32, bias: i32, bits: i32) -> Self {
        if biased != 0 {
            return Binary { significand: fraction | 1 << HIGH, exponent: biased - bias, bits };
        }
        let shift = fraction.leading_zeros() as i32 - (63 - HIGH);
        Binary { significand: fraction << shift, exponent: 1 - bias - shift, bits: bits - shift }
    }

    fn digits(&self, shortest: impl Fn() -> String) -> Digits {
        let fraction_bits = HIGH + 1 - self.significand.trailing_zeros() as i32;
        let below_point = (fraction_bits - self.exponent - 1).max(0);
        if below_point == 0 && (0..=62).contains(&self.exponent) {
            return self.whole();
        }
        // Where Java's algorithm and the shortest digits can differ: bounds that are short numbers themselves, a single digit, and
        // powers of two, whose neighbours are not equally far.
        let text = shortest();
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        if mantissa.len() > 1 && fraction_bits > 1 && !(70..=84).contains(&self.exponent) {
            let digits = mantissa.bytes().filter(u8::is_ascii_digit).collect();
            return Digits::new(digits, exponent.parse::<i32>().unwrap_or_default() + 1);
        }
        self.generate(fraction_bits, below_point)
    }

    /// A whole number that fits 62 bits: all digits, but for those that its bits don't determine.
    fn whole(&self) -> Digits {
        let shift = self.exponent - HIGH;
        let mut value = if shift >= 0 { self.significand << shift } else { self.significand >> -shift };
        let mut dropped = 0;
        if self.exponent > self.bits {
            let undetermined = self.exponent - self.bits - 1;
            dropped = if undetermined > 1 { (f64::from(undetermined) * std::f64::consts::LOG10_2) as i32 } else { 0 };
            let power = 10_u64.pow(dropped as u32);
            value = value / power + u64::from(dropped > 0 && value % power >= power / 2);
        }
        let digits = value.to_string().into_bytes();
        let exponent = digits.len() as i32 + dropped;
        Digits::new(digits, exponent)
    }

    /// Digit by digit until what is left is less than half of the distance to the next number.
    fn generate(&self, fraction_bits: i32, below_point: i32) -> Digits {
        let (exponent, bits) = (self.exponent, self.bits);
        let mantissa = f64::from_bits(1023 << HIGH | (self.significand & ((1 << HIGH) - 1)));
        let estimate = (mantissa - 1.5) * 0.289_529_654 + 0.176_091_259 + f64::from(exponent) * std::f64::consts::LOG10_2;
        let mut decimal = estimate.floor() as i32;

        let (b5, s5) = ((-decimal).max(0), decimal.max(0));
        let (mut b2, mut s2) = (b5 + below_point + exponent, s5 + below_point);
        let mut m2 = b2 - bits;
        b2 -= fraction_bits - 1;
        let common = b2.min(s2);
        (b2, s2, m2) = (b2 - common, s2 - common, m2 - common);
        if fraction_bits == 1 {
            m2 -= 1;
        }
        if m2 < 0 {
            (b2, s2, m2) = (b2 - m2, s2 - m2, 0);
        }
        let power = |five: i32, two: i32| BigUint::from(5_u8).pow(five as u32) << two as usize;
        let mut rest = BigUint::from(self.significand >> self.significand.trailing_zeros()) * power(b5, b2);
        let mut margin = power(b5, m2);
        let divisor = power(s5, s2);
        let ten = &divisor * 10_u8;

        let mut digits = Vec::new();
        let mut next = |digits: &mut Vec<u8>| {
            let digit = (&rest / &divisor).iter_u64_digits().next().unwrap_or_default();
            rest = (&rest % &divisor) * 10_u8;
            margin *= 10_u8;
            digits.push(b'0' + digit as u8);
            (rest < margin, &rest + &margin > ten, (&rest * 2_u8).cmp(&ten))
        };
        let (mut low, mut high, mut half) = next(&mut digits);
        if digits == *b"0" && !high {
            decimal -= 1;
            digits.clear();
        }
        // With an exponent there are always two digits.
        if !(-3..8).contains(&decimal) {
            (low, high) = (false, false);
        }
        while !low && !high {
            (low, high, half) = next(&mut digits);
        }
        let odd = digits.last().is_some_and(|digit| digit % 2 == 1);
        let up = high && (!low || half.is_gt() || (half.is_eq() && odd));
        let mut exponent = decimal + 1;
        if up {
            exponent += round_up(&mut digits);
        }
        if digits.first() == Some(&b'0') && digits.len() > 1 {
            digits.remove(0);
            exponent -= 1;
        }
        Digits::new(digits, exponent)
    }
}

/// Adds one to the last digit; gives by how much the exponent grows.
fn round_up(digits: &mut Vec<u8>) -> i32 {
    for digit in digits.iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return 0;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
    1
}
