//! `kill -9` while the output is in an object store: readers that know the manifest see whole epochs, each once, at every moment.

use std::path::Path;
use std::time::{Duration, Instant};

use tidegate::connectors::FileSink;

use crate::child::{Job, STORE_URL, register_store};
use crate::compaction::rows_of;
use crate::scene::{End, Random, Scene, run, seed};

/// A job of the scene whose output is in the store.
fn job(scene: &Scene, store: &Path, parallelism: usize) -> Job {
    let own = scene.job_at(store.parent().unwrap(), parallelism);
    Job { output: format!("{STORE_URL}/some/output").into(), store: Some(store.to_path_buf()), ..own }
}

#[test]
fn kills_lose_nothing_and_double_nothing_in_an_object_store() {
    let seed = seed(20_261_130);
    let mut random = Random::new(seed);
    let (mut kills, mut leftovers) = (0, 0);
    while kills < 25 {
        let scene = Scene::new(40, 20, random.next());
        let rehearsal = tempfile::tempdir().unwrap();
        let started = Instant::now();
        assert_eq!(run(&job(&scene, &new_store(rehearsal.path()), 2), None), End::Done);
        let whole = started.elapsed();

        let store = new_store(scene.path());
        let output = job(&scene, &store, 2).output;
        register_store(&store);
        let (mut epochs, mut crashes) = (0, 0_u32);
        loop {
            let mut job = job(&scene, &store, 1 + random.below(3) as usize);
            job.in_flight = 1 + random.below(3) as usize;
            let moment = Duration::from_micros(random.below(whole.as_micros() as u64 / 2));
            match run(&job, Some(moment.max(whole * (crashes / 12) / 4))) {
                End::Crashed => crashes += 1,
                End::Done => break,
                End::Failed(error) => panic!("SEED={seed}: a run after a kill failed: {error}"),
            }
            let now = scene.check_first(&rows_of(&output).unwrap());
            assert!(now >= epochs, "{now} epochs after {epochs} were there");
            epochs = now;
            leftovers += parts(&store).saturating_sub(FileSink::committed_files(&output).unwrap().len());
        }
        kills += crashes;
        assert_eq!(scene.check_first(&rows_of(&output).unwrap()), scene.epochs());
        // What the killed runs have left is gone.
        assert_eq!(parts(&store), FileSink::committed_files(&output).unwrap().len());
    }
    println!("{kills} kills, {leftovers} files of epochs that were not committed then");
}

fn new_store(directory: &Path) -> std::path::PathBuf {
    let store = directory.join("store");
    std::fs::create_dir(&store).unwrap();
    store
}

/// How many data files there are, committed or not.
fn parts(store: &Path) -> usize {
    let output = store.join("some/output");
    if !output.is_dir() {
        return 0;
    }
    let names = std::fs::read_dir(output).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("part-") && !name.to_string_lossy().contains('#')).count()
}
