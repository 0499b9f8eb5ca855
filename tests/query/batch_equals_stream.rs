//! Whatever the cut of the input into epochs, the parallelism and the restarts: the result is that of a batch query over all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Int32Type};
use proptest::prelude::*;
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::{OutputMode, Session};

use crate::support::{lines, run, session_with, sorted};

/// One row of the input.
#[derive(Debug, Clone)]
struct Input {
    word: Option<&'static str>,
    group: Option<i32>,
    n: Option<i64>,
    x: Option<f64>,
    tags: Vec<i32>,
}

fn input() -> impl Strategy<Value = Input> {
    let word = proptest::option::weighted(0.9, prop_oneof![Just("a"), Just("b"), Just("tide"), Just("")]);
    let group = proptest::option::weighted(0.9, 0..4i32);
    let n = proptest::option::weighted(0.9, -50..50i64);
    // Whole numbers, so that sums don't depend on their order.
    let x = proptest::option::weighted(0.9, prop_oneof![(-20..20i32).prop_map(f64::from), Just(-0.0), Just(f64::NAN)]);
    let tags = proptest::collection::vec(0..3i32, 0..4);
    (word, group, n, x, tags).prop_map(|(word, group, n, x, tags)| Input { word, group, n, x, tags })
}

fn batch(rows: &[Input]) -> RecordBatch {
    let tags = rows.iter().map(|row| Some(row.tags.iter().map(|tag| Some(*tag)).collect::<Vec<_>>()));
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(tags);
    let item = Arc::new(Field::new_list_field(arrow::datatypes::DataType::Int32, true));
    let (_, offsets, values, nulls) = tags.into_parts();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("word", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.word)))),
        ("g", Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.group)))),
        ("n", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.n)))),
        ("x", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.x)))),
        ("tags", Arc::new(ListArray::new(item, offsets, values, nulls))),
    ];
    crate::support::rows(columns)
}

/// A query, and how its result is given.
#[derive(Debug, Clone)]
struct Query {
    text: String,
    /// How many columns are keys; none for a query without aggregation.
    keys: Option<usize>,
}

/// A relation to read from: the stream itself, filtered, joined, exploded or doubled.
fn relation() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("events"),
        Just("(SELECT * FROM events WHERE n > 0 OR word = 'tide')"),
        Just("(SELECT word, g, n + 1 AS n, x, tags FROM events WHERE g IS NOT NULL)"),
        Just("(SELECT word, g, CAST(tag AS BIGINT) AS n, x, tags FROM events LATERAL VIEW explode(tags) t AS tag)"),
        Just("(SELECT e.word, e.g, n, x, tags FROM events e JOIN names ON e.g = names.id)"),
        Just("(SELECT e.word, names.id AS g, n, x, tags FROM events e LEFT JOIN names ON e.g = names.id AND name <> 'two')"),
        Just("(SELECT * FROM events WHERE g IN (SELECT id FROM names))"),
        Just("(SELECT word, g, n, x, tags FROM events UNION ALL SELECT upper(word), g, -n, x, tags FROM events WHERE n < 10)"),
    ]
}

fn aggregates() -> impl Strategy<Value = Vec<&'static str>> {
    let one = prop_oneof![
        Just("count(*)"),
        Just("count(n)"),
        Just("sum(n)"),
        Just("avg(n)"),
        Just("min(word)"),
        // `-0.0` and `0.0` are equal, so that the order of the rows decides which one `max(x)` gives: as in Spark.
        Just("max(x + 0.0)"),
        Just("min(x + 0.0)"),
        Just("sum(n) FILTER (WHERE x > 0)"),
        Just("count_if(n > 3)"),
        Just("bit_xor(n)"),
        Just("sort_array(collect_list(n))"),
        Just("sort_array(collect_set(g))"),
        Just("max_by(n, n)"),
        Just("bool_or(n > 40)"),
        Just("max(struct(n, g))"),
        Just("approx_count_distinct(n)"),
        Just("median(n)"),
    ];
    proptest::collection::vec(one, 1..4)
}

fn query() -> impl Strategy<Value = Query> {
    let keys = prop_oneof![
        Just((0, "")),
        Just((1, "word")),
        Just((1, "g")),
        Just((1, "x")),
        Just((1, "tags")),
        Just((2, "word, g")),
        Just((2, "g, n % 3")),
    ];
    let grouped = (relation(), keys, aggregates(), proptest::bool::ANY, proptest::bool::ANY).prop_map(
        |(relation, (count, keys), aggregates, having, rollup)| {
            let items: Vec<String> = keys.split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect();
            let named = aggregates.iter().enumerate().map(|(n, call)| format!("{call} AS a{n}"));
            let select = items.iter().cloned().chain(named).collect::<Vec<_>>().join(", ");
            let rollup = rollup && count == 2;
            let group = match (count, rollup) {
                (0, _) => String::new(),
                (_, true) => format!(" GROUP BY ROLLUP ({keys})"),
                (_, false) => format!(" GROUP BY {keys}"),
            };
            let having = if having && count > 0 { " HAVING count(*) > 1" } else { "" };
            // With grouping sets the keys alone don't tell rows apart.
            let keys = if rollup { None } else { Some(count) };
            Query { text: format!("SELECT {select} FROM {relation}{group}{having}"), keys }
        },
    );
    let stateless =
        relation().prop_map(|relation| Query { text: format!("SELECT word, g, n, x FROM {relation}"), keys: Some(usize::MAX) });
    prop_oneof![4 => grouped, 1 => stateless]
}

/// A start of the query: how many tasks, and which epochs it is given.
type Start = (usize, Vec<Vec<Input>>);

fn starts() -> impl Strategy<Value = Vec<Start>> {
    let epoch = proptest::collection::vec(input(), 0..12);
    let start = (1..=2usize, proptest::collection::vec(epoch, 1..3));
    proptest::collection::vec(start, 1..4)
}

fn names(session: &Session) {
    let names = session.sql("SELECT * FROM VALUES (0, 'zero'), (1, 'one'), (2, 'two') AS names(id, name)").unwrap();
    names.create_or_replace_temp_view("names").unwrap();
}

fn expected(text: &str, starts: &[Start]) -> Vec<String> {
    let all: Vec<Input> = starts.iter().flat_map(|(_, epochs)| epochs.concat()).collect();
    let session = Session::builder().parallelism(2).build().unwrap();
    names(&session);
    session.create_data_frame(vec![batch(&all)]).unwrap().create_or_replace_temp_view("events").unwrap();
    sorted(&session.sql(text).unwrap().collect().unwrap())
}

/// Runs the starts one after another on one checkpoint, and gives the rows of each epoch.
fn streamed(text: &str, mode: OutputMode, starts: &[Start]) -> Vec<Vec<RecordBatch>> {
    let checkpoint = tempfile::tempdir().unwrap();
    let (stream, sink) = (MemoryStream::new(batch(&[]).schema()), MemorySink::update());
    for (parallelism, epochs) in starts {
        for rows in epochs.iter().filter(|rows| !rows.is_empty()) {
            stream.add_data(batch(rows)).unwrap();
            // A new session each time: everything that is kept is in the checkpoint.
            let session = session_with("events", &stream, *parallelism);
            names(&session);
            run(&session.sql(text).unwrap(), mode, &sink, checkpoint.path()).unwrap();
        }
    }
    sink.epochs().into_iter().map(|(_, rows)| rows).collect()
}

/// The last row of each key, without those that a HAVING has left out since: they are compared in complete mode only.
fn last_of_each_key(epochs: &[Vec<RecordBatch>], keys: usize) -> Vec<String> {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for line in epochs.iter().flat_map(|rows| lines(rows)) {
        let key = line.split('|').take(keys).collect::<Vec<_>>().join("|");
        last.insert(key, line);
    }
    let mut rows: Vec<String> = last.into_values().collect();
    rows.sort_unstable();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn batch_equals_stream(query in query(), starts in starts()) {
        let has_rows = starts.iter().any(|(_, epochs)| epochs.iter().any(|rows| !rows.is_empty()));
        let expected = expected(&query.text, &starts);
        match query.keys {
            Some(usize::MAX) => {
                let rows = streamed(&query.text, OutputMode::Append, &starts).concat();
                prop_assert_eq!(sorted(&rows), expected, "append: {}", query.text);
            }
            keys => {
                let complete = streamed(&query.text, OutputMode::Complete, &starts);
                if has_rows {
                    let rows = complete.last().cloned().unwrap_or_default();
                    prop_assert_eq!(sorted(&rows), expected.clone(), "complete: {}", query.text);
                }
                if let (Some(keys), false, true) = (keys, query.text.contains("HAVING"), has_rows) {
                    let update = streamed(&query.text, OutputMode::Update, &starts);
                    prop_assert_eq!(last_of_each_key(&update, keys), expected, "update: {}", query.text);
                }
            }
        }
    }
}
