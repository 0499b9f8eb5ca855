//! `kill -9` while batches replace each other's files: a reader sees all rows of one of them, and never an older one than before.

use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tidegate::Session;

use crate::child::{exit, test_alone};
use crate::scene::{End, Random, end_of, seed};

const DIRECTORY: &str = "TIDEGATE_BATCHES_DIRECTORY";
const ROWS: usize = 40;
const BATCHES: i64 = 500;

fn session() -> Session {
    Session::builder().parallelism(2).build().unwrap()
}

/// Does nothing in the test run itself; the child's whole life in a child: each batch replaces the one before, in two partitions.
#[test]
fn run_as_batch_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let path = Path::new(&directory).to_string_lossy().into_owned();
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        let session = session();
        for batch in newest(&path).map_or(0, |last| last + 1)..BATCHES {
            let rows = session.sql(&format!("SELECT {batch}L AS batch, id % 2 AS half FROM range({ROWS})"))?;
            rows.write().mode("overwrite").partition_by(["half"]).parquet(&path)?;
        }
        Ok(())
    };
    exit(run());
}

fn start(directory: &Path) -> Child {
    test_alone("batches::run_as_batch_child").env(DIRECTORY, directory).spawn().unwrap()
}

/// The batch whose rows are there; `None` before the first one.
fn newest(path: &str) -> Option<i64> {
    loop {
        let read = session().read().schema("batch BIGINT, half INT").parquet(path).and_then(|frame| frame.collect());
        // Files of an older list may be gone when they are opened: that is an error, and never a part of the rows.
        let Ok(rows) = read else {
            if Path::new(path).exists() {
                continue;
            }
            return None;
        };
        let numbers: Vec<i64> =
            rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert!(numbers.is_empty() || numbers.len() == ROWS, "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "{numbers:?}");
        return numbers.first().copied();
    }
}

#[test]
fn killed_batches_leave_the_old_rows_or_the_new_ones() {
    let seed = seed(20_261_129);
    let mut random = Random::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("out");
    let (path, done) = (directory.to_string_lossy().into_owned(), AtomicBool::new(false));
    let mut kills = 0;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = None;
            while !done.load(SeqCst) {
                let now = newest(&path);
                assert!(now >= last, "SEED={seed}: {now:?} after {last:?}");
                last = now;
            }
        });
        loop {
            let moment = Duration::from_millis(20 + random.below(150 + 20 * kills));
            match end_of(start(&directory), Some(moment)) {
                End::Crashed => kills += 1,
                End::Done => break,
                End::Failed(error) => {
                    done.store(true, SeqCst);
                    panic!("SEED={seed}: a run after a kill failed: {error}");
                }
            }
        }
        done.store(true, SeqCst);
        reader.join().unwrap();
    });
    assert_eq!(newest(&path), Some(BATCHES - 1), "SEED={seed}");
    let halves = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = halves.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('_'));
    let files: usize = files.map(|half| std::fs::read_dir(half).unwrap().count()).sum();
    assert_eq!(files, 2, "SEED={seed}: files of batches that died are left");
    println!("{kills} kills");
}
