//! A query writes to a table: one commit for each epoch.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{
    Epoch, EpochInfo, Error, LastCommitted, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged, failpoint,
};
use uuid::Uuid;

use super::log::{Change, Log, WriterEpoch};
use super::{Table, TableDefinition, TableFile};
use crate::file::{FileSink, PartitionRows, StagedFile, directory_of, remove_file};

/// Writes rows into a table: every row is in a committed file exactly once, also after crashes.
///
/// Several queries may write to one table. Each epoch is a commit of its own, also one without rows if the query is to know it.
#[derive(Debug, Clone)]
pub struct TableSink {
    table: Table,
    files: FileSink,
    schema: SchemaRef,
    how: How,
    replaces: Replaces,
    /// After how many epochs small files are compacted, to files of which length.
    compaction: Option<(u64, u64)>,
}

/// What happens to the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Append,
    Overwrite,
    /// As long as the rows are those of this version: the new ones were computed from them.
    Replace(u64),
}

/// Which rows new ones take the place of, if they don't only come to them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Replaces {
    /// All there are.
    #[default]
    All,
    /// Those of the partitions that the new rows are in: Spark's dynamic overwrite.
    Partitions,
    /// Those whose partition columns have these values: a row of the first of these columns, or of all of them.
    Within(RecordBatch),
}

impl TableSink {
    /// Adds the rows to a table with these columns.
    pub fn append(table: Table, schema: SchemaRef) -> Self {
        let (_, files) = table.definition.format.files(&schema);
        TableSink { table, files, schema, how: How::Append, replaces: Replaces::All, compaction: None }
    }

    /// Puts the rows of each epoch in the place of all there were: for queries whose epochs give their whole result.
    pub fn overwrite(table: Table, schema: SchemaRef) -> Self {
        TableSink { how: How::Overwrite, ..TableSink::append(table, schema) }
    }

    /// Puts rows that were computed from those of a version in the place of these; refused if others have come since.
    pub fn replace(table: Table, schema: SchemaRef, version: u64) -> Self {
        TableSink { how: How::Replace(version), ..TableSink::append(table, schema) }
    }

    /// Lets only some of the rows be replaced.
    #[must_use]
    pub fn replacing(mut self, replaces: Replaces) -> Self {
        self.replaces = replaces;
        self
    }

    /// [Compacts](Table::compact) the table after each so many epochs of a query. It is part of an epoch's commit, which takes longer then;
    /// if it fails, the query goes on.
    #[must_use]
    pub fn compact_every(mut self, epochs: u64, target_bytes: u64) -> Self {
        self.compaction = Some((epochs.max(1), target_bytes));
        self
    }

    /// Writes rows that are there as one commit.
    ///
    /// # Errors
    /// When they can't be written; nothing of them is in the table then.
    pub fn write_batch(&self, rows: impl IntoIterator<Item = RecordBatch>) -> Result<()> {
        let (staging, added) = self.publish_batches(rows)?;
        let within = self.within(&added)?;
        let mut log = self.table.newest()?;
        let committed = log.commit(self.table.store.as_ref(), |log| self.change(log, None, &added, &within))?;
        drop(log);
        self.table.store.clear_staging(&staging)?;
        if committed { Ok(()) } else { self.take_back(&added) }
    }

    /// Removes files that no commit will name; the write was refused.
    fn take_back(&self, added: &[TableFile]) -> Result<()> {
        added.iter().try_for_each(|file| self.table.store.remove(&file.path))?;
        Err(self.refused())
    }

    /// Writes rows as another table of this definition in the place of the sink's own, whose rows they may have been computed from at
    /// `version`: one commit, and the files of the old table go after it. The sink's columns are those of the new table.
    ///
    /// # Errors
    /// When they can't be written, and when rows have come to the table since: it is as it was then. When old files can't be removed.
    pub fn write_new_table(
        self,
        definition: &TableDefinition,
        version: u64,
        rows: impl IntoIterator<Item = RecordBatch>,
    ) -> Result<()> {
        let old = self.table.clone();
        let new = TableSink::append(Table { definition: definition.clone(), ..self.table }, self.schema);
        let (staging, added) = new.publish_batches(rows)?;
        let mut log = old.newest()?;
        let last = log.replace(old.store.as_ref(), definition, &added, version)?;
        drop(log);
        old.store.clear_staging(&staging)?;
        last.map_or_else(|| new.take_back(&added), |last| old.remove_rows(last))
    }

    /// Writes rows into files that a commit will name; gives the name of the writer, and the files.
    fn publish_batches(&self, rows: impl IntoIterator<Item = RecordBatch>) -> Result<(String, Vec<TableFile>)> {
        self.partitions()?;
        let name = format!("insert-{}", Uuid::new_v4());
        let staging = self.table.store.staging(&name)?;
        let mut writer = self.files.file_writer(staging.clone(), 0, self.partitions()?);
        let epoch = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };
        for batch in rows.into_iter().filter(|batch| batch.num_rows() > 0) {
            self.check_input(batch.schema_ref())?;
            writer.write(epoch, batch)?;
        }
        let staged: Vec<StagedFile> = writer.stage(epoch)?.decode()?;
        let named = staged.into_iter().enumerate().map(|(number, file)| (format!("part-{name}-{number:05}"), file));
        let added = self.publish(&staging, named)?;
        Ok((name, added))
    }

    fn partitions(&self) -> Result<PartitionRows> {
        PartitionRows::of_table(&self.schema, &self.table.definition.partition_by)
    }

    /// The directories whose files give way to others; `None` if all do.
    fn within(&self, added: &[TableFile]) -> Result<Option<Vec<String>>> {
        Ok(match &self.replaces {
            Replaces::All => None,
            Replaces::Partitions => {
                let directories: BTreeSet<&str> = added.iter().map(|file| directory_of(&file.path)).collect();
                Some(directories.into_iter().map(str::to_owned).collect())
            }
            Replaces::Within(values) => {
                let columns = self.table.definition.partition_by.get(..values.num_columns()).unwrap_or_default();
                let schema = values.schema();
                let names = schema.fields().iter().map(|field| field.name());
                let is_of_type = |field: &FieldRef| {
                    self.schema.fields().find(field.name()).is_some_and(|(_, own)| own.data_type() == field.data_type())
                };
                if values.num_rows() != 1 || !names.clone().eq(columns) || !schema.fields().iter().all(is_of_type) {
                    let given = names.cloned().collect::<Vec<_>>().join(", ");
                    return Err(Error::InvalidArgument(format!(
                        "[UNSUPPORTED_OVERWRITE.PARTITION] the columns {given} are not the first of those that the table in {} is \
                         partitioned by, or of other types",
                        self.table.place()
                    )));
                }
                Some(vec![PartitionRows::of_values(values)?])
            }
        })
    }

    /// The change that adds files; `None` if it must not be made.
    fn change(
        &self,
        log: &Log,
        writer: Option<WriterEpoch>,
        added: &[TableFile],
        within: &Option<Vec<String>>,
    ) -> Option<Change> {
        let added = added.to_vec();
        match self.how {
            How::Append => Some(Change::Append { writer, added }),
            How::Replace(version) if log.changed() > version => None,
            // Where nothing is replaced rows only come, and who reads the table as a stream goes on.
            How::Overwrite | How::Replace(_) if !log.has_files_within(within.as_deref()) => {
                Some(Change::Append { writer, added })
            }
            How::Overwrite | How::Replace(_) => Some(Change::Overwrite { writer, added, within: within.clone() }),
        }
    }

    fn refused(&self) -> Error {
        Error::user(format!(
            "[CONCURRENT_WRITE] the table in {} has got other rows since those were read that these were computed from: run it again",
            self.table.place()
        ))
    }

    /// Moves staged files to where a commit will name them, with these names in the directories of their partitions.
    fn publish(&self, staging: &Path, files: impl IntoIterator<Item = (String, StagedFile)>) -> Result<Vec<TableFile>> {
        let extension = self.files.extension();
        let (mut moves, mut published) = (Vec::new(), Vec::new());
        for (name, file) in files {
            let path = match file.directory.as_str() {
                "" => format!("{name}.{extension}"),
                directory => format!("{directory}/{name}.{extension}"),
            };
            moves.push((staging.join(&file.file), path.clone()));
            published.push(TableFile { path, rows: file.rows, bytes: file.bytes, crc32c: file.crc32c, is_full: file.is_full });
        }
        self.table.store.publish(moves)?;
        Ok(published)
    }
}

impl SinkSupplier for TableSink {
    fn check_input(&self, schema: &SchemaRef) -> Result<()> {
        self.files.check_input(schema)?;
        self.partitions()?;
        let types = |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(schema) != types(&self.schema) {
            let dir = self.table.place();
            return Err(Error::InvalidArgument(format!(
                "[INCOMPATIBLE_DATA_FOR_TABLE] the table in {dir} has the columns {}, the rows have others",
                self.table.definition.columns
            )));
        }
        Ok(())
    }

    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(TableCommitter { config: self.clone(), writer: String::new(), short_name: String::new() }))
    }

    fn describe(&self) -> String {
        let does = if self.how == How::Append { "appending to" } else { "replacing" };
        format!("{} files, {does} the table in {}", self.table.definition.format.name(), self.table.place())
    }
}

/// The committing half.
struct TableCommitter {
    config: TableSink,
    /// Who writes, in the log: the query and its sink.
    writer: String,
    /// The same in names of files.
    short_name: String,
}

impl TableCommitter {
    /// What the names of this writer's files begin with.
    fn prefix(&self) -> String {
        format!("part-{}-", self.short_name)
    }

    fn table(&self) -> &Table {
        &self.config.table
    }

    /// It only makes reading cheaper: the rows are committed.
    fn compact_due(&self, epoch: Epoch) {
        let Some((every, bytes)) = self.config.compaction.filter(|(every, _)| (epoch.number() + 1).is_multiple_of(*every)) else {
            return;
        };
        if let Err(error) = self.table().compact(&self.config.schema, bytes) {
            tracing::warn!(table = self.table().place(), %error, every, "a table can't be compacted");
        }
    }

    /// Removes files that an earlier run published or staged and did not commit: their epochs come again.
    fn sweep(&self, last: Option<Epoch>) -> Result<()> {
        let (table, prefix) = (self.table(), self.prefix());
        table.store.clear_staging(&self.short_name)?;
        if !table.store.is_local() {
            // A request of a process that is gone may still be under way, and commit its files. Names are never used twice.
            return Ok(());
        }
        for path in table.store.data_paths()? {
            let name = path.rsplit('/').next().unwrap_or_default();
            let epoch = name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next()?.parse().ok());
            if epoch.map(Epoch::new).is_some_and(|epoch| Some(epoch) > last) {
                tracing::info!(file = path, "removing a file of an epoch that was not committed");
                table.store.remove(&path)?;
            }
        }
        Ok(())
    }
}

impl Sink for TableCommitter {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        self.writer = format!("{}/{}", context.query, context.node);
        // Two sinks of a query may write to one table, and their names may have any characters.
        self.short_name = format!("{}-{:08x}", context.query, crc32c::crc32c(context.node.as_str().as_bytes()));
        let table = self.table();
        table.store.prepare()?;
        let last = table.newest()?.epoch_of(&self.writer);
        if last < context.committed {
            let (committed, dir) = (context.committed.unwrap_or(Epoch::FIRST), table.place());
            return Err(Error::InvalidArgument(format!(
                "the checkpoint has committed epoch {committed}, which the table in {dir} does not have: it is another table, or was made \
                 anew; start the query with a new checkpoint"
            )));
        }
        self.sweep(last)
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        let last = self.table().newest()?.epoch_of(&self.writer);
        Ok(last.map_or(LastCommitted::Nothing, LastCommitted::Epoch))
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        let staging = self.table().store.staging(&self.short_name)?;
        Ok(self.config.files.file_writer(staging, subtask, self.config.partitions()?))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        let staged = staged.iter().map(Staged::decode::<Vec<StagedFile>>).collect::<Result<Vec<_>>>()?;
        let (table, prefix) = (self.table(), self.prefix());
        let staging = table.store.staging(&self.short_name)?;
        let mut log = table.newest()?;
        if log.epoch_of(&self.writer) >= Some(epoch) {
            // Committed already: these are the same rows once more.
            return staged.into_iter().flatten().try_for_each(|file| remove_file(&staging.join(file.file)));
        }
        failpoint::hit("sink.prepared")?;
        let files = staged.into_iter().enumerate().flat_map(|(subtask, files)| {
            files.into_iter().map(move |file| {
                // The staged name is unique, so no other run of this epoch has a file of the published one.
                let unique = file.file.trim_end_matches(".tmp").rsplit('-').next().unwrap_or_default().to_owned();
                (subtask, unique, file)
            })
        });
        let named = files.map(|(subtask, unique, file)| (format!("{prefix}{:05}-{subtask:05}-{unique}", epoch.number()), file));
        let added = self.config.publish(&staging, named)?;
        let within = self.config.within(&added)?;
        failpoint::hit("sink.manifest")?;
        let writer = Some(WriterEpoch { writer: self.writer.clone(), epoch });
        log.commit(table.store.as_ref(), |log| {
            let is_new = log.epoch_of(&self.writer) < Some(epoch);
            is_new.then(|| self.config.change(log, writer.clone(), &added, &within)).flatten()
        })?;
        if log.epoch_of(&self.writer) < Some(epoch) {
            return Err(self.config.refused());
        }
        drop(log);
        failpoint::hit("sink.after")?;
        self.compact_due(epoch);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.table().store.clear_staging(&self.short_name)
    }
}
