//! A failure at every fail point leaves a checkpoint that the next open understands.

use std::path::Path;
use std::sync::RwLockWriteGuard;

use super::super::*;
use super::support::*;
use crate::error::{Error, Result};
use crate::types::{Epoch, NodeId};

/// Holds the fail points alone, and gives them back switched off.
struct Points(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'static, ()>);

impl Points {
    fn take() -> Self {
        Points(faults())
    }
}

impl Drop for Points {
    fn drop(&mut self) {
        fail::list().into_iter().for_each(|(name, _)| fail::remove(name));
    }
}

const EVERYWHERE: [&str; 16] = [
    "offsets.before",
    "offsets.torn",
    "offsets.flush",
    "offsets.after",
    "state.segment",
    "state.torn",
    "state.sync",
    "commit.before",
    "commit.flush",
    "commit.after",
    "head.torn",
    "clean.before",
    "clean.mid",
    "base.switch",
    "recover.flush",
    "recover.mid",
];

/// How far a workload has come.
#[derive(Debug, Default, Clone)]
struct Progress {
    /// The state after each epoch that was begun to be committed.
    states: Vec<Model>,
    /// How many epochs `commit` has returned for.
    committed: u64,
    /// How many epochs `log_offsets` has returned for.
    logged: u64,
}

/// Opens the checkpoint, checks what it gives, and goes on to epoch `until`, one epoch logged ahead.
fn work(dir: &Path, options: &CheckpointOptions, progress: &mut Progress, until: u64) -> Result<()> {
    let (mut checkpoint, recovered) = Checkpoint::open(dir, &topology(), options)?;
    let result = go_on(&mut checkpoint, &recovered, progress, until);
    if result.is_err() {
        check_crash(dir, options, progress);
    }
    result
}

/// What a crash at this moment leaves must be as good as what an orderly end leaves.
fn check_crash(dir: &Path, options: &CheckpointOptions, progress: &Progress) {
    let points: Vec<(String, String)> = fail::list();
    points.iter().for_each(|(name, _)| fail::remove(name));
    let crashed = tempfile::tempdir().unwrap();
    copy(dir, crashed.path());
    let (checkpoint, recovered) = Checkpoint::open(crashed.path(), &topology(), options).unwrap();
    check(&checkpoint, &recovered, progress);
}

fn check(checkpoint: &Checkpoint, recovered: &Recovered, progress: &Progress) -> u64 {
    let committed = recovered.committed.map_or(0, |epoch| epoch.number() + 1);
    assert!(committed == progress.committed || committed == progress.committed + 1, "{committed} committed, {progress:?}");
    let logged = committed + recovered.uncommitted.len() as u64;
    assert!(logged == progress.logged || logged == progress.logged + 1, "{logged} logged, {progress:?}");
    assert_eq!(recovered.uncommitted, (committed..logged).map(offsets).collect::<Vec<_>>());
    let expected = committed.checked_sub(1).map(|last| progress.states[last as usize].clone()).unwrap_or_default();
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), expected);
    logged
}

fn go_on(checkpoint: &mut Checkpoint, recovered: &Recovered, progress: &mut Progress, until: u64) -> Result<()> {
    progress.logged = check(checkpoint, recovered, progress);
    progress.committed = recovered.committed.map_or(0, |epoch| epoch.number() + 1);
    for epoch in progress.committed..until {
        for ahead in progress.logged..epoch + 2 {
            checkpoint.log_offsets(offsets(ahead), journal(ahead))?;
            progress.logged = ahead + 1;
        }
        let rows = Random(epoch).rows(30, 60);
        let mut state = epoch.checked_sub(1).map(|last| progress.states[last as usize].clone()).unwrap_or_default();
        change(&mut state, &rows);
        progress.states.truncate(epoch as usize);
        progress.states.push(state);
        finish(checkpoint, epoch, 2, &rows)?;
        progress.committed = epoch + 1;
        checkpoint.wait_for_compaction();
    }
    Ok(())
}

/// Lets each fail point fire at its first, or a later, hit.
fn fail_everywhere(action: &str, options: &CheckpointOptions, hits: &[u32]) {
    let _points = Points::take();
    for point in EVERYWHERE {
        for hits in hits {
            let dir = tempfile::tempdir().unwrap();
            let mut progress = Progress::default();
            fail::cfg(point, &format!("{hits}*off->{action}")).unwrap();
            let mut rounds = 0;
            while let Err(error) = work(dir.path(), options, &mut progress, 8) {
                assert!(!matches!(error, Error::CheckpointDamaged { .. } | Error::Protocol(_)), "{point}: {error}");
                fail::remove(point);
                rounds += 1;
                assert!(rounds < 3, "{point}: {error}");
            }
            fail::remove(point);
            work(dir.path(), options, &mut progress, 12).unwrap();
            assert_eq!(progress.committed, 12);
        }
    }
}

#[test]
fn an_error_anywhere_loses_nothing() {
    fail_everywhere("return(error)", &files_only(), &[0, 5]);
    fail_everywhere("return(error)", &CheckpointOptions::default(), &[1]);
}

#[test]
fn a_full_disk_leaves_the_checkpoint_usable() {
    fail_everywhere("return(enospc)", &files_only(), &[2]);
}

#[test]
fn a_full_disk_gets_its_space_back_at_once_and_is_reported_as_that() {
    let _points = Points::take();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = Checkpoint::open(dir.path(), &topology(), &files_only()).unwrap();
    checkpoint.log_offsets(offsets(0), vec![]).unwrap();
    for point in ["state.segment", "state.torn", "state.sync"] {
        fail::cfg(point, "return(enospc)").unwrap();
        let error = write(&checkpoint.snapshot_writer(), 0, 1, &Random(1).rows(50_000, 1 << 30), false).unwrap_err();
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull), "{error}");
        assert!(files(&dir.path().join("segments")).is_empty());
        fail::remove(point);
    }
    finish(&mut checkpoint, 0, 1, &[(1, Some(1))]).unwrap();
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    let _points = Points::take();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path()).unwrap();
    run(&mut checkpoint, 0, 1, &[(1, Some(1))]).unwrap();
    fail::cfg("offsets.flush", "return(eio)").unwrap();
    assert!(matches!(checkpoint.log_offsets(offsets(1), vec![]), Err(Error::Io { .. })));
    fail::remove("offsets.flush");
    for _ in 0..2 {
        let refused = checkpoint.log_offsets(offsets(1), vec![]).unwrap_err().to_string();
        assert!(refused.contains("takes no more writes"), "{refused}");
    }
    assert!(
        checkpoint
            .commit(Epoch::new(1), &Watermarks::default(), vec![])
            .unwrap_err()
            .to_string()
            .contains("takes no more writes")
    );
    drop(checkpoint);
    let (mut checkpoint, recovered) = open(dir.path()).unwrap();
    assert_eq!(recovered.committed, Some(Epoch::new(0)));
    // Whether it was logged is only known now.
    checkpoint.log_offsets(offsets(1), vec![]).unwrap();
    finish(&mut checkpoint, 1, 1, &[]).unwrap();
}

#[test]
fn a_failed_merge_fails_the_next_commit_and_loses_nothing() {
    let _points = Points::take();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = Checkpoint::open(dir.path(), &topology(), &files_only()).unwrap();
    fail::cfg("base.switch", "return(enospc)").unwrap();
    let mut model = Model::new();
    let mut failed = None;
    for epoch in 0..20 {
        checkpoint.log_offsets(offsets(epoch), vec![]).unwrap();
        let rows = Random(epoch).rows(10, 20);
        if let Err(error) = finish(&mut checkpoint, epoch, 1, &rows) {
            failed = Some((epoch, error));
            break;
        }
        change(&mut model, &rows);
        // The failure must come out of the commit, not of the wait.
        checkpoint.wait_for_compaction();
    }
    let (epoch, error) = failed.unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    fail::remove("base.switch");
    drop(checkpoint);
    let (checkpoint, recovered) = open(dir.path()).unwrap();
    assert_eq!(recovered.committed, Some(Epoch::new(epoch - 1)));
    assert_eq!(restore(&checkpoint.state_reader()).unwrap(), model);
}

/// Journals in each epoch, for one source what fits the catalogue and for the other what does not. When something fails, `crashed`
/// gets what a crash at that moment leaves.
fn journal_much(dir: &Path, epochs: u64, crashed: &Path) -> Result<()> {
    let (mut checkpoint, recovered) = open(dir)?;
    let result = journal_on(&mut checkpoint, &recovered, dir, epochs);
    if result.is_err() {
        copy(dir, crashed);
    }
    result
}

fn journal_on(checkpoint: &mut Checkpoint, recovered: &Recovered, dir: &Path, epochs: u64) -> Result<()> {
    let logged = check_much(recovered);
    assert_eq!(files(&dir.join("segments")).len(), checkpoint.named_files());
    let committed = recovered.committed.map_or(0, |epoch| epoch.number() + 1);
    for epoch in committed..epochs {
        if epoch >= logged {
            checkpoint.log_offsets(offsets(epoch), much(epoch))?;
        }
        finish(checkpoint, epoch, 1, &[])?;
    }
    Ok(())
}

fn much(epoch: u64) -> Vec<(NodeId, Vec<u8>)> {
    vec![(NodeId::new("a"), epoch.to_le_bytes().to_vec()), (NodeId::new("b"), vec![epoch as u8; 9_000])]
}

/// The journals must be whole, in whatever records they are. Returns how many epochs were logged.
fn check_much(recovered: &Recovered) -> u64 {
    let logged = recovered.committed.map_or(0, |epoch| epoch.number() + 1) + recovered.uncommitted.len() as u64;
    for (source, node) in ["a", "b"].into_iter().enumerate() {
        let found = recovered.journals.get(&NodeId::new(node)).map(Vec::as_slice).unwrap_or_default();
        let found: Vec<_> = found.iter().map(|entry| (entry.epoch.number(), entry.data.clone())).collect();
        let expected: Vec<_> = (0..logged).map(|epoch| (epoch, much(epoch).swap_remove(source).1)).collect();
        assert!(found == expected, "{node}: {} entries instead of {logged}", found.len());
    }
    logged
}

#[test]
fn a_crash_while_a_journal_is_packed_loses_nothing() {
    let _points = Points::take();
    for point in ["journal.pack", "journal.flush"] {
        for hits in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            fail::cfg(point, &format!("{hits}*off->return(error)")).unwrap();
            let crashed = tempfile::tempdir().unwrap();
            let error = journal_much(dir.path(), 70, crashed.path()).unwrap_err();
            assert!(matches!(error, Error::Injected(_)), "{error}");
            fail::remove(point);
            for dir in [dir, crashed] {
                journal_much(dir.path(), 70, Path::new("unused")).unwrap();
                assert_eq!(check_much(&open(dir.path()).unwrap().1), 70);
                // Two packs of 32 entries and 6 single ones.
                assert_eq!(files(&dir.path().join("segments")).len(), 8);
            }
        }
    }
}

#[test]
fn dropping_a_checkpoint_ends_its_compaction() {
    let _points = Points::take();
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = Checkpoint::open(dir.path(), &topology(), &files_only()).unwrap();
    for epoch in 0..6 {
        run(&mut checkpoint, epoch, 8, &Random(epoch).rows(4000, 8000)).unwrap();
    }
    let started = std::time::Instant::now();
    drop(checkpoint);
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    open(dir.path()).unwrap();
}
