//! The table against a map, under random changes, snapshots and restores at random parallelism.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use proptest::prelude::*;

use super::*;

/// What a code, an arbitrary small number, stands for in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Int64,
    Utf8,
    Float64,
    List,
    FloatList,
    Struct,
}

type Code = Option<u8>;

const KINDS: [Kind; 6] = [Kind::Int64, Kind::Utf8, Kind::Float64, Kind::List, Kind::FloatList, Kind::Struct];

fn float(code: u8) -> f64 {
    match code {
        0 => 0.0,
        1 => -0.0,
        2 => f64::NAN,
        3 => f64::from_bits(0xfff8_0000_0000_0007),
        other => f64::from(other) / 3.0,
    }
}

impl Kind {
    fn column(self, codes: &[Code]) -> ArrayRef {
        let codes = codes.iter().copied();
        match self {
            Kind::Int64 => Arc::new(codes.map(|c| c.map(|c| i64::from(c) - 3)).collect::<Int64Array>()),
            Kind::Utf8 => Arc::new(codes.map(|c| c.map(|c| "tide".repeat(usize::from(c)))).collect::<StringArray>()),
            Kind::Float64 => Arc::new(codes.map(|c| c.map(float)).collect::<Float64Array>()),
            Kind::List => {
                let items = |c: u8| (0..c).map(move |n| (n != 2).then_some(i64::from(c)));
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(codes.map(|c| c.map(items))))
            }
            Kind::FloatList => {
                Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(codes.map(|c| c.map(|c| [Some(float(c)), None]))))
            }
            Kind::Struct => {
                let codes: Vec<Code> = codes.collect();
                let columns = vec![Kind::Int64.column(&codes), Kind::Utf8.column(&codes)];
                let fields = Fields::from(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
                let valid: Vec<bool> = codes.iter().map(Option::is_some).collect();
                Arc::new(StructArray::new(fields, columns, Some(valid.into())))
            }
        }
    }

    /// The codes of equal keys are one key.
    fn key(self, code: Code) -> Code {
        match (self, code) {
            (Kind::Float64 | Kind::FloatList, Some(code @ 0..4)) => Some(code & !1),
            (_, code) => code,
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<(Code, Code, Code)>),
    /// Those that are new.
    Insert(Vec<(Code, Code, Code)>),
    /// Gives keys the value of the first one that is there, or null.
    Update(Vec<(Code, Code)>),
    Remove(Vec<(Code, Code)>),
    /// Those whose deadlines are not after this.
    TakeDue(i64),
    Snapshot,
    Restore {
        parallelism: usize,
        compact: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let code = || prop_oneof![1 => Just(None), 9 => (0..12_u8).prop_map(Some)];
    let step = prop_oneof![
        4 => prop::collection::vec((code(), code(), code()), 0..12).prop_map(Step::Put),
        2 => prop::collection::vec((code(), code(), code()), 0..12).prop_map(Step::Insert),
        2 => prop::collection::vec((code(), code()), 0..8).prop_map(Step::Update),
        3 => prop::collection::vec((code(), code()), 0..8).prop_map(Step::Remove),
        2 => (0..30_i64).prop_map(Step::TakeDue),
        2 => Just(Step::Snapshot),
        1 => (1..5_usize, any::<bool>()).prop_map(|(parallelism, compact)| Step::Restore { parallelism, compact }),
    ];
    prop::collection::vec(step, 1..30)
}

/// The tasks of one operator, their checkpoint, and what the table ought to hold.
struct Twin {
    kinds: [Kind; 3],
    group_columns: usize,
    tables: Vec<MemoryTable>,
    history: Vec<RecordBatch>,
    model: HashMap<(Code, Code), Code>,
    deadlines: HashMap<(Code, Code), i64>,
}

/// When a row with this key is due.
fn deadline((a, b): (Code, Code)) -> Option<i64> {
    Some(i64::from(a?) * 2 + i64::from(b.unwrap_or(9)))
}

/// When all rows are due after a restart.
const RESTARTED: i64 = 5;

impl Twin {
    fn new(kinds: [Kind; 3], group_columns: usize) -> Self {
        let mut twin = Twin {
            kinds,
            group_columns,
            tables: Vec::new(),
            history: Vec::new(),
            model: HashMap::new(),
            deadlines: HashMap::new(),
        };
        twin.start(1);
        twin
    }

    fn start(&mut self, parallelism: usize) {
        let types = self.kinds.map(|kind| kind.column(&[]).data_type().clone());
        let [a, b, value] = types;
        let spec = TableSpec::new("model", [("a", a), ("b", b)], [("value", value)]).unwrap();
        let spec = spec.grouped_by_first(self.group_columns);
        let start = |subtask| {
            let groups = KeyGroupRange::of_subtask(subtask, parallelism);
            let mut table = MemoryTable::new(spec.clone(), groups).unwrap();
            self.history.iter().for_each(|batch| table.restore(batch, groups).unwrap());
            assert_eq!(table.snapshot().unwrap().rows, 0, "a restore is not a change");
            table.set_deadlines(&mut |rows| Ok(Int64Array::from(vec![RESTARTED; rows.num_rows()]))).unwrap();
            table
        };
        self.tables = (0..parallelism).map(start).collect();
        self.deadlines = self.model.keys().map(|key| (*key, RESTARTED)).collect();
    }

    fn keys(&self, keys: &[(Code, Code)]) -> RecordBatch {
        let (a, b): (Vec<Code>, Vec<Code>) = keys.iter().copied().unzip();
        RecordBatch::try_from_iter([("x", self.kinds[0].column(&a)), ("y", self.kinds[1].column(&b))]).unwrap()
    }

    fn values(&self, codes: &[Code]) -> RecordBatch {
        RecordBatch::try_from_iter([("z", self.kinds[2].column(codes))]).unwrap()
    }

    fn owner(&self, key: (Code, Code)) -> usize {
        let mut hashes = Vec::new();
        let columns = self.keys(&[key]).columns()[..self.group_columns].to_vec();
        hash_columns(&columns, 1, &mut hashes).unwrap();
        KeyGroup::of_hash(hashes[0]).owner(self.tables.len())
    }

    fn key(&self, (a, b): (Code, Code)) -> (Code, Code) {
        (self.kinds[0].key(a), self.kinds[1].key(b))
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Put(rows) => {
                for task in 0..self.tables.len() {
                    let own: Vec<_> = rows.iter().filter(|(a, b, _)| self.owner((*a, *b)) == task).collect();
                    let keys = self.keys(&own.iter().map(|(a, b, _)| (*a, *b)).collect::<Vec<_>>());
                    let values = self.values(&own.iter().map(|(_, _, value)| *value).collect::<Vec<_>>());
                    self.tables[task].put(&keys, &values).unwrap();
                }
                for (a, b, value) in rows {
                    self.model.insert(self.key((*a, *b)), *value);
                }
            }
            Step::Insert(rows) => {
                for task in 0..self.tables.len() {
                    let own: Vec<_> = rows.iter().filter(|(a, b, _)| self.owner((*a, *b)) == task).collect();
                    let keys = self.keys(&own.iter().map(|(a, b, _)| (*a, *b)).collect::<Vec<_>>());
                    let values = self.values(&own.iter().map(|(_, _, value)| *value).collect::<Vec<_>>());
                    let deadlines: Int64Array = own.iter().map(|(a, b, _)| deadline((*a, *b))).collect();
                    let new = self.tables[task].insert(&keys, &values, Some(&deadlines)).unwrap();
                    for ((a, b, value), new) in own.into_iter().zip(new.values()) {
                        let key = self.key((*a, *b));
                        assert_eq!(self.model.contains_key(&key), !new);
                        if new {
                            self.model.insert(key, *value);
                            self.deadlines.extend(deadline((*a, *b)).map(|deadline| (key, deadline)));
                        }
                    }
                }
            }
            Step::Update(keys) => {
                for task in 0..self.tables.len() {
                    let mut seen = HashSet::new();
                    let is_first = |key: &(Code, Code)| self.owner(*key) == task && seen.insert(self.key(*key));
                    let own: Vec<_> = keys.iter().copied().filter(is_first).collect();
                    let found: Vec<_> = own.iter().map(|key| self.model.get(&self.key(*key)).copied()).collect();
                    let value = found.iter().flatten().next().copied().flatten();
                    let (keys, values) = (self.keys(&own), self.values(&vec![value; own.len()]));
                    let merge = |stored: &StateRows| {
                        assert!(stored.found.values().iter().eq(found.iter().map(Option::is_some)));
                        Ok(values.clone())
                    };
                    let deadlines: Int64Array = own.iter().map(|key| deadline(*key)).collect();
                    self.tables[task].update(&keys, Some(&deadlines), &mut { merge }).unwrap();
                    for codes in own {
                        let key = self.key(codes);
                        if self.model.insert(key, value).is_none() {
                            self.deadlines.extend(deadline(codes).map(|deadline| (key, deadline)));
                        }
                    }
                }
            }
            Step::Remove(keys) => {
                for task in 0..self.tables.len() {
                    let own: Vec<_> = keys.iter().copied().filter(|key| self.owner(*key) == task).collect();
                    let keys = self.keys(&own);
                    self.tables[task].remove(&keys).unwrap();
                }
                for key in keys {
                    let key = self.key(*key);
                    self.model.remove(&key);
                    self.deadlines.remove(&key);
                }
            }
            Step::TakeDue(time) => {
                let due: HashSet<_> = self.deadlines.extract_if(|_, deadline| *deadline <= *time).map(|(key, _)| key).collect();
                self.model.retain(|key, _| !due.contains(key));
                let mut taken = 0;
                for table in &mut self.tables {
                    let rows = table.take_due(*time, 3).unwrap();
                    assert!(rows.num_rows() <= 3 && rows.num_columns() == 3);
                    taken += rows.num_rows() + table.remove_due(*time);
                }
                assert_eq!(taken, due.len());
            }
            Step::Snapshot => self.snapshot(),
            Step::Restore { parallelism, compact } => {
                self.snapshot();
                if *compact {
                    self.history.clear();
                    let full = self.tables.iter_mut().map(|table| table.snapshot_all().unwrap());
                    self.history = full.flat_map(|full| full.into_batches().unwrap()).collect();
                }
                self.start(*parallelism);
            }
        }
        self.check();
    }

    fn snapshot(&mut self) {
        for table in &mut self.tables {
            let snapshot = table.snapshot().unwrap();
            let rows = snapshot.rows;
            let batches = snapshot.into_batches().unwrap();
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
            if let Some(first) = batches.first() {
                assert_each_key_once(&concat_batches(first.schema_ref(), &batches).unwrap());
            }
            self.history.extend(batches);
        }
    }

    fn check(&self) {
        assert_eq!(self.tables.iter().map(MemoryTable::len).sum::<usize>(), self.model.len());
        let scanned: usize = self.tables.iter().flat_map(|table| table.scan(3)).map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(scanned, self.model.len());
        let codes: Vec<Code> = std::iter::once(None).chain((0..12).map(Some)).collect();
        let all: Vec<_> = codes.iter().flat_map(|a| codes.iter().map(move |b| (*a, *b))).collect();
        for (task, table) in self.tables.iter().enumerate() {
            let own: Vec<_> = all.iter().copied().filter(|key| self.owner(*key) == task).collect();
            let expected: Vec<Option<Code>> = own.iter().map(|key| self.model.get(&self.key(*key)).copied()).collect();
            let rows = table.get(&self.keys(&own)).unwrap();
            assert_eq!(rows.found.values().iter().collect::<Vec<_>>(), expected.iter().map(Option::is_some).collect::<Vec<_>>());
            let values: Vec<Code> = expected.into_iter().map(Option::flatten).collect();
            let expected = self.kinds[2].column(&values);
            // NaNs are equal by their bits only here: as row bytes.
            let codec = Codec::new("model", Part::Value, table.spec().values()).unwrap();
            let (given, expected) = (codec.encode(rows.values.columns()).unwrap(), codec.encode(&[expected]).unwrap());
            (0..values.len()).for_each(|row| assert_eq!(given.row(row), expected.row(row), "{:?}", own[row]));
        }
    }
}

fn assert_each_key_once(snapshot: &RecordBatch) {
    let keys: Vec<Arc<Field>> = snapshot.schema().fields()[2..4].iter().map(Arc::clone).collect();
    let codec = Codec::new("model", Part::Key, &Arc::new(Schema::new(keys))).unwrap();
    let keys = codec.encode(&snapshot.columns()[2..4]).unwrap();
    let distinct: HashSet<&[u8]> = (0..snapshot.num_rows()).map(|row| keys.row(row)).collect();
    assert_eq!(distinct.len(), snapshot.num_rows());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_map(
        kinds in prop::array::uniform3(prop::sample::select(KINDS.to_vec())),
        group_columns in 1..=2_usize,
        steps in steps(),
    ) {
        let mut twin = Twin::new(kinds, group_columns);
        steps.iter().for_each(|step| twin.apply(step));
    }
}
