//! The hash of keys: which task a row goes to, which key group its state belongs to, and where hash tables keep it.
//!
//! A checkpoint keeps state by key group, so the function is pinned for ever under the name [`HASH_NAME`]: another function needs
//! another name. It sees values, not their encoding: the same string hashes alike in a `Utf8`, `LargeUtf8`, `Utf8View` or
//! dictionary column, the same number in an integer column of any width, and it is the same in every process and on every
//! platform. `-0.0` hashes as `0.0` and all NaNs alike; [`canonical_keys`](super::canonical_keys) makes them equal as keys too.
//!
//! Both halves of the 64 bits are well mixed: the upper half picks the key group, the lower one the place in a hash table.

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::array::{downcast_dictionary_array, downcast_integer_array, downcast_temporal_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit, i256,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// The name under which the hash function is pinned in checkpoints.
pub const HASH_NAME: &str = "tidegate-1";

/// The hash of a null, whatever its type.
const NULL: u64 = 0x9ae1_6a3b_2f90_404f;
/// The hash of a row without columns.
const NO_COLUMNS: u64 = 0xc3a5_c85c_97cb_3127;
/// Where the hash of a nested value starts, so that a struct or list of one value differs from that value.
const NESTED: u64 = 0xb492_b66f_be98_f273;
const BOOLEANS: [u64; 2] = [0x5f3c_9d21_7a86_be45, 0xd86e_07b4_91c3_2f5a];

/// Hashes the rows of `columns` into `hashes` (cleared first, then one hash for each of `rows` rows).
///
/// # Errors
/// When a column's type can't be a key, or a column does not have `rows` rows.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, Int64Array};
/// use tidegate_runtime::state::hash_columns;
///
/// let (narrow, wide): (ArrayRef, ArrayRef) = (Arc::new(Int32Array::from(vec![7])), Arc::new(Int64Array::from(vec![7])));
/// let (mut a, mut b) = (Vec::new(), Vec::new());
/// hash_columns(&[narrow], 1, &mut a)?;
/// hash_columns(&[wide], 1, &mut b)?;
/// assert_eq!(a, b);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
pub fn hash_columns(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.resize(rows, NO_COLUMNS);
    for (position, column) in columns.iter().enumerate() {
        if column.len() != rows {
            let message = format!("a key column of {} rows in a batch of {rows}", column.len());
            return Err(Error::InvalidArgument(message));
        }
        hash_array(column.as_ref(), hashes, if position == 0 { Fold::Set } else { Fold::Combine })?;
    }
    Ok(())
}

/// What to do with the hash that a row already has.
#[derive(Debug, Clone, Copy)]
enum Fold {
    /// Replace it: the first column.
    Set,
    /// Combine it with the new one, in this order.
    Combine,
}

/// Mixes 64 bits (Pelle Evensen's `moremur`): a bijection, so that two integers never collide.
#[inline]
const fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 27)).wrapping_mul(0x3c79_ac49_2ba7_b653);
    x = (x ^ (x >> 33)).wrapping_mul(0x1c69_b3f7_4ac4_ae35);
    x ^ (x >> 27)
}

/// Two well mixed hashes in order.
#[inline]
const fn combine(first: u64, second: u64) -> u64 {
    first.rotate_left(29).wrapping_mul(0x9fb2_1c65_1e98_df25) ^ second
}

/// A 128-bit number: as a 64-bit one where it fits, so that the width of a decimal does not matter.
#[inline]
const fn mix_wide(value: i128) -> u64 {
    let low = value as i64;
    if low as i128 == value { mix(low as u64) } else { combine(mix(low as u64), mix((value >> 64) as u64)) }
}

fn mix_decimal256(value: i256) -> u64 {
    match value.to_i128() {
        Some(value) => mix_wide(value),
        None => xxh3_64(&value.to_le_bytes()),
    }
}

/// `-0.0` is `0.0`, and there is one NaN.
#[inline]
fn mix_float(value: f64) -> u64 {
    // Adding zero turns -0.0 into 0.0.
    mix(if value.is_nan() { 0x7ff8_0000_0000_0000 } else { (value + 0.0).to_bits() })
}

/// Puts one hash for each row where it belongs.
#[inline]
fn fill(hashes: &mut [u64], fold: Fold, new: impl Iterator<Item = u64>) {
    match fold {
        Fold::Set => hashes.iter_mut().zip(new).for_each(|(hash, new)| *hash = new),
        Fold::Combine => hashes.iter_mut().zip(new).for_each(|(hash, new)| *hash = combine(*hash, new)),
    }
}

/// [`fill`] with the hashes of values, some of which are null.
#[inline]
fn fill_nullable<T>(
    hashes: &mut [u64],
    fold: Fold,
    nulls: Option<&NullBuffer>,
    values: impl Iterator<Item = T>,
    hash: impl Fn(T) -> u64,
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => fill(hashes, fold, values.map(hash)),
        Some(nulls) => {
            let new = values.zip(nulls.iter()).map(|(value, valid)| if valid { hash(value) } else { NULL });
            fill(hashes, fold, new);
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, hashes: &mut [u64], fold: Fold, hash: impl Fn(T::Native) -> u64) {
    let array = array.as_primitive::<T>();
    fill_nullable(hashes, fold, array.nulls(), array.values().iter().copied(), hash);
}

fn bytes<A: ArrayAccessor<Item = B>, B: AsRef<[u8]>>(array: A, hashes: &mut [u64], fold: Fold) {
    // By position, as the value beneath a null may be anything.
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => fill(hashes, fold, (0..array.len()).map(|row| xxh3_64(array.value(row).as_ref()))),
        Some(nulls) => {
            let new = (0..array.len()).map(|row| if nulls.is_valid(row) { xxh3_64(array.value(row).as_ref()) } else { NULL });
            fill(hashes, fold, new);
        }
    }
}

#[allow(clippy::unnecessary_cast, reason = "the macro repeats the arm for every width, 64 bits included")]
fn hash_array(array: &dyn Array, hashes: &mut [u64], fold: Fold) -> Result<()> {
    downcast_integer_array!(
        array => fill_nullable(hashes, fold, array.nulls(), array.values().iter().copied(), |value| mix(value as i64 as u64)),
        DataType::Float16 => primitive::<Float16Type>(array, hashes, fold, |value| mix_float(value.to_f64())),
        DataType::Float32 => primitive::<Float32Type>(array, hashes, fold, |value| mix_float(f64::from(value))),
        DataType::Float64 => primitive::<Float64Type>(array, hashes, fold, mix_float),
        DataType::Decimal32(_, _) => primitive::<Decimal32Type>(array, hashes, fold, |value| mix_wide(i128::from(value))),
        DataType::Decimal64(_, _) => primitive::<Decimal64Type>(array, hashes, fold, |value| mix_wide(i128::from(value))),
        DataType::Decimal128(_, _) => primitive::<Decimal128Type>(array, hashes, fold, mix_wide),
        DataType::Decimal256(_, _) => primitive::<Decimal256Type>(array, hashes, fold, mix_decimal256),
        DataType::Utf8 => bytes(array.as_string::<i32>(), hashes, fold),
        DataType::LargeUtf8 => bytes(array.as_string::<i64>(), hashes, fold),
        DataType::Utf8View => bytes(array.as_string_view(), hashes, fold),
        DataType::Binary => bytes(array.as_binary::<i32>(), hashes, fold),
        DataType::LargeBinary => bytes(array.as_binary::<i64>(), hashes, fold),
        DataType::BinaryView => bytes(array.as_binary_view(), hashes, fold),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary(), hashes, fold),
        DataType::Boolean => {
            let array = array.as_boolean();
            fill_nullable(hashes, fold, array.nulls(), array.values().iter(), |value| BOOLEANS[usize::from(value)]);
        }
        DataType::Null => fill(hashes, fold, std::iter::repeat(NULL)),
        _ => return hash_temporal_or_nested(array, hashes, fold)
    );
    Ok(())
}

#[allow(clippy::unnecessary_cast, reason = "the macro repeats the arm for every width, 64 bits included")]
fn hash_temporal_or_nested(array: &dyn Array, hashes: &mut [u64], fold: Fold) -> Result<()> {
    downcast_temporal_array!(
        array => fill_nullable(hashes, fold, array.nulls(), array.values().iter().copied(), |value| mix(value as i64 as u64)),
        DataType::Duration(unit) => hash_duration(array, *unit, hashes, fold),
        DataType::Interval(unit) => hash_interval(array, *unit, hashes, fold),
        _ => return hash_nested(array, hashes, fold)
    );
    Ok(())
}

fn hash_duration(array: &dyn Array, unit: TimeUnit, hashes: &mut [u64], fold: Fold) {
    let hash = |value: i64| mix(value as u64);
    match unit {
        TimeUnit::Second => primitive::<DurationSecondType>(array, hashes, fold, hash),
        TimeUnit::Millisecond => primitive::<DurationMillisecondType>(array, hashes, fold, hash),
        TimeUnit::Microsecond => primitive::<DurationMicrosecondType>(array, hashes, fold, hash),
        TimeUnit::Nanosecond => primitive::<DurationNanosecondType>(array, hashes, fold, hash),
    }
}

fn hash_interval(array: &dyn Array, unit: IntervalUnit, hashes: &mut [u64], fold: Fold) {
    let small = |value: i32| mix(i64::from(value) as u64);
    match unit {
        IntervalUnit::YearMonth => primitive::<IntervalYearMonthType>(array, hashes, fold, small),
        IntervalUnit::DayTime => {
            primitive::<IntervalDayTimeType>(array, hashes, fold, |v| combine(small(v.days), small(v.milliseconds)));
        }
        IntervalUnit::MonthDayNano => primitive::<IntervalMonthDayNanoType>(array, hashes, fold, |v| {
            combine(combine(small(v.months), small(v.days)), mix(v.nanoseconds as u64))
        }),
    }
}

fn hash_nested(array: &dyn Array, hashes: &mut [u64], fold: Fold) -> Result<()> {
    downcast_dictionary_array!(
        array => return hash_dictionary(array, hashes, fold),
        DataType::Struct(_) => {
            let array = array.as_struct();
            let mut new = vec![NESTED; array.len()];
            array.columns().iter().try_for_each(|column| hash_array(column.as_ref(), &mut new, Fold::Combine))?;
            fill_nullable(hashes, fold, array.nulls(), new.into_iter(), |hash| hash);
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            hash_list(array.values().as_ref(), array.value_offsets(), array.nulls(), hashes, fold)?;
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            hash_list(array.values().as_ref(), array.value_offsets(), array.nulls(), hashes, fold)?;
        }
        DataType::Map(_, _) => {
            let array = array.as_map();
            hash_list(array.entries(), array.value_offsets(), array.nulls(), hashes, fold)?;
        }
        DataType::FixedSizeList(_, width) => {
            let width = usize::try_from(*width).unwrap_or(0);
            let array = array.as_fixed_size_list();
            let spans = (0..array.len()).map(|row| row * width..(row + 1) * width);
            hash_spans(array.values().as_ref(), spans, array.nulls(), hashes, fold)?;
        }
        other => return Err(Error::InvalidArgument(format!("a column of type {other} can't be a key")))
    );
    Ok(())
}

/// Hashes each value of the dictionary once, and deals the hashes to the rows.
fn hash_dictionary<K: ArrowDictionaryKeyType>(
    array: &arrow::array::DictionaryArray<K>,
    hashes: &mut [u64],
    fold: Fold,
) -> Result<()> {
    let mut values = vec![NULL; array.values().len()];
    hash_array(array.values().as_ref(), &mut values, Fold::Set)?;
    let new = (0..array.len()).map(|row| array.key(row).and_then(|key| values.get(key)).copied().unwrap_or(NULL));
    fill(hashes, fold, new);
    Ok(())
}

/// Lists and maps, which are lists of their entries in their order.
fn hash_list<O: OffsetSizeTrait>(
    values: &dyn Array,
    offsets: &[O],
    nulls: Option<&NullBuffer>,
    hashes: &mut [u64],
    fold: Fold,
) -> Result<()> {
    // A slice of a long list array must not hash what lies outside of it.
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    let values = values.slice(first, last - first);
    let spans = offsets.windows(2).map(|pair| pair[0].as_usize() - first..pair[1].as_usize() - first);
    hash_spans(values.as_ref(), spans, nulls, hashes, fold)
}

/// Lists: the hash of each value, combined in order, with the length.
fn hash_spans(
    values: &dyn Array,
    spans: impl Iterator<Item = std::ops::Range<usize>>,
    nulls: Option<&NullBuffer>,
    hashes: &mut [u64],
    fold: Fold,
) -> Result<()> {
    let mut inner = vec![NULL; values.len()];
    hash_array(values, &mut inner, Fold::Set)?;
    fill_nullable(hashes, fold, nulls, spans, |span| {
        let start = combine(NESTED, mix(span.len() as u64));
        inner[span].iter().fold(start, |hash, &value| combine(hash, value))
    });
    Ok(())
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
