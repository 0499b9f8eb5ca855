//! Many epochs: compaction, retention, disk space.

use std::path::Path;

use proptest::prelude::*;

use super::super::*;
use super::support::*;
use crate::types::{Epoch, NodeId};

/// Commits `epochs` more epochs of random changes; waits for compaction after each, so that every merge is adopted.
fn grow(checkpoint: &mut Checkpoint, model: &mut Model, random: &mut Random, epochs: std::ops::Range<u64>, parallelism: usize) {
    for epoch in epochs {
        let rows = random.rows(20, 60);
        change(model, &rows);
        run(checkpoint, epoch, parallelism, &rows).unwrap();
        checkpoint.wait_for_compaction();
    }
}

fn reopened(dir: &Path, options: &CheckpointOptions) -> (Checkpoint, Recovered) {
    Checkpoint::open(dir, &topology(), options).unwrap()
}

#[test]
fn chains_stay_short_and_nothing_is_lost() {
    let _points = no_faults();
    for options in [CheckpointOptions::default(), files_only()] {
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoint, _) = reopened(dir.path(), &options);
        let (mut model, mut random) = (Model::new(), Random(7));
        grow(&mut checkpoint, &mut model, &mut random, 0..120, 2);
        assert!(checkpoint.longest_chain() <= 24, "{}", checkpoint.longest_chain());
        drop(checkpoint);
        let (checkpoint, _) = reopened(dir.path(), &options);
        assert_eq!(restore(&checkpoint.state_reader()).unwrap(), model);
        assert_eq!(std::fs::read_dir(dir.path().join("catalog/blobs")).unwrap().count(), 0);
    }
}

#[test]
fn logs_and_segments_beyond_the_retention_are_gone() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let options = CheckpointOptions { min_epochs_to_retain: 5, inline_limit: 0, ..CheckpointOptions::default() };
    let (mut checkpoint, _) = reopened(dir.path(), &options);
    let (mut model, mut random) = (Model::new(), Random(3));
    grow(&mut checkpoint, &mut model, &mut random, 0..40, 1);
    assert_eq!(checkpoint.logged_epochs(), (35..40, 35..40, 38..40));
    let named = checkpoint.named_files();
    let names = files(&dir.path().join("segments"));
    // What the last compaction wrote is not adopted yet.
    assert!(names.len() <= named + 1, "{} files, {named} named", names.len());
    drop(checkpoint);
    let (checkpoint, recovered) = reopened(dir.path(), &options);
    assert_eq!(recovered.committed, Some(Epoch::new(39)));
    assert_eq!(files(&dir.path().join("segments")).len(), checkpoint.named_files());
    assert_eq!(recovered.journals[&NodeId::new("a")].len(), 26);
}

#[test]
fn files_that_nothing_names_are_swept() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = reopened(dir.path(), &files_only());
    run(&mut checkpoint, 0, 1, &[(1, Some(1))]).unwrap();
    write(&checkpoint.snapshot_writer(), 1, 1, &[(1, Some(2))], false).unwrap();
    std::fs::write(dir.path().join("segments/x.tmp"), "half").unwrap();
    assert_eq!(files(&dir.path().join("segments")).len(), 3);
    drop(checkpoint);
    let (checkpoint, _) = reopened(dir.path(), &files_only());
    assert_eq!(files(&dir.path().join("segments")).len(), 1);
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), Model::from([(1, 1)]));
}

#[test]
fn disk_space_follows_the_live_state_not_the_epochs() {
    let _points = no_faults();
    for options in [CheckpointOptions::default(), files_only()] {
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoint, _) = reopened(dir.path(), &options);
        let mut random = Random(1);
        let mut sizes = Vec::new();
        for epoch in 0..1000 {
            checkpoint.log_offsets(offsets(epoch), vec![]).unwrap();
            finish(&mut checkpoint, epoch, 4, &random.rows(200, 2000)).unwrap();
            if epoch % 250 == 249 {
                sizes.push((disk_bytes(&dir.path().join("catalog")), disk_bytes(&dir.path().join("segments"))));
            }
        }
        println!("catalogue and segments after each 250 epochs: {sizes:?}");
        drop(checkpoint);
        let started = std::time::Instant::now();
        let (_checkpoint, recovered) = reopened(dir.path(), &options);
        println!("opened in {:?}", started.elapsed());
        assert_eq!(recovered.committed, Some(Epoch::new(999)));
        assert!(sizes.iter().all(|(catalogue, segments)| *catalogue < 64 << 20 && *segments < 2 << 20), "{sizes:?}");
        println!("after reopening {}", disk_bytes(&dir.path().join("catalog")));
    }
}

#[test]
fn large_records_lie_in_segments() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = reopened(dir.path(), &CheckpointOptions::default());
    let mut model = Model::new();
    let wide = |epoch: u64| {
        let mut record = offsets(epoch);
        record.settings.insert("long".into(), "x".repeat(20_000));
        record
    };
    for epoch in 0..6 {
        checkpoint.log_offsets(wide(epoch), journal(epoch)).unwrap();
        let rows = Random(epoch).rows(100, 200);
        change(&mut model, &rows);
        // So many tasks that the manifest is large too.
        finish(&mut checkpoint, epoch, 64, &rows).unwrap();
    }
    checkpoint.log_offsets(wide(6), journal(6)).unwrap();
    drop(checkpoint);
    let (checkpoint, recovered) = reopened(dir.path(), &CheckpointOptions::default());
    assert_eq!(recovered.uncommitted, [wide(6)]);
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), model);
    assert_eq!(std::fs::read_dir(dir.path().join("catalog/blobs")).unwrap().count(), 0);
}

/// What may happen between two epochs.
#[derive(Debug, Clone)]
enum Step {
    Epoch(Vec<(i64, Option<i64>)>),
    Compact,
    Restart,
    Rescale(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0_i64..40, prop::option::weighted(0.7, any::<i64>()));
    prop_oneof![
        6 => prop::collection::btree_map(0_i64..40, row.prop_map(|row| row.1), 0..30).prop_map(|rows| Step::Epoch(rows.into_iter().collect())),
        3 => Just(Step::Compact),
        1 => Just(Step::Restart),
        1 => (1_usize..5).prop_map(Step::Rescale),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_restored_state_is_that_of_a_plain_map(steps in prop::collection::vec(step(), 1..60), inline: bool) {
        let dir = tempfile::tempdir().unwrap();
        let options = if inline { CheckpointOptions::default() } else { files_only() };
        let (mut checkpoint, _) = reopened(dir.path(), &options);
        let (mut model, mut epoch, mut parallelism) = (Model::new(), 0, 2);
        for step in steps {
            match step {
                Step::Epoch(rows) => {
                    change(&mut model, &rows);
                    run(&mut checkpoint, epoch, parallelism, &rows).unwrap();
                    epoch += 1;
                }
                Step::Compact => checkpoint.wait_for_compaction(),
                Step::Restart => {
                    drop(checkpoint);
                    checkpoint = reopened(dir.path(), &options).0;
                    prop_assert_eq!(&restore(&checkpoint.state_reader()).unwrap(), &model);
                }
                Step::Rescale(tasks) => {
                    parallelism = tasks;
                    checkpoint.log_offsets(offsets(epoch), journal(epoch)).unwrap();
                    let full = write(&checkpoint.snapshot_writer(), epoch, parallelism, &full_rows(&model), true).unwrap();
                    checkpoint.commit(Epoch::new(epoch), &Watermarks::default(), full).unwrap();
                    epoch += 1;
                }
            }
        }
        drop(checkpoint);
        let (checkpoint, recovered) = reopened(dir.path(), &options);
        prop_assert_eq!(recovered.committed, epoch.checked_sub(1).map(Epoch::new));
        prop_assert_eq!(restore(&checkpoint.state_reader()).unwrap(), model);
    }
}

/// Journals `size` bytes in each epoch and returns the sizes of the catalogue and the segments after each tenth of the epochs.
fn journal_long(dir: &Path, epochs: u64, size: usize) -> Vec<(u64, u64)> {
    let (mut checkpoint, _) = reopened(dir, &CheckpointOptions::default());
    let mut sizes = Vec::new();
    for epoch in 0..epochs {
        checkpoint.log_offsets(offsets(epoch), vec![(NodeId::new("a"), vec![7; size])]).unwrap();
        finish(&mut checkpoint, epoch, 1, &Random(epoch).rows(2, 20)).unwrap();
        if (epoch + 1) % (epochs / 10) == 0 {
            sizes.push((disk_bytes(&dir.join("catalog")), disk_bytes(&dir.join("segments"))));
        }
    }
    println!("catalogue and segments after each {} epochs: {sizes:?}", epochs / 10);
    sizes
}

#[test]
fn the_catalogue_does_not_grow_with_a_journal() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let sizes = journal_long(dir.path(), 3000, 2000);
    assert!(sizes.iter().all(|(catalogue, _)| *catalogue <= 12 << 20), "{sizes:?}");
    // The journal itself, and little on top.
    assert!(sizes.iter().all(|(_, segments)| *segments <= 3000 * 2020), "{sizes:?}");
    let (checkpoint, recovered) = reopened(dir.path(), &CheckpointOptions::default());
    assert_eq!(recovered.journals[&NodeId::new("a")].len(), 3000);
    assert!(checkpoint.named_files() < 64, "{}", checkpoint.named_files());
}

#[test]
#[ignore = "takes minutes: a measurement"]
fn the_catalogue_of_a_long_journal() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    journal_long(dir.path(), 20_000, 200);
    let started = std::time::Instant::now();
    drop(reopened(dir.path(), &CheckpointOptions::default()));
    println!("reopened in {:?}: {} bytes", started.elapsed(), disk_bytes(&dir.path().join("catalog")));
}
