//! Damaged checkpoints: a byte flipped, a file cut or removed. A run either recovers exactly or refuses with an error that names the
//! checkpoint; it never hangs, and never goes on with less than it had.

use std::path::{Path, PathBuf};

use crate::scene::{End, Random, Scene, run};

/// How many damages are tried on each of the two checkpoints.
const TRIALS: usize = 120;

#[test]
fn a_damaged_checkpoint_recovers_exactly_or_is_refused() {
    let scene = Scene::new(8, 60, 17);
    // Two moments to be interrupted at: the sink is ahead of the checkpoint, and an epoch is planned.
    for (failpoints, seed) in [("sink.all=5*off->return(exit)", 1), ("run.start=5*off->return(exit)", 2)] {
        let original = tempfile::tempdir().unwrap();
        let mut job = scene.job_at(original.path(), 2);
        job.failpoints = failpoints.to_owned();
        assert_eq!(run(&job, None), End::Crashed);

        let mut random = Random::new(seed);
        let (mut exact, mut refused) = (0, 0);
        for trial in 0..TRIALS {
            let copy = tempfile::tempdir().unwrap();
            copy_tree(original.path(), copy.path());
            let what = damage(&copy.path().join("checkpoint"), &mut random);
            match run(&scene.job_at(copy.path(), 2), None) {
                End::Done => {
                    scene.check_at(copy.path());
                    exact += 1;
                }
                End::Failed(error) => {
                    assert!(
                        error.contains("checkpoint"),
                        "trial {trial}, {what}: the error does not name the checkpoint: {error}"
                    );
                    refused += 1;
                }
                End::Crashed => panic!("trial {trial}, {what}: crashed"),
            }
        }
        println!("{failpoints}: {exact} recovered exactly, {refused} refused");
        assert!(exact > 0 && refused > 0, "{exact} exact, {refused} refused: the damage does not reach what it should");
    }
}

/// Does one random damage to one random file; tells which.
fn damage(checkpoint: &Path, random: &mut Random) -> String {
    let mut files = Vec::new();
    list(checkpoint, &mut files);
    files.retain(|file| std::fs::metadata(file).unwrap().len() > 0);
    files.sort();
    // The catalogue's log is nearly all of the bytes; every other file is to have its share.
    let file = &files[random.below(files.len() as u64) as usize];
    let mut bytes = std::fs::read(file).unwrap();
    // A log is preallocated: damage beyond its last written byte is none.
    let written = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
    let at = random.below(written as u64) as usize;
    let what = match random.below(8) {
        0 => {
            bytes.truncate(at);
            std::fs::write(file, bytes).unwrap();
            format!("cut at {at}")
        }
        1 if files.len() > 2 => {
            std::fs::remove_file(file).unwrap();
            "removed".to_owned()
        }
        bit => {
            bytes[at] ^= 1 << bit;
            std::fs::write(file, bytes).unwrap();
            format!("bit {bit} of byte {at} flipped")
        }
    };
    format!("{}: {what}", file.strip_prefix(checkpoint).unwrap().display())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_tree(&path, &target) } else { std::fs::copy(&path, &target).map(|_bytes| ()).unwrap() }
    }
}
