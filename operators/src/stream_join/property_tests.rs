//! A join against a twin in plain loops: any cut into epochs and batches, in any order of the sides, over restarts.

use datafusion::logical_expr::Operator as Op;
use proptest::prelude::*;

use super::StreamJoinKind::*;
use super::tests::{Row, rows_of, side, tasks};
use super::*;
use crate::testing::*;

/// One epoch: the rows of both sides, their cut into batches, which side is first, how many tasks run it, how far the watermark
/// goes before it.
#[derive(Debug, Clone)]
struct Run {
    rows: [Vec<Row>; 2],
    cut: usize,
    swapped: bool,
    parallelism: usize,
    advance: i64,
}

/// What varies between joins.
#[derive(Debug, Clone, Copy)]
struct Rules {
    offsets: [Option<i64>; 2],
    lags: [i64; 2],
    conditions: [bool; 2],
    null_equal: bool,
    residual: bool,
}

impl Rules {
    fn join(&self, kind: StreamJoinKind) -> StreamJoin {
        let of = |number: usize| JoinSide {
            lag_micros: self.lags[number],
            condition: self.conditions[number].then(|| binary(column("v", 2), Op::NotEq, literal(0))),
            ..side(self.offsets[number])
        };
        let residual = self.residual.then(|| binary(column("v", 2), Op::Lt, column("v", 5)));
        StreamJoin { join: kind, sides: [of(0), of(1)], null_equal: vec![self.null_equal], residual }
    }

    fn is_match(&self, left: &Row, right: &Row) -> bool {
        left.0 == right.0 && (left.0.is_some() || self.null_equal) && (!self.residual || left.2 < right.2)
    }
}

fn run() -> impl Strategy<Value = Run> {
    let row = || (prop::option::weighted(0.9, 0_i64..4), prop::option::weighted(0.9, 0_i64..40), 0_i64..4);
    let rows = || prop::collection::vec(row(), 0..30);
    ([rows(), rows()], 1_usize..20, any::<bool>(), 1_usize..4, 0_i64..12)
        .prop_map(|(rows, cut, swapped, parallelism, advance)| Run { rows, cut, swapped, parallelism, advance })
}

fn rules() -> impl Strategy<Value = Rules> {
    let offset = || prop::option::weighted(0.8, -3_i64..6);
    ([offset(), offset()], [0_i64..3, 0_i64..3], any::<[bool; 2]>(), any::<bool>(), any::<bool>())
        .prop_map(|(offsets, lags, conditions, null_equal, residual)| Rules { offsets, lags, conditions, null_equal, residual })
}

/// What each epoch gives, sorted, and how many rows were late in it.
type Made = Vec<(Vec<String>, u64)>;

fn given(runs: &[Run], rules: &Rules, kind: StreamJoinKind) -> Made {
    let join = rules.join(kind);
    let mut tasks = tasks(&join, 1);
    let (mut late, mut watermark) = (None, 0);
    let mut made = Vec::new();
    for (number, run) in (0..).zip(runs) {
        tasks.restart(run.parallelism);
        let of = |port: usize| pieces(&rows_of(&run.rows[port]), run.cut).into_iter().map(move |piece| (port, piece));
        let (mut first, mut second) = if run.swapped { (of(1), of(0)) } else { (of(0), of(1)) };
        let mut batches = Vec::new();
        loop {
            let before = batches.len();
            batches.extend(first.next().into_iter().chain(second.next()));
            if batches.len() == before {
                break;
            }
        }
        let rows = sorted(&tasks.run_ports(epoch(number, late, Some(watermark)), &batches));
        made.push((rows, tasks.late_rows()));
        late = Some(watermark);
        watermark += run.advance;
    }
    made
}

/// A row that waits.
#[derive(Debug, Clone)]
struct Waiting {
    row: Row,
    is_new: bool,
    matched: bool,
    done: bool,
}

fn expected(runs: &[Run], rules: &Rules, kind: StreamJoinKind) -> Made {
    let (mut late, mut watermark) = (i64::MIN, 0);
    let mut waiting: [Vec<Waiting>; 2] = [Vec::new(), Vec::new()];
    let text = |row: &Row| lines(&[rows_of(std::slice::from_ref(row))]).remove(0);
    let alone = |port: usize, row: &Row| match port {
        0 => format!("{} null null null", text(row)),
        _ => format!("null null null {}", text(row)),
    };
    let mut made = Vec::new();
    for run in runs {
        let (mut out, mut late_rows) = (Vec::new(), 0);
        for (port, waiting) in waiting.iter_mut().enumerate() {
            for row in &run.rows[port] {
                if row.1.is_some_and(|time| time + rules.lags[port] <= late) {
                    late_rows += 1;
                } else if rules.conditions[port] && row.2 == 0 {
                    out.extend(kind.is_outer(port).then(|| alone(port, row)));
                } else {
                    waiting.push(Waiting { row: *row, is_new: true, matched: false, done: false });
                }
            }
        }
        let [lefts, rights] = &mut waiting;
        for left in lefts.iter_mut() {
            for right in rights.iter_mut().filter(|right| left.is_new || right.is_new) {
                if !rules.is_match(&left.row, &right.row) {
                    continue;
                }
                if kind != LeftSemi {
                    out.push(format!("{} {}", text(&left.row), text(&right.row)));
                } else if !left.matched {
                    out.push(text(&left.row));
                    left.done = true;
                }
                (left.matched, right.matched) = (true, true);
            }
        }
        for (port, rows) in waiting.iter_mut().enumerate() {
            for waiting in rows.iter_mut() {
                waiting.is_new = false;
                let time = waiting.row.1.zip(rules.offsets[port]);
                if !waiting.done && time.is_some_and(|(time, offset)| time + offset <= watermark) {
                    waiting.done = true;
                    out.extend((kind.is_outer(port) && !waiting.matched).then(|| alone(port, &waiting.row)));
                }
            }
            rows.retain(|waiting| !waiting.done);
        }
        out.sort();
        made.push((out, late_rows));
        late = watermark;
        watermark += run.advance;
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_join_of_streams_is_what_its_twin_is(runs in prop::collection::vec(run(), 1..6), rules in rules()) {
        for kind in [Inner, Left, Right, Full, LeftSemi] {
            prop_assert_eq!(given(&runs, &rules, kind), expected(&runs, &rules, kind), "{:?}", kind);
        }
    }
}
