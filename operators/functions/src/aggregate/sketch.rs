//! `approx_count_distinct`: a HyperLogLog++ sketch.
//!
//! Values are hashed as Spark hashes them, so that for counts small enough to be read off the empty registers (some two per register)
//! the estimate is that of Spark. Above, Spark corrects the raw estimate by a table of measured biases; here an estimator takes its
//! place that has none.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use super::ResolvedAggregate;
use super::groups::{Aggregate, column, resolved};
use crate::error::spark_error;
use crate::function::Call;

/// `approx_count_distinct(value, relative error)`.
pub(super) fn approx_count_distinct(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let error = match call.args.get(1).map(|arg| &arg.literal) {
        None => 0.05,
        Some(Some(ScalarValue::Float64(Some(value)))) => *value,
        Some(Some(ScalarValue::Decimal128(Some(value), _, scale))) => *value as f64 / 10_f64.powi(i32::from(*scale)),
        Some(_) => return Err(spark_error("_LEGACY_ERROR_TEMP_1104", "The second argument should be a double literal.")),
    };
    let bits = (2.0 * (1.106 / error).ln() / std::f64::consts::LN_2).ceil();
    if !(4.0..=25.0).contains(&bits) {
        let message =
            "Failed preparing of the function `approx_count_distinct` for call. Please, double check function's arguments.";
        return Err(spark_error("FAILED_FUNCTION_CALL", message));
    }
    let state = vec![("registers", DataType::Binary)];
    Ok(resolved(call, vec![call.data_type(0).clone()], DataType::Int64, state, Sketch { bits: bits as u32 }))
}

/// 2^bits registers, each with the longest run of leading zeros of the hashes that chose it.
struct Sketch {
    bits: u32,
}

impl Sketch {
    fn registers(&self) -> usize {
        1 << self.bits
    }

    fn add(&self, cell: &mut Vec<u8>, hash: u64) {
        if cell.is_empty() {
            cell.resize(self.registers(), 0);
        }
        let index = (hash >> (64 - self.bits)) as usize;
        let run = ((hash << self.bits) | (1 << (self.bits - 1))).leading_zeros() as u8 + 1;
        cell[index] = cell[index].max(run);
    }

    fn estimate(&self, cell: &[u8]) -> i64 {
        if cell.is_empty() {
            return 0;
        }
        let m = self.registers() as f64;
        let empty = cell.iter().filter(|run| **run == 0).count() as f64;
        let sum: f64 = cell.iter().map(|run| 2_f64.powi(-i32::from(*run))).sum();
        let alpha = match self.bits {
            4 => 0.673,
            5 => 0.697,
            6 => 0.709,
            _ => 0.7213 / (1.0 + 1.079 / m),
        };
        let raw = alpha * m * m / sum;
        let estimate = if empty > 0.0 && raw <= 2.5 * m {
            m * (m / empty).ln()
        } else if raw < 5.0 * m {
            self.unbiased(cell)
        } else {
            raw
        };
        estimate.round() as i64
    }

    /// Ertl's estimator: it needs no correction at any size.
    fn unbiased(&self, cell: &[u8]) -> f64 {
        let m = self.registers() as f64;
        let longest = (64 - self.bits + 1) as usize;
        let mut runs = vec![0.0; longest + 1];
        cell.iter().for_each(|run| runs[usize::from(*run).min(longest)] += 1.0);
        let mut z = m * tau(1.0 - runs[longest] / m);
        for run in runs[1..longest].iter().rev() {
            z = 0.5 * (z + run);
        }
        z += m * sigma(runs[0] / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }
}

fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

impl Aggregate for Sketch {
    type Cell = Vec<u8>;

    fn update(&self, cells: &mut [Vec<u8>], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let mut hashes = vec![SEED; groups.len()];
        hash(&args[0], &mut hashes)?;
        let nulls = args[0].logical_nulls();
        for (row, (hash, group)) in hashes.iter().zip(groups).enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.add(&mut cells[*group], *hash);
            }
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Vec<u8>], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        for (other, group) in column::<BinaryArray>(states, 0)?.iter().zip(groups) {
            let (cell, other) = (&mut cells[*group], other.unwrap_or_default());
            if cell.is_empty() {
                cell.extend_from_slice(other);
            } else {
                cell.iter_mut().zip(other).for_each(|(own, other)| *own = (*own).max(*other));
            }
        }
        Ok(())
    }

    fn state(&self, cells: &[Vec<u8>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(BinaryArray::from_iter_values(cells))])
    }

    fn evaluate(&self, cells: &[Vec<u8>]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(cells.iter().map(|cell| self.estimate(cell)))))
    }
}

const SEED: u64 = 42;

/// Replaces each hash by that of the row's value with it as seed; null leaves it.
fn hash(values: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    macro_rules! each {
        ($array:expr, |$value:ident| $bytes:expr) => {{
            for (value, hash) in $array.iter().zip(hashes.iter_mut()) {
                if let Some($value) = value {
                    *hash = xxh64($bytes.as_ref(), *hash);
                }
            }
        }};
    }
    match values.data_type() {
        DataType::Null => {}
        DataType::Boolean => each!(values.as_boolean(), |v| i32::from(v).to_le_bytes()),
        DataType::Int8 => each!(values.as_primitive::<Int8Type>(), |v| i32::from(v).to_le_bytes()),
        DataType::Int16 => each!(values.as_primitive::<Int16Type>(), |v| i32::from(v).to_le_bytes()),
        DataType::Int32 => each!(values.as_primitive::<Int32Type>(), |v| v.to_le_bytes()),
        DataType::Date32 => each!(values.as_primitive::<Date32Type>(), |v| v.to_le_bytes()),
        DataType::Interval(_) => each!(values.as_primitive::<IntervalYearMonthType>(), |v| v.to_le_bytes()),
        DataType::Int64 => each!(values.as_primitive::<Int64Type>(), |v| v.to_le_bytes()),
        DataType::Timestamp(_, _) => each!(values.as_primitive::<TimestampMicrosecondType>(), |v| v.to_le_bytes()),
        DataType::Duration(_) => each!(values.as_primitive::<DurationMicrosecondType>(), |v| v.to_le_bytes()),
        DataType::Float32 => {
            each!(values.as_primitive::<Float32Type>(), |v| if v.is_nan() { f32::NAN } else { v + 0.0 }.to_le_bytes())
        }
        DataType::Float64 => {
            each!(values.as_primitive::<Float64Type>(), |v| if v.is_nan() { f64::NAN } else { v + 0.0 }.to_le_bytes())
        }
        DataType::Decimal128(precision, _) if *precision <= 18 => {
            each!(values.as_primitive::<Decimal128Type>(), |v| (v as i64).to_le_bytes())
        }
        DataType::Decimal128(_, _) => each!(values.as_primitive::<Decimal128Type>(), |v| shortest(v)),
        DataType::Utf8 => each!(values.as_string::<i32>(), |v| v.as_bytes()),
        DataType::Binary => each!(values.as_binary::<i32>(), |v| v),
        DataType::Struct(_) => {
            let rows = values.as_struct();
            let before = hashes.to_vec();
            rows.columns().iter().try_for_each(|column| hash(column, hashes))?;
            // A null struct leaves the hash, whatever its columns hold.
            hashes
                .iter_mut()
                .zip(before)
                .enumerate()
                .filter(|(row, _)| rows.is_null(*row))
                .for_each(|(_, (hash, old))| *hash = old);
        }
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            hash_elements(std::slice::from_ref(lists.values()), lists.value_offsets(), lists.nulls(), hashes)?;
        }
        DataType::Map(_, _) => {
            let maps = values.as_map();
            hash_elements(maps.entries().columns(), maps.value_offsets(), maps.nulls(), hashes)?;
        }
        other => return Err(DataFusionError::NotImplemented(format!("approx_count_distinct of {other}"))),
    }
    Ok(())
}

/// Hashes the elements of each row one after the other, the columns of one element in turn.
fn hash_elements(
    columns: &[ArrayRef],
    offsets: &[i32],
    nulls: Option<&arrow::buffer::NullBuffer>,
    hashes: &mut [u64],
) -> Result<()> {
    for (row, range) in offsets.windows(2).enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        for element in range[0]..range[1] {
            for column in columns {
                hash(&column.slice(element as usize, 1), &mut hashes[row..=row])?;
            }
        }
    }
    Ok(())
}

/// The fewest bytes, highest first, that hold the number in two's complement.
fn shortest(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    let redundant = |pair: &[u8]| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0;
    let skipped = bytes.windows(2).take_while(|pair| redundant(pair)).count();
    bytes[skipped..].to_vec()
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

/// The 64-bit XXH hash.
fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let mut blocks = bytes.chunks_exact(32);
    let mut hash = seed.wrapping_add(P5);
    if bytes.len() >= 32 {
        let mut lanes = [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
        for block in blocks.by_ref() {
            lanes.iter_mut().zip(block.chunks_exact(8)).for_each(|(lane, bytes)| *lane = round(*lane, word(bytes)));
        }
        let turns = [1, 7, 12, 18];
        hash = lanes.iter().zip(turns).fold(0_u64, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
        hash = lanes.iter().fold(hash, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4));
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    let mut words = blocks.remainder().chunks_exact(8);
    for bytes in words.by_ref() {
        hash = (hash ^ round(0, word(bytes))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let mut rest = words.remainder();
    if let Some((half, tail)) = rest.split_at_checked(4) {
        hash = (hash ^ word(half).wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = tail;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}
