//! `kill -9` of the query's process at random moments, and of the broker under it. `SEED=n` repeats the moments.

use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::broker::Broker;
use crate::child::{self, FAILED};
use crate::clients::{Admin, produce, values};

const DEADLINE: Duration = Duration::from_secs(300);

/// How a run of the child ended.
#[derive(Debug, PartialEq)]
enum End {
    Done,
    Crashed,
    Failed(String),
}

/// A child that runs.
struct Running {
    child: Child,
    stderr: JoinHandle<String>,
    /// Closed by the child's end, whatever it is: the wait for it is a wait on a channel.
    ended: Receiver<()>,
}

impl Running {
    fn start(broker: &Broker, topics: (&str, &str), checkpoint: &Path, parallelism: usize) -> Self {
        let mut child = child::start(&broker.servers(), topics, checkpoint, parallelism);
        let mut stderr = child.stderr.take().unwrap();
        let (ends, ended) = crossbeam_channel::bounded(1);
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            ends.send(()).unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { child, stderr, ended }
    }

    /// Whether it ends before this time has passed.
    fn ends_within(&self, time: Duration) -> bool {
        !self.ended.recv_timeout(time).is_err_and(|error| error.is_timeout())
    }

    /// Lets it run for a time, and kills it then.
    fn killed_after(mut self, time: Duration) -> End {
        if !self.ends_within(time) {
            self.child.kill().unwrap();
        }
        self.end()
    }

    fn undisturbed(mut self) -> End {
        if !self.ends_within(DEADLINE) {
            self.child.kill().unwrap();
            panic!("the child hangs: {}", self.stderr.join().unwrap());
        }
        self.end()
    }

    fn end(mut self) -> End {
        let status = self.child.wait().unwrap();
        let text = self.stderr.join().unwrap();
        match status.code() {
            Some(0) => End::Done,
            Some(FAILED) => End::Failed(text),
            Some(code) => panic!("the child ended with {code}: {text}"),
            None => End::Crashed,
        }
    }
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn part_of(&mut self, whole: Duration) -> Duration {
        Duration::from_micros(self.below(whole.as_micros().max(1) as u64))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What happened to the child, and to the broker under it.
#[derive(Debug, Default)]
struct Count {
    /// Of the child.
    kills: u64,
    /// Of the broker while the child ran.
    lost_brokers: u64,
    /// Runs that the loss of the broker ended with an error.
    failures: u64,
}

/// A run that loses its broker, which comes back; the child is killed while it is away, or after it, or not at all.
fn run_that_loses_its_broker(broker: &Broker, running: Running, whole: Duration, random: &mut Random, count: &mut Count) -> End {
    if running.ends_within(random.part_of(whole)) {
        return running.end();
    }
    broker.kill();
    count.lost_brokers += 1;
    if random.below(3) == 0 {
        let end = running.killed_after(random.part_of(whole));
        broker.restart();
        return end;
    }
    broker.restart();
    match random.below(2) {
        0 => running.killed_after(random.part_of(whole)),
        _ => running.undisturbed(),
    }
}

pub(crate) fn kills_lose_nothing_and_double_nothing(broker: &Broker) {
    // Short where every change waits for it.
    let default = if std::env::var_os("CI").is_some() { 12 } else { 50 };
    let (seed, wanted) = (number("SEED", 20_261_125), number("KILLS", default));
    println!("SEED={seed}");
    let mut random = Random(seed);
    let admin = Admin::new(broker);
    // Every number twice, far from itself and in any of the partitions.
    let numbers: Vec<String> = (0..4_000).map(|n| format!("{n:05}")).collect();
    let (mut count, mut round) = (Count::default(), 0);
    while count.kills < wanted {
        let (from, rehearsed, to) = (format!("kills-{round}"), format!("kills-rehearsal-{round}"), format!("kills-out-{round}"));
        admin.create(&from, 3);
        admin.create(&rehearsed, 2);
        admin.create(&to, 2);
        for partition in 0..3 {
            produce(broker, &from, partition, numbers.iter().map(String::as_str).skip(partition as usize).step_by(3));
            produce(broker, &from, partition, numbers.iter().map(String::as_str).skip(2 - partition as usize).step_by(3));
        }
        // An undisturbed run tells how long one takes here: kills fall everywhere in what is left of it, its first and last moments too.
        let (rehearsal, checkpoint) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let started = Instant::now();
        assert_eq!(Running::start(broker, (&from, &rehearsed), rehearsal.path(), 2).undisturbed(), End::Done);
        let whole = started.elapsed();
        assert_eq!(values(broker, &rehearsed), numbers);

        let mut crashes = 0;
        loop {
            let running = Running::start(broker, (&from, &to), checkpoint.path(), 1 + random.below(3) as usize);
            let lost_before = count.lost_brokers;
            let end = match random.below(4) {
                0 => run_that_loses_its_broker(broker, running, whole, &mut random, &mut count),
                _ => running.killed_after(random.part_of(whole / 2).max(whole * (crashes / 12) / 4)),
            };
            match end {
                End::Crashed => crashes += 1,
                End::Done => break,
                // A broker that is away for long may fail a query, which says so, and goes on when it is started again.
                End::Failed(error) if count.lost_brokers > lost_before && error.contains(&broker.servers()) => {
                    println!("the query failed without its broker: {error}");
                    count.failures += 1;
                }
                End::Failed(error) => panic!("SEED={seed}: a run failed: {error}"),
            }
        }
        count.kills += u64::from(crashes);
        round += 1;
        assert_eq!(values(broker, &to), numbers, "SEED={seed}");
        println!("{count:?} so far");
    }
}
