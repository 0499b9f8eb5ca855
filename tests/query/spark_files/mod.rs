//! What Apache Spark reads of small files, recorded by `record.py`: Tidegate reads the same.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate::functions::col;
use tidegate::{Result, Session};

use crate::support::lines;

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
    writes: Vec<Write>,
}

/// Rows of a query, and what is in the file that they become.
#[derive(Deserialize)]
struct Write {
    name: String,
    format: String,
    rows: String,
    options: BTreeMap<String, String>,
    expect: Written,
}

#[derive(Deserialize)]
struct Written {
    text: String,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    format: String,
    files: BTreeMap<String, String>,
    schema: Option<String>,
    select: Option<Vec<String>>,
    options: BTreeMap<String, String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Read { columns: Vec<(String, String)>, rows: Vec<Vec<Option<String>>> },
    Refused { error: Vec<String> },
}

/// The columns with their types, and the rows as text.
type Read = (Vec<(String, String)>, Vec<String>);

fn read(session: &Session, case: &Case) -> Result<Read> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in &case.files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut reader = session.read().format(&case.format).options(case.options.iter());
    if let Some(schema) = &case.schema {
        reader = reader.schema(schema.as_str());
    }
    let mut frame = reader.load(&dir.path().to_string_lossy())?;
    if let Some(columns) = &case.select {
        frame = frame.select(columns.iter().map(|name| col(name)).collect::<Vec<_>>());
    }
    frame.create_or_replace_temp_view("files")?;
    let described = lines(&session.sql("DESCRIBE files")?.collect()?);
    let column = |line: &String| {
        let (name, rest) = line.split_once('|').unwrap_or_default();
        (name.to_owned(), rest.trim_end_matches('|').to_owned())
    };
    let columns: Vec<(String, String)> = described.iter().map(column).collect();
    let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
    let as_text = names.iter().map(|name| col(name).cast("string")).collect::<Vec<_>>();
    Ok((columns, lines(&frame.to_df(names).select(as_text).collect()?)))
}

/// The rows that there are more of than in the other.
fn beyond(rows: &[String], other: &[String]) -> Vec<String> {
    let mut other: Vec<&String> = other.iter().collect();
    let mut more: Vec<String> = Vec::new();
    for row in rows {
        match other.iter().position(|own| *own == row) {
            Some(at) => drop(other.swap_remove(at)),
            None => more.push(row.clone()),
        }
    }
    more.sort_unstable();
    more
}

#[test]
fn files_are_read_as_spark_reads_them() {
    let recorded: Recorded = serde_json::from_str(include_str!("cases.json")).unwrap();
    let session = Session::builder().parallelism(1).build().unwrap();
    let only = std::env::var("CASE").ok();
    let mut wrong = Vec::new();
    for case in recorded.cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only))) {
        let found = read(&session, case);
        let problem = match (&case.expect, found) {
            (Expect::Read { columns, .. }, Ok((own, _))) if own != *columns => {
                Some(format!("columns {own:?}\n  Spark   {columns:?}"))
            }
            (Expect::Read { rows, .. }, Ok((_, found))) => {
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
                let rows = rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join("|")).collect::<Vec<_>>();
                let (ours, sparks) = (beyond(&found, &rows), beyond(&rows, &found));
                (ours != sparks).then(|| format!("rows  {ours:?}\n  Spark {sparks:?}"))
            }
            (Expect::Refused { error }, Err(found)) => {
                let found = found.to_string();
                let is_named = error.iter().any(|condition| found.contains(&format!("[{condition}]")));
                (!is_named).then(|| format!("refused with {found}\n  Spark {error:?}"))
            }
            (Expect::Read { rows, .. }, Err(found)) => Some(format!("refused with {found}\n  Spark {rows:?}")),
            (Expect::Refused { error }, Ok((_, found))) => Some(format!("read {found:?}\n  Spark {error:?}")),
        };
        wrong.extend(problem.map(|problem| format!("{}:\n  {problem}", case.name)));
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), recorded.cases.len(), wrong.join("\n"));
}

#[test]
fn files_are_written_as_spark_writes_them() {
    let recorded: Recorded = serde_json::from_str(include_str!("cases.json")).unwrap();
    let session = Session::builder().parallelism(1).build().unwrap();
    let mut wrong = Vec::new();
    for case in &recorded.writes {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let write =
            || session.sql(&case.rows)?.write().format(&case.format).options(case.options.iter()).save(&out.to_string_lossy());
        if let Err(error) = write() {
            wrong.push(format!("{}: {error}", case.name));
            continue;
        }
        let entries = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-"));
        let text: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        if text != case.expect.text {
            let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
            let (found, expected) = (lines(&text), lines(&case.expect.text));
            wrong.push(format!("{}:\n  {:?}\n  Spark {:?}", case.name, beyond(&found, &expected), beyond(&expected, &found)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), recorded.writes.len(), wrong.join("\n"));
}
