//! Random numbers. With a seed, the numbers that Spark's generator gives for it in one partition.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Float64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;
use crate::function::{Call, Resolved};
use crate::types::{is_integral, is_numeric};

/// A xorshift generator.
#[derive(Debug)]
struct Generator {
    state: u64,
    /// Normal numbers are made two at a time: the second.
    next_normal: Option<f64>,
}

impl Generator {
    fn new(seed: i64) -> Self {
        let bytes = seed.to_be_bytes();
        let low = murmur3(bytes, 0x3c07_4a61);
        let high = murmur3(bytes, low);
        Generator { state: (u64::from(high) << 32) | u64::from(low), next_normal: None }
    }

    fn bits(&mut self, count: u32) -> u64 {
        self.state ^= self.state << 21;
        self.state ^= self.state >> 35;
        self.state ^= self.state << 4;
        self.state & ((1 << count) - 1)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        let high = self.bits(26) << 27;
        (high + self.bits(27)) as f64 / (1_u64 << 53) as f64
    }

    /// Of the standard normal distribution, by the polar method.
    fn normal(&mut self) -> f64 {
        if let Some(next) = self.next_normal.take() {
            return next;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.next_normal = Some(y * factor);
                return x * factor;
            }
        }
    }
}

/// The 32-bit Murmur3 hash of eight bytes.
fn murmur3(bytes: [u8; 8], seed: u32) -> u32 {
    let mut hash = seed;
    for word in bytes.chunks_exact(4) {
        let word = word.iter().rev().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        hash ^= word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= 8;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The seed that argument `index` gives, or any one.
fn seed(call: &Call<'_>, index: usize) -> Result<i64> {
    let Some(arg) = call.args.get(index) else { return Ok(RandomState::new().build_hasher().finish() as i64) };
    if !matches!(arg.data_type, DataType::Null) && !is_integral(&arg.data_type) {
        return Err(call.unexpected_type(index, "the (\"INT\" or \"BIGINT\") type"));
    }
    match &arg.literal {
        Some(_) => Ok(call.literal_int(index).unwrap_or(0)),
        None => {
            let (sql, call) = (&arg.sql, call.sql());
            let message = format!("The seed expression \"{sql}\" of the expression \"{call}\" must be foldable.");
            Err(spark_error("SEED_EXPRESSION_IS_UNFOLDABLE", message))
        }
    }
}

pub(super) fn rand(call: &Call<'_>) -> Result<Resolved> {
    let seed = seed(call, 0)?;
    Ok(generated(call, DataType::Float64, seed, Generator::uniform, |numbers| Ok(Arc::new(numbers))))
}

pub(super) fn randn(call: &Call<'_>) -> Result<Resolved> {
    let seed = seed(call, 0)?;
    Ok(generated(call, DataType::Float64, seed, Generator::normal, |numbers| Ok(Arc::new(numbers))))
}

/// A function that goes on with one sequence of numbers from call to call, whatever its arguments are.
fn generated(
    call: &Call<'_>,
    returns: DataType,
    seed: i64,
    next: impl Fn(&mut Generator) -> f64 + Send + Sync + 'static,
    finish: impl Fn(Float64Array) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Resolved {
    let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    let generator = Mutex::new(Generator::new(seed));
    let resolved = Resolved::new(args, returns, move |invocation| {
        let mut generator = generator.lock().unwrap_or_else(PoisonError::into_inner);
        finish(Float64Array::from_iter_values((0..invocation.rows).map(|_| next(&mut generator))))
    });
    resolved.volatile()
}

/// `uniform(min, max, seed)`.
pub(super) fn uniform(call: &Call<'_>) -> Result<Resolved> {
    let seed = seed(call, 2)?;
    let mut bounds = [None; 2];
    for (index, bound) in bounds.iter_mut().enumerate() {
        let data_type = call.data_type(index);
        if !is_numeric(data_type) && data_type != &DataType::Null {
            return Err(call.unexpected_type(index, "the \"NUMERIC\" type"));
        }
        let Some(literal) = &call.args[index].literal else { return Err(call.not_foldable(index)) };
        if let ScalarValue::Float64(value) = literal.cast_to(&DataType::Float64)? {
            *bound = value;
        }
    }
    let returns = bound_type(call.data_type(0), call.data_type(1));
    let (Some(min), Some(max)) = bounds.into() else {
        let (args, data_type) = (call.args.iter().map(|arg| arg.data_type.clone()).collect(), returns.clone());
        return Ok(Resolved::new(args, returns, move |invocation| Ok(new_null_array(&data_type, invocation.rows))));
    };
    let data_type = returns.clone();
    let next = move |generator: &mut Generator| min + (max - min) * generator.uniform();
    Ok(generated(call, returns, seed, next, move |numbers| {
        let numbers: ArrayRef = Arc::new(numbers);
        cast(&numbers, &data_type).map_err(DataFusionError::from)
    }))
}

/// The type of a number between two of these types.
fn bound_type(left: &DataType, right: &DataType) -> DataType {
    let rank = |data_type: &DataType| match data_type {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Decimal128(_, _) => 4,
        DataType::Float32 => 5,
        _ => 6,
    };
    match (left, right) {
        (DataType::Null, _) | (_, DataType::Null) => DataType::Float64,
        (DataType::Decimal128(l, _), DataType::Decimal128(r, _)) => {
            if l >= r {
                left.clone()
            } else {
                right.clone()
            }
        }
        _ if rank(left) >= rank(right) => left.clone(),
        _ => right.clone(),
    }
}
