//! `KeyedAggregate` against a plain loop over a hash map: `cargo bench -p tidegate-operators --bench keyed_aggregate`.
//!
//! Both count and sum the same batches; the figures of several rounds alternate, so that a busy machine slows both.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use tidegate_operators::KeyedAggregate;
use tidegate_runtime::testkit::OperatorHarness;
use tidegate_runtime::{Result, TARGET_BATCH_ROWS};

const ROUNDS: usize = 7;
const BATCHES: usize = 1_024;

fn main() -> Result<()> {
    for distinct in [1_000, 1_000_000] {
        let keys = |n: usize| Arc::new(Int64Array::from_iter_values(numbers(n, distinct))) as ArrayRef;
        let batches = batches(&keys)?;
        compare(&format!("Int64 key, {distinct} distinct"), &batches, &plain_int64)?;
        let keys =
            |n: usize| Arc::new(StringArray::from_iter_values(numbers(n, distinct).map(|k| format!("word-{k}")))) as ArrayRef;
        compare(&format!("Utf8 key, {distinct} distinct"), &self::batches(&keys)?, &plain_utf8)?;
    }
    Ok(())
}

/// Pseudo-random keys.
fn numbers(batch: usize, distinct: u64) -> impl Iterator<Item = i64> {
    let start = (batch * TARGET_BATCH_ROWS) as u64;
    (start..start + TARGET_BATCH_ROWS as u64).map(move |n| {
        let mixed = (n ^ (n >> 13)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) % distinct) as i64
    })
}

fn batches(keys: &dyn Fn(usize) -> ArrayRef) -> Result<Vec<RecordBatch>> {
    let amounts: ArrayRef = Arc::new(Int64Array::from_iter_values(0..TARGET_BATCH_ROWS as i64));
    (0..BATCHES).map(|n| Ok(RecordBatch::try_from_iter([("key", keys(n)), ("amount", Arc::clone(&amounts))])?)).collect()
}

/// The multiply-and-fold hash that such loops are usually written with.
#[derive(Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        bytes.chunks(8).for_each(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        });
    }
    fn write_u64(&mut self, n: u64) {
        let product = u128::from(n ^ self.0 ^ 0x243f_6a88_85a3_08d3) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Map<K> = HashMap<K, (i64, i64), BuildHasherDefault<Fold>>;

/// How long the loop takes, and how many keys it found.
fn plain_int64(batches: &[RecordBatch]) -> (Duration, usize) {
    let started = Instant::now();
    let mut map = Map::<i64>::default();
    for batch in batches {
        let (keys, amounts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        for (&key, &amount) in keys.values().iter().zip(amounts.values()) {
            let (count, total) = map.entry(key).or_default();
            *count += 1;
            *total += amount;
        }
    }
    (started.elapsed(), map.len())
}

fn plain_utf8(batches: &[RecordBatch]) -> (Duration, usize) {
    let started = Instant::now();
    let mut map = Map::<Box<str>>::default();
    for batch in batches {
        let (keys, amounts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        for (key, &amount) in keys.iter().flatten().zip(amounts.values()) {
            let (count, total) = map.entry_ref(key).or_default();
            *count += 1;
            *total += amount;
        }
    }
    (started.elapsed(), map.len())
}

/// How long the rows of an epoch, its end, and its snapshot take.
fn operator(batches: &[RecordBatch]) -> Result<([Duration; 3], usize)> {
    let aggregate = KeyedAggregate::new(["key"]).count("count").sum("amount", "total");
    let mut task = OperatorHarness::new(&aggregate, &[batches[0].schema()])?;
    let started = Instant::now();
    batches.iter().try_for_each(|batch| task.process(0, batch.clone()))?;
    let processed = started.elapsed();
    let groups = task.end_epoch()?.iter().map(RecordBatch::num_rows).sum();
    let ended = started.elapsed();
    task.snapshot()?;
    Ok(([processed, ended - processed, started.elapsed() - ended], groups))
}

fn compare(name: &str, batches: &[RecordBatch], plain: &dyn Fn(&[RecordBatch]) -> (Duration, usize)) -> Result<()> {
    let (mut best_plain, mut best) = (Duration::MAX, [Duration::MAX; 3]);
    let mut groups = 0;
    for _ in 0..ROUNDS {
        let (elapsed, found) = plain(batches);
        best_plain = best_plain.min(elapsed);
        let (own, own_found) = operator(batches)?;
        best.iter_mut().zip(own).for_each(|(best, own)| *best = own.min(*best));
        assert_eq!(found, own_found);
        groups = found;
    }
    let nanos = |elapsed: Duration, rows: usize| elapsed.as_nanos() as f64 / rows as f64;
    let rows = batches.len() * TARGET_BATCH_ROWS;
    println!("{name}, {rows} rows in batches of {TARGET_BATCH_ROWS}, best of {ROUNDS}");
    println!("  plain loop     {:7.2} ns a row", nanos(best_plain, rows));
    println!("  KeyedAggregate {:7.2} ns a row", nanos(best[0], rows));
    println!("  end of epoch   {:7.2} ns a group", nanos(best[1], groups));
    println!("  snapshot       {:7.2} ns a group, with its conversion to columns\n", nanos(best[2], groups));
    Ok(())
}
