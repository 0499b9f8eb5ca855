//! A directory with input files, and the twin's answer to what must come out.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use tidegate::runtime::CheckpointOptions;

use crate::child::{FAILED, Job, start};

/// No run of a child takes this long: one that does hangs.
const DEADLINE: Duration = Duration::from_secs(100);

/// A repeatable sequence of random numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

/// The seed of a test: `SEED`, if it is set. It is printed, so that a run can be repeated.
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default);
    println!("SEED={seed}");
    seed
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// One epoch's rows: word → running count.
pub(crate) type Rows = BTreeMap<String, i64>;

/// Input, output and checkpoint of one query.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
    expected: BTreeMap<u64, Rows>,
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// With an error, said on its standard error output.
    Failed(String),
    /// By a signal: killed, or aborted by a fail point.
    Crashed,
}

impl Scene {
    /// `files` input files of `lines` lines each.
    pub(crate) fn new(files: usize, lines: usize, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("input");
        std::fs::create_dir(&input).unwrap();
        let (mut random, mut running) = (Random::new(seed), HashMap::<String, i64>::new());
        let mut expected = BTreeMap::new();
        for file in 0..files {
            let mut text = String::new();
            let mut touched = Rows::new();
            for _ in 0..lines {
                for _ in 0..1 + random.below(6) {
                    let word = format!("w{}", random.below(300));
                    let count = running.entry(word.clone()).or_default();
                    *count += 1;
                    touched.insert(word.clone(), *count);
                    text.push_str(&word);
                    text.push(' ');
                }
                text.push('\n');
            }
            // The source reads files in the order of their times, then names; one file is one epoch.
            std::fs::write(input.join(format!("{file:05}.txt")), text).unwrap();
            expected.insert(file as u64, touched);
        }
        Scene { directory, expected }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn job(&self, parallelism: usize) -> Job {
        self.job_at(self.path(), parallelism)
    }

    /// The same with output and checkpoint of a copy.
    pub(crate) fn job_at(&self, copy: &Path, parallelism: usize) -> Job {
        Job {
            input: self.path().join("input"),
            output: copy.join("output"),
            checkpoint: copy.join("checkpoint"),
            parallelism,
            in_flight: 1,
            inline_limit: CheckpointOptions::default().inline_limit,
            compact_every: 0,
            store: None,
            failpoints: String::new(),
        }
    }

    /// Checks the epochs that are committed so far: the first ones, each whole. Says how many there are.
    pub(crate) fn check_first(&self, committed: &BTreeMap<u64, Rows>) -> usize {
        for ((epoch, rows), (expected_epoch, expected)) in committed.iter().zip(&self.expected) {
            assert_eq!((epoch, rows), (expected_epoch, expected), "of {} epochs", committed.len());
        }
        assert!(committed.len() <= self.expected.len());
        committed.len()
    }

    /// How many epochs there will be.
    pub(crate) fn epochs(&self) -> usize {
        self.expected.len()
    }

    /// Checks the output of a run that is done.
    pub(crate) fn check(&self) {
        self.check_at(self.path());
    }

    /// Checks the output in a copy.
    pub(crate) fn check_at(&self, copy: &Path) {
        let committed = committed(&copy.join("output"));
        assert_eq!(committed.len(), self.expected.len(), "epochs in {}", copy.display());
        for (epoch, rows) in &self.expected {
            assert_eq!(committed.get(epoch), Some(rows), "epoch {epoch} in {}", copy.display());
        }
    }
}

/// What any reader of the directory sees. A word twice in an epoch is a failure.
pub(crate) fn committed(output: &Path) -> BTreeMap<u64, Rows> {
    let mut epochs: BTreeMap<u64, Rows> = BTreeMap::new();
    let visible = |path: &PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with(['_', '.']);
    for path in std::fs::read_dir(output).unwrap().map(|entry| entry.unwrap().path()).filter(visible) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("epoch,word,count"), "{}", path.display());
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let (epoch, count) = (fields[0].parse().unwrap(), fields[2].parse().unwrap());
            let twice = epochs.entry(epoch).or_default().insert(fields[1].to_owned(), count);
            assert_eq!(twice, None, "{} twice in epoch {epoch}", fields[1]);
        }
    }
    epochs
}

/// Runs a child to its end, or kills it after some time.
pub(crate) fn run(job: &Job, kill_after: Option<Duration>) -> End {
    end_of(start(job), kill_after)
}

/// Waits for a child's end, or kills it after some time.
pub(crate) fn end_of(mut child: Child, kill_after: Option<Duration>) -> End {
    let mut stderr = child.stderr.take().unwrap();
    // Closed by the child's end, whatever it is: the wait for it is a wait on a channel.
    let (ended, has_ended) = crossbeam_channel::bounded(1);
    let reader = std::thread::Builder::new().spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        ended.send(()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    });
    let started = Instant::now();
    if has_ended.recv_timeout(kill_after.unwrap_or(DEADLINE)).is_err() {
        child.kill().unwrap();
        assert!(kill_after.is_some(), "the child hangs after {:?}", started.elapsed());
    }
    let status = child.wait().unwrap();
    let text = reader.unwrap().join().unwrap();
    match status.code() {
        Some(0) => End::Done,
        Some(FAILED) => End::Failed(text),
        Some(code) => panic!("the child ended with {code}: {text}"),
        None => End::Crashed,
    }
}
