//! What a table needs of the storage that it is on: a directory, or an object store.

mod local;
mod object;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_runtime::Result;

use self::local::Directory;
use crate::objects::{Objects, as_url};

/// The folder of the log.
const LOG: &str = "_log";

/// Storage of one table. A name or path is relative to the table's own place.
pub(super) trait Storage: Debug + Send + Sync {
    /// Where it is, for messages.
    fn name(&self) -> String;

    /// Makes the place.
    fn prepare(&self) -> Result<()>;

    /// The names in the log, in no particular order; none if there is no log.
    fn log_names(&self) -> Result<Vec<String>>;

    /// An entry of the log; `None` if there is none of this name.
    fn read_log(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Adds an entry to the log, durably and whole, if there is none of this name; says whether it did.
    fn create_log(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// The directory where the writer of this name stages files: nobody else does there.
    fn staging(&self, writer: &str) -> Result<PathBuf>;

    /// Removes what a writer has staged, and its directory.
    fn clear_staging(&self, writer: &str) -> Result<()>;

    /// Moves staged files to where a commit will name them, durably.
    fn publish(&self, files: Vec<(PathBuf, String)>) -> Result<()>;

    /// The paths of files with rows, committed or not.
    fn data_paths(&self) -> Result<Vec<String>>;

    /// When a file with rows was written; `None` if it is not there.
    fn modified(&self, path: &str) -> Result<Option<SystemTime>>;

    /// Removes what writers have staged that have not written since then; says how many they were.
    fn clear_staged_before(&self, time: SystemTime) -> Result<usize>;

    /// Removes a file with rows, if it is there.
    fn remove(&self, path: &str) -> Result<()>;

    /// Removes an entry of the log, if it is there.
    fn remove_log(&self, name: &str) -> Result<()>;

    /// Removes the directories that these files were in, and those of writers, if nothing is in them any more.
    fn remove_empty(&self, paths: &[String]) -> Result<()>;

    /// A file with rows, where it can be opened.
    fn local(&self, path: &str) -> Result<LocalFile>;

    /// Whether [`local`](Self::local) costs nothing.
    fn is_local(&self) -> bool;
}

/// A file with rows on this machine.
#[derive(Debug)]
pub(super) struct LocalFile {
    pub(super) dir: PathBuf,
    /// Below `dir`.
    pub(super) path: String,
    /// Set if it is a copy, which goes with this.
    #[allow(dead_code, reason = "it is held for its drop")]
    copy: Option<Arc<tempfile::TempDir>>,
}

/// The storage of the table at a place: a URL with a scheme, or a directory.
pub(super) fn storage_of(place: &Path) -> Result<Arc<dyn Storage>> {
    match as_url(place) {
        Some(url) => Ok(Arc::new(Objects::at(url)?)),
        None => Ok(Arc::new(Directory::new(place.to_path_buf()))),
    }
}

/// The names of what is right below a place, such as the tables of a warehouse; none if there is no such place.
///
/// # Errors
/// When it can't be listed.
pub fn table_names(warehouse: &Path) -> Result<Vec<String>> {
    match as_url(warehouse) {
        Some(url) => Objects::at(url)?.folders(),
        None => local::folders(warehouse),
    }
}
