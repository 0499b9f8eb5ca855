//! `kill -9` while tables are written, read as streams and compacted: a reader sees each epoch's rows once, at every moment.

use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tidegate::Session;
use tidegate::functions::expr;

use crate::child::{exit, test_alone};
use crate::scene::{End, Random, end_of, seed};

const DIRECTORY: &str = "TIDEGATE_TABLES_DIRECTORY";
const FILES: i64 = 24;
/// An epoch takes one file.
const ROWS: i64 = 20;
const TABLES: [&str; 2] = ["numbers", "copies"];

fn session(directory: &Path) -> Session {
    Session::builder().parallelism(2).warehouse(directory.join("warehouse")).build().unwrap()
}

/// Does nothing in the test run itself; the child's whole life in a child: files → numbers → copies, which are
/// partitioned, and both are compacted meanwhile.
#[test]
fn run_as_table_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        let session = session(directory);
        let checkpoint = |name: &str| directory.join("checkpoints").join(name);
        let input = directory.join("input");
        let files = session.read_stream().schema("n BIGINT").option("maxFilesPerTrigger", 1).json(&input.to_string_lossy())?;
        let numbers = files.write_stream().checkpoint(checkpoint(TABLES[0])).available_now().to_table(TABLES[0])?;
        let read = session.read_stream().option("maxFilesPerTrigger", 2).table(TABLES[0])?;
        let read = read.with_column("third", expr("n % 3"));
        let copies = read.write_stream().partition_by(["third"]).checkpoint(checkpoint(TABLES[1])).to_table(TABLES[1])?;
        while numbers.is_active() {
            for table in TABLES {
                session.compact_table(table, 4 << 10)?;
            }
        }
        numbers.await_termination(None)?;
        copies.process_all_available()?;
        copies.stop()?;
        Ok(())
    };
    exit(run());
}

fn start(directory: &Path) -> Child {
    test_alone("tables::run_as_table_child").env(DIRECTORY, directory).spawn().unwrap()
}

/// The numbers of a table as they are now: whole epochs, each once.
fn numbers(directory: &Path, table: &str) -> Vec<i64> {
    let session = session(directory);
    // Not created yet.
    let Ok(frame) = session.table(table) else { return Vec::new() };
    let rows = frame.collect().unwrap();
    let mut numbers: Vec<i64> =
        rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{table}: a row is there twice: {numbers:?}");
    assert_eq!(numbers.len() as i64 % ROWS, 0, "{table}: a part of an epoch is there: {numbers:?}");
    numbers
}

#[test]
fn killed_writers_leave_tables_whole_for_readers_at_every_moment() {
    let seed = seed(20_261_125);
    let mut random = Random::new(seed);
    let mut kills = 0;
    while kills < 12 {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        std::fs::create_dir_all(directory.join("input")).unwrap();
        for file in 0..FILES {
            let lines: String = (0..ROWS).map(|row| format!("{{\"n\": {}}}\n", file * ROWS + row)).collect();
            std::fs::write(directory.join("input").join(format!("{file:03}.json")), lines).unwrap();
        }
        let (done, started) = (AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(SeqCst) {
                    TABLES.iter().for_each(|table| drop(numbers(directory, table)));
                }
            });
            let mut crashes = 0;
            loop {
                let moment = Duration::from_millis(30 + random.below(200 + 60 * crashes));
                match end_of(start(directory), Some(moment)) {
                    End::Crashed => crashes += 1,
                    End::Done => break,
                    End::Failed(error) => {
                        done.store(true, SeqCst);
                        panic!("SEED={seed}: a run after a kill failed: {error}");
                    }
                }
            }
            done.store(true, SeqCst);
            reader.join().unwrap();
            kills += crashes;
        });
        for table in TABLES {
            assert_eq!(numbers(directory, table), (0..FILES * ROWS).collect::<Vec<_>>(), "SEED={seed}: {table}");
        }
        println!("{kills} kills, {:?}", started.elapsed());
    }
}
