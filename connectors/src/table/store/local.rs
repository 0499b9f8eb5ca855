//! A table in a directory.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tidegate_runtime::{Error, Result};
use uuid::Uuid;

use super::{LOG, LocalFile, Storage};
use crate::file::{remove_directory, remove_file, sync_directory};

/// Where files wait for the commit that names them; hidden from those who list the directory.
const STAGING: &str = "_staging";

#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
}

impl Directory {
    pub(super) fn new(dir: PathBuf) -> Self {
        Directory { dir }
    }
}

impl Storage for Directory {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn staging(&self, writer: &str) -> Result<PathBuf> {
        let staging = self.dir.join(STAGING).join(writer);
        std::fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
        Ok(staging)
    }

    fn clear_staging(&self, writer: &str) -> Result<()> {
        let staging = self.dir.join(STAGING).join(writer);
        remove_directory(&staging)
    }

    fn prepare(&self) -> Result<()> {
        let log = self.dir.join(LOG);
        let new: Vec<&Path> = log.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
        std::fs::create_dir_all(&log).map_err(Error::io("create the table's directory", &log))?;
        // A new directory is durable when its name in the one above is.
        new.iter().filter_map(|dir| dir.parent()).filter(|dir| !dir.as_os_str().is_empty()).try_for_each(sync_directory)
    }

    fn log_names(&self) -> Result<Vec<String>> {
        names(&self.dir.join(LOG))
    }

    fn read_log(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(LOG).join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    fn create_log(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let dir = self.dir.join(LOG);
        // Written under another name first: an entry is there whole or not at all.
        let hidden = dir.join(format!(".{}.tmp", Uuid::new_v4()));
        let written = write_new(&hidden, bytes);
        // A link, unlike a rename, fails if the name is taken.
        let linked = written.and_then(|()| std::fs::hard_link(&hidden, dir.join(name)));
        let removed = std::fs::remove_file(&hidden);
        match linked {
            Ok(()) => removed.map_err(Error::io("remove", &hidden))?,
            // Where a request may be sent twice, as over NFS, the entry may be our own.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(self.read_log(name)?.is_some_and(|there| there == bytes));
            }
            Err(error) => return Err(Error::io("write the log entry", dir.join(name))(error)),
        }
        sync_directory(&dir)?;
        Ok(true)
    }

    fn publish(&self, staged: &Path, path: &str) -> Result<()> {
        std::fs::rename(staged, self.dir.join(path)).map_err(Error::io("move into place", staged))
    }

    fn sync(&self) -> Result<()> {
        sync_directory(&self.dir)
    }

    fn data_names(&self) -> Result<Vec<String>> {
        names(&self.dir)
    }

    fn remove(&self, path: &str) -> Result<()> {
        remove_file(&self.dir.join(path))
    }

    fn local(&self, path: &str) -> Result<LocalFile> {
        Ok(LocalFile { dir: self.dir.clone(), path: path.to_owned(), copy: None })
    }

    fn is_local(&self) -> bool {
        true
    }

    fn remove_log(&self, name: &str) -> Result<()> {
        remove_file(&self.dir.join(LOG).join(name))
    }

    fn remove_rows(&self) -> Result<()> {
        for name in self.data_names()? {
            self.remove(&name)?;
        }
        let staging = self.dir.join(STAGING);
        remove_directory(&staging)
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

/// The names of a directory's directories; none if it is not there.
pub(super) fn folders(dir: &Path) -> Result<Vec<String>> {
    Ok(names(dir)?.into_iter().filter(|name| dir.join(name).is_dir()).collect())
}
