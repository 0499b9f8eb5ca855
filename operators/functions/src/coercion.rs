//! Which casts Spark inserts by itself: the rules of its ANSI type coercion.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field};

use crate::types::{
    is_decimal, is_float, is_integral, is_nested, is_numeric, is_timestamp, list, map, map_types, structure, timestamp,
};

/// The decimal type that holds every value of an integer type.
pub fn decimal_for_integral(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// The decimal type that holds the values of both: the whole digits of the one and the fraction of the other. Of more than 38 digits
/// those of the fraction are cut.
pub fn wider_decimal((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
    let scale = s1.max(s2).min(DECIMAL128_MAX_PRECISION as i8 - whole);
    DataType::Decimal128((whole + scale) as u8, scale)
}

fn rank(data_type: &DataType) -> Option<usize> {
    let order = [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64, DataType::Float32, DataType::Float64];
    order.iter().position(|own| own == data_type)
}

/// The type that both are cast to when they meet (in a comparison, a `CASE`, a `UNION`); `None` if there is none.
pub fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        _ if left == right => Some(left.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Utf8, other) | (other, DataType::Utf8) => with_string(other),
        _ if is_numeric(left) && is_numeric(right) => common_numeric(left, right),
        (DataType::Date32, other) | (other, DataType::Date32) if is_timestamp(other) => Some(other.clone()),
        _ if is_timestamp(left) && is_timestamp(right) => Some(timestamp()),
        (DataType::List(l), DataType::List(r)) => common_type(l.data_type(), r.data_type()).map(list),
        (DataType::Map(_, _), DataType::Map(_, _)) => {
            let ((lk, lv), (rk, rv)) = (map_types(left)?, map_types(right)?);
            Some(map(common_type(lk, rk)?, common_type(lv, rv)?))
        }
        (DataType::Struct(l), DataType::Struct(r)) if l.len() == r.len() => {
            let pair = |(l, r): (&std::sync::Arc<Field>, &std::sync::Arc<Field>)| {
                let same = l.name().eq_ignore_ascii_case(r.name());
                same.then(|| Some((l.name().clone(), common_type(l.data_type(), r.data_type())?)))?
            };
            l.iter().zip(r).map(pair).collect::<Option<Vec<_>>>().map(structure)
        }
        _ => None,
    }
}

/// What a string and another type become: the other type, made wide enough for the text of any number.
fn with_string(other: &DataType) -> Option<DataType> {
    match other {
        _ if is_integral(other) => Some(DataType::Int64),
        _ if is_float(other) || is_decimal(other) => Some(DataType::Float64),
        DataType::Duration(_) | DataType::Interval(_) => None,
        _ if is_nested(other) => None,
        _ => Some(other.clone()),
    }
}

fn common_numeric(left: &DataType, right: &DataType) -> Option<DataType> {
    if let (Some(l), Some(r)) = (rank(left), rank(right)) {
        let wider = if l > r { left } else { right };
        // An integer and a float: only a double loses nothing that matters.
        return Some(if wider == &DataType::Float32 { DataType::Float64 } else { wider.clone() });
    }
    if is_float(left) || is_float(right) {
        return Some(DataType::Float64);
    }
    Some(wider_decimal(decimal_for_integral(left)?, decimal_for_integral(right)?))
}

/// The type that all are cast to; `None` if there is none. Of no types, `void`.
pub fn common_type_of<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    // Strings last: what the others agree on decides what a string becomes.
    let (strings, others): (Vec<&DataType>, Vec<&DataType>) = types.into_iter().partition(|own| **own == DataType::Utf8);
    let common = others.into_iter().try_fold(DataType::Null, |common, next| common_type(&common, next))?;
    strings.into_iter().try_fold(common, |common, next| common_type(&common, next))
}

/// Whether a function's argument of type `from` is cast to `to` without being asked.
pub fn can_cast_implicitly(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        _ if from == to => true,
        (DataType::Null, _) => true,
        (DataType::Utf8, to) => !is_nested(to) && !matches!(to, DataType::Interval(_) | DataType::Duration(_)),
        (from, DataType::Utf8) => !is_nested(from),
        (DataType::Decimal128(_, _), DataType::Float32 | DataType::Float64) => true,
        (from, DataType::Decimal128(precision, scale)) if is_integral(from) || is_decimal(from) => decimal_for_integral(from)
            .is_some_and(|(p, s)| s <= *scale && i16::from(p) - i16::from(s) <= i16::from(*precision) - i16::from(*scale)),
        (from, to) if rank(from).is_some() && rank(to).is_some() => rank(from) < rank(to),
        (DataType::Date32, to) if is_timestamp(to) => true,
        (from, DataType::Date32) if is_timestamp(from) => true,
        (from, to) if is_timestamp(from) && is_timestamp(to) => true,
        (DataType::List(from), DataType::List(to)) => can_cast_implicitly(from.data_type(), to.data_type()),
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_types(from), map_types(to)) {
            (Some((fk, fv)), Some((tk, tv))) => can_cast_implicitly(fk, tk) && can_cast_implicitly(fv, tv),
            _ => false,
        },
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(from, to)| can_cast_implicitly(from.data_type(), to.data_type()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TIMESTAMP_NTZ, parse};

    #[test]
    fn common_types_are_those_of_spark() {
        for (left, right, common) in [
            ("int", "bigint", Some("bigint")),
            ("int", "float", Some("double")),
            ("float", "float", Some("float")),
            ("decimal(5,2)", "int", Some("decimal(12,2)")),
            ("decimal(5,2)", "decimal(10,0)", Some("decimal(12,2)")),
            ("decimal(5,2)", "double", Some("double")),
            ("decimal(38,0)", "decimal(38,20)", Some("decimal(38,0)")),
            ("decimal(30,0)", "decimal(38,20)", Some("decimal(38,8)")),
            ("decimal(38,10)", "bigint", Some("decimal(38,10)")),
            ("string", "int", Some("bigint")),
            ("string", "decimal(5,2)", Some("double")),
            ("string", "date", Some("date")),
            ("string", "interval day to second", None),
            ("date", "timestamp", Some("timestamp")),
            ("array<int>", "array<bigint>", Some("array<bigint>")),
            ("array<int>", "int", None),
            ("boolean", "int", None),
        ] {
            let found = common_type(&parse(left).unwrap(), &parse(right).unwrap());
            assert_eq!(found, common.map(|text| parse(text).unwrap()), "{left} and {right}");
        }
    }

    #[test]
    fn implicit_casts_widen() {
        assert!(can_cast_implicitly(&DataType::Int32, &DataType::Int64));
        assert!(!can_cast_implicitly(&DataType::Int64, &DataType::Int32));
        assert!(can_cast_implicitly(&DataType::Int32, &DataType::Utf8));
        assert!(can_cast_implicitly(&DataType::Date32, &TIMESTAMP_NTZ));
        assert!(!can_cast_implicitly(&DataType::Boolean, &DataType::Int32));
    }
}
