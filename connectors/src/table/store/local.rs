//! A table in a directory.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tidegate_runtime::{Error, Result};
use uuid::Uuid;

use super::{LOG, LocalFile, Storage};
use crate::file::{create_directory, directory_of, is_hidden, remove_directory, remove_file, sync_directory};

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
        Ok(entries(&self.dir.join(LOG))?.into_iter().map(|(name, _)| name).collect())
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

    fn publish(&self, files: Vec<(PathBuf, String)>) -> Result<()> {
        let mut changed = BTreeSet::new();
        for (staged, path) in &files {
            let directory = directory_of(path);
            if changed.insert(directory) {
                create_directory(&self.dir, directory)?;
            }
            std::fs::rename(staged, self.dir.join(path)).map_err(Error::io("move into place", staged))?;
        }
        changed.into_iter().try_for_each(|directory| sync_directory(&self.dir.join(directory)))
    }

    fn data_paths(&self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        let mut waiting = vec![String::new()];
        while let Some(directory) = waiting.pop() {
            for (name, is_directory) in entries(&self.dir.join(&directory))? {
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                if is_directory { waiting.push(path) } else { paths.push(path) }
            }
        }
        Ok(paths)
    }

    fn modified(&self, path: &str) -> Result<Option<SystemTime>> {
        modified(&self.dir.join(path))
    }

    fn clear_staged_before(&self, time: SystemTime) -> Result<usize> {
        let staging = self.dir.join(STAGING);
        let mut cleared = 0;
        for (writer, _) in entries(&staging)? {
            let directory = staging.join(&writer);
            // The directory changes with each file that comes or goes, a file with what is written into it.
            let mut newest = modified(&directory)?;
            for (file, _) in entries(&directory)? {
                newest = newest.max(modified(&directory.join(file))?);
            }
            if newest.is_some_and(|newest| newest < time) {
                self.clear_staging(&writer)?;
                cleared += 1;
            }
        }
        Ok(cleared)
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

    fn remove_empty(&self, paths: &[String]) -> Result<()> {
        let mut directories = BTreeSet::new();
        for path in paths {
            let above = std::iter::successors(Some(directory_of(path)), |directory| Some(directory_of(directory)));
            directories.extend(above.take_while(|directory| !directory.is_empty()).map(str::to_owned));
        }
        directories.insert(STAGING.to_owned());
        directories.extend(entries(&self.dir.join(STAGING))?.into_iter().map(|(writer, _)| format!("{STAGING}/{writer}")));
        // What is in a directory comes after it.
        for directory in directories.iter().rev() {
            let path = self.dir.join(directory);
            match std::fs::remove_dir(&path) {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What a directory has that is not hidden, and whether it is a directory; nothing if it is not there.
fn entries(dir: &Path) -> Result<Vec<(String, bool)>> {
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(Error::io("list", dir))?,
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(Error::io("list", dir))?;
        let kind = match entry.file_type() {
            // It went while the directory was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            kind => kind.map_err(Error::io("look at", entry.path()))?,
        };
        let name = entry.file_name();
        entries.extend(name.to_str().filter(|name| !is_hidden(name)).map(|name| (name.to_owned(), kind.is_dir())));
    }
    Ok(entries)
}

fn modified(path: &Path) -> Result<Option<SystemTime>> {
    match std::fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        time => time.map(Some).map_err(Error::io("look at", path)),
    }
}

/// The names of a directory's directories; none if it is not there.
pub(super) fn folders(dir: &Path) -> Result<Vec<String>> {
    let is_directory = |(name, is_directory): &(String, bool)| *is_directory || dir.join(name).is_dir();
    Ok(entries(dir)?.into_iter().filter(is_directory).map(|(name, _)| name).collect())
}
