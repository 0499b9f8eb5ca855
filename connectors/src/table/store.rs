//! What a table needs of the storage that it is on.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tidegate_runtime::{Error, Result};
use uuid::Uuid;

use crate::file::sync_directory;

/// Where files wait for the commit that names them; hidden from those who list the directory.
pub(super) const STAGING: &str = "_staging";
const LOG: &str = "_log";

/// A directory.
#[derive(Debug, Clone)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(super) fn new(dir: PathBuf) -> Self {
        Store { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the writer of this name stages files: nobody else does there.
    pub(super) fn staging(&self, writer: &str) -> Result<PathBuf> {
        let staging = self.dir.join(STAGING).join(writer);
        std::fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
        Ok(staging)
    }

    /// Removes what a writer has staged, and its directory.
    pub(super) fn clear_staging(&self, writer: &str) -> Result<()> {
        let staging = self.dir.join(STAGING).join(writer);
        match std::fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", staging)(error)),
            _ => Ok(()),
        }
    }

    /// Makes the directory.
    pub(super) fn prepare(&self) -> Result<()> {
        let log = self.dir.join(LOG);
        std::fs::create_dir_all(&log).map_err(Error::io("create the table's directory", &log))?;
        sync_directory(&self.dir)
    }

    /// The names in the log, in no particular order; none if there is no log.
    pub(super) fn log_names(&self) -> Result<Vec<String>> {
        names(&self.dir.join(LOG))
    }

    /// An entry of the log; `None` if there is none of this name.
    pub(super) fn read_log(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.log_path(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    pub(super) fn log_path(&self, name: &str) -> PathBuf {
        self.dir.join(LOG).join(name)
    }

    /// Adds an entry to the log, durably, if there is none of this name; says whether it did.
    pub(super) fn create_log(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let dir = self.dir.join(LOG);
        // Written under another name first: an entry is there whole or not at all.
        let hidden = dir.join(format!(".{}.tmp", Uuid::new_v4()));
        let written = write_new(&hidden, bytes);
        // A link, unlike a rename, fails if the name is taken.
        let linked = written.and_then(|()| std::fs::hard_link(&hidden, dir.join(name)));
        let removed = std::fs::remove_file(&hidden);
        match linked {
            Ok(()) => removed.map_err(Error::io("remove", &hidden))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(Error::io("write the log entry", dir.join(name))(error)),
        }
        sync_directory(&dir)?;
        Ok(true)
    }

    /// Moves a staged file to where a commit will name it.
    pub(super) fn publish(&self, staged: &Path, path: &str) -> Result<()> {
        std::fs::rename(staged, self.dir.join(path)).map_err(Error::io("move into place", staged))
    }

    /// Makes what was published durable.
    pub(super) fn sync(&self) -> Result<()> {
        sync_directory(&self.dir)
    }

    /// The names of files with rows, committed or not.
    pub(super) fn data_names(&self) -> Result<Vec<String>> {
        names(&self.dir)
    }

    /// Removes a staged file or one with rows, if it is there.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes everything, the log first.
    pub(super) fn remove_all(&self) -> Result<()> {
        for dir in [self.dir.join(LOG), self.dir.clone()] {
            std::fs::remove_dir_all(&dir).map_err(Error::io("remove", &dir))?;
        }
        Ok(())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        names.extend(name.to_str().filter(|name| !name.starts_with(['.', '_'])).map(str::to_owned));
    }
    Ok(names)
}
