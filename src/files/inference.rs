//! The columns of files that the user did not give.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use tidegate_connectors::{CsvOptions, FileSource, TextInference, TextRules};
use tidegate_functions::json::{InferenceRules, JsonInference};

use super::FileRequest;
use super::options;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::reader::DeclaredSchema;
use crate::source_table::look_at;

/// Structures within each other that become columns: who writes a file must not decide how much stack its readers need.
const MAX_DEPTH: usize = 64;
/// For the 1 000 structures within each other that JSON may have, which are all looked at before they are cut to those.
const STACK_BYTES: usize = 64 << 20;

impl FileRequest<'_> {
    /// The columns of the files that are there.
    pub(super) fn infer(&self, sources: &[FileSource]) -> Result<SchemaRef> {
        let schema = match self.format {
            "json" => with_deep_stack(|| self.json_columns())?,
            "csv" => self.csv_columns()?,
            _ => {
                let merge = self.options.parsed("mergeSchema")?.unwrap_or(false);
                columns_of(sources, merge)?
            }
        };
        if schema.fields().is_empty() {
            let format = self.format;
            return Err(Error::analysis(
                "UNABLE_TO_INFER_SCHEMA",
                format!("Unable to infer schema for {format}. It must be specified manually: call .schema(\"name STRING, …\")."),
            ));
        }
        DeclaredSchema::from(schema).resolved()
    }

    fn json_columns(&self) -> Result<Schema> {
        let flag = |name: &str| Ok::<_, Error>(self.options.parsed(name)?.unwrap_or(false));
        let timestamp = options::time_forms(self.session, self.options)?.timestamp.filter(|_| infers_timestamps(self.options));
        let mut inference = JsonInference::new(InferenceRules {
            primitives_as_string: flag("primitivesAsString")?,
            prefers_decimal: flag("prefersDecimal")?,
            drop_field_if_all_null: flag("dropFieldIfAllNull")?,
            is_timestamp: timestamp.map(|form| Box::new(move |text: &str| form.reads(text)) as Box<_>),
        });
        let multi_line = self.options.parsed("multiLine")?.unwrap_or(false);
        let mut sample = Sample::new(options::sampling_ratio(self.options)?);
        self.for_each_line(multi_line, &mut |line| {
            if sample.takes() {
                inference.add(line);
            }
            true
        })?;
        let corrupt = self.options.get("columnNameOfCorruptRecord").unwrap_or("_corrupt_record");
        let is_kept = self.options.get("mode").is_none_or(|mode| mode.eq_ignore_ascii_case("PERMISSIVE"));
        let fields = inference.finish(is_kept.then_some(corrupt))?;
        check_names(&fields)?;
        let shallow = fields.iter().map(|field| field.as_ref().clone().with_data_type(shallow(field.data_type(), MAX_DEPTH)));
        Ok(Schema::new(shallow.collect::<Vec<_>>()))
    }

    fn csv_columns(&self) -> Result<Schema> {
        let csv = options::csv(self.options)?;
        let Some(first) = self.first_record(&csv)? else { return Ok(Schema::empty()) };
        let names = column_names(&csv, &csv.values(&first));
        let texts: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(texts));
        if !self.options.parsed("inferSchema")?.unwrap_or(false) {
            return Ok(Schema::clone(&schema));
        }
        let mut any_header = csv.clone();
        any_header.enforce_schema = true;
        let prefer_date = self.options.parsed("preferDate")?.unwrap_or(true);
        let rules = TextRules::new(csv, options::time_forms(self.session, self.options)?, prefer_date);
        let mut columns = vec![TextInference::default(); names.len()];
        let mut sample = Sample::new(options::sampling_ratio(self.options)?);
        for source in self.sources(self.paths, &schema)? {
            look_at(&source.csv_options(any_header.clone()), &mut |batch| {
                let taken: Vec<bool> = (0..batch.num_rows()).map(|_| sample.takes()).collect();
                for (inference, column) in columns.iter_mut().zip(batch.columns()) {
                    let values = column.as_string::<i32>().iter().zip(&taken).filter(|(_, taken)| **taken);
                    values.for_each(|(value, _)| inference.add(value, &rules));
                }
                true
            })?;
        }
        let typed = names.iter().zip(columns).map(|(name, inference)| Field::new(name, inference.finish(), true));
        Ok(Schema::new(typed.collect::<Vec<_>>()))
    }

    /// The first line that is a record, or the names of one.
    fn first_record(&self, csv: &CsvOptions) -> Result<Option<String>> {
        const MOST_LINES: usize = 1_000;
        let (mut first, mut lines): (Option<String>, usize) = (None, 0);
        let mut look = |line: &str| {
            let is_comment = csv.comment.is_some_and(|comment| line.as_bytes().first() == Some(&comment));
            match &mut first {
                Some(begun) => {
                    begun.push('\n');
                    begun.push_str(line);
                }
                None if line.trim().is_empty() || is_comment => return true,
                None => first = Some(line.to_owned()),
            }
            lines += 1;
            lines < MOST_LINES && first.as_ref().is_some_and(|record| csv.goes_on(record))
        };
        self.for_each_line(false, &mut look)?;
        Ok(first)
    }

    /// Looks at the lines for as long as `look` wants more.
    fn for_each_line(&self, whole_files: bool, look: &mut dyn FnMut(&str) -> bool) -> Result<()> {
        let mut goes_on = true;
        for path in self.paths {
            let mut look_on = |batch: &RecordBatch| {
                goes_on = batch.column(0).as_string::<i32>().iter().flatten().all(&mut *look);
                goes_on
            };
            look_at(&options::text_of(self, path)?.whole_text(whole_files).lossy_text(), &mut look_on)?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
}

/// Takes a part of the records, by chance, but always the same of the same files.
struct Sample {
    ratio: f64,
    state: u64,
}

impl Sample {
    fn new(ratio: f64) -> Self {
        // Spark's seed.
        Sample { ratio, state: 1 }
    }

    /// Whether the next record is looked at.
    fn takes(&mut self) -> bool {
        /// As in Spark, a ratio above it is all.
        const ALL: f64 = 0.99;
        if self.ratio > ALL {
            return true;
        }
        // SplitMix64, of which 53 bits are a number below one.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((mixed ^ mixed >> 31) >> 11) as f64) < self.ratio * (1_u64 << 53) as f64
    }
}

fn infers_timestamps(options: &Options) -> bool {
    options.get("inferTimestamp").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Names of fields that differ by their case only can't be told apart.
fn check_names(fields: &Fields) -> Result<()> {
    let mut seen = HashSet::new();
    for field in fields {
        if !seen.insert(field.name().to_lowercase()) {
            let message = format!(
                "The column `{}` already exists: fields of the files have names that differ by their case only. Give the columns with \
                 .schema(…).",
                field.name().to_lowercase()
            );
            return Err(Error::analysis("COLUMN_ALREADY_EXISTS", message));
        }
        match field.data_type() {
            DataType::Struct(fields) => check_names(fields)?,
            DataType::List(item) => check_names(&Fields::from(vec![item.as_ref().clone()]))?,
            _ => {}
        }
    }
    Ok(())
}

/// The columns of files that describe themselves: of the first one, or of all together.
fn columns_of(sources: &[FileSource], merge: bool) -> Result<Schema> {
    let mut schemas = Vec::new();
    for source in sources {
        schemas.extend(source.columns_of_files(merge)?);
        if !merge && !schemas.is_empty() {
            break;
        }
    }
    Ok(Schema::try_merge(schemas)?)
}

/// Runs on a thread with room for the deepest JSON.
fn with_deep_stack<T: Send>(infer: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("tg-inference".to_owned()).stack_size(STACK_BYTES);
        let no_thread = |error| tidegate_runtime::Error::user(format!("a thread to infer columns can't be started: {error}"));
        let thread = thread.spawn_scoped(scope, infer).map_err(no_thread)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A type of so many levels: what is deeper is text, as it is written.
fn shallow(data_type: &DataType, levels: usize) -> DataType {
    match (data_type, levels.checked_sub(1)) {
        (DataType::Struct(_) | DataType::List(_), None) => DataType::Utf8,
        (DataType::Struct(fields), Some(below)) => {
            let field = |field: &FieldRef| field.as_ref().clone().with_data_type(shallow(field.data_type(), below));
            DataType::Struct(fields.iter().map(field).collect())
        }
        (DataType::List(item), Some(below)) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(shallow(item.data_type(), below))))
        }
        (other, _) => other.clone(),
    }
}

/// The names of CSV columns: those of the header, or `_c0`, `_c1`, … As in Spark, names that are there twice get their number, too.
fn column_names(csv: &CsvOptions, values: &[Option<String>]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    values.iter().flatten().for_each(|name| *counts.entry(name.to_lowercase()).or_default() += 1);
    let name = |(index, value): (usize, &Option<String>)| match value.as_deref().filter(|_| csv.header) {
        None | Some("") => format!("_c{index}"),
        Some(name) => {
            let alike = counts.get(&name.to_lowercase()).copied().unwrap_or_default();
            if alike > 1 { format!("{name}{index}") } else { name.to_owned() }
        }
    };
    values.iter().enumerate().map(name).collect()
}
