//! What an epoch of a file source costs that finds a few new files among many that it has read: the listing, and the plan.
//!
//! ```text
//! cargo bench -p tidegate-connectors --bench listing
//! ```
//!
//! A line for each size of the directory: milliseconds for an epoch with 10 new files and for one that finds none, a listing of the same
//! directory by the standard library for comparison, and the bytes that the epoch adds to the checkpoint's journal.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program may")]

use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_connectors::FileSource;
use tidegate_runtime::{
    Epoch, JournalEntry, NodeId, Notifier, Offset, OffsetRange, QueryId, ReadLimit, Source, SourceContext, SourceSupplier,
};

const NEW_FILES: usize = 10;
const EPOCHS: usize = 20;

fn main() {
    println!(
        "| files read before | epoch with {NEW_FILES} new files | epoch without | `read_dir` alone | restart | journal bytes an epoch |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    [1_000, 10_000, 100_000].into_iter().for_each(measure);
}

fn measure(files: usize) {
    let directory = tempfile::tempdir().unwrap();
    create(directory.path(), 0..files);
    let mut journal = Vec::new();
    let mut source = open(directory.path(), None, Vec::new());
    let mut at = None;
    epoch(&mut *source, &mut at, &mut journal);
    let (mut with_news, mut without, mut bytes) = (Vec::new(), Vec::new(), 0);
    for number in 0..EPOCHS {
        let first = files + number * NEW_FILES;
        create(directory.path(), first..first + NEW_FILES);
        let before = journal.len();
        with_news.push(timed(|| assert!(epoch(&mut *source, &mut at, &mut journal))));
        bytes = journal[before].data.len();
        without.push(timed(|| assert!(!epoch(&mut *source, &mut at, &mut journal))));
    }
    let listed = timed(|| assert!(std::fs::read_dir(directory.path()).unwrap().count() > files));
    let restart = timed(|| drop(open(directory.path(), at.clone(), journal.clone())));
    let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let cells = [median(with_news), median(without), listed, restart].map(millis);
    println!("| {files} | {} | {bytes} |", cells.join(" | "));
}

fn create(directory: &Path, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| std::fs::write(directory.join(format!("events-{number:08}.json")), "{\"n\":1}\n").unwrap());
}

fn open(directory: &Path, offset: Option<Offset>, journal: Vec<JournalEntry>) -> Box<dyn Source> {
    let mut source = FileSource::text(directory).supply().unwrap();
    let (node, query) = (NodeId::new("in"), QueryId::random());
    source.open(SourceContext { node, query, parallelism: 1, offset, journal, notifier: Notifier::ignored() }).unwrap();
    source
}

/// One epoch but for its rows; false if there is nothing new.
fn epoch(source: &mut dyn Source, at: &mut Option<Offset>, journal: &mut Vec<JournalEntry>) -> bool {
    let Some(end) = source.latest_offset(at.as_ref(), ReadLimit::Configured).unwrap() else { return false };
    let range = OffsetRange { start: at.take(), end };
    let data = source.journal(&range).unwrap().unwrap();
    journal.push(JournalEntry { epoch: Epoch::new(journal.len() as u64), data });
    let splits = source.splits(&range).unwrap();
    assert!(splits.len() >= NEW_FILES);
    source.commit(&range.end).unwrap();
    *at = Some(range.end);
    true
}

fn timed(action: impl FnOnce()) -> Duration {
    let started = Instant::now();
    action();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
