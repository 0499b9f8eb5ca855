//! The planning half of the file source: what is new, and which of it does an epoch get?

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_runtime::{
    Error, Notifier, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceReader, Split, Wake,
};

use super::compression::Compression;
use super::constants::WithConstants;
use super::listing::FileState;
use super::location::Location;
use super::object_reader::ObjectReader;
use super::partition_filter::kept;
use super::plan::{LogOffset, Plan};
use super::source::{FileSource, SourceFormat};
use super::split_reader::FileSplit;
use super::watch::Watch;

/// How long an idle query waits until it lists again.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The same, where the file system tells of new files: it does not of those that another machine puts there. And for object stores, which
/// are paid by the request.
const SLOW_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// The planning half, shared by all formats.
pub(crate) struct FilePlanner {
    config: FileSource,
    location: Location,
    plan: Plan,
    /// Listed files that no epoch has taken yet. As long as there are some, a limited epoch needs no new listing.
    backlog: VecDeque<FileState>,
    frozen: bool,
    /// To be called when there is news; taken when the watch begins, at the first wait.
    notifier: Option<Notifier>,
    watch: Option<Watch>,
}

impl FilePlanner {
    pub(crate) fn new(config: FileSource, location: Location) -> Self {
        FilePlanner {
            config,
            location,
            plan: Plan::default(),
            backlog: VecDeque::new(),
            frozen: false,
            notifier: None,
            watch: None,
        }
    }

    fn list(&mut self) -> Result<()> {
        let seen = self.plan.seen();
        let mut files = self.location.files(&|path| seen.may_be_new(path))?;
        files.retain(|file| seen.is_new(file));
        self.backlog = files.into();
        if self.config.latest_first {
            self.backlog.make_contiguous().reverse();
        }
        Ok(())
    }

    /// The files of the next epoch, with the lengths that they have now.
    fn take_files(&mut self, limit: ReadLimit) -> Result<Vec<FileState>> {
        let (max_files, max_bytes) = match limit {
            ReadLimit::All => (usize::MAX, u64::MAX),
            ReadLimit::Configured => (self.config.max_files.unwrap_or(usize::MAX), self.config.max_bytes.unwrap_or(u64::MAX)),
        };
        let (mut taken, mut bytes) = (Vec::new(), 0_u64);
        while taken.len() < max_files {
            let Some(listed) = self.backlog.pop_front() else { break };
            // Gone since it was listed: it was never promised to anybody.
            let Some(file) = self.location.refresh(listed)? else { continue };
            bytes = bytes.saturating_add(file.len);
            if bytes > max_bytes && !taken.is_empty() {
                self.backlog.push_front(file);
                break;
            }
            taken.push(file);
        }
        Ok(taken)
    }

    /// Of an epoch's files those whose partitions are wanted.
    fn wanted(&self, files: Vec<FileState>) -> Result<Vec<FileState>> {
        let Some(keep) = &self.config.kept_partitions else { return Ok(files) };
        let names = &self.config.partitions;
        let values = |file: &FileState| {
            let found = self.location.partitioning().values(&file.path);
            let value = |name: &String| found.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.clone();
            Some(names.iter().map(value).collect())
        };
        kept(keep.as_ref(), &self.config.schema, names, self.config.partition_times.as_ref(), files, values)
    }

    /// Watches for news from now on, if it is to be waited for and is not watched yet.
    fn begin_watch(&mut self) -> bool {
        let is_told = !self.frozen && self.location.remote().is_none();
        let Some(notifier) = self.notifier.take_if(|_| is_told) else { return false };
        self.watch = Watch::start(self.location.base(), self.config.looks_below(), notifier);
        self.watch.is_some()
    }

    fn is_limited(&self, limit: ReadLimit) -> bool {
        limit == ReadLimit::Configured && (self.config.max_files.is_some() || self.config.max_bytes.is_some())
    }
}

impl Source for FilePlanner {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        self.location.check()?;
        self.plan = Plan::restore(&context.journal, context.offset.as_ref(), self.config.seen_rules())?;
        self.config.check_clean_source(&self.location)?;
        self.notifier = Some(context.notifier);
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let next = LogOffset::after(from)?;
        if let Some(entry) = self.plan.existing(next) {
            return Offset::encode(&LogOffset { entry }).map(Some);
        }
        self.plan.withdraw().into_iter().rev().for_each(|file| self.backlog.push_front(file));
        // Newer files come first only if they are looked for.
        if !self.frozen && (self.backlog.is_empty() || self.config.latest_first || !self.is_limited(limit)) {
            self.list()?;
        }
        let mut files = self.take_files(limit)?;
        if files.is_empty() && self.begin_watch() {
            // What came before the watch began.
            self.list()?;
            files = self.take_files(limit)?;
        }
        if files.is_empty() {
            return Ok(None);
        }
        let entry = self.plan.propose(files);
        Offset::encode(&LogOffset { entry }).map(Some)
    }

    fn journal(&mut self, range: &OffsetRange) -> Result<Option<Vec<u8>>> {
        let entries = self.plan.journal(range)?;
        serde_json::to_vec(&entries).map(Some).map_err(Error::user)
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let files = self.wanted(self.plan.files_of(range)?)?;
        let (whole, is_remote) = (self.config.reads_whole_files(), self.location.remote().is_some());
        let lines = self.config.format.is_lines();
        let cut = |file: &FileState| -> Vec<FileSplit> {
            if file.len == 0 {
                // As in Spark, a file of nothing is none, whatever its format.
                return Vec::new();
            }
            if whole || lines && Compression::of_name(file.name()).is_some() {
                return vec![FileSplit::whole(file)];
            }
            // An object is copied as a whole, by the task that reads it.
            FileSplit::cut(file, if is_remote { u64::MAX } else { self.config.split_bytes }).collect()
        };
        files.iter().flat_map(cut).map(|split| Split::encode(&split)).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        let (dir, columns) = (self.location.base().to_path_buf(), self.config.record_columns()?);
        let ignored = self.config.ignored;
        let reader = |dir: PathBuf| Ok(ignored.reader(self.config.format.reader(&self.config, dir.clone(), &columns)?, dir));
        let inner = match self.location.remote() {
            Some(objects) => {
                let parquet = matches!(self.config.format, SourceFormat::Parquet).then(|| columns.output()).transpose()?;
                Box::new(ObjectReader::new(objects.clone(), ignored, parquet, reader)?)
            }
            None => reader(dir.clone())?,
        };
        let (schema, origins) = self.config.output()?;
        let partitioning = self.location.partitioning().clone();
        let replaces = !matches!(self.config.format, SourceFormat::Csv(_) | SourceFormat::Text { .. });
        let times = self.config.partition_times.clone();
        Ok(Box::new(WithConstants { inner, dir, partitioning, schema, origins, replaces, times }))
    }

    fn commit(&mut self, end: &Offset) -> Result<()> {
        for file in self.plan.forget(end)? {
            self.config.clean.clean(&self.location, &file.path);
        }
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        // What is proposed has no epoch yet and is listed again.
        self.plan.withdraw();
        self.list()?;
        self.frozen = true;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen
    }

    fn wake(&self) -> Wake {
        let is_slow = self.watch.is_some() || self.location.remote().is_some();
        let usual = if is_slow { SLOW_POLL_INTERVAL } else { POLL_INTERVAL };
        Wake::Poll(self.config.poll_interval.unwrap_or(usual))
    }
}
