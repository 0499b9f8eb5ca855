//! Tests of the manifest: what a crash or damage may leave behind.

use super::*;

fn record(epoch: u64) -> Record {
    let file = CommittedFile { path: format!("part-{epoch:05}-00000.csv"), rows: 2, bytes: 9, crc32c: 77 };
    Record { epoch: Epoch::new(epoch), files: vec![file] }
}

/// A directory whose manifest has epochs 0 to 2.
fn written(query: QueryId) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = Manifest::open(dir.path(), &Owner::new(query, "out"), None).unwrap();
    (0..3).for_each(|epoch| manifest.append(&record(epoch)).unwrap());
    dir
}

fn bytes(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join(MANIFEST)).unwrap()
}

#[test]
fn survives_a_reopen() {
    let query = QueryId::random();
    let dir = written(query);
    let mut manifest = Manifest::open(dir.path(), &Owner::new(query, "out"), Some(Epoch::new(2))).unwrap();
    assert_eq!(manifest.last(), Some(Epoch::new(2)));
    manifest.append(&record(3)).unwrap();
    let content = Content::read(dir.path()).unwrap().unwrap();
    assert_eq!(content.records, (0..4).map(record).collect::<Vec<_>>());
}

#[test]
fn any_flipped_bit_is_refused_or_changes_nothing() {
    let query = QueryId::random();
    let dir = written(query);
    let good = bytes(dir.path());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let what = parse(Path::new("m"), &bad).map(|content| (content.owner, content.records));
            let expected = (Owner::new(query, "out"), (0..3).map(record).collect::<Vec<_>>());
            assert!(what.is_err() || what.is_ok_and(|found| found == expected), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_line_cut_anywhere_is_dropped_or_complete() {
    let query = QueryId::random();
    let dir = written(query);
    let good = bytes(dir.path());
    let before_last = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for len in before_last..good.len() {
        std::fs::write(dir.path().join(MANIFEST), &good[..len]).unwrap();
        let mut manifest = Manifest::open(dir.path(), &Owner::new(query, "out"), Some(Epoch::new(1))).unwrap();
        if manifest.last() == Some(Epoch::new(1)) {
            manifest.append(&record(2)).unwrap();
        }
        assert_eq!(bytes(dir.path()), good, "cut at {len}");
        assert!(len == good.len() - 1 || Content::read(dir.path()).unwrap().unwrap().records.len() == 3);
    }
}

#[test]
fn a_manifest_that_knows_less_than_the_checkpoint_is_refused() {
    let query = QueryId::random();
    let dir = written(query);
    let error = Manifest::open(dir.path(), &Owner::new(query, "out"), Some(Epoch::new(3))).unwrap_err().to_string();
    assert!(error.contains("committed epoch 3, but this manifest has epochs up to 2 only"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = Manifest::open(empty.path(), &Owner::new(query, "out"), Some(Epoch::new(3))).unwrap_err().to_string();
    assert!(error.contains("this manifest has nothing"), "{error}");
}

#[test]
fn gaps_and_repeats_are_refused_with_their_line() {
    let query = QueryId::random();
    for (epoch, found) in [(1, "line 5 has epoch 1 after epoch 2"), (4, "line 5 has epoch 4 after epoch 2")] {
        let dir = written(query);
        let mut bad = bytes(dir.path());
        bad.extend(checked_line(&record(epoch)).unwrap());
        std::fs::write(dir.path().join(MANIFEST), bad).unwrap();
        let error = Manifest::open(dir.path(), &Owner::new(query, "out"), None).unwrap_err().to_string();
        assert!(error.contains(found) && error.contains(MANIFEST), "{error}");
    }
}

#[test]
fn another_query_and_a_newer_version_are_refused() {
    let (query, other) = (QueryId::random(), QueryId::random());
    let dir = written(query);
    let error = Manifest::open(dir.path(), &Owner::new(query, "another"), None).unwrap_err().to_string();
    assert!(error.contains("sink out of query") && error.contains("sink another"), "{error}");
    let error = Manifest::open(dir.path(), &Owner::new(other, "out"), None).unwrap_err().to_string();
    assert!(error.contains(&query.to_string()) && error.contains("directory of its own"), "{error}");
    let header = serde_json::json!({ "format": FORMAT, "version": 2, "query": query.to_string(), "new": 1 });
    std::fs::write(dir.path().join(MANIFEST), checked_line(&header).unwrap()).unwrap();
    let error = Manifest::open(dir.path(), &Owner::new(query, "out"), None).unwrap_err();
    assert!(matches!(error, Error::CheckpointVersion { found: 2, supported: 1, .. }), "{error}");
}
