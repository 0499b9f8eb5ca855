//! What the key hash and the state table cost: `cargo bench -p tidegate-operators --bench state_table`.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::state::{KeyGroupRange, MemoryTable, StateStore, TableSpec, hash_columns};
use tidegate_runtime::{Result, TARGET_BATCH_ROWS};

const ROWS: usize = 1_000_000;

fn main() -> Result<()> {
    hashes()?;
    let numbers =
        |start: usize| Arc::new(Int64Array::from_iter_values((start..start + TARGET_BATCH_ROWS).map(spread))) as ArrayRef;
    let words = |start: usize| {
        let words = (start..start + TARGET_BATCH_ROWS).map(|n| format!("word-{}", spread(n)));
        Arc::new(StringArray::from_iter_values(words)) as ArrayRef
    };
    table("Int64 -> 2 Int64", DataType::Int64, &numbers)?;
    table("Utf8 -> 2 Int64", DataType::Utf8, &words)
}

/// A permutation of the numbers below 2^20, so that rows are not visited in the order in which they were put.
fn spread(n: usize) -> i64 {
    (n.wrapping_mul(0x9e37_79b9) & 0xf_ffff) as i64
}

fn hashes() -> Result<()> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..TARGET_BATCH_ROWS as i64));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..TARGET_BATCH_ROWS).map(|n| format!("word-{n}"))));
    for (name, columns) in [
        ("Int64", vec![Arc::clone(&numbers)]),
        ("Int64, Int64", vec![Arc::clone(&numbers), numbers]),
        ("Utf8, 9 bytes", vec![words]),
    ] {
        let mut hashes = Vec::new();
        let started = Instant::now();
        for _ in 0..2_000 {
            hash_columns(&columns, TARGET_BATCH_ROWS, &mut hashes)?;
        }
        let nanos = started.elapsed().as_nanos() as f64 / (2_000 * TARGET_BATCH_ROWS) as f64;
        println!("hash of {name:<16} {nanos:6.2} ns a row");
    }
    Ok(())
}

fn table(name: &str, key: DataType, keys: &dyn Fn(usize) -> ArrayRef) -> Result<()> {
    let values = [("count", DataType::Int64), ("sum", DataType::Int64)];
    let mut table = MemoryTable::new(TableSpec::new("bench", [("key", key)], values)?, KeyGroupRange::ALL)?;
    let batches =
        (0..ROWS.div_ceil(TARGET_BATCH_ROWS)).map(|n| Ok(RecordBatch::try_from_iter([("k", keys(n * TARGET_BATCH_ROWS))])?));
    let batches = batches.collect::<Result<Vec<_>>>()?;
    let values = |add: usize| {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..TARGET_BATCH_ROWS).map(|n| (n + add) as i64)));
        Ok::<_, tidegate_runtime::Error>(RecordBatch::try_from_iter([("count", Arc::clone(&column)), ("sum", column)])?)
    };
    let (first, second) = (values(0)?, values(1)?);
    println!("\n{name}");
    report("put, new rows", || batches.iter().try_for_each(|keys| table.put(keys, &first)))?;
    println!("  {:<28} {:8.1} bytes a row, {} rows", "memory", table.memory_bytes() as f64 / table.len() as f64, table.len());
    let snapshot = report("snapshot, all changed", || table.snapshot())?;
    let batches_of_snapshot = report("  into batches", || snapshot.into_batches())?;
    report("put, changed rows", || batches.iter().try_for_each(|keys| table.put(keys, &second)))?;
    report("put, unchanged rows", || batches.iter().try_for_each(|keys| table.put(keys, &second)))?;
    report("get", || batches.iter().try_for_each(|keys| table.get(keys).map(|_| ())))?;
    report("scan", || table.scan(TARGET_BATCH_ROWS).try_for_each(|batch| batch.map(|_| ())))?;
    let mut restored = MemoryTable::new(table.spec().clone(), KeyGroupRange::ALL)?;
    report("restore", || batches_of_snapshot.iter().try_for_each(|batch| restored.restore(batch, KeyGroupRange::ALL)))?;
    report("remove", || batches.iter().try_for_each(|keys| table.remove(keys)))
}

fn report<T>(what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = run()?;
    let elapsed: Duration = started.elapsed();
    println!("  {what:<28} {:8.1} M rows/s", ROWS as f64 / elapsed.as_secs_f64() / 1e6);
    Ok(result)
}
