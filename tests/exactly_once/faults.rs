//! A failure at each numbered step of an epoch's life, each in every form that a failure takes: the process ends at once, an error, a
//! panic, a full disk, a failing device.

use crate::child::start;
use crate::scene::{End, Scene, run};

/// The fail points of the runtime and the file sink, by the row of the failure matrix that they stand for.
const POINTS: &[(&str, u32)] = &[
    ("offsets.before", 1),
    ("offsets.torn", 2),
    ("offsets.flush", 2),
    ("offsets.after", 3),
    ("run.start", 3),
    ("run.read", 4),
    ("run.mid", 4),
    ("align.before", 5),
    ("align.half", 5),
    ("state.mid", 6),
    ("state.segment", 6),
    ("state.torn", 14),
    ("state.sync", 16),
    ("state.after", 7),
    ("sink.before_stage", 8),
    ("sink.stage", 8),
    ("sink.staged", 8),
    ("sink.prepared", 8),
    ("sink.rename", 9),
    ("sink.manifest", 9),
    ("sink.torn", 9),
    ("sink.partial", 9),
    ("sink.after", 10),
    ("sink.all", 10),
    ("commit.before", 10),
    ("commit.flush", 10),
    ("commit.after", 11),
    ("head.torn", 11),
    ("clean.before", 12),
    ("clean.mid", 12),
    ("base.switch", 13),
    ("journal.pack", 12),
    ("journal.flush", 12),
];

/// Points of work that is done once in many epochs: merging runs, which comes when it comes, and packing journals.
const RARE: [&str; 3] = ["base.switch", "journal.pack", "journal.flush"];

/// How a point fails.
const MODES: [&str; 5] = ["return(exit)", "return(error)", "panic", "return(enospc)", "return(eio)"];

#[test]
fn a_failure_at_every_step_loses_nothing_and_doubles_nothing() {
    for (number, &(point, row)) in POINTS.iter().enumerate() {
        for (shift, mode) in MODES.iter().enumerate() {
            let rare = RARE.contains(&point);
            let scene = Scene::new(if rare { 60 } else { 16 }, 40, number as u64);
            // The first hit of the first epoch in some runs, a later one in others.
            let skip = if rare { 0 } else { [0, 5, 2][(number + shift) % 3] };
            let mut job = scene.job(2);
            // Every run in a file of its own: the points of segment files are passed too.
            job.inline_limit = 0;
            job.failpoints = format!("{point}={skip}*off->1*{mode}->off");
            match (*mode, run(&job, None)) {
                ("return(exit)", End::Crashed) => {}
                ("panic", End::Failed(error)) => assert!(error.contains("panic"), "{point} {mode}: {error}"),
                ("return(error)", End::Failed(error)) => assert!(error.contains(point), "{point} {mode}: {error}"),
                (_, End::Failed(error)) => assert!(error.contains("can't"), "{point} {mode}: {error}"),
                (_, other) => panic!("{point} (row {row}) {mode}, after {skip} hits: {other:?}; was the point never hit?"),
            }
            job.failpoints = String::new();
            job.parallelism = 1 + shift;
            assert_eq!(run(&job, None), End::Done, "{point} {mode}: the restart");
            scene.check();
        }
    }
}

/// Row 22: a crash during the recovery from a crash, twice in a row.
#[test]
fn a_crash_during_recovery_bricks_nothing() {
    for crash in ["sink.all", "run.mid", "commit.flush"] {
        let scene = Scene::new(10, 40, 22);
        let mut job = scene.job(2);
        for failpoints in
            [format!("{crash}=3*off->return(exit)"), "recover.mid=return(exit)".into(), "recover.mid=return(exit)".into()]
        {
            job.failpoints = failpoints;
            assert_eq!(run(&job, None), End::Crashed, "{}", job.failpoints);
        }
        job.failpoints = String::new();
        assert_eq!(run(&job, None), End::Done);
        scene.check();
    }
}

/// Row 21: a planned file is gone when its epoch is run again.
#[test]
fn lost_source_data_is_an_error_that_names_it() {
    let scene = Scene::new(6, 20, 21);
    let mut job = scene.job(2);
    job.failpoints = "state.after=2*off->return(exit)".into();
    assert_eq!(run(&job, None), End::Crashed);
    std::fs::remove_file(job.input.join("00002.txt")).unwrap();
    job.failpoints = String::new();
    match run(&job, None) {
        End::Failed(error) => assert!(error.contains("00002.txt") && error.contains("STREAM_FAILED_DATA_LOSS"), "{error}"),
        other => panic!("{other:?}"),
    }
}

/// Row 19: a second process on the checkpoint is refused at once, and the first goes on.
#[test]
fn a_checkpoint_in_use_by_another_process_is_refused() {
    let scene = Scene::new(6, 20, 19);
    let mut held = scene.job(2);
    // The first process stays in the middle of its third epoch until it is killed.
    held.failpoints = "state.after=2*off->pause".into();
    let mut owner = start(&held);
    let mut second = scene.job(2);
    // It has come so far when two epochs are out.
    while !scene.path().join("output/part-00001-00000.csv").exists() {
        std::thread::yield_now();
    }
    match run(&second, None) {
        End::Failed(error) => {
            assert!(error.contains("CONCURRENT_STREAM_LOG_UPDATE"), "{error}");
            assert!(error.contains(&owner.id().to_string()), "the owner is not named: {error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(owner.try_wait().unwrap().is_none(), "the owner ended");
    owner.kill().unwrap();
    owner.wait().unwrap();
    second.parallelism = 3;
    assert_eq!(run(&second, None), End::Done);
    scene.check();
}
