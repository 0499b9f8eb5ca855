//! `kill -9` while small files of the output are merged: at every moment each reader sees each row exactly once, or not yet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tidegate::Session;

use crate::scene::{End, Random, Rows, Scene, committed, run, seed};

/// Looks at the output again and again, until it is told to stop. Says how often it could.
fn watch(scene: &Scene, output: &Path, stop: &AtomicBool) -> usize {
    let (mut looks, mut epochs, mut shown) = (0, 0, BTreeMap::new());
    while !stop.load(Ordering::Relaxed) {
        looks += usize::from(look(scene, output, &mut epochs, &mut shown));
        std::thread::yield_now();
    }
    looks
}

/// One look; false if the output was not there yet, or its small files went away on the way to them.
fn look(scene: &Scene, output: &Path, epochs: &mut usize, shown: &mut BTreeMap<u64, Rows>) -> bool {
    let Some(rows) = with_manifest(output) else { return false };
    let now = scene.check_first(&rows);
    assert!(now >= *epochs, "{now} epochs after {epochs} were there");
    *epochs = now;
    // Who only lists sees what was merged: never a row twice, never one less than before.
    let plain = committed(output);
    for (epoch, rows) in shown.iter() {
        let there = plain.get(epoch);
        assert!(
            rows.iter().all(|(word, count)| there.and_then(|there| there.get(word)) == Some(count)),
            "epoch {epoch} lost rows"
        );
    }
    *shown = plain;
    true
}

/// The rows as Tidegate's batch reader has them; `None` if there is no output yet, or files went on the way to them.
fn with_manifest(output: &Path) -> Option<BTreeMap<u64, Rows>> {
    if !output.join("_tidegate_manifest").exists() {
        return None;
    }
    rows_of(output)
}

/// The same of an output that is there, also in an object store.
pub(crate) fn rows_of(output: &Path) -> Option<BTreeMap<u64, Rows>> {
    let session = Session::builder().build().unwrap();
    let reader = session.read().schema("epoch BIGINT, word STRING, count BIGINT").option("header", true);
    let batches = match reader.csv(output.to_str().unwrap()).and_then(|frame| frame.collect()) {
        Ok(batches) => batches,
        // Two merges passed since the listing: whoever reads so slowly is told, and reads again.
        Err(error) if error.to_string().contains("is gone") => return None,
        Err(error) if error.condition().as_deref() == Some("PATH_NOT_FOUND") => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let mut epochs: BTreeMap<u64, Rows> = BTreeMap::new();
    for batch in batches {
        let numbers = |column: usize| batch.column(column).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (epoch, word) = (numbers(0).value(row) as u64, batch.column(1).as_string::<i32>().value(row).to_owned());
            let twice = epochs.entry(epoch).or_default().insert(word, numbers(2).value(row));
            assert_eq!(twice, None, "a word twice in epoch {epoch}");
        }
    }
    Some(epochs)
}

#[test]
fn readers_see_each_row_once_while_files_are_merged_and_the_writer_is_killed() {
    let seed = seed(20_261_129);
    let mut random = Random::new(seed);
    let (mut kills, mut looks) = (0, 0);
    while kills < 25 {
        let scene = Scene::new(60, 20, random.next());
        let (killed, looked) = kill_until_done(&scene, &mut random);
        (kills, looks) = (kills + killed, looks + looked);
    }
    println!("{kills} kills, {looks} looks");
    assert!(looks > 0);
}

/// Kills the writer of a scene at random moments until it is done. Says how often, and how often a reader looked meanwhile.
fn kill_until_done(scene: &Scene, random: &mut Random) -> (u32, usize) {
    let output = scene.job(2).output;
    let started = Instant::now();
    let rehearsal = tempfile::tempdir().unwrap();
    assert_eq!(run(&scene.job_at(rehearsal.path(), 2), None), End::Done);
    let whole = started.elapsed();

    let stop = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        let reader = scope.spawn(|| watch(scene, &output, &stop));
        // Also when a check below fails: the reader would go on for ever.
        let stop = Stop(&stop);
        let mut kills = 0_u32;
        loop {
            let mut job = scene.job(1 + random.below(3) as usize);
            job.in_flight = 1 + random.below(3) as usize;
            job.compact_every = 2 + random.below(5) as usize;
            let moment = Duration::from_micros(random.below(whole.as_micros() as u64 / 2));
            match run(&job, Some(moment.max(whole * (kills / 12) / 4))) {
                End::Crashed => kills += 1,
                End::Done => break,
                End::Failed(error) => panic!("a run after a kill failed: {error}"),
            }
            // A crash leaves what it leaves: nobody sees a part of a merge.
            look(scene, &output, &mut 0, &mut BTreeMap::new());
        }
        drop(stop);
        (kills, reader.join().unwrap())
    });
    assert_eq!(scene.check_first(&with_manifest(&output).unwrap()), scene.epochs());
    assert!(committed(&output).len() > scene.epochs() / 2, "most epochs were merged");
    result
}

/// Tells the reader to stop when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
