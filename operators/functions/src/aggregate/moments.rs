//! Statistics of one column and of two: means and central moments, kept so that they merge without losing digits.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::ResolvedAggregate;
use super::fold::Count;
use super::groups::{Aggregate, StateTypes, column, each, resolved};
use crate::function::Call;

/// Count, mean, and sums of the second to fourth powers of the distances from the mean.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        let n = self.n + 1.0;
        let delta = value - self.mean;
        let delta_n = delta / n;
        let m2 = self.m2 + delta * (delta - delta_n);
        let (delta2, delta_n2) = (delta * delta, delta_n * delta_n);
        let m3 = self.m3 - 3.0 * delta_n * m2 + delta * (delta2 - delta_n2);
        let m4 = self.m4 - 4.0 * delta_n * m3 - 6.0 * delta_n2 * m2 + delta * (delta * delta2 - delta_n * delta_n2);
        *self = Moments { n, mean: self.mean + delta_n, m2, m3, m4 };
    }

    fn merge(&mut self, other: &Moments) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let (n1, n2) = (self.n, other.n);
        let n = n1 + n2;
        let delta = other.mean - self.mean;
        let delta_n = delta / n;
        let m2 = self.m2 + other.m2 + delta * delta_n * n1 * n2;
        let m3 =
            self.m3 + other.m3 + delta_n * delta_n * delta * n1 * n2 * (n1 - n2) + 3.0 * delta_n * (n1 * other.m2 - n2 * self.m2);
        let m4 = self.m4
            + other.m4
            + delta_n * delta_n * delta_n * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
            + 6.0 * delta_n * delta_n * (n1 * n1 * other.m2 + n2 * n2 * self.m2)
            + 4.0 * delta_n * (n1 * other.m3 - n2 * self.m3);
        *self = Moments { n, mean: self.mean + delta_n * n2, m2, m3, m4 };
    }

    /// The variance with this divisor; `None` if it is zero.
    fn variance(&self, divisor: f64) -> Option<f64> {
        (self.n > 0.0 && divisor != 0.0).then(|| self.m2 / divisor)
    }
}

/// A statistic of one column.
struct Statistic {
    /// Whether the third and fourth moments are needed.
    higher: bool,
    result: fn(&Moments) -> Option<f64>,
}

fn statistic(call: &Call<'_>, higher: bool, result: fn(&Moments) -> Option<f64>) -> Result<ResolvedAggregate> {
    let args = vec![call.coerce(0, &DataType::Float64)?];
    let names: &[&str] = if higher { &["n", "mean", "m2", "m3", "m4"] } else { &["n", "mean", "m2"] };
    Ok(resolved(call, args, DataType::Float64, doubles(names), Statistic { higher, result }))
}

fn doubles(names: &[&'static str]) -> StateTypes {
    names.iter().map(|name| (*name, DataType::Float64)).collect()
}

fn doubles_of<C>(cells: &[C], field: impl Fn(&C) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(cells.iter().map(field)))
}

pub(super) fn stddev_samp(call: &Call<'_>) -> Result<ResolvedAggregate> {
    statistic(call, false, |m| m.variance(m.n - 1.0).map(f64::sqrt))
}

pub(super) fn stddev_pop(call: &Call<'_>) -> Result<ResolvedAggregate> {
    statistic(call, false, |m| m.variance(m.n).map(f64::sqrt))
}

pub(super) fn var_samp(call: &Call<'_>) -> Result<ResolvedAggregate> {
    statistic(call, false, |m| m.variance(m.n - 1.0))
}

pub(super) fn var_pop(call: &Call<'_>) -> Result<ResolvedAggregate> {
    statistic(call, false, |m| m.variance(m.n))
}

pub(super) fn skewness(call: &Call<'_>) -> Result<ResolvedAggregate> {
    statistic(call, true, |m| (m.n > 0.0 && m.m2 != 0.0).then(|| m.n.sqrt() * m.m3 / (m.m2 * m.m2 * m.m2).sqrt()))
}

pub(super) fn kurtosis(call: &Call<'_>) -> Result<ResolvedAggregate> {
    statistic(call, true, |m| (m.n > 0.0 && m.m2 != 0.0).then(|| m.n * m.m4 / (m.m2 * m.m2) - 3.0))
}

impl Aggregate for Statistic {
    type Cell = Moments;

    fn update(&self, cells: &mut [Moments], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        each(cells, column::<Float64Array>(args, 0)?, groups, |cell, value| {
            cell.add(value);
            Ok(())
        })
    }

    fn merge(&self, cells: &mut [Moments], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let columns = (0..states.len()).map(|index| column::<Float64Array>(states, index)).collect::<Result<Vec<_>>>()?;
        let at = |index: usize, row: usize| columns.get(index).map_or(0.0, |column| column.value(row));
        for (row, group) in groups.iter().enumerate() {
            let other = Moments { n: at(0, row), mean: at(1, row), m2: at(2, row), m3: at(3, row), m4: at(4, row) };
            cells[*group].merge(&other);
        }
        Ok(())
    }

    fn state(&self, cells: &[Moments]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![doubles_of(cells, |m| m.n), doubles_of(cells, |m| m.mean), doubles_of(cells, |m| m.m2)];
        if self.higher {
            columns.extend([doubles_of(cells, |m| m.m3), doubles_of(cells, |m| m.m4)]);
        }
        Ok(columns)
    }

    fn evaluate(&self, cells: &[Moments]) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(self.result).collect::<Float64Array>()))
    }
}

/// The same for pairs of values: second moments of each and of both.
#[derive(Debug, Clone, Copy, Default)]
struct Comoments {
    n: f64,
    x_mean: f64,
    y_mean: f64,
    xy: f64,
    xx: f64,
    yy: f64,
}

impl Comoments {
    fn add(&mut self, x: f64, y: f64) {
        let n = self.n + 1.0;
        let (dx, dy) = (x - self.x_mean, y - self.y_mean);
        let (x_mean, y_mean) = (self.x_mean + dx / n, self.y_mean + dy / n);
        let xy = self.xy + dx * (y - y_mean);
        let (xx, yy) = (self.xx + dx * (x - x_mean), self.yy + dy * (y - y_mean));
        *self = Comoments { n, x_mean, y_mean, xy, xx, yy };
    }

    fn merge(&mut self, other: &Comoments) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let (n1, n2) = (self.n, other.n);
        let n = n1 + n2;
        let (dx, dy) = (other.x_mean - self.x_mean, other.y_mean - self.y_mean);
        let (dx_n, dy_n) = (dx / n, dy / n);
        *self = Comoments {
            n,
            x_mean: self.x_mean + dx_n * n2,
            y_mean: self.y_mean + dy_n * n2,
            xy: self.xy + other.xy + dx * dy_n * n1 * n2,
            xx: self.xx + other.xx + dx * dx_n * n1 * n2,
            yy: self.yy + other.yy + dy * dy_n * n1 * n2,
        };
    }

    fn some(&self, value: f64) -> Option<f64> {
        (self.n > 0.0).then_some(value)
    }

    fn slope(&self) -> Option<f64> {
        (self.n > 0.0 && self.xx != 0.0).then(|| self.xy / self.xx)
    }
}

/// A statistic of two columns, over the rows where neither is null.
struct BivariateStatistic {
    /// Whether the first argument is `y`, as in the regression functions.
    y_first: bool,
    result: fn(&Comoments) -> Option<f64>,
}

fn bivariate(call: &Call<'_>, y_first: bool, result: fn(&Comoments) -> Option<f64>) -> Result<ResolvedAggregate> {
    let args = vec![call.coerce(0, &DataType::Float64)?, call.coerce(1, &DataType::Float64)?];
    let state = doubles(&["n", "x_mean", "y_mean", "xy", "xx", "yy"]);
    Ok(resolved(call, args, DataType::Float64, state, BivariateStatistic { y_first, result }))
}

pub(super) fn corr(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, false, |c| {
        let divisor = (c.xx * c.yy).sqrt();
        (c.n > 1.0 && divisor != 0.0).then(|| c.xy / divisor)
    })
}

pub(super) fn covar_pop(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, false, |c| c.some(c.xy / c.n))
}

pub(super) fn covar_samp(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, false, |c| (c.n > 1.0).then(|| c.xy / (c.n - 1.0)))
}

pub(super) fn regr_slope(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, Comoments::slope)
}

pub(super) fn regr_intercept(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, |c| c.slope().map(|slope| c.y_mean - slope * c.x_mean))
}

pub(super) fn regr_r2(call: &Call<'_>) -> Result<ResolvedAggregate> {
    // As for `corr`, the first argument is `x` here.
    bivariate(call, false, |c| match (c.xx, c.yy) {
        (_, yy) if c.n < 1.0 || yy == 0.0 => None,
        (0.0, _) => Some(1.0),
        (xx, yy) => {
            let corr = c.xy / (xx * yy).sqrt();
            Some(corr * corr)
        }
    })
}

pub(super) fn regr_avgx(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, |c| c.some(c.x_mean))
}

pub(super) fn regr_avgy(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, |c| c.some(c.y_mean))
}

pub(super) fn regr_sxx(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, |c| c.some(c.xx))
}

pub(super) fn regr_sxy(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, |c| c.some(c.xy))
}

pub(super) fn regr_syy(call: &Call<'_>) -> Result<ResolvedAggregate> {
    bivariate(call, true, |c| c.some(c.yy))
}

impl Aggregate for BivariateStatistic {
    type Cell = Comoments;

    fn update(&self, cells: &mut [Comoments], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (first, second): (&Float64Array, &Float64Array) = (column(args, 0)?, column(args, 1)?);
        for ((first, second), group) in first.iter().zip(second).zip(groups) {
            match (first, second) {
                (Some(y), Some(x)) if self.y_first => cells[*group].add(x, y),
                (Some(x), Some(y)) => cells[*group].add(x, y),
                _ => {}
            }
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Comoments], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let columns = (0..6).map(|index| column::<Float64Array>(states, index)).collect::<Result<Vec<_>>>()?;
        for (row, group) in groups.iter().enumerate() {
            let at = |index: usize| columns.get(index).map_or(0.0, |column: &&Float64Array| column.value(row));
            cells[*group].merge(&Comoments { n: at(0), x_mean: at(1), y_mean: at(2), xy: at(3), xx: at(4), yy: at(5) });
        }
        Ok(())
    }

    fn state(&self, cells: &[Comoments]) -> Result<Vec<ArrayRef>> {
        let fields: [fn(&Comoments) -> f64; 6] = [|c| c.n, |c| c.x_mean, |c| c.y_mean, |c| c.xy, |c| c.xx, |c| c.yy];
        Ok(fields.into_iter().map(|field| doubles_of(cells, field)).collect())
    }

    fn evaluate(&self, cells: &[Comoments]) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(self.result).collect::<Float64Array>()))
    }
}

/// `regr_count`: the rows where neither is null.
pub(super) fn regr_count(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let args = vec![call.coerce(0, &DataType::Float64)?, call.coerce(1, &DataType::Float64)?];
    Ok(resolved(call, args, DataType::Int64, vec![("count", DataType::Int64)], Count { of_true: false }))
}
