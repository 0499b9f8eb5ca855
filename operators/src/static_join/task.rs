//! One parallel instance of a [`StaticJoin`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{filter, filter_record_batch, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, Error, Operator, OperatorContext, Port, Result, TARGET_BATCH_ROWS};

use super::build_side::BuildSide;
use super::shared_rows::SharedRows;
use super::{StaticJoin, StaticJoinKind};
use crate::expressions::{Chosen, batch_of, choose, evaluate_all};
use crate::output::Gathered;

pub(super) struct JoinTask {
    join: StaticJoin,
    shared: SharedRows,
    /// The build side as the newest epoch with rows sees it.
    build: Option<(Epoch, BuildSide)>,
    /// What the stream's columns are known to be with the first batch.
    schemas: Option<Schemas>,
}

struct Schemas {
    pair: SchemaRef,
    output: Gathered,
}

/// Row numbers of pairs; `None` where a row of the stream goes without.
#[derive(Default)]
struct Pairs {
    stream: Vec<u32>,
    build: Vec<Option<u32>>,
}

impl Pairs {
    fn push(&mut self, stream: usize, build: Option<u32>) {
        self.stream.push(stream as u32);
        self.build.push(build);
    }

    fn are_many(&self) -> bool {
        self.stream.len() >= TARGET_BATCH_ROWS
    }
}

impl JoinTask {
    pub(super) fn new(join: StaticJoin, shared: SharedRows) -> Self {
        JoinTask { join, shared, build: None, schemas: None }
    }

    /// Makes the build side that of the epoch.
    fn enter(&mut self, epoch: Epoch) -> Result<()> {
        if self.build.as_ref().is_some_and(|(known, _)| *known == epoch) {
            return Ok(());
        }
        let rows = self.shared.of_epoch(epoch, &self.join)?;
        let build = match self.build.take() {
            Some((_, build)) if Arc::ptr_eq(&build.rows, &rows) => build,
            _ => BuildSide::new(&self.join, rows)?,
        };
        self.build = Some((epoch, build));
        Ok(())
    }
}

impl Operator for JoinTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        self.enter(context.epoch()?.epoch)?;
        let JoinTask { join, build, schemas, .. } = self;
        let Some((_, build)) = build else { return Err(Error::Protocol("a join has no build side".to_owned())) };
        let Schemas { pair, output } = schemas.get_or_insert_with(|| Schemas {
            pair: join.pair_schema(batch.schema_ref()),
            output: Gathered::new(&join.joined_schema(batch.schema_ref())),
        });
        let keys = evaluate_all(&join.stream_keys, &batch)?;
        let probe = Probe { join, pair, batch: &batch };
        match join.join {
            StaticJoinKind::Inner => probe.inner(build, &keys, output, context),
            StaticJoinKind::StreamOuter => probe.outer(build, &keys, output, context),
            StaticJoinKind::StreamSemi => probe.keep(&probe.matched(build, &keys)?, true, output, context),
            StaticJoinKind::StreamAnti => probe.keep(&probe.matched(build, &keys)?, false, output, context),
            StaticJoinKind::NullAwareAnti => probe.keep(&probe.excluded(build, &keys)?, false, output, context),
        }
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.shared.end(context.epoch()?.epoch);
        self.schemas.as_mut().map_or(Ok(()), |schemas| schemas.output.flush(context))
    }
}

/// A batch of the stream on its way.
struct Probe<'a> {
    join: &'a StaticJoin,
    pair: &'a SchemaRef,
    batch: &'a RecordBatch,
}

impl Probe<'_> {
    fn inner(
        &self,
        build: &mut BuildSide,
        keys: &[ArrayRef],
        output: &mut Gathered,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        self.pairs(build, keys, false, |build, pairs| {
            let (rows, _) = self.fulfilled(build, &pairs)?;
            self.emit(rows, output, context)
        })
    }

    fn outer(
        &self,
        build: &mut BuildSide,
        keys: &[ArrayRef],
        output: &mut Gathered,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let mut matched = vec![false; self.batch.num_rows()];
        if self.join.residual.is_none() {
            return self.pairs(build, keys, true, |build, pairs| self.emit(self.gather(build, &pairs)?, output, context));
        }
        self.pairs(build, keys, false, |build, pairs| {
            let (rows, stream) = self.fulfilled(build, &pairs)?;
            stream.values().iter().for_each(|&row| matched[row as usize] = true);
            self.emit(rows, output, context)
        })?;
        let mut without = Pairs::default();
        matched.iter().enumerate().filter(|(_, matched)| !**matched).for_each(|(row, _)| without.push(row, None));
        self.emit(self.gather(build, &without)?, output, context)
    }

    /// Which rows have a match.
    fn matched(&self, build: &mut BuildSide, keys: &[ArrayRef]) -> Result<Vec<bool>> {
        if self.join.residual.is_none() {
            let spans = build.find(keys, &self.join.null_equal, self.batch.num_rows())?;
            return Ok(spans.into_iter().map(|(start, end)| start < end).collect());
        }
        let mut matched = vec![false; self.batch.num_rows()];
        self.pairs(build, keys, false, |build, pairs| {
            let (_, stream) = self.fulfilled(build, &pairs)?;
            stream.values().iter().for_each(|&row| matched[row as usize] = true);
            Ok(())
        })?;
        Ok(matched)
    }

    /// Which rows are not `NOT IN` the build side: there is a row of it that is equal, or might be.
    fn excluded(&self, build: &mut BuildSide, keys: &[ArrayRef]) -> Result<Vec<bool>> {
        let rows = self.batch.num_rows();
        if let ([key], None) = (keys, &self.join.residual) {
            if build.rows.num_rows() == 0 || build.has_null_key {
                return Ok(vec![build.has_null_key; rows]);
            }
            let nulls = key.logical_nulls();
            let mut excluded = self.matched(build, keys)?;
            let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            excluded.iter_mut().enumerate().for_each(|(row, excluded)| *excluded |= is_null(row));
            return Ok(excluded);
        }
        let of_stream = build.keys.iter().zip(keys).map(|(own, key)| own.of_stream(key)).collect::<Result<Vec<_>>>()?;
        let mut excluded = vec![false; rows];
        let mut pairs = Pairs::default();
        for row in 0..rows {
            for other in 0..build.rows.num_rows() {
                let differs = build.keys.iter().zip(&of_stream).any(|(own, stream)| own.differs(other, stream, row));
                if differs {
                    continue;
                }
                if self.join.residual.is_none() {
                    excluded[row] = true;
                    break;
                }
                pairs.push(row, Some(other as u32));
                if pairs.are_many() {
                    let (_, stream) = self.fulfilled(build, &std::mem::take(&mut pairs))?;
                    stream.values().iter().for_each(|&row| excluded[row as usize] = true);
                    if excluded[row] {
                        break;
                    }
                }
            }
        }
        let (_, stream) = self.fulfilled(build, &pairs)?;
        stream.values().iter().for_each(|&row| excluded[row as usize] = true);
        Ok(excluded)
    }

    /// Gives all pairs with equal keys, about a batch of them at a time, and if `alone` also each row that is in no pair.
    fn pairs(
        &self,
        build: &mut BuildSide,
        keys: &[ArrayRef],
        alone: bool,
        mut take: impl FnMut(&BuildSide, Pairs) -> Result<()>,
    ) -> Result<()> {
        let spans = build.find(keys, &self.join.null_equal, self.batch.num_rows())?;
        let mut pairs = Pairs::default();
        for (row, (start, end)) in spans.into_iter().enumerate() {
            if alone && start == end {
                pairs.push(row, None);
            }
            for at in start..end {
                pairs.push(row, Some(build.by_group()[at as usize]));
                if pairs.are_many() {
                    take(build, std::mem::take(&mut pairs))?;
                }
            }
        }
        take(build, pairs)
    }

    /// The pairs that fulfil the residual condition, as columns, and the stream's row of each.
    fn fulfilled(&self, build: &BuildSide, pairs: &Pairs) -> Result<(RecordBatch, UInt32Array)> {
        let rows = self.gather(build, pairs)?;
        let stream = UInt32Array::from(pairs.stream.clone());
        let Some(residual) = self.join.residual.as_ref().filter(|_| rows.num_rows() > 0) else { return Ok((rows, stream)) };
        Ok(match choose(residual, &rows)? {
            Chosen::All => (rows, stream),
            Chosen::None => (rows.slice(0, 0), stream.slice(0, 0)),
            Chosen::Some(keep) => {
                let kept: &dyn Array = &filter(&stream, &keep)?;
                (filter_record_batch(&rows, &keep)?, UInt32Array::from(kept.to_data()))
            }
        })
    }

    /// The columns of pairs, the stream's first.
    fn gather(&self, build: &BuildSide, pairs: &Pairs) -> Result<RecordBatch> {
        let (rows, stream, other) =
            (pairs.stream.len(), UInt32Array::from(pairs.stream.clone()), UInt32Array::from(pairs.build.clone()));
        let stream = self.batch.columns().iter().map(|column| Ok(take(column, &stream, None)?));
        let other = build.rows.columns().iter().map(|column| Ok(take(column, &other, None)?));
        batch_of("join", self.pair, stream.chain(other).collect::<Result<Vec<_>>>()?, rows)
    }

    /// Gives pairs on, with the columns in the order of the output.
    fn emit(&self, pairs: RecordBatch, output: &mut Gathered, context: &mut OperatorContext<'_>) -> Result<()> {
        if pairs.num_rows() == 0 {
            return Ok(());
        }
        let mut columns = pairs.columns().to_vec();
        if self.join.build_first {
            columns.rotate_left(self.batch.num_columns());
        }
        let schema = Arc::clone(output.schema());
        output.push(batch_of("join", &schema, columns, pairs.num_rows())?, context)
    }

    /// Gives on the rows of the stream that are marked, or those that are not.
    fn keep(&self, marks: &[bool], marked: bool, output: &mut Gathered, context: &mut OperatorContext<'_>) -> Result<()> {
        let keep: BooleanArray = marks.iter().map(|&mark| Some(mark == marked)).collect();
        output.push_filtered(self.batch.clone(), &keep, context)
    }
}
