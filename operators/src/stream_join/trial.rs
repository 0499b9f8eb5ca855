//! Pairs of rows with equal keys, tried and given a batch at a time.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array, new_null_array};
use arrow::compute::{filter, take};
use arrow::datatypes::{Field, Schema, SchemaRef, UInt32Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use tidegate_runtime::{OperatorContext, Result, TARGET_BATCH_ROWS};

use super::{NAME, StreamJoin, StreamJoinKind};
use crate::expressions::{Chosen, batch_of, choose, failed};
use crate::output::Gathered;

/// The residual condition over just the columns that it reads, so that the others are gathered for matches only.
pub(super) struct Residual {
    condition: Arc<dyn PhysicalExpr>,
    /// The side and number of each column.
    columns: Vec<(usize, usize)>,
    schema: SchemaRef,
}

impl Residual {
    /// The join's, if it has one; `left` and `right` are the output columns of the sides.
    pub(super) fn of(join: &StreamJoin, left: &SchemaRef, right: &SchemaRef) -> Result<Option<Self>> {
        let Some(condition) = &join.residual else { return Ok(None) };
        let split = left.fields().len();
        let mut read: Vec<usize> = collect_columns(condition).into_iter().map(|column| column.index()).collect();
        read.sort_unstable();
        read.dedup();
        let place = |column: &usize| column.checked_sub(split).map_or((0, *column), |column| (1, column));
        let columns: Vec<(usize, usize)> = read.iter().map(place).collect();
        let fields = read.iter().filter_map(|&column| left.fields().iter().chain(right.fields()).nth(column).map(Arc::clone));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let renumber = |expr: Arc<dyn PhysicalExpr>| {
            let number = expr.downcast_ref::<Column>().and_then(|column| read.binary_search(&column.index()).ok());
            Ok(match number {
                Some(number) => Transformed::yes(Arc::new(Column::new("column", number)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(expr),
            })
        };
        let condition = Arc::clone(condition).transform_up(renumber).data().map_err(failed)?;
        Ok(Some(Residual { condition, columns, schema }))
    }

    fn choose(&self, rows: [&RecordBatch; 2], picks: [&UInt32Array; 2]) -> Result<Chosen> {
        let gather = |&(side, column): &(usize, usize)| Ok(take(rows[side].column(column), picks[side], None)?);
        let columns = self.columns.iter().map(gather).collect::<Result<Vec<_>>>()?;
        choose(&self.condition, &batch_of(NAME, &self.schema, columns, picks[0].len())?)
    }
}

/// What an epoch gives.
pub(super) struct Emission {
    pub(super) gathered: Gathered,
    left: SchemaRef,
    right: SchemaRef,
}

impl Emission {
    /// Rows of the output of the join, whose sides have these output columns.
    pub(super) fn new(kind: StreamJoinKind, left: &SchemaRef, right: &SchemaRef) -> Self {
        let right_fields = if kind == StreamJoinKind::LeftSemi { &[] } else { right.fields().as_ref() };
        let all = left.fields().iter().chain(right_fields).enumerate();
        // Both sides number their columns from zero.
        let fields = all.map(|(number, field)| Field::new(format!("column.{number}"), field.data_type().clone(), true));
        let gathered = Gathered::new(&Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        Emission { gathered, left: Arc::clone(left), right: Arc::clone(right) }
    }

    /// Gives rows of a side with nulls for the other, if that is part of the output.
    pub(super) fn alone(&mut self, side: usize, rows: &RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let other = if side == 0 { &self.right } else { &self.left };
        let missing = self.gathered.schema().fields().len().saturating_sub(rows.num_columns());
        let nulls = other.fields().iter().take(missing);
        let nulls = nulls.map(|field| new_null_array(field.data_type(), rows.num_rows()));
        let own = rows.columns().iter().map(Arc::clone);
        let columns: Vec<ArrayRef> = if side == 0 { own.chain(nulls).collect() } else { nulls.chain(own).collect() };
        self.give(columns, rows.num_rows(), context)
    }

    fn give(&mut self, columns: Vec<ArrayRef>, rows: usize, context: &mut OperatorContext<'_>) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let batch = batch_of(NAME, &Arc::clone(self.gathered.schema()), columns, rows)?;
        self.gathered.push(batch, context)
    }
}

/// Rows of the two sides on trial.
pub(super) struct Trial<'a> {
    pub(super) kind: StreamJoinKind,
    pub(super) residual: Option<&'a Residual>,
    /// The left and the right rows.
    pub(super) rows: [&'a RecordBatch; 2],
    /// Whether each has a match.
    pub(super) matched: [&'a mut [bool]; 2],
    /// Pairs yet to be tried.
    pub(super) pairs: [Vec<u32>; 2],
    pub(super) emission: &'a mut Emission,
}

impl Trial<'_> {
    /// Tries each of some left rows with each of some right ones: rows of one key.
    pub(super) fn cross(
        &mut self,
        lefts: impl Iterator<Item = u32>,
        rights: impl Iterator<Item = u32> + Clone,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        let first_counts = self.kind == StreamJoinKind::LeftSemi;
        for left in lefts {
            for right in rights.clone() {
                if first_counts && self.matched[0][left as usize] {
                    break;
                }
                if first_counts && self.residual.is_none() {
                    self.matched[0][left as usize] = true;
                    break;
                }
                self.pairs[0].push(left);
                self.pairs[1].push(right);
                if self.pairs[0].len() >= TARGET_BATCH_ROWS {
                    self.run(context)?;
                }
            }
        }
        Ok(())
    }

    /// Tries the pairs that are left.
    pub(super) fn run(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        if self.pairs[0].is_empty() {
            return Ok(());
        }
        let [lefts, rights] = &mut self.pairs;
        let mut picks = [UInt32Array::from(std::mem::take(lefts)), UInt32Array::from(std::mem::take(rights))];
        match self.residual.map(|residual| residual.choose(self.rows, [&picks[0], &picks[1]])).transpose()? {
            None | Some(Chosen::All) => {}
            Some(Chosen::None) => return Ok(()),
            Some(Chosen::Some(keep)) => picks = [chosen(&picks[0], &keep)?, chosen(&picks[1], &keep)?],
        }
        for (matched, picks) in self.matched.iter_mut().zip(&picks) {
            picks.values().iter().for_each(|&row| matched[row as usize] = true);
        }
        if self.kind == StreamJoinKind::LeftSemi {
            return Ok(());
        }
        let mut columns = Vec::new();
        for (rows, picks) in self.rows.iter().zip(&picks) {
            for column in rows.columns() {
                columns.push(take(column, picks, None)?);
            }
        }
        self.emission.give(columns, picks[0].len(), context)
    }
}

fn chosen(picks: &UInt32Array, keep: &BooleanArray) -> Result<UInt32Array> {
    Ok(filter(picks, keep)?.as_primitive::<UInt32Type>().clone())
}
