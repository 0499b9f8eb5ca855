//! Hashes and checksums.
//!
//! `hash` and `xxhash64` go over the arguments of a row one after the other: the hash so far is the seed of the next, and nulls are
//! left out. What they give is part of stored data elsewhere (buckets, partitions), so every quirk of Spark's is kept.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, BinaryType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMicrosecondType, Utf8Type,
};
use datafusion::error::{DataFusionError, Result};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::string::columns::{binaries, binary, build, int, ints, numbers};
use crate::string::push_hex;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["hash"], arity: Arity::at_least(1), resolve: |call| row_hash::<Murmur3>(call, 42) },
    Function { names: &["xxhash64"], arity: Arity::at_least(1), resolve: |call| row_hash::<XxHash64>(call, 42) },
    Function { names: &["md5"], arity: Arity::exactly(1), resolve: |call| digest(call, hex_of::<Md5>) },
    Function { names: &["sha", "sha1"], arity: Arity::exactly(1), resolve: |call| digest(call, hex_of::<Sha1>) },
    Function { names: &["sha2"], arity: Arity::exactly(2), resolve: sha2 },
    Function { names: &["crc32"], arity: Arity::exactly(1), resolve: crc32 },
];

fn hex_of<D: Digest>(bytes: &[u8], out: &mut String) {
    push_hex(&D::digest(bytes), b"0123456789abcdef", out);
}

fn digest(call: &Call<'_>, write: fn(&[u8], &mut String)) -> Result<Resolved> {
    let kernel = move |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            write(values.get(row)?, out);
            Some(())
        })
    };
    Ok(Resolved::new(vec![binary(call, 0)?], DataType::Utf8, kernel))
}

fn sha2(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (values, bits) = (binaries(invocation, 0)?, ints(invocation, 1)?);
        build(invocation.rows, |row, out: &mut String| {
            let value = values.get(row)?;
            match bits.get(row)? {
                224 => hex_of::<Sha224>(value, out),
                0 | 256 => hex_of::<Sha256>(value, out),
                384 => hex_of::<Sha384>(value, out),
                512 => hex_of::<Sha512>(value, out),
                _ => return None,
            }
            Some(())
        })
    };
    Ok(Resolved::new(vec![binary(call, 0)?, int(call, 1)?], DataType::Utf8, kernel))
}

fn crc32(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        numbers::<Int64Type>(invocation.rows, |row| Some(i64::from(crc32fast::hash(values.get(row)?))))
    };
    Ok(Resolved::new(vec![binary(call, 0)?], DataType::Int64, kernel))
}

/// A hash function of Spark's: how it takes in what values are made of.
trait RowHash {
    /// What holds the hashes.
    type Type: ArrowPrimitiveType<Native = Self::State>;
    /// The hash so far.
    type State: ArrowNativeType;

    fn int(value: i32, seed: Self::State) -> Self::State;
    fn long(value: i64, seed: Self::State) -> Self::State;
    fn bytes(value: &[u8], seed: Self::State) -> Self::State;
}

struct Murmur3;

impl RowHash for Murmur3 {
    type Type = Int32Type;
    type State = i32;

    fn int(value: i32, seed: i32) -> i32 {
        murmur_finish(murmur_mix(seed as u32, value as u32), 4)
    }

    fn long(value: i64, seed: i32) -> i32 {
        let low = murmur_mix(seed as u32, value as u32);
        murmur_finish(murmur_mix(low, (value >> 32) as u32), 8)
    }

    fn bytes(value: &[u8], seed: i32) -> i32 {
        let (words, rest) = value.as_chunks::<4>();
        let hash = words.iter().fold(seed as u32, |hash, word| murmur_mix(hash, u32::from_le_bytes(*word)));
        // Each byte that is left counts as a word of its own, with its sign: not what Murmur3 does elsewhere.
        let hash = rest.iter().fold(hash, |hash, byte| murmur_mix(hash, i32::from(*byte as i8) as u32));
        murmur_finish(hash, value.len() as u32)
    }
}

fn murmur_mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn murmur_finish(hash: u32, len: u32) -> i32 {
    let mut hash = hash ^ len;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16) as i32
}

struct XxHash64;

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

impl RowHash for XxHash64 {
    type Type = Int64Type;
    type State = i64;

    fn int(value: i32, seed: i64) -> i64 {
        xx_finish(xx_word(xx_start(seed, 4), value as u32))
    }

    fn long(value: i64, seed: i64) -> i64 {
        xx_finish(xx_long(xx_start(seed, 8), value as u64))
    }

    fn bytes(value: &[u8], seed: i64) -> i64 {
        let (blocks, rest) = value.as_chunks::<32>();
        let hash = if blocks.is_empty() { xx_start(seed, value.len()) } else { xx_blocks(seed as u64, blocks, value.len()) };
        let (longs, rest) = rest.as_chunks::<8>();
        let hash = longs.iter().fold(hash, |hash, long| xx_long(hash, u64::from_le_bytes(*long)));
        let (words, rest) = rest.as_chunks::<4>();
        let hash = words.iter().fold(hash, |hash, word| xx_word(hash, u32::from_le_bytes(*word)));
        let byte = |hash: u64, byte: &u8| (hash ^ u64::from(*byte).wrapping_mul(PRIME_5)).rotate_left(11).wrapping_mul(PRIME_1);
        xx_finish(rest.iter().fold(hash, byte))
    }
}

fn xx_start(seed: i64, len: usize) -> u64 {
    (seed as u64).wrapping_add(PRIME_5).wrapping_add(len as u64)
}

fn xx_round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

fn xx_blocks(seed: u64, blocks: &[[u8; 32]], len: usize) -> u64 {
    let mut lanes =
        [seed.wrapping_add(PRIME_1).wrapping_add(PRIME_2), seed.wrapping_add(PRIME_2), seed, seed.wrapping_sub(PRIME_1)];
    for block in blocks {
        for (lane, input) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = xx_round(*lane, u64::from_le_bytes(*input));
        }
    }
    let sum = lanes.iter().zip([1, 7, 12, 18]).fold(0_u64, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
    let merge = |hash: u64, lane: &u64| (hash ^ xx_round(0, *lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
    lanes.iter().fold(sum, merge).wrapping_add(len as u64)
}

fn xx_long(hash: u64, long: u64) -> u64 {
    (hash ^ xx_round(0, long)).rotate_left(27).wrapping_mul(PRIME_1).wrapping_add(PRIME_4)
}

fn xx_word(hash: u64, word: u32) -> u64 {
    (hash ^ u64::from(word).wrapping_mul(PRIME_1)).rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3)
}

fn xx_finish(hash: u64) -> i64 {
    let hash = (hash ^ hash >> 33).wrapping_mul(PRIME_2);
    let hash = (hash ^ hash >> 29).wrapping_mul(PRIME_3);
    (hash ^ hash >> 32) as i64
}

fn row_hash<H: RowHash>(call: &Call<'_>, seed: u8) -> Result<Resolved>
where
    H::State: From<u8>,
{
    if call.args.iter().any(|arg| has_map(&arg.data_type)) {
        return Err(spark_error(
            "DATATYPE_MISMATCH.HASH_MAP_TYPE",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: Input to the function `{}` cannot contain elements of the \"MAP\" type. \
                 Same maps may have different hash codes, thus hash expressions are prohibited on \"MAP\" elements.",
                call.sql(),
                call.name
            ),
        ));
    }
    let seed = H::State::from(seed);
    let kernel = move |invocation: &Invocation<'_>| {
        let mut hashes = vec![seed; invocation.rows];
        for index in 0..invocation.args.len() {
            update_column::<H>(&invocation.array(index)?, &mut hashes)?;
        }
        Ok(Arc::new(PrimitiveArray::<H::Type>::from_iter_values(hashes)) as ArrayRef)
    };
    let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    Ok(Resolved::new(args, H::Type::DATA_TYPE, kernel))
}

fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => true,
        DataType::List(field) => has_map(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

/// Takes a column into the hashes of its rows.
fn update_column<H: RowHash>(array: &ArrayRef, hashes: &mut [H::State]) -> Result<()> {
    for_each_type::<H>(array, &mut |update| {
        for (row, hash) in hashes.iter_mut().enumerate() {
            *hash = update(row, *hash)?;
        }
        Ok(())
    })
}

type Update<'a, S> = &'a dyn Fn(usize, S) -> Result<S>;

/// Runs `with` on what takes value `row` of the array into a hash. The array's type is looked at once.
fn for_each_type<H: RowHash>(array: &ArrayRef, with: &mut dyn FnMut(Update<'_, H::State>) -> Result<()>) -> Result<()> {
    macro_rules! primitive {
        ($type:ty, $update:expr) => {{
            let (values, update) = (array.as_primitive::<$type>(), $update);
            with(&|row, hash| Ok(if values.is_null(row) { hash } else { update(values.value(row), hash) }))
        }};
    }
    match array.data_type() {
        DataType::Null => Ok(()),
        DataType::Boolean => {
            let values = array.as_boolean();
            with(&|row, hash| Ok(if values.is_null(row) { hash } else { H::int(i32::from(values.value(row)), hash) }))
        }
        DataType::Int8 => primitive!(Int8Type, |value, hash| H::int(i32::from(value), hash)),
        DataType::Int16 => primitive!(Int16Type, |value, hash| H::int(i32::from(value), hash)),
        DataType::Int32 => primitive!(Int32Type, H::int),
        DataType::Date32 => primitive!(Date32Type, H::int),
        DataType::Interval(_) => primitive!(IntervalYearMonthType, H::int),
        DataType::Int64 => primitive!(Int64Type, H::long),
        DataType::Timestamp(_, _) => primitive!(TimestampMicrosecondType, H::long),
        DataType::Duration(_) => primitive!(DurationMicrosecondType, H::long),
        DataType::Float32 => primitive!(Float32Type, |value, hash| H::int(float_bits(value), hash)),
        DataType::Float64 => primitive!(Float64Type, |value, hash| H::long(double_bits(value), hash)),
        DataType::Decimal128(precision, _) if *precision <= 18 => {
            primitive!(Decimal128Type, |value, hash| H::long(value as i64, hash))
        }
        DataType::Decimal128(_, _) => primitive!(Decimal128Type, |value: i128, hash| {
            let bytes = value.to_be_bytes();
            H::bytes(minimal(&bytes), hash)
        }),
        DataType::Utf8 => {
            let values = array.as_bytes::<Utf8Type>();
            with(&|row, hash| Ok(if values.is_null(row) { hash } else { H::bytes(values.value(row).as_bytes(), hash) }))
        }
        DataType::Binary => {
            let values = array.as_bytes::<BinaryType>();
            with(&|row, hash| Ok(if values.is_null(row) { hash } else { H::bytes(values.value(row), hash) }))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            for_each_type::<H>(lists.values(), &mut |update| {
                with(&|row, hash| {
                    let offsets = lists.value_offsets();
                    let elements = if lists.is_null(row) { 0..0 } else { offsets[row] as usize..offsets[row + 1] as usize };
                    elements.into_iter().try_fold(hash, |hash, element| update(element, hash))
                })
            })?;
            Ok(())
        }
        DataType::Struct(_) => {
            let structs = array.as_struct();
            with(&|row, hash| {
                if structs.is_null(row) {
                    return Ok(hash);
                }
                structs.columns().iter().try_fold(hash, |hash, column| hash_value::<H>(column, row, hash))
            })
        }
        other => Err(DataFusionError::NotImplemented(format!("a hash of {other}"))),
    }
}

fn hash_value<H: RowHash>(array: &ArrayRef, row: usize, hash: H::State) -> Result<H::State> {
    let mut result = hash;
    for_each_type::<H>(array, &mut |update| {
        result = update(row, hash)?;
        Ok(())
    })?;
    Ok(result)
}

/// The two zeros are one value; so are all NaN.
fn float_bits(value: f32) -> i32 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        0x7fc0_0000
    } else {
        value.to_bits() as i32
    }
}

fn double_bits(value: f64) -> i64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        value.to_bits() as i64
    }
}

/// The fewest bytes that hold the number in two's complement, as Java's `BigInteger.toByteArray`.
fn minimal(bytes: &[u8; 16]) -> &[u8] {
    let redundant = |pair: &&[u8]| matches!(pair, [0, next] if *next < 0x80) || matches!(pair, [0xff, next] if *next >= 0x80);
    let skipped = bytes.windows(2).take_while(redundant).count();
    bytes.get(skipped..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::string::tests::{NULL, bytes, check, check_int, check_text, run, strings, values};
    use datafusion::common::ScalarValue;

    fn decimal(value: i128, precision: u8) -> ScalarValue {
        ScalarValue::Decimal128(Some(value), precision, 2)
    }

    #[test]
    fn hashes_are_those_of_spark() {
        for (value, murmur, xx) in [
            (1.into(), -559580957, -6698625589789238999),
            (1_i64.into(), -1712319331, -7001672635703045582),
            ("a".into(), 1485273170, -8582455328737087284),
            ("".into(), 142593372, -7444071767201028348),
            ("abcde".into(), 814637928, -990457398947679591),
            ("é".into(), 2119106806, 2065146811275570100),
            (NULL.into(), 42, 42),
            (true.into(), -559580957, -6698625589789238999),
            (false.into(), 933211791, 3614696996920510707),
            (1.5.into(), 1290763749, 7738255526519901366),
            ((-0.0).into(), -1670924195, -5252525462095825812),
            (1.5_f32.into(), -221251528, 6163473420726370430),
            ((-1_i16).into(), -1604776387, 2017008487422258757),
            (bytes(&[1, 2, 3, 4, 5]), -2064006189, 8668608334415110682),
            (decimal(150, 10), -2056712946, -6873856301616164681),
            (decimal(-150, 18), -1998913259, -3700955262752989823),
            (decimal(150, 19), -339019914, -194698251525976593),
            (decimal(-1234567890123456789050, 38), -1983803224, -6095575023404014659),
            (decimal(0, 38), -783713497, -8959994473701255385),
            (ScalarValue::Date32(Some(18262)), -725858435, 2299834470729022467),
            (ScalarValue::DurationMicrosecond(Some(86_400_000_000)), 892267096, 5650310968337874586),
            (strings(&[]), 42, 42),
        ] {
            check_int("hash", &[([value.clone()], murmur)]);
            check("xxhash64", &[([value], ScalarValue::Int64(Some(xx)))]);
        }
        let long = "The quick brown fox jumps over the lazy dog, twice and more";
        check("xxhash64", &[(values![long], ScalarValue::Int64(Some(3663059422265559772)))]);
        check_int("hash", &[(values!["日本語"], -1143049834), (values![f64::NAN], -1281358385)]);
        check_int("hash", &[(values!["a", "abcdefg"], -689982798)]);
        check_int("hash", &[(values![1, "a", NULL], -936062819)]);
        let list = ScalarValue::List(ScalarValue::new_list_nullable(&values![1, 2, None::<i32>], &DataType::Int32));
        check_int("hash", &[([list.clone()], -222940379)]);
        let lists = ScalarValue::List(ScalarValue::new_list_nullable(&[list], &crate::types::list(DataType::Int32)));
        check_int("hash", &[([lists], -222940379)]);
    }

    #[test]
    fn digests() {
        check_text("md5", &[(values!["Spark"], "8cde774d6f7333752ed72cacddb05126")]);
        check_text("sha1", &[(values!["Spark"], "85f5955f4b27a9a4c2aab6ffe5d7189fc298b92c")]);
        check_text(
            "sha2",
            &[
                (values!["Spark", 0], "529bc3b07127ecb7e53a4dcf1991d9152c24537d919178022b2c42657f79a26b"),
                (values!["Spark", 224], "dbeab94971678d36af2195851c0f7485775a2a7c60073d62fc04549c"),
            ],
        );
        check("sha2", &[(values!["Spark", 1], NULL.into())]);
        check(
            "crc32",
            &[(values!["Spark"], 1557323817_i64.into()), ([bytes(&[1])], 2768625435_i64.into()), (values![""], 0_i64.into())],
        );
        assert_eq!(run("md5", &values![1]), Err("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE".to_owned()));
    }
}
