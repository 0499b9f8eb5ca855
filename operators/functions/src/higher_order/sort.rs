//! `array_sort` with a comparator.

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::Result;

use super::{Captures, LambdaResolver};
use crate::array::arguments::{array_argument, mismatch};
use crate::array::lists::Lists;
use crate::error::spark_error;
use crate::function::{Call, Resolved};
use crate::types::{list, sql_name};

pub(super) fn array_sort(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    let lambda = lambdas.resolve(1, &[element.clone(), element.clone()])?;
    if lambda.returns != DataType::Int32 {
        let given = sql_name(&lambda.returns);
        let message = format!("The `lambdafunction` requires return \"INT\" type, but the actual is \"{given}\" type.");
        return Err(mismatch(call, "UNEXPECTED_RETURN_TYPE", message));
    }
    let arg = list(element);
    let kernel = move |invocation: &crate::function::Invocation<'_>| {
        let lists = Lists::of(&invocation.array(0)?)?;
        let captures = Captures::after(invocation, 1);
        let mut sorters: Vec<Sorter> = (0..lists.len()).map(|row| Sorter::new(lists.range(row).map(|at| at as u32))).collect();
        // All rows are sorted at once: each asks for one comparison, and one call of the lambda answers all.
        let mut active: Vec<u32> = (0..lists.len() as u32).collect();
        loop {
            let questions = active.iter().filter_map(|row| Some((*row, sorters[*row as usize].question()?)));
            let questions: Vec<(u32, (u32, u32))> = questions.collect();
            if questions.is_empty() {
                break;
            }
            let left = UInt32Array::from_iter_values(questions.iter().map(|(_, (left, _))| *left));
            let right = UInt32Array::from_iter_values(questions.iter().map(|(_, (_, right))| *right));
            let parameters = [take(&lists.values, &left, None)?, take(&lists.values, &right, None)?];
            active = questions.iter().map(|(row, _)| *row).collect();
            let answers = lambda.call(&parameters, &captures.at(&UInt32Array::from(active.clone()))?, active.len())?;
            if answers.null_count() > 0 {
                return Err(spark_error(
                    "COMPARATOR_RETURNS_NULL",
                    "The comparator has returned a NULL for a comparison. It should return a positive integer for \"greater than\", 0 for \
                     \"equal\" and a negative integer for \"less than\".",
                ));
            }
            let answers = answers.as_primitive::<Int32Type>().values();
            active.iter().zip(answers).for_each(|(row, answer)| sorters[*row as usize].answer(*answer));
        }
        let order = UInt32Array::from_iter_values(sorters.into_iter().flat_map(|sorter| sorter.order));
        lists.with_values(take(&lists.values, &order, None)?)
    };
    Ok(Resolved::new(vec![arg.clone()], arg, kernel).fallible())
}

/// A stable sort that asks for one comparison at a time: it takes the run that the elements start with, then inserts the others by
/// binary search. It asks what Java's sort asks for a short array, so that a comparator without sense gives the same order.
#[derive(Debug)]
struct Sorter {
    order: Vec<u32>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The first `end` elements rise or (strictly) fall.
    Run { end: usize, falling: Option<bool> },
    /// The first `next` elements are sorted; the place of the next one is from `left` to `right`.
    Insert { next: usize, left: usize, right: usize },
}

impl Sorter {
    fn new(elements: impl Iterator<Item = u32>) -> Self {
        Sorter { order: elements.collect(), phase: Phase::Run { end: 1, falling: None } }
    }

    /// Which two elements to compare next; `None` when all are sorted.
    fn question(&self) -> Option<(u32, u32)> {
        let (first, second) = match self.phase {
            Phase::Run { end, .. } => (end, end - 1),
            Phase::Insert { next, left, right } => (next, usize::midpoint(left, right)),
        };
        Some((*self.order.get(first)?, *self.order.get(second)?))
    }

    /// Takes the answer to the question: negative if the first is less.
    fn answer(&mut self, answer: i32) {
        match &mut self.phase {
            Phase::Run { end, falling } => {
                let continues = *falling.get_or_insert(answer < 0) == (answer < 0);
                let falls = *falling == Some(true);
                if continues {
                    *end += 1;
                }
                let end = *end;
                if !continues || end == self.order.len() {
                    if falls {
                        self.order[..end].reverse();
                    }
                    self.phase = Phase::Insert { next: end, left: 0, right: end };
                }
            }
            Phase::Insert { next, left, right } => {
                let middle = usize::midpoint(*left, *right);
                if answer < 0 {
                    *right = middle
                } else {
                    *left = middle + 1
                }
                if left == right {
                    self.order[*left..=*next].rotate_right(1);
                    let next = *next + 1;
                    self.phase = Phase::Insert { next, left: 0, right: next };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(values: &[i32], compare: impl Fn(i32, i32) -> i32) -> Vec<i32> {
        let mut sorter = Sorter::new(0..values.len() as u32);
        while let Some((left, right)) = sorter.question() {
            sorter.answer(compare(values[left as usize], values[right as usize]));
        }
        sorter.order.iter().map(|index| values[*index as usize]).collect()
    }

    #[test]
    fn it_sorts() {
        for values in [&[][..], &[1], &[2, 1], &[3, 2, 1], &[1, 2, 3, 0, 5, 4, 4, 4, 9, -1], &[5, 5, 5, 1, 5]] {
            let mut expected = values.to_vec();
            expected.sort_unstable();
            assert_eq!(sorted(values, |left, right| left - right), expected);
        }
    }

    #[test]
    fn senseless_comparators_keep_the_order() {
        assert_eq!(sorted(&[3, 1, 2], |_, _| 1), [3, 1, 2]);
        assert_eq!(sorted(&[3, 1, 2], |_, _| 0), [3, 1, 2]);
        // Equal elements stay as they were.
        assert_eq!(sorted(&[31, 12, 32, 11], |left, right| left / 10 - right / 10), [12, 11, 31, 32]);
    }
}
