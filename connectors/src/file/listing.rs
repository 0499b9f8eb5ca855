//! The visible files of a directory.

use std::fs::{DirEntry, Metadata};
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Result};

use crate::clock::nanos_since_epoch;

/// A file as it was when it was listed or planned. Ordered by age, then name: the order in which files are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    pub(crate) mtime: i64,
    /// The name in the directory.
    pub(crate) path: String,
    /// Its length in bytes.
    pub(crate) len: u64,
}

impl FileState {
    pub(crate) fn new(path: String, metadata: &Metadata) -> std::io::Result<Self> {
        Ok(FileState { mtime: nanos_since_epoch(metadata.modified()?), path, len: metadata.len() })
    }

    /// A file below `dir` as it is now; `None` if there is none.
    pub(crate) fn of(dir: &Path, path: &str) -> Result<Option<Self>> {
        FileState { mtime: 0, path: path.to_owned(), len: 0 }.refresh(dir)
    }

    /// The file as it is now; `None` if it is gone.
    pub(crate) fn refresh(self, dir: &Path) -> Result<Option<Self>> {
        let full = dir.join(&self.path);
        match std::fs::metadata(&full).and_then(|metadata| FileState::new(self.path, &metadata)) {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read the length of", full)(error)),
        }
    }
}

/// All visible files of `dir` whose names `wanted` accepts, oldest first. Costs one system call for each of these.
pub(crate) fn list_files(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileState>> {
    let mut files = Vec::new();
    for name in visible_names(dir)? {
        if wanted(&name) {
            files.extend(file_state(dir, name)?);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The names in `dir` that are not hidden.
pub(crate) fn visible_names(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let names = entries.map(|entry| visible_name(&entry.map_err(Error::io("list", dir))?));
    names.filter_map(Result::transpose).collect()
}

/// The file of this path below `dir`; `None` if there is none, or it is a directory.
pub(crate) fn file_state(dir: &Path, path: String) -> Result<Option<FileState>> {
    let full = dir.join(&path);
    // Follows symbolic links, which `DirEntry::metadata` does not.
    match std::fs::metadata(&full).and_then(|metadata| Ok((metadata.is_file(), FileState::new(path, &metadata)?))) {
        Ok((is_file, state)) => Ok(is_file.then_some(state)),
        // Moved away between the listing and this look.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("read the length of", full)(error)),
    }
}

fn visible_name(entry: &DirEntry) -> Result<Option<String>> {
    let name = entry.file_name();
    if name.as_encoded_bytes().first().is_some_and(|first| matches!(first, b'.' | b'_')) {
        return Ok(None);
    }
    // Leaving it out would lose its rows in silence.
    name.into_string().map(Some).map_err(|name| {
        Error::user(format!(
            "the name of the file {} is not UTF-8; rename it or move it away",
            entry.path().with_file_name(name).display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_visible_files_by_age_then_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in [("b", 5), ("a", 5), ("old", 9), (".hidden", 1), ("_hidden", 1), ("seen", 1)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(100 - age);
            file.set_modified(time).unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let files = list_files(dir.path(), &|name| name != "seen").unwrap();
        assert_eq!(files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["old", "a", "b"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_no_file_and_a_good_one_is() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
        std::fs::write(dir.path().join(".real"), "x").unwrap();
        std::os::unix::fs::symlink(".real", dir.path().join("link")).unwrap();
        let files = list_files(dir.path(), &|_| true).unwrap();
        assert_eq!(files.iter().map(|f| (f.path.as_str(), f.len)).collect::<Vec<_>>(), [("link", 1)]);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_an_error_and_not_a_loss() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff")), "x").unwrap();
        assert!(list_files(dir.path(), &|_| true).unwrap_err().to_string().contains("is not UTF-8"));
    }
}
