//! Open, run, commit, close, open again.

use std::time::Duration;

use super::super::database::{Change, Database};
use super::super::key::Key;
use super::super::*;
use super::support::*;
use crate::error::Error;
use crate::source::Offset;
use crate::types::{Epoch, NodeId};

#[test]
fn a_new_checkpoint_is_empty_and_keeps_its_query_id() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (checkpoint, recovered) = open(dir.path()).unwrap();
    let query = checkpoint.query_id();
    assert_eq!(recovered.query, query);
    assert_eq!((recovered.committed, recovered.watermark, recovered.last_trigger_time_ms), (None, None, None));
    assert_eq!(recovered.watermarks, Watermarks::default());
    assert!(recovered.uncommitted.is_empty() && recovered.last_offsets.is_empty() && recovered.journals.is_empty());
    assert_eq!(checkpoint.state_reader().parallelism(&node()), None);
    drop(checkpoint);
    assert_eq!(open(dir.path()).unwrap().1, recovered);
}

#[test]
fn committed_epochs_come_back_with_their_state() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    run(&mut checkpoint, 0, 2, &[(1, Some(10)), (2, Some(20))]).unwrap();
    run(&mut checkpoint, 1, 2, &[(1, Some(11)), (2, None), (3, Some(30))]).unwrap();
    drop(checkpoint);
    let (checkpoint, recovered) = open(dir.path()).unwrap();
    assert_eq!(recovered.committed, Some(Epoch::new(1)));
    assert_eq!((recovered.watermark, recovered.watermarks), (offsets(1).watermark, watermarks(1)));
    assert_eq!(recovered.uncommitted, []);
    assert_eq!(recovered.last_trigger_time_ms, Some(1_001));
    assert_eq!(recovered.last_offsets[&NodeId::new("a")], Offset::from_json("20"));
    assert_eq!(recovered.committed_offsets, recovered.last_offsets);
    assert_eq!(recovered.journals[&NodeId::new("a")].len(), 1);
    assert_eq!(checkpoint.state_reader().parallelism(&node()), Some(2));
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), Model::from([(1, 11), (3, 30)]));
}

#[test]
fn logged_epochs_come_back_to_be_run_again() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    run(&mut checkpoint, 0, 1, &[(1, Some(10))]).unwrap();
    for epoch in 1..4 {
        checkpoint.log_offsets(offsets(epoch), journal(epoch)).unwrap();
    }
    drop(checkpoint);
    let (mut checkpoint, recovered) = open(dir.path()).unwrap();
    assert_eq!(recovered.uncommitted, [offsets(1), offsets(2), offsets(3)]);
    assert_eq!(recovered.last_offsets[&NodeId::new("b")], Offset::from_json("40"));
    assert_eq!(recovered.committed_offsets[&NodeId::new("b")], Offset::from_json("10"));
    assert_eq!(recovered.journals[&NodeId::new("a")].iter().map(|entry| entry.epoch.number()).collect::<Vec<_>>(), [1, 2]);
    finish(&mut checkpoint, 1, 1, &[(2, Some(20))]).unwrap();
    checkpoint.log_offsets(offsets(4), journal(4)).unwrap();
    for epoch in 2..5 {
        finish(&mut checkpoint, epoch, 1, &[(epoch as i64 + 1, Some(0))]).unwrap();
    }
    drop(checkpoint);
    let (checkpoint, recovered) = open(dir.path()).unwrap();
    assert_eq!((recovered.committed, recovered.uncommitted), (Some(Epoch::new(4)), vec![]));
    assert_eq!(restore(&checkpoint.state_reader()).unwrap().len(), 5);
}

#[test]
fn an_epoch_is_logged_once() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    for epoch in 0..3 {
        checkpoint.log_offsets(offsets(epoch), journal(epoch)).unwrap();
    }
    checkpoint.log_offsets(offsets(1), journal(1)).unwrap();
    let mut other = offsets(1);
    other.trigger_time_ms += 1;
    assert!(checkpoint.log_offsets(other, journal(1)).unwrap_err().to_string().contains("already logged"));
    assert!(checkpoint.log_offsets(offsets(1), vec![]).unwrap_err().to_string().contains("already logged"));
    assert!(matches!(checkpoint.log_offsets(offsets(4), vec![]), Err(Error::Protocol(_))));
    let mut fewer = offsets(3);
    fewer.sources.pop();
    assert!(matches!(checkpoint.log_offsets(fewer, vec![]), Err(Error::Protocol(_))));
    let stranger = vec![(NodeId::new("c"), vec![])];
    assert!(matches!(checkpoint.log_offsets(offsets(3), stranger), Err(Error::Protocol(_))));
    checkpoint.log_offsets(offsets(3), vec![]).unwrap();
}

#[test]
fn epochs_are_committed_in_order_and_after_they_were_logged() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    assert!(matches!(checkpoint.commit(Epoch::new(0), &Watermarks::default(), vec![]), Err(Error::Protocol(_))));
    checkpoint.log_offsets(offsets(0), vec![]).unwrap();
    assert!(matches!(checkpoint.commit(Epoch::new(1), &Watermarks::default(), vec![]), Err(Error::Protocol(_))));
    checkpoint.commit(Epoch::new(0), &Watermarks::default(), vec![]).unwrap();
    assert!(matches!(checkpoint.commit(Epoch::new(0), &Watermarks::default(), vec![]), Err(Error::Protocol(_))));
}

#[test]
fn snapshots_of_several_epochs_may_be_written_before_the_first_is_committed() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    let writer = checkpoint.snapshot_writer();
    let mut waiting = Vec::new();
    for epoch in 0..5 {
        checkpoint.log_offsets(offsets(epoch), journal(epoch)).unwrap();
        waiting.push(write(&writer, epoch, 2, &[(1, Some(epoch as i64)), (epoch as i64, Some(7))], false).unwrap());
    }
    for (epoch, runs) in waiting.into_iter().enumerate() {
        checkpoint.commit(Epoch::new(epoch as u64), &Watermarks::default(), runs).unwrap();
        checkpoint.clean().unwrap();
    }
    drop(checkpoint);
    let (checkpoint, recovered) = open(dir.path()).unwrap();
    assert_eq!((recovered.committed, recovered.watermarks), (Some(Epoch::new(4)), Watermarks::default()));
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), Model::from([(0, 7), (1, 4), (2, 7), (3, 7), (4, 7)]));
}

#[test]
fn nothing_changed_is_no_run_but_a_full_one() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (checkpoint, _) = open(dir.path()).unwrap();
    let writer = checkpoint.snapshot_writer();
    assert!(write(&writer, 0, 3, &[], false).unwrap().is_empty());
    let full = write(&writer, 0, 3, &[], true).unwrap();
    assert_eq!(full.iter().map(NewRun::rows).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(full.iter().all(|run| run.bytes() > 0));
}

#[test]
fn another_parallelism_replaces_all_chains() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    let mut model = Model::new();
    for epoch in 0..5 {
        let rows = Random(epoch).rows(50, 100);
        change(&mut model, &rows);
        run(&mut checkpoint, epoch, 4, &rows).unwrap();
    }
    drop(checkpoint);
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    assert_eq!(checkpoint.state_reader().parallelism(&node()), Some(4));
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), model);
    checkpoint.log_offsets(offsets(5), vec![]).unwrap();
    let deltas = write(&checkpoint.snapshot_writer(), 5, 3, &full_rows(&model), false).unwrap();
    assert!(matches!(checkpoint.commit(Epoch::new(5), &Watermarks::default(), deltas), Err(Error::Protocol(_))));
    let full = write(&checkpoint.snapshot_writer(), 5, 3, &full_rows(&model), true).unwrap();
    checkpoint.commit(Epoch::new(5), &Watermarks::default(), full).unwrap();
    drop(checkpoint);
    let (checkpoint, _) = open(dir.path()).unwrap();
    assert_eq!(checkpoint.state_reader().parallelism(&node()), Some(3));
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), model);
}

#[test]
fn a_second_open_is_refused_and_does_not_touch_the_first() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    let refused = open(dir.path()).unwrap_err();
    let Error::CheckpointLocked { owner, .. } = &refused else { panic!("{refused}") };
    assert!(owner.contains(&checkpoint.query_id().to_string()), "{owner}");
    run(&mut checkpoint, 0, 1, &[(1, Some(1))]).unwrap();
    drop(checkpoint);
    assert_eq!(open(dir.path()).unwrap().1.committed, Some(Epoch::new(0)));
}

#[test]
fn another_topology_is_refused_with_what_differs() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let mut other = topology();
    other.sources[0].0 = "c".into();
    other.stateful[0].inputs[0] = "hash(v)".into();
    let refused = Checkpoint::open(dir.path(), &other, &CheckpointOptions::default()).unwrap_err().to_string();
    for line in ["source c is new", "source a is missing", "takes its inputs by [hash(v)], before by [hash(k)]"] {
        assert!(refused.contains(line), "{refused}");
    }
    open(dir.path()).unwrap();
}

#[test]
fn a_checkpoint_of_a_newer_release_is_refused() {
    let _points = no_faults();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    run(&mut checkpoint, 0, 1, &[(1, Some(1))]).unwrap();
    drop(checkpoint);
    let catalog = dir.path().join("catalog");
    let (mut database, records) = Database::open(&catalog, Duration::from_secs(60)).unwrap();
    let mut meta = records.into_iter().find(|(key, _)| key == b"meta").unwrap().1;
    meta[4] += 1;
    database.apply(vec![Change::Put(Key::Meta, meta)], "test").unwrap();
    drop(database);
    let refused = open(dir.path()).unwrap_err();
    assert!(matches!(refused, Error::CheckpointVersion { found: 2, supported: 1, .. }), "{refused}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_look_inside() {
    let _points = no_faults();
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("deep/checkpoint");
    let (_checkpoint, _) = open(&dir).unwrap();
    for dir in [dir.clone(), dir.join("catalog"), dir.join("segments")] {
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
    }
}
