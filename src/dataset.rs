//! Typed rows: a [`Dataset`] is a `DataFrame` whose rows are values of a Rust type.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, Aggregate, AggregateUDF, AggregateUDFImpl, Expr as DfExpr, Filter, LogicalPlan, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_arrow::schema::{SchemaLike, TracingOptions};
use tidegate_functions::types::{canonical, element};

use crate::analysis::nodes::{self, Generate};
use crate::analysis::{Attribute, Relation};
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};

/// Rows of a Rust type, over the same plans as a [`DataFrame`]: closures and untyped operations mix freely.
///
/// The fields of `T` are matched with the columns by name. Closures run in the query's tasks, a batch at a time; a panic in one fails
/// the query and never the process. They must give the same result whenever an epoch is repeated.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Reading { sensor: String, celsius: f64 }
/// #[derive(Serialize, Deserialize)]
/// struct Alarm { sensor: String, fahrenheit: f64 }
///
/// let session = tidegate::Session::builder().build()?;
/// let readings = session.sql("SELECT * FROM VALUES ('a', 20.0D), ('b', 90.0D) AS t(sensor, celsius)")?.as_dataset::<Reading>()?;
/// let alarms = readings
///     .filter(|reading| reading.celsius > 80.0)
///     .map(|reading| Alarm { sensor: reading.sensor, fahrenheit: reading.celsius * 1.8 + 32.0 })?;
/// assert_eq!(alarms.collect()?[0].fahrenheit, 194.0);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[must_use]
pub struct Dataset<T> {
    frame: DataFrame,
    fields: Vec<FieldRef>,
    rows: PhantomData<fn() -> T>,
}

impl<T> Clone for Dataset<T> {
    fn clone(&self) -> Self {
        Dataset { frame: self.frame.clone(), fields: self.fields.clone(), rows: PhantomData }
    }
}

impl<T> std::fmt::Debug for Dataset<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset").field("frame", &self.frame).finish_non_exhaustive()
    }
}

/// A key and what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyValue<K, V> {
    /// The key.
    pub key: K,
    /// Its value.
    pub value: V,
}

/// What a row type must be: read and written by serde, and free to move between threads.
pub trait Row: Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Row for T {}

impl DataFrame {
    /// The rows as values of `T`, whose fields are columns of the same names.
    ///
    /// # Errors
    /// The first error of the calls that made the frame, and when a field has no column.
    pub fn as_dataset<T: Row>(&self) -> Result<Dataset<T>> {
        let fields = fields_of::<T>()?;
        // The columns as `T` has them: a cast that can't be is refused now.
        let columns = fields
            .iter()
            .map(|field| self.col(field.name()).cast(&tidegate_functions::types::name(field.data_type())).alias(field.name()));
        let frame = self.select(columns.collect::<Vec<_>>());
        frame.relation()?;
        Ok(Dataset { frame, fields, rows: PhantomData })
    }
}

impl<T: Row> Dataset<T> {
    /// The same rows without a type.
    pub fn to_df(&self) -> DataFrame {
        self.frame.clone()
    }

    /// A row for each row.
    ///
    /// # Errors
    /// When `U` has no fields that can be columns.
    pub fn map<U: Row>(&self, f: impl Fn(T) -> U + Send + Sync + 'static) -> Result<Dataset<U>> {
        self.flat_map(move |row| std::iter::once(f(row)))
    }

    /// Any number of rows for each row.
    ///
    /// # Errors
    /// When `U` has no fields that can be columns.
    pub fn flat_map<U: Row, I: IntoIterator<Item = U>>(&self, f: impl Fn(T) -> I + Send + Sync + 'static) -> Result<Dataset<U>> {
        let (given, made) = (self.fields.clone(), fields_of::<U>()?);
        let output = Fields::from(made.clone());
        let list = element(DataType::Struct(output.clone()));
        let (row_type, list_type) = (Arc::clone(&list), DataType::List(list));
        let made_fields = made.clone();
        let function = RowFunction::new("flat_map", list_type, move |columns, rows| {
            let values: Vec<T> = from_columns(&given, columns, rows)?;
            let mut lengths = Vec::with_capacity(rows);
            let mut all = Vec::with_capacity(rows);
            for value in values {
                let before = all.len();
                all.extend(f(value));
                lengths.push(all.len() - before);
            }
            let batch = to_batch(&made_fields, &all)?;
            let structs = StructArray::try_new_with_length(output.clone(), batch.columns().to_vec(), None, all.len())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(&row_type), OffsetBuffer::from_lengths(lengths), Arc::new(structs), None)?))
        });
        let relation = self.frame.relation()?;
        let call = function.call(&relation);
        let columns: Vec<Attribute> = made.iter().map(|field| Attribute::new(field.name(), field.data_type().clone())).collect();
        let generated = columns.iter().map(|column| (column.id.clone(), column.data_type.clone())).collect();
        let plan = nodes::plan(Generate::new(relation.plan, call, false, generated)?);
        let relation = Relation { plan, columns: columns.clone() }.keep(columns)?;
        Ok(Dataset { frame: self.frame.session().frame(relation), fields: made, rows: PhantomData })
    }

    /// The rows for which `f` is true.
    pub fn filter(&self, f: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        let given = self.fields.clone();
        let function = RowFunction::new("filter", DataType::Boolean, move |columns, rows| {
            let values: Vec<T> = from_columns(&given, columns, rows)?;
            Ok(Arc::new(BooleanArray::from_iter(values.iter().map(|value| Some(f(value))))))
        });
        let relation = self.frame.relation().and_then(|relation| {
            let condition = function.call(&relation);
            let plan = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(relation.plan))?);
            Ok(Relation { plan, columns: relation.columns })
        });
        Dataset { frame: DataFrame::new(self.frame.session().clone(), relation), fields: self.fields.clone(), rows: PhantomData }
    }

    /// Groups rows by a key that is computed from each.
    ///
    /// # Errors
    /// When `K` can't be a column.
    pub fn group_by_key<K: Row>(&self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Result<KeyValueGroups<K, T>> {
        let keyed = self.map(move |row| KeyValue { key: key(&row), value: row })?;
        Ok(KeyValueGroups { keyed })
    }

    /// All rows of a batch.
    ///
    /// # Errors
    /// As [`DataFrame::collect`], and when a row can't be read as `T` (a null in a field that is no `Option`).
    pub fn collect(&self) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        for batch in self.frame.collect()? {
            rows.extend(from_columns::<T>(&self.fields, batch.columns(), batch.num_rows())?);
        }
        Ok(rows)
    }
}

/// Rows in groups, each with a key.
#[derive(Debug, Clone)]
#[must_use]
pub struct KeyValueGroups<K, T> {
    keyed: Dataset<KeyValue<K, T>>,
}

impl<K: Row, T: Row> KeyValueGroups<K, T> {
    /// One value for each key: `f` combines two at a time, in any order.
    ///
    /// # Errors
    /// When the columns can't be found.
    pub fn reduce_groups(&self, f: impl Fn(T, T) -> T + Send + Sync + 'static) -> Result<Dataset<KeyValue<K, T>>> {
        let relation = self.keyed.frame.relation()?;
        let [key, value] = relation.columns.as_slice() else {
            return Err(Error::unsupported("a keyed dataset has a key and a value"));
        };
        let value_field = Arc::new(Field::new("value", value.data_type.clone(), true));
        let reduce = Reduce {
            id: next_id(),
            signature: Signature::any(1, Volatility::Immutable),
            field: value_field,
            combine: Arc::new(Typed(f, PhantomData)),
        };
        let call =
            AggregateFunction::new_udf(Arc::new(AggregateUDF::from(reduce)), vec![value.expr()], false, None, Vec::new(), None);
        let reduced = Attribute::new("value", value.data_type.clone());
        let calls = vec![DfExpr::AggregateFunction(call).alias(reduced.id.clone())];
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(relation.plan.clone()), vec![key.expr()], calls)?);
        let relation = Relation { plan, columns: vec![key.clone(), reduced] };
        Ok(Dataset { frame: self.keyed.frame.session().frame(relation), fields: self.keyed.fields.clone(), rows: PhantomData })
    }

    /// How many rows each key has.
    pub fn count(&self) -> DataFrame {
        self.keyed.frame.group_by(["key"]).count()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

// ---- rows and columns

fn conversion(error: impl std::fmt::Display) -> Error {
    Error::analysis("ENCODER_NOT_FOUND", format!("rows and columns don't fit: {error}"))
}

/// The columns that values of `T` have.
pub(crate) fn fields_of<T: for<'de> Deserialize<'de>>() -> Result<Vec<FieldRef>> {
    let options = TracingOptions::default().allow_null_fields(true).strings_as_large_utf8(false).sequence_as_large_list(false);
    let fields = Vec::<FieldRef>::from_type::<T>(options).map_err(conversion)?;
    fields
        .iter()
        .map(|field| {
            let data_type =
                canonical(field.data_type()).ok_or_else(|| conversion(format!("field {} has no SQL type", field.name())))?;
            Ok(Arc::new(Field::new(field.name(), data_type, true)))
        })
        .collect()
}

/// Values as columns.
pub(crate) fn to_batch<T: Serialize>(fields: &[FieldRef], rows: &[T]) -> Result<RecordBatch> {
    let columns = serde_arrow::to_arrow(fields, rows).map_err(conversion)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields.to_vec())), columns, &options)?)
}

fn from_columns<T: DeserializeOwned>(fields: &[FieldRef], columns: &[ArrayRef], rows: usize) -> Result<Vec<T>> {
    if rows == 0 {
        return Ok(Vec::new());
    }
    serde_arrow::from_arrow(fields, columns).map_err(conversion)
}

// ---- closures as functions

type RowKernel = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync;

/// A closure over the columns of a dataset.
struct RowFunction {
    id: u64,
    name: &'static str,
    signature: Signature,
    returns: DataType,
    kernel: Box<RowKernel>,
}

impl RowFunction {
    fn new(
        name: &'static str,
        returns: DataType,
        kernel: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Self {
        RowFunction {
            id: next_id(),
            name,
            signature: Signature::variadic_any(Volatility::Volatile),
            returns,
            kernel: Box::new(kernel),
        }
    }

    /// The call of it over all columns.
    fn call(self, relation: &Relation) -> DfExpr {
        let args = relation.columns.iter().map(Attribute::expr).collect();
        DfExpr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self)), args))
    }
}

impl std::fmt::Debug for RowFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowFunction").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> datafusion::error::Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::error::Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<datafusion::error::Result<Vec<_>>>()?;
        let result = (self.kernel)(&columns, rows).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(result))
    }
}

/// Combines two values, each a row of one column.
trait Combine: Send + Sync {
    /// Reduces a column to one value; none of no values.
    fn reduce(&self, field: &FieldRef, column: &ArrayRef) -> Result<Option<ArrayRef>>;
}

struct Typed<T, F>(F, PhantomData<fn() -> T>);

/// A value as the only field of a struct: values that are no structs have columns too.
#[derive(Serialize, Deserialize)]
struct Wrapped<T> {
    value: T,
}

impl<T: Row, F: Fn(T, T) -> T + Send + Sync> Combine for Typed<T, F> {
    fn reduce(&self, field: &FieldRef, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        let fields = [Arc::clone(field)];
        let values: Vec<Wrapped<T>> = from_columns(&fields, &[Arc::clone(column)], column.len())?;
        let reduced = values.into_iter().map(|wrapped| wrapped.value).reduce(|left, right| (self.0)(left, right));
        let Some(value) = reduced else { return Ok(None) };
        Ok(Some(Arc::clone(to_batch(&fields, &[Wrapped { value }])?.column(0))))
    }
}

/// `reduce_groups` as an aggregate function. Its state is the value so far.
struct Reduce {
    id: u64,
    signature: Signature,
    field: FieldRef,
    combine: Arc<dyn Combine>,
}

impl std::fmt::Debug for Reduce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reduce").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for Reduce {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Reduce {}

impl Hash for Reduce {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl AggregateUDFImpl for Reduce {
    fn name(&self) -> &str {
        "reduce_groups"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> datafusion::error::Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> datafusion::error::Result<Box<dyn Accumulator>> {
        Ok(Box::new(Reduced { field: Arc::clone(&self.field), combine: Arc::clone(&self.combine), value: None }))
    }

    fn state_fields(&self, _args: StateFieldsArgs<'_>) -> datafusion::error::Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("value", self.field.data_type().clone(), true))])
    }
}

struct Reduced {
    field: FieldRef,
    combine: Arc<dyn Combine>,
    value: Option<ArrayRef>,
}

impl std::fmt::Debug for Reduced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reduced").finish_non_exhaustive()
    }
}

impl Accumulator for Reduced {
    fn update_batch(&mut self, values: &[ArrayRef]) -> datafusion::error::Result<()> {
        let Some(column) = values.first() else { return Ok(()) };
        // A state without a value is null: it is no row.
        let present = arrow::compute::is_not_null(column)?;
        let column = arrow::compute::filter(column, &present)?;
        let all = match &self.value {
            Some(value) => arrow::compute::concat(&[value.as_ref(), column.as_ref()])?,
            None => column,
        };
        if let Some(value) = self.combine.reduce(&self.field, &all).map_err(|error| DataFusionError::External(Box::new(error)))? {
            self.value = Some(value);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> datafusion::error::Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> datafusion::error::Result<Vec<datafusion::common::ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> datafusion::error::Result<datafusion::common::ScalarValue> {
        match &self.value {
            Some(value) => datafusion::common::ScalarValue::try_from_array(value, 0),
            None => datafusion::common::ScalarValue::try_from(self.field.data_type()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.as_ref().map_or(0, |value| value.get_array_memory_size())
    }
}
