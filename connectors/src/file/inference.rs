//! The columns of files, from the files themselves and from the directories that they lie in.

use std::fs::File;
use std::path::PathBuf;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use tidegate_runtime::{Error, Result};

use super::conform::guarded;
use super::csv_options::CsvOptions;
use super::csv_values::Looked;
use super::forms::TimeForms;
use super::listing::FileState;
use super::location::Location;
use super::source::{FileSource, SourceFormat};
use super::{object_reader, partitions};

impl FileSource {
    fn location(&self) -> Result<Location> {
        Location::of(&self.path, &self.choice)
    }

    /// A number that changes when files come, go or are written again.
    ///
    /// # Errors
    /// When a directory can't be listed.
    pub fn fingerprint(&self) -> Result<u64> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.location()?.files(&|_| true)?.hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// Whether the path is there: a directory, or in an object store anything below it, whether or not there is a file to read.
    ///
    /// # Errors
    /// When an object store can't be asked.
    pub fn is_there(&self) -> Result<bool> {
        let location = self.location()?;
        match location.remote() {
            Some(objects) => Ok(!objects.list("")?.is_empty()),
            None => Ok(location.base().exists()),
        }
    }

    /// The files that are there now, oldest first.
    ///
    /// # Errors
    /// When a directory can't be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let location = self.location()?;
        let files = location.files(&|_| true)?;
        Ok(files.into_iter().map(|file| location.base().join(file.path)).collect())
    }

    /// The partition columns of the directories that are there now, in their order. Their types are those that all values fit, or
    /// text if `infer` is off.
    ///
    /// # Errors
    /// When a directory can't be listed, and when files lie in directories of different columns.
    pub fn discover_partitions(&self, infer: bool) -> Result<Vec<Field>> {
        let location = self.location()?;
        let mut columns: Option<Vec<(String, Vec<Option<String>>)>> = None;
        for file in location.files(&|_| true)? {
            let values = location.partitioning().values(&file.path);
            let Some(columns) = &mut columns else {
                columns = Some(values.into_iter().map(|(key, value)| (key, vec![value])).collect());
                continue;
            };
            let are_same = columns.len() == values.len()
                && columns.iter().zip(&values).all(|((known, _), (key, _))| known.eq_ignore_ascii_case(key));
            if !are_same {
                return Err(Error::InvalidArgument(format!(
                    "[CONFLICTING_PARTITION_COLUMN_NAMES] conflicting directory structures: the file {} does not lie in directories of \
                     the partition columns ({}) that others lie in; give the path of one table, or its root as basePath",
                    location.base().join(&file.path).display(),
                    columns.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", ")
                )));
            }
            columns.iter_mut().zip(values).for_each(|((_, known), (_, value))| known.push(value));
        }
        let column = |(key, values): (String, Vec<Option<String>>)| {
            let kind = partitions::infer(values.iter().map(Option::as_deref), infer);
            Field::new(key, kind, true)
        };
        Ok(columns.unwrap_or_default().into_iter().map(column).collect())
    }

    /// The columns of files that describe themselves: of the first, or of all together. `None` for other formats, and if there are
    /// no files.
    ///
    /// # Errors
    /// When a file can't be read, or files have columns of one name and different types.
    pub fn columns_of_files(&self, merge: bool) -> Result<Option<Schema>> {
        if self.format.is_lines() {
            return Ok(None);
        }
        let location = self.location()?;
        let files = location.files(&|_| true)?;
        let columns = |file: &FileState| match location.remote() {
            Some(objects) => {
                let copies = object_reader::copies()?;
                let copied = object_reader::copy(objects, file, &copies)?;
                self.columns_of_file(&copies.path().join(copied.path))
            }
            None => self.columns_of_file(&location.base().join(&file.path)),
        };
        let mut schemas = Vec::new();
        for file in &files {
            match columns(file) {
                Err(error) if self.ignored.has(&error) => {
                    tracing::warn!(file = file.path, error = %error, "damaged file skipped")
                }
                columns => schemas.extend(columns?),
            }
            if !merge && !schemas.is_empty() {
                break;
            }
        }
        Ok(if schemas.is_empty() { None } else { Some(Schema::try_merge(schemas)?) })
    }

    fn columns_of_file(&self, path: &PathBuf) -> Result<Option<Schema>> {
        let open = || File::open(path).map_err(Error::io("open", path));
        let schema = match &self.format {
            SourceFormat::Text { .. } | SourceFormat::Json(_) | SourceFormat::Csv(_) => return Ok(None),
            SourceFormat::Parquet => {
                let file = open()?;
                let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
                let metadata = guarded("Parquet", path, || ArrowReaderMetadata::load(&file, plain))?;
                Schema::clone(metadata.schema())
            }
            #[cfg(feature = "avro")]
            SourceFormat::Avro => {
                let file = open()?;
                Schema::clone(&*guarded("Avro", path, || super::avro_reader::schema_of(file))?)
            }
            #[cfg(feature = "orc")]
            SourceFormat::Orc => {
                let file = open()?;
                Schema::clone(&*guarded("ORC", path, || super::orc_reader::schema_of(file))?)
            }
            #[cfg(not(feature = "avro"))]
            SourceFormat::Avro => return self.without_feature(),
            #[cfg(not(feature = "orc"))]
            SourceFormat::Orc => return self.without_feature(),
        };
        // The order of columns is the file's; what else its writer noted is not ours.
        let fields = schema.fields().iter().map(|field| FieldRef::new(Field::new(field.name(), field.data_type().clone(), true)));
        Ok(Some(Schema::new(fields.collect::<Vec<_>>())))
    }
}

impl CsvOptions {
    /// Whether a record of several lines goes on after this part of it.
    pub fn goes_on(&self, record: &str) -> bool {
        self.multi_line && self.is_open(record.as_bytes(), &mut Looked::default())
    }

    /// The values of a record as text; `None` is null.
    pub fn values(&self, record: &str) -> Vec<Option<String>> {
        let (mut values, mut rest, mut unquoted) = (Vec::new(), Some(record.as_bytes()), Vec::new());
        while let Some(text) = rest {
            let (plain, after) = self.next_value(text, &mut unquoted);
            let (value, is_quoted) = match plain {
                Some(plain) => (plain, false),
                None => (unquoted.as_slice(), true),
            };
            let is_null = value == self.null_value.as_bytes() || value.is_empty() && !is_quoted;
            values.push((!is_null).then(|| String::from_utf8_lossy(value).into_owned()));
            rest = after;
        }
        values
    }
}

/// What CSV values are taken for: Spark's options `dateFormat`, `timestampFormat`, `preferDate`, and the names of special numbers.
#[derive(Debug, Clone)]
pub struct TextRules {
    csv: CsvOptions,
    forms: TimeForms,
    prefer_date: bool,
}

impl TextRules {
    /// Values of files that are written so. With `prefer_date` what can be a date is one, and no timestamp.
    pub fn new(csv: CsvOptions, forms: TimeForms, prefer_date: bool) -> Self {
        TextRules { csv, forms, prefer_date }
    }

    fn type_of(&self, value: &str) -> DataType {
        if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            return DataType::Boolean;
        }
        let special = || self.csv.special(value.as_bytes()).map(|_| DataType::Float64);
        partitions::number_type(value).or_else(special).unwrap_or_else(|| self.time_type(value))
    }

    fn time_type(&self, value: &str) -> DataType {
        let usual = partitions::time_type(value);
        let is_date = match &self.forms.date {
            Some(form) => form.reads(value),
            None => usual == Some(DataType::Date32),
        };
        if is_date && self.prefer_date {
            return DataType::Date32;
        }
        let is_timestamp = match &self.forms.timestamp {
            Some(form) if form.comes_after_usual() => usual.is_some() || value.len() > 10 && form.reads(value),
            Some(form) => form.reads(value),
            None => usual.is_some(),
        };
        if is_timestamp { instants() } else { DataType::Utf8 }
    }
}

/// The type of CSV values, as Spark infers it value by value.
#[derive(Debug, Clone, Default)]
pub struct TextInference {
    kind: Option<DataType>,
}

impl TextInference {
    /// Looks at a value; `None` is null and fits every type.
    pub fn add(&mut self, value: Option<&str>, rules: &TextRules) {
        let (Some(value), false) = (value, self.kind == Some(DataType::Utf8)) else { return };
        let seen = rules.type_of(value);
        self.kind = Some(match self.kind.take() {
            Some(kind) => partitions::wider(kind, seen),
            None => seen,
        });
    }

    /// The type that all values fit: text, if there were none.
    pub fn finish(self) -> DataType {
        self.kind.unwrap_or(DataType::Utf8)
    }
}

/// The type of instants.
pub(crate) fn instants() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}
