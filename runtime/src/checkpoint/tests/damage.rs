//! Whatever is changed in the files, an open gives the same as before or refuses.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::*;
use super::support::*;
use crate::error::Error;
use crate::types::Epoch;

/// Ten committed epochs and a logged one, as a crash at this moment would leave them.
fn crashed(options: &CheckpointOptions) -> tempfile::TempDir {
    crashed_after(options, 10, u64::MAX)
}

/// The same after so many committed epochs, with a restart after each `restart` of them.
fn crashed_after(options: &CheckpointOptions, epochs: u64, restart: u64) -> tempfile::TempDir {
    let (origin, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut checkpoint, _) = Checkpoint::open(origin.path(), &topology(), options).unwrap();
    for epoch in 0..epochs {
        run(&mut checkpoint, epoch, 2, &Random(epoch).rows(30, 80)).unwrap();
        checkpoint.wait_for_compaction();
        if epoch % restart == restart - 1 {
            drop(checkpoint);
            checkpoint = Checkpoint::open(origin.path(), &topology(), options).unwrap().0;
        }
    }
    checkpoint.log_offsets(offsets(epochs), journal(epochs)).unwrap();
    copy(origin.path(), crashed.path());
    crashed
}

fn quick(options: &CheckpointOptions) -> CheckpointOptions {
    CheckpointOptions { open_deadline: Duration::from_secs(5), ..options.clone() }
}

fn opened(dir: &Path, options: &CheckpointOptions) -> crate::Result<(Recovered, Model)> {
    let (checkpoint, recovered) = Checkpoint::open(dir, &topology(), &quick(options))?;
    Ok((recovered, restore(&checkpoint.state_reader())?))
}

/// Changes a file in one of the ways in which disks and people do.
fn damage(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len().max(1) as u64;
    // Most of the database's file is empty: aim at what is not.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).max(1) as u64;
    let at = random.below(used) as usize;
    let what = match random.below(10) {
        0 => {
            fs::remove_file(path).unwrap();
            return "removed".to_owned();
        }
        1 => bytes.drain(random.below(length) as usize..).map(|_| ()).count().to_string() + " bytes cut off",
        2 => {
            let end = (at + 1 + random.below(4096) as usize).min(bytes.len());
            bytes[at.min(end)..end].fill(0);
            format!("zeroed {at}..{end}")
        }
        _ if bytes.is_empty() => "nothing".to_owned(),
        _ => {
            bytes[at] ^= 1 << random.below(8);
            format!("bit flipped in byte {at}")
        }
    };
    OpenOptions::new().write(true).truncate(true).open(path).and_then(|_| fs::write(path, bytes)).unwrap();
    what
}

fn victims(dir: &Path, random: &mut Random) -> PathBuf {
    let files = files(dir);
    let database = dir.join("catalog/db");
    // Half of the damage goes to the one file that holds most.
    if random.below(2) == 0 { database } else { files[random.below(files.len() as u64) as usize].clone() }
}

fn damage_test(origin: &tempfile::TempDir, options: &CheckpointOptions, rounds: u64, seed: u64) {
    let expected = {
        let dir = tempfile::tempdir().unwrap();
        copy(origin.path(), dir.path());
        opened(dir.path(), options).unwrap()
    };
    let mut random = Random(seed);
    let (mut same, mut refused) = (0, 0);
    for round in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        copy(origin.path(), dir.path());
        let victim = victims(dir.path(), &mut random);
        let what = damage(&victim, &mut random);
        let name = victim.strip_prefix(dir.path()).unwrap().display().to_string();
        match opened(dir.path(), options) {
            Ok(found) => {
                assert!(found == expected, "round {round}: {name}, {what}: opened with other content");
                same += 1;
            }
            Err(error @ (Error::CheckpointDamaged { .. } | Error::CheckpointVersion { .. } | Error::Io { .. })) => {
                // It stays refused: the first attempt must not have made the damage look like an older checkpoint.
                let again = opened(dir.path(), options);
                assert!(again.is_err(), "round {round}: {name}, {what}: first {error}, then opened");
                refused += 1;
            }
            Err(other) => panic!("round {round}: {name}, {what}: {other}"),
        }
    }
    println!("{rounds} damages: {same} without effect, {refused} refused");
    assert!(refused > 0 && same > 0, "{same} without effect, {refused} refused");
}

#[test]
fn damage_is_without_effect_or_refused_when_all_is_in_files() {
    let _points = no_faults();
    damage_test(&crashed(&files_only()), &files_only(), 250, 1);
}

#[test]
fn damage_is_without_effect_or_refused_when_most_is_in_the_catalogue() {
    let _points = no_faults();
    let options = CheckpointOptions::default();
    damage_test(&crashed(&options), &options, 150, 2);
}

#[test]
fn damage_is_without_effect_or_refused_after_many_epochs_and_restarts() {
    let _points = no_faults();
    let options = CheckpointOptions { min_epochs_to_retain: 10, ..CheckpointOptions::default() };
    damage_test(&crashed_after(&options, 60, 7), &options, 250, 3);
}

#[test]
fn every_lost_or_changed_segment_is_named() {
    let _points = no_faults();
    let origin = crashed(&files_only());
    for victim in files(&origin.path().join("segments")) {
        let name = victim.file_name().unwrap().to_string_lossy().into_owned();
        let dir = tempfile::tempdir().unwrap();
        copy(origin.path(), dir.path());
        fs::remove_file(dir.path().join("segments").join(&name)).unwrap();
        match opened(dir.path(), &files_only()) {
            // Only the older of the two states names it.
            Ok((recovered, _)) => assert_eq!(recovered.committed, Some(Epoch::new(9))),
            Err(error) => assert!(error.to_string().contains(&name), "{error}"),
        }
    }
}

#[test]
fn a_catalogue_that_lost_its_end_is_refused() {
    let _points = no_faults();
    let (origin, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut checkpoint, _) = open(origin.path()).unwrap();
    run(&mut checkpoint, 0, 1, &[(1, Some(1))]).unwrap();
    copy(&origin.path().join("catalog"), &older.path().join("catalog"));
    checkpoint.log_offsets(offsets(1), vec![]).unwrap();
    drop(checkpoint);
    copy(&older.path().join("catalog"), &origin.path().join("catalog"));
    let refused = open(origin.path()).unwrap_err().to_string();
    assert!(refused.contains("HEAD says that epoch 1 was planned, the catalogue ends at epoch 0"), "{refused}");
}

#[test]
fn a_missing_catalogue_is_refused_and_a_missing_head_written_anew() {
    let _points = no_faults();
    let origin = crashed(&files_only());
    fs::remove_file(origin.path().join("HEAD")).unwrap();
    let without_head = opened(origin.path(), &files_only()).unwrap().0;
    assert_eq!(without_head.committed, Some(Epoch::new(9)));
    assert_eq!(opened(origin.path(), &files_only()).unwrap().0, without_head);
    fs::remove_dir_all(origin.path().join("catalog")).unwrap();
    assert!(matches!(opened(origin.path(), &files_only()), Err(Error::CheckpointDamaged { .. })));
    fs::remove_file(origin.path().join("HEAD")).unwrap();
    assert!(matches!(opened(origin.path(), &files_only()), Err(Error::CheckpointDamaged { .. })));
}

#[test]
fn head_of_another_query_is_refused() {
    let _points = no_faults();
    let (one, other) = (crashed(&files_only()), crashed(&files_only()));
    fs::copy(other.path().join("HEAD"), one.path().join("HEAD")).unwrap();
    assert!(opened(one.path(), &files_only()).unwrap_err().to_string().contains("HEAD is of query"));
}

#[test]
fn damaged_state_falls_back_one_epoch_when_that_is_allowed() {
    let _points = no_faults();
    let allowed = CheckpointOptions { allow_fallback: true, ..files_only() };
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = Checkpoint::open(dir.path(), &topology(), &files_only()).unwrap();
    for epoch in 0..3 {
        run(&mut checkpoint, epoch, 1, &[(epoch as i64, Some(1))]).unwrap();
    }
    checkpoint.log_offsets(offsets(3), journal(3)).unwrap();
    drop(checkpoint);
    let newest =
        files(&dir.path().join("segments")).into_iter().find(|path| path.to_string_lossy().contains("count-0-2-")).unwrap();
    fs::write(newest, "lost").unwrap();
    assert!(matches!(opened(dir.path(), &files_only()), Err(Error::CheckpointDamaged { .. })));
    for _ in 0..2 {
        let (recovered, state) = opened(dir.path(), &allowed).unwrap();
        assert_eq!((recovered.committed, recovered.uncommitted), (Some(Epoch::new(1)), vec![offsets(2), offsets(3)]));
        assert_eq!(state, Model::from([(0, 1), (1, 1)]));
    }
    let (mut checkpoint, _) = Checkpoint::open(dir.path(), &topology(), &files_only()).unwrap();
    finish(&mut checkpoint, 2, 1, &[(2, Some(5))]).unwrap();
    finish(&mut checkpoint, 3, 1, &[]).unwrap();
    drop(checkpoint);
    let (recovered, state) = opened(dir.path(), &files_only()).unwrap();
    assert_eq!((recovered.committed, state), (Some(Epoch::new(3)), Model::from([(0, 1), (1, 1), (2, 5)])));
}
