//! Starting, watching and ending queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::runtime::testkit::{ManualClock, SinkCall, Step, TestSink, TestSource};
use tidegate::runtime::{queries, query};

use crate::support::{DEADLINE, committed, end_of, expected, script, task_threads, word_count, word_schema, words};

const TEXTS: [&str; 4] = ["a b a", "b c", "a a a", "d"];

#[test]
fn a_finite_input_is_processed_and_the_query_ends_by_itself() {
    let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
    let query = Query::new(word_count("lf", &source, &sink, 2)).start().unwrap();
    assert!(end_of(&query).is_none());
    assert_eq!(committed(&sink), expected(&TEXTS));
    assert_eq!(query.state(), QueryState::Stopped);
    assert_eq!(task_threads("lf"), 0);
}

#[test]
fn process_all_available_waits_for_what_is_there() {
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let query = Query::new(word_count("lp", &source, &sink, 1)).start().unwrap();
    for (epoch, text) in TEXTS.iter().enumerate() {
        source.push(Step::Rows(words(text)));
        query.process_all_available().unwrap();
        assert_eq!(committed(&sink), expected(&TEXTS[..=epoch]));
    }
    query.stop().unwrap();
    assert_eq!(query.last_progress().map(|p| (p.epoch, p.input_rows, p.output_rows)), Some((Epoch::new(3), 1, 1)));
    assert!(query.process_all_available().is_ok(), "on an ended query it returns at once");
}

#[test]
fn a_long_interval_does_not_delay_process_all_available() {
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let hourly = Trigger::ProcessingTime(Duration::from_secs(3600));
    let query = Query::new(word_count("li", &source, &sink, 1)).trigger(hourly).start().unwrap();
    source.push(Step::Rows(words("a")));
    query.process_all_available().unwrap();
    assert_eq!(committed(&sink), expected(&["a"]));
    query.stop().unwrap();
}

#[test]
fn once_takes_everything_in_one_epoch() {
    let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
    let query = Query::new(word_count("lo", &source, &sink, 1)).trigger(Trigger::Once).start().unwrap();
    assert!(end_of(&query).is_none());
    assert_eq!(committed(&sink), expected(&[&TEXTS.join(" ")]));
}

#[test]
fn available_now_stops_at_what_was_there() {
    let steps = vec![Step::Rows(words("a b")), Step::Rows(words("a")), Step::Pause, Step::Rows(words("z"))];
    let (source, sink) = (TestSource::new(word_schema(), steps), TestSink::new());
    let checkpoint = tempfile::tempdir().unwrap();
    let start = || {
        let query = Query::new(word_count("la", &source, &sink, 1)).trigger(Trigger::AvailableNow);
        query.checkpoint(checkpoint.path()).start().unwrap()
    };
    assert!(end_of(&start()).is_none());
    assert_eq!(committed(&sink), expected(&["a b", "a"]));
    source.resume();
    assert!(end_of(&start()).is_none());
    assert_eq!(committed(&sink), expected(&["a b", "a", "z"]));
}

#[test]
fn stop_finishes_the_epoch_that_is_under_way() {
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let (entered, has_entered) = crossbeam_channel::bounded(1);
    let (release, released) = crossbeam_channel::bounded::<()>(1);
    let hooked = sink.clone().with_hook(move |call| {
        if matches!(call, SinkCall::Stage(_)) {
            entered.send(()).map_err(Error::user)?;
            released.recv().map_err(Error::user)?;
        }
        Ok(())
    });
    let query = Query::new(word_count("ls", &source, &hooked, 1)).start().unwrap();
    source.push(Step::Rows(words("a b")));
    has_entered.recv_timeout(DEADLINE).unwrap();
    source.push(Step::Rows(words("never")));
    let stopping = {
        let query = query.clone();
        std::thread::Builder::new().spawn(move || query.stop()).unwrap()
    };
    release.send(()).unwrap();
    // Whether the stop or the next trigger came first is open; each epoch is whole or not there.
    release.send(()).unwrap_or_default();
    stopping.join().unwrap().unwrap();
    let epochs = committed(&sink);
    assert!(epochs == expected(&["a b"]) || epochs == expected(&["a b", "never"]), "{epochs:?}");
    assert_eq!(task_threads("ls"), 0);
}

#[test]
fn cancel_ends_at_full_backpressure_and_loses_nothing() {
    let texts = vec!["a b c d"; 2000];
    let steps: Vec<Step> = texts.iter().map(|text| Step::Rows(words(text))).collect();
    let source = TestSource::new(word_schema(), steps).steps_per_epoch(1000);
    let sink = TestSink::new();
    let (entered, has_entered) = crossbeam_channel::bounded(1);
    let (blocked, stays_blocked) = crossbeam_channel::bounded::<()>(0);
    // A sink that does not come back from its first batch until the test lets it.
    let stuck = sink.clone().with_hook(move |call| {
        if matches!(call, SinkCall::Write(_)) && entered.try_send(()).is_ok() {
            stays_blocked.recv().unwrap_or_default();
        }
        Ok(())
    });
    let checkpoint = tempfile::tempdir().unwrap();
    let mut t = Topology::builder("pass");
    let rows = t.source("lcs", source.clone());
    t.sink("lck", [rows], stuck);
    let query = Query::new(t.build().unwrap()).checkpoint(checkpoint.path()).start().unwrap();
    has_entered.recv_timeout(DEADLINE).unwrap();
    let cancelling = {
        let query = query.clone();
        std::thread::Builder::new().spawn(move || query.cancel()).unwrap()
    };
    drop(blocked);
    cancelling.join().unwrap().unwrap();
    assert_eq!((task_threads("lc"), sink.batches().len()), (0, 0));

    let mut t = Topology::builder("pass");
    let rows = t.source("lcs", source.clone());
    t.sink("lck", [rows], sink.clone());
    let query = Query::new(t.build().unwrap()).checkpoint(checkpoint.path()).trigger(Trigger::AvailableNow).start().unwrap();
    assert!(end_of(&query).is_none());
    assert_eq!(sink.batches().iter().map(|batch| batch.num_rows()).sum::<usize>(), 8000);
}

#[test]
fn a_task_stuck_in_user_code_is_given_up_by_name() {
    let source = TestSource::new(word_schema(), script(&["a"]));
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let sink = TestSink::new().with_hook(move |_| {
        released.recv().unwrap_or_default();
        Ok(())
    });
    let query = Query::new(word_count("lu", &source, &sink, 1)).stop_timeout(Duration::from_millis(50)).start().unwrap();
    let error = query.stop().unwrap_err();
    assert!(error.to_string().contains("luk.0"), "{error}");
    drop(release);
}

#[test]
fn running_queries_are_in_the_registry() {
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let started = Query::new(word_count("lr", &source, &sink, 1)).name("registered").start().unwrap();
    let id = started.id();
    drop(started);
    let found = query(id).expect("a dropped handle does not end the query");
    assert_eq!((found.name(), queries().iter().any(|q| q.id() == id)), ("registered", true));
    found.stop().unwrap();
    assert!(query(id).is_none());
}

#[test]
fn epoch_times_never_go_back() {
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let clock = Arc::new(ManualClock::new(5_000));
    let checkpoint = tempfile::tempdir().unwrap();
    let start = || {
        let query = Query::new(word_count("lt", &source, &sink, 1)).checkpoint(checkpoint.path());
        query.clock(Arc::clone(&clock) as Arc<dyn tidegate::runtime::Clock>).start().unwrap()
    };
    let mut times = Vec::new();
    for (run, now) in [(0, 5_000), (0, 4_000), (1, 3_600_000), (1, 1)] {
        let query = start();
        clock.set(now);
        source.push(Step::Rows(words("a")));
        query.process_all_available().unwrap();
        times.push((run, query.last_progress().unwrap().trigger_time_ms));
        query.stop().unwrap();
    }
    assert_eq!(times, [(0, 5_000), (0, 5_000), (1, 3_600_000), (1, 3_600_000)]);
}

#[test]
fn queries_run_from_a_tokio_main_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
        let query = Query::new(word_count("lm", &source, &sink, 1)).start().unwrap();
        assert!(end_of(&query).is_none());
        done.store(committed(&sink) == expected(&TEXTS), Ordering::SeqCst);
    });
    assert!(done.load(Ordering::SeqCst));
}

#[test]
fn idle_costs_nothing() {
    // A process of its own, so that no other test's work is measured.
    if std::env::var_os("TIDEGATE_IDLE_CHILD").is_none() {
        let this = std::env::current_exe().unwrap();
        let child = std::process::Command::new(this)
            .args(["--exact", "lifecycle::idle_costs_nothing", "--nocapture"])
            .env("TIDEGATE_IDLE_CHILD", "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let query = Query::new(word_count("idle", &source, &sink, 2)).start().unwrap();
    source.push(Step::Rows(words("a b")));
    query.process_all_available().unwrap();
    let before = cpu_ticks();
    assert!(!query.await_termination(Some(Duration::from_secs(5))).unwrap());
    let used = cpu_ticks() - before;
    query.stop().unwrap();
    // One tick is 10 ms: the clock's resolution.
    assert!(used <= 1, "an idle query used {used} ticks of 10 ms in 5 s");
}

/// The CPU time of this process, user and system, in ticks.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn metrics_count_what_happened() {
    let (source, sink) = (TestSource::new(word_schema(), script(&["a b a", "b c d"])), TestSink::new());
    let query = Query::new(word_count("lx", &source, &sink, 2)).start().unwrap();
    assert!(end_of(&query).is_none());
    let totals = query.totals();
    assert_eq!((totals.epochs, totals.input_rows, totals.output_rows), (2, 6, 5));
    let epochs = query.recent_progress();
    let rows: Vec<_> = epochs.iter().map(|p| (p.epoch.number(), p.input_rows, p.output_rows, p.sources[0].rows)).collect();
    assert_eq!(rows, [(0, 3, 2, 3), (1, 3, 3, 3)]);
    assert!(epochs.iter().all(|p| p.durations.total >= p.durations.run && !p.durations.commit_log.is_zero()));

    let sum = |node: &str, of: fn(&tidegate::runtime::TaskMetricsSnapshot) -> u64| -> u64 {
        query.metrics().iter().filter(|(task, _)| task.node.as_str() == node).map(|(_, metrics)| of(metrics)).sum()
    };
    assert_eq!((sum("lxs", |m| m.rows_out), sum("lxc", |m| m.rows_in)), (6, 6));
    assert_eq!((sum("lxc", |m| m.rows_out), sum("lxk", |m| m.rows_in)), (5, 5));
    assert_eq!((sum("lxc", |m| m.state_rows), sum("lxc", |m| m.snapshot_rows)), (4, 5));
    assert!(sum("lxc", |m| m.snapshot_bytes) > 0 && sum("lxc", |m| m.bytes_in) > 0 && sum("lxc", |m| m.batches_in) > 0);
    assert!(query.metrics().iter().all(|(_, metrics)| !metrics.idle.is_zero()));
}
