//! `kill -9` of the query's process at random moments, and of the broker in between. `SEED=n` repeats the moments.

use std::io::Read;
use std::time::{Duration, Instant};

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

fn run(
    broker: &Broker,
    topics: (&str, &str),
    checkpoint: &std::path::Path,
    parallelism: usize,
    kill_after: Option<Duration>,
) -> End {
    let mut child = child::start(&broker.servers(), topics, checkpoint, parallelism);
    let mut stderr = child.stderr.take().unwrap();
    // Closed by the child's end, whatever it is: the wait for it is a wait on a channel.
    let (ended, has_ended) = crossbeam_channel::bounded(1);
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        ended.send(()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    });
    if has_ended.recv_timeout(kill_after.unwrap_or(DEADLINE)).is_err() {
        child.kill().unwrap();
        assert!(kill_after.is_some(), "the child hangs");
    }
    let status = child.wait().unwrap();
    let text = reader.join().unwrap();
    match status.code() {
        Some(0) => End::Done,
        Some(FAILED) => End::Failed(text),
        Some(code) => panic!("the child ended with {code}: {text}"),
        None => End::Crashed,
    }
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
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

pub(crate) fn kills_lose_nothing_and_double_nothing(broker: &Broker) {
    let (seed, wanted) = (number("SEED", 20_261_125), number("KILLS", 50));
    println!("SEED={seed}");
    let mut random = Random(seed);
    let admin = Admin::new(broker);
    // Every number twice, far from itself and in any of the partitions.
    let numbers: Vec<String> = (0..4_000).map(|n| format!("{n:05}")).collect();
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
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
        assert_eq!(run(broker, (&from, &rehearsed), rehearsal.path(), 2, None), End::Done);
        let whole = started.elapsed();
        assert_eq!(values(broker, &rehearsed), numbers);

        let mut crashes = 0;
        loop {
            let parallelism = 1 + random.below(3) as usize;
            let moment = Duration::from_micros(random.below(whole.as_micros() as u64 / 2)).max(whole * (crashes / 12) / 4);
            match run(broker, (&from, &to), checkpoint.path(), parallelism, Some(moment)) {
                End::Crashed => crashes += 1,
                End::Done => break,
                End::Failed(error) => panic!("SEED={seed}: a run after a kill failed: {error}"),
            }
            if (kills + u64::from(crashes)) % 15 == 10 {
                broker.kill();
                broker.restart();
            }
        }
        kills += u64::from(crashes);
        round += 1;
        assert_eq!(values(broker, &to), numbers, "SEED={seed}");
        println!("{kills} kills so far");
    }
}
