//! Decimals: the precision of results, and exact computing, rounded half up once.

use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use num_bigint::BigInt;

use super::{Operator, combine};
use crate::cast::decimal_out_of_range;
use crate::cast::number::{div_half_up, fits, power, rescale};
use crate::function::{Invocation, Resolved};

/// The most digits of a decimal, and how many of a fraction's are kept when whole digits need the room.
const MAX_PRECISION: i32 = 38;
const KEPT_SCALE: i32 = 6;

/// The type of a result that needs this many digits: when there are too many, those of the fraction go first.
pub(super) fn adjusted(precision: i32, scale: i32) -> (u8, i8) {
    if precision <= MAX_PRECISION {
        return (precision as u8, scale as i8);
    }
    let whole = precision - scale;
    (MAX_PRECISION as u8, (MAX_PRECISION - whole).max(scale.min(KEPT_SCALE)) as i8)
}

/// The digits that the exact result can have, before they are cut.
fn needed(operator: Operator, (p1, s1): (i32, i32), (p2, s2): (i32, i32)) -> (i32, i32) {
    match operator {
        Operator::Add | Operator::Subtract => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide | Operator::DivideWhole => {
            let scale = (s1 + p2 + 1).max(KEPT_SCALE);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Remainder | Operator::PositiveRemainder => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
    }
}

/// The operator for two decimals.
pub(super) fn resolve(operator: Operator, left: (u8, i8), right: (u8, i8), tolerant: bool) -> Resolved {
    let wide = |(precision, scale): (u8, i8)| (i32::from(precision), i32::from(scale));
    let (digits, fraction) = needed(operator, wide(left), wide(right));
    let (precision, scale) = adjusted(digits, fraction);
    let args = vec![DataType::Decimal128(left.0, left.1), DataType::Decimal128(right.0, right.1)];
    let (s1, s2) = (left.1, right.1);

    let returns = if operator == Operator::DivideWhole { DataType::Int64 } else { DataType::Decimal128(precision, scale) };
    let result = returns.clone();
    let error = move |left: i128, right: i128| {
        if operator.divides() && right == 0 {
            return operator.by_zero();
        }
        decimal_out_of_range(&exact_text(operator, (left, s1), (right, s2), scale), precision, scale)
    };
    let kernel = move |invocation: &Invocation<'_>| {
        type D = Decimal128Type;
        match operator {
            Operator::Add => {
                combine::<D, D, D>(invocation, &result, tolerant, |l, r| add((l, s1), (r, s2), scale, precision), error)
            }
            Operator::Subtract => {
                combine::<D, D, D>(invocation, &result, tolerant, |l, r| add((l, s1), (-r, s2), scale, precision), error)
            }
            Operator::Multiply => {
                combine::<D, D, D>(invocation, &result, tolerant, |l, r| multiply(l, r, s1 + s2, scale, precision), error)
            }
            Operator::Divide => {
                combine::<D, D, D>(invocation, &result, tolerant, |l, r| divide((l, s1), (r, s2), scale, precision), error)
            }
            Operator::DivideWhole => {
                // As in Java, digits beyond 64 bits are lost.
                let whole = |l, r| quotient((l, s1), (r, s2)).map(|quotient| quotient as i64);
                combine::<D, D, Int64Type>(invocation, &result, tolerant, whole, error)
            }
            Operator::Remainder => {
                combine::<D, D, D>(invocation, &result, tolerant, |l, r| remainder((l, s1), (r, s2), false), error)
            }
            Operator::PositiveRemainder => {
                // Lifted to the sign of the divisor it can be as large as that, for which the result's type may have no room.
                let positive = |l, r| remainder((l, s1), (r, s2), true).and_then(|rest| fits(rest, precision));
                combine::<D, D, D>(invocation, &result, tolerant, positive, error)
            }
        }
    };
    let resolved = Resolved::new(args, returns, kernel);
    let overflows = !operator.divides() && digits > MAX_PRECISION;
    if !tolerant && (operator.divides() || overflows) { resolved.fallible() } else { resolved }
}

type Scaled = (i128, i8);

fn add((left, s1): Scaled, (right, s2): Scaled, scale: i8, precision: u8) -> Option<i128> {
    let both = s1.max(s2);
    let lift = |value: i128, from: i8| value.checked_mul(power(u32::from((both - from).unsigned_abs())));
    match lift(left, s1).zip(lift(right, s2)).and_then(|(left, right)| left.checked_add(right)) {
        Some(sum) => rescale(sum, both, scale, precision),
        None => {
            let sum = big(left, both - s1) + big(right, both - s2);
            round(&sum, both, scale).and_then(|sum| fits(sum, precision))
        }
    }
}

fn multiply(left: i128, right: i128, from: i8, scale: i8, precision: u8) -> Option<i128> {
    match left.checked_mul(right) {
        Some(product) => rescale(product, from, scale, precision),
        None => round(&(BigInt::from(left) * right), from, scale).and_then(|product| fits(product, precision)),
    }
}

fn divide((left, s1): Scaled, (right, s2): Scaled, scale: i8, precision: u8) -> Option<i128> {
    if right == 0 {
        return None;
    }
    let up = i32::from(scale) - i32::from(s1) + i32::from(s2);
    let factor = |up: i32| 10_i128.checked_pow(up.max(0) as u32);
    let small =
        factor(up).and_then(|factor| left.checked_mul(factor)).zip(factor(-up).and_then(|factor| right.checked_mul(factor)));
    let quotient = match small {
        Some((left, right)) => div_half_up(left, right),
        None => i128::try_from(big_quotient((left, s1), (right, s2), scale)).ok()?,
    };
    fits(quotient, precision)
}

/// The quotient with this many digits behind the point, rounded half up.
fn big_quotient((left, s1): Scaled, (right, s2): Scaled, scale: i8) -> BigInt {
    let up = i32::from(scale) - i32::from(s1) + i32::from(s2);
    let ten = |up: i32| BigInt::from(10).pow(up.max(0) as u32);
    big_half_up(&(left * ten(up)), &(right * ten(-up)))
}

fn big_half_up(value: &BigInt, divisor: &BigInt) -> BigInt {
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest.magnitude() * 2_u8 >= *divisor.magnitude();
    let negative = (value.sign() == num_bigint::Sign::Minus) != (divisor.sign() == num_bigint::Sign::Minus);
    match (up, negative) {
        (false, _) => quotient,
        (true, true) => quotient - 1,
        (true, false) => quotient + 1,
    }
}

/// The whole part of the quotient.
fn quotient((left, s1): Scaled, (right, s2): Scaled) -> Option<i128> {
    if right == 0 {
        return None;
    }
    let (up, down) = ((s2 - s1).max(0), (s1 - s2).max(0));
    let small = left.checked_mul(power(up as u32)).zip(right.checked_mul(power(down as u32)));
    Some(match small {
        Some((left, right)) => left / right,
        // Only the lowest bits are asked for.
        None => {
            let quotient = big(left, up) / big(right, down);
            let low = quotient.magnitude().iter_u64_digits().next().unwrap_or_default();
            if quotient.sign() == num_bigint::Sign::Minus { -i128::from(low) } else { i128::from(low) }
        }
    })
}

fn remainder((left, s1): Scaled, (right, s2): Scaled, positive: bool) -> Option<i128> {
    if right == 0 {
        return None;
    }
    let both = s1.max(s2);
    let lift = |value: i128, from: i8| value.checked_mul(power(u32::from((both - from).unsigned_abs())));
    if let Some((left, right)) = lift(left, s1).zip(lift(right, s2)) {
        let rest = left % right;
        return Some(if positive && rest < 0 { (rest + right) % right } else { rest });
    }
    let (left, right) = (big(left, both - s1), big(right, both - s2));
    let rest = &left % &right;
    let rest = if positive && rest.sign() == num_bigint::Sign::Minus { (rest + &right) % &right } else { rest };
    i128::try_from(rest).ok()
}

fn big(value: i128, up: i8) -> BigInt {
    BigInt::from(value) * BigInt::from(10).pow(u32::from(up.unsigned_abs()))
}

/// At another scale that isn't larger.
fn round(value: &BigInt, from: i8, to: i8) -> Option<i128> {
    let divisor = BigInt::from(10).pow(u32::from((from - to).max(0).unsigned_abs()));
    i128::try_from(big_half_up(value, &divisor)).ok()
}

/// The exact result, for a message.
fn exact_text(operator: Operator, left: Scaled, right: Scaled, scale: i8) -> String {
    let both = left.1.max(right.1);
    let (l, r) = (|| big(left.0, both - left.1), || big(right.0, both - right.1));
    let (value, scale) = match operator {
        Operator::Add => (l() + r(), both),
        Operator::Subtract => (l() - r(), both),
        Operator::Multiply => (BigInt::from(left.0) * right.0, left.1 + right.1),
        Operator::PositiveRemainder => ((l() % r() + r()) % r(), both),
        _ => (big_quotient(left, right, scale), scale),
    };
    let (digits, scale) = (value.magnitude().to_string(), scale.max(0) as usize);
    let sign = if value.sign() == num_bigint::Sign::Minus { "-" } else { "" };
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}
