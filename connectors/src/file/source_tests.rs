//! Tests of the file source through the runtime's traits.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::testing::{read, source_context, strings};
use tidegate_runtime::{Epoch, JournalEntry, Offset, OffsetRange, ReadLimit};

/// A directory with a clock of its own: each file written is a second younger than the one before.
struct Inbox {
    dir: tempfile::TempDir,
    seconds: u64,
}

impl Inbox {
    fn new() -> Self {
        Inbox { dir: tempfile::tempdir().unwrap(), seconds: 0 }
    }

    fn put(&mut self, name: &str, content: &str) {
        self.seconds += 1;
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn config(&self) -> FileSource {
        FileSource::text(self.dir.path())
    }
}

fn open(config: &FileSource) -> Box<dyn Source> {
    reopen(config, None, Vec::new())
}

fn reopen(config: &FileSource, offset: Option<Offset>, journal: Vec<JournalEntry>) -> Box<dyn Source> {
    let mut source = config.supply().unwrap();
    source.open(source_context(offset, journal)).unwrap();
    source
}

/// Plans an epoch as the coordinator does.
fn plan(source: &mut dyn Source, start: Option<Offset>) -> Option<(OffsetRange, Vec<u8>)> {
    let end = source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap()?;
    let range = OffsetRange { start, end };
    let journal = source.journal(&range).unwrap().unwrap();
    Some((range, journal))
}

#[test]
fn reads_files_by_age_once() {
    let mut inbox = Inbox::new();
    inbox.put("z", "first\r\n\nthird");
    inbox.put("a", "fourth\n");
    let mut source = open(&inbox.config());
    let (range, _) = plan(&mut *source, None).unwrap();
    assert_eq!(range.end.as_json(), r#"{"logOffset":0}"#);
    assert_eq!(strings(&read(&mut *source, &range).unwrap()), ["first", "", "third", "fourth"]);
    assert_eq!(plan(&mut *source, Some(range.end.clone())), None);
    inbox.put("b", "fifth");
    let (range, _) = plan(&mut *source, Some(range.end)).unwrap();
    assert_eq!(strings(&read(&mut *source, &range).unwrap()), ["fifth"]);
}

#[test]
fn a_plan_without_an_epoch_is_replaced() {
    let mut inbox = Inbox::new();
    inbox.put("a", "1");
    let mut source = open(&inbox.config());
    source.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
    inbox.put("b", "2");
    let (range, _) = plan(&mut *source, None).unwrap();
    assert_eq!(range.end.as_json(), r#"{"logOffset":0}"#);
    assert_eq!(strings(&read(&mut *source, &range).unwrap()), ["1", "2"]);
    inbox.put("c", "3");
    assert_eq!(source.latest_offset(None, ReadLimit::Configured).unwrap(), Some(range.end), "it is logged now");
}

#[test]
fn limits_by_files_and_bytes_and_none_for_all() {
    let mut inbox = Inbox::new();
    for name in ["a", "b", "c", "d", "e"] {
        inbox.put(name, "12345678\n");
    }
    let names = |config: FileSource, limit| {
        let mut source = open(&config);
        let (mut from, mut sizes) = (None, Vec::new());
        while let Some(end) = source.latest_offset(from.as_ref(), limit).unwrap() {
            let range = OffsetRange { start: from.replace(end.clone()), end };
            source.journal(&range).unwrap();
            sizes.push(source.splits(&range).unwrap().len());
        }
        sizes
    };
    assert_eq!(names(inbox.config().max_files_per_trigger(2), ReadLimit::Configured), [2, 2, 1]);
    assert_eq!(names(inbox.config().max_bytes_per_trigger(20), ReadLimit::Configured), [2, 2, 1]);
    assert_eq!(names(inbox.config().max_bytes_per_trigger(1), ReadLimit::Configured), [1, 1, 1, 1, 1]);
    assert_eq!(names(inbox.config().max_files_per_trigger(2), ReadLimit::All), [5]);
}

#[test]
fn a_restart_knows_the_files_and_replays_the_same_splits() {
    let mut inbox = Inbox::new();
    inbox.put("a", "1\n2\n");
    inbox.put("b", "3\n");
    let config = inbox.config().max_files_per_trigger(1).split_bytes(2);
    let mut source = open(&config);
    let (first, data0) = plan(&mut *source, None).unwrap();
    let (second, data1) = plan(&mut *source, Some(first.end.clone())).unwrap();
    let splits = source.splits(&first).unwrap();
    inbox.put("c", "4\n");
    let journal = [data0, data1].into_iter().zip(0..).map(|(data, n)| JournalEntry { epoch: Epoch::new(n), data }).collect();
    let mut source = reopen(&config, Some(second.end.clone()), journal);
    assert_eq!(source.splits(&first).unwrap(), splits);
    assert_eq!(strings(&read(&mut *source, &second).unwrap()), ["3"]);
    source.commit(&second.end).unwrap();
    let (third, _) = plan(&mut *source, Some(second.end)).unwrap();
    assert_eq!(strings(&read(&mut *source, &third).unwrap()), ["4"]);
}

#[test]
fn large_files_in_many_splits() {
    let mut inbox = Inbox::new();
    let lines: Vec<String> = (0..100_000).map(|n| format!("line {n} {}", "é".repeat(n % 30))).collect();
    inbox.put("a", &lines.join("\n"));
    let mut source = open(&inbox.config().split_bytes(1_000_003));
    let (range, _) = plan(&mut *source, None).unwrap();
    assert!(source.splits(&range).unwrap().len() > 3);
    assert_eq!(strings(&read(&mut *source, &range).unwrap()), lines);
}

#[test]
fn a_planned_file_that_changed_is_data_loss() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("is gone", |path| std::fs::remove_file(path).unwrap()),
        ("shorter", |path| std::fs::write(path, "1").unwrap()),
        ("grown", |path| std::fs::write(path, "1\n2\n3\n").unwrap()),
        ("modified", |path| std::fs::write(path, "3\n4\n").unwrap()),
    ];
    for (message, change) in changes {
        let mut inbox = Inbox::new();
        inbox.put("a", "1\n2\n");
        let mut source = open(&inbox.config());
        let (range, _) = plan(&mut *source, None).unwrap();
        change(&inbox.dir.path().join("a"));
        let error = read(&mut *source, &range).unwrap_err();
        assert!(matches!(&error, Error::SourceDataLoss(text) if text.contains(message) && text.contains("/a ")), "{error}");
    }
}

#[test]
fn wrong_content_is_named_with_its_place() {
    let mut inbox = Inbox::new();
    inbox.put("long", "ok\n123456\n");
    let mut source = open(&inbox.config().max_line_bytes(5));
    let (range, _) = plan(&mut *source, None).unwrap();
    let error = read(&mut *source, &range).unwrap_err().to_string();
    assert!(error.contains("/long has a line of more than 5 bytes, which begins at byte 3"), "{error}");
    std::fs::remove_file(inbox.dir.path().join("long")).unwrap();
    std::fs::write(inbox.dir.path().join("latin1"), b"caf\xE9\n").unwrap();
    let mut source = open(&inbox.config());
    let (range, _) = plan(&mut *source, None).unwrap();
    let error = read(&mut *source, &range).unwrap_err().to_string();
    assert!(error.ends_with("/latin1 is not UTF-8 at byte 3"), "{error}");
}

#[test]
fn frozen_sources_take_no_later_file() {
    let mut inbox = Inbox::new();
    inbox.put("a", "1");
    inbox.put("b", "2");
    let mut source = open(&inbox.config().max_files_per_trigger(1));
    assert!(!source.is_finished());
    source.freeze().unwrap();
    inbox.put("c", "3");
    assert!(source.is_finished());
    let (first, _) = plan(&mut *source, None).unwrap();
    let (second, _) = plan(&mut *source, Some(first.end)).unwrap();
    assert_eq!(strings(&read(&mut *source, &second).unwrap()), ["2"]);
    assert_eq!(plan(&mut *source, Some(second.end)), None);
}

#[test]
fn empty_files_are_planned_once_and_give_nothing() {
    let mut inbox = Inbox::new();
    inbox.put("a", "");
    inbox.put("bom", "\u{FEFF}");
    let mut source = open(&inbox.config());
    let (range, _) = plan(&mut *source, None).unwrap();
    assert!(read(&mut *source, &range).unwrap().is_empty());
    assert_eq!(plan(&mut *source, Some(range.end)), None);
}

#[test]
fn wrong_settings_and_directories_are_refused() {
    let config = FileSource::text("no-such-directory");
    let error = config.supply().unwrap().open(source_context(None, Vec::new())).unwrap_err().to_string();
    assert!(error.contains("no-such-directory") && error.contains("create the directory"), "{error}");
    assert!(matches!(config.clone().max_files_per_trigger(0).supply(), Err(Error::InvalidArgument(_))));
    assert!(matches!(config.clone().max_line_bytes(0).supply(), Err(Error::InvalidArgument(_))));
    let both = config.max_files_per_trigger(1).max_bytes_per_trigger(1).supply();
    assert!(both.err().unwrap().to_string().contains("can't be both set"));
}

#[test]
fn the_newest_first_if_it_is_asked_for() {
    let mut inbox = Inbox::new();
    inbox.put("a", "1");
    inbox.put("b", "2");
    let mut source = open(&inbox.config().max_files_per_trigger(1).latest_first(true));
    let (first, _) = plan(&mut *source, None).unwrap();
    assert_eq!(strings(&read(&mut *source, &first).unwrap()), ["2"]);
    inbox.put("c", "3");
    let (second, _) = plan(&mut *source, Some(first.end)).unwrap();
    assert_eq!(strings(&read(&mut *source, &second).unwrap()), ["3"]);
    let (third, _) = plan(&mut *source, Some(second.end)).unwrap();
    assert_eq!(strings(&read(&mut *source, &third).unwrap()), ["1"]);
}

#[test]
fn files_by_pattern_and_one_file() {
    let mut inbox = Inbox::new();
    inbox.put("a.txt", "1");
    inbox.put("b.log", "2");
    let mut source = open(&FileSource::text(inbox.dir.path().join("*.{txt,csv}")));
    let (first, _) = plan(&mut *source, None).unwrap();
    assert_eq!(strings(&read(&mut *source, &first).unwrap()), ["1"]);
    inbox.put("c.csv", "3");
    let (second, _) = plan(&mut *source, Some(first.end)).unwrap();
    assert_eq!(strings(&read(&mut *source, &second).unwrap()), ["3"]);
    let mut source = open(&FileSource::text(inbox.dir.path().join("b.log")));
    let (first, _) = plan(&mut *source, None).unwrap();
    assert_eq!(strings(&read(&mut *source, &first).unwrap()), ["2"]);
    assert_eq!(plan(&mut *source, Some(first.end)), None);
}
