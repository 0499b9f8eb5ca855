//! Walks directories for visible files.

use std::fs::{DirEntry, FileType, Metadata};
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Result};

use super::partitions;
use crate::clock::nanos_since_epoch;

/// Directories within each other that are walked: links that lead back are a mistake, not data.
const MAX_DEPTH: usize = 100;

/// A file as it was when it was listed or planned. Ordered by age, then name: the order in which files are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    pub(crate) mtime: i64,
    /// Its path below the base of the source.
    pub(crate) path: String,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// What an object store says of this version of it: `ETag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
}

impl FileState {
    pub(crate) fn new(path: String, metadata: &Metadata) -> std::io::Result<Self> {
        Ok(FileState { mtime: nanos_since_epoch(metadata.modified()?), path, len: metadata.len(), tag: None })
    }

    /// A file below `dir` as it is now; `None` if there is none.
    pub(crate) fn of(dir: &Path, path: &str) -> Result<Option<Self>> {
        FileState { mtime: 0, path: path.to_owned(), len: 0, tag: None }.refresh(dir)
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

    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Which directories below one are walked, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Descent {
    /// Those of a partitioned layout: `key=value`.
    #[default]
    Partitions,
    /// All of them.
    All,
}

/// Adds the files below `dir` of the base, whose paths `wanted` accepts. Costs one system call for each of these, and one for each
/// directory.
pub(crate) fn walk(
    base: &Path,
    dir: &str,
    descent: Descent,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Vec<FileState>,
) -> Result<()> {
    walk_level(base, dir, descent, 0, wanted, found)
}

fn walk_level(
    base: &Path,
    dir: &str,
    descent: Descent,
    depth: usize,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Vec<FileState>,
) -> Result<()> {
    let full = base.join(dir);
    if depth > MAX_DEPTH {
        let what = format!("{} lies more than {MAX_DEPTH} directories deep: does a link lead back?", full.display());
        return Err(Error::InvalidArgument(what));
    }
    for entry in visible_entries(&full)? {
        let (name, kind) = entry?;
        let descends = descent == Descent::All || partitions::is_partition(&name);
        // Most names are of files that were read before: nothing is copied for these.
        let path = if dir.is_empty() { name } else { below(dir, &name) };
        if descends && (kind.is_dir() || kind.is_symlink() && base.join(&path).is_dir()) {
            walk_level(base, &path, descent, depth + 1, wanted, found)?;
        } else if !kind.is_dir() && wanted(&path) {
            found.extend(file_state(base, path)?);
        }
    }
    Ok(())
}

/// A path below a directory of the base; the base itself is the empty path.
pub(crate) fn below(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// The names in `dir` that are not hidden.
pub(crate) fn visible_names(dir: &Path) -> Result<Vec<String>> {
    visible_entries(dir)?.map(|entry| entry.map(|(name, _)| name)).collect()
}

fn visible_entries(dir: &Path) -> Result<impl Iterator<Item = Result<(String, FileType)>>> {
    let entries = std::fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let entry = move |entry: std::io::Result<DirEntry>| {
        let entry = entry.map_err(Error::io("list", dir))?;
        let Some(name) = visible_name(&entry)? else { return Ok(None) };
        match entry.file_type() {
            Ok(kind) => Ok(Some((name, kind))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read the type of", entry.path())(error)),
        }
    };
    Ok(entries.map(entry).filter_map(Result::transpose))
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

/// Whether readers pass a name over, as Spark's do: `.x`, `_x` (but not the partition `_x=1`), and what Hadoop is copying.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name.starts_with('_') && !name.contains('=') || name.ends_with("._COPYING_")
}

fn visible_name(entry: &DirEntry) -> Result<Option<String>> {
    let name = entry.file_name();
    if name.as_encoded_bytes().first() == Some(&b'.') {
        return Ok(None);
    }
    // Leaving it out would lose its rows in silence.
    let name = name.into_string().map_err(|name| {
        Error::user(format!(
            "the name of the file {} is not UTF-8; rename it or move it away",
            entry.path().with_file_name(name).display()
        ))
    })?;
    Ok((!is_hidden(&name)).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(dir: &Path, descent: Descent, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut files = Vec::new();
        walk(dir, "", descent, wanted, &mut files)?;
        files.sort_unstable();
        Ok(files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn lists_visible_files_by_age_then_name() {
        let dir = tempfile::tempdir().unwrap();
        let names =
            [("b", 5), ("a", 5), ("old", 9), (".hidden", 1), ("_hidden", 1), ("_a=b", 2), ("x._COPYING_", 1), ("seen", 1)];
        for (name, age) in names {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(100 - age);
            file.set_modified(time).unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        assert_eq!(list(dir.path(), Descent::Partitions, &|name| name != "seen").unwrap(), ["old", "a", "b", "_a=b"]);
    }

    #[test]
    fn descends_into_partitions_or_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["k=1/j=x/a", "k=1/sub/b", "sub/c", "d", "_staging/e", ".x/f"] {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), "").unwrap();
        }
        let sorted = |descent| {
            let mut paths = list(dir.path(), descent, &|_| true).unwrap();
            paths.sort();
            paths
        };
        assert_eq!(sorted(Descent::Partitions), ["d", "k=1/j=x/a"]);
        assert_eq!(sorted(Descent::All), ["d", "k=1/j=x/a", "k=1/sub/b", "sub/c"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_no_file_and_a_circle_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
        std::fs::write(dir.path().join(".real"), "x").unwrap();
        std::os::unix::fs::symlink(".real", dir.path().join("link")).unwrap();
        assert_eq!(list(dir.path(), Descent::All, &|_| true).unwrap(), ["link"]);
        std::os::unix::fs::symlink(".", dir.path().join("circle")).unwrap();
        let error = list(dir.path(), Descent::All, &|_| true).unwrap_err().to_string();
        // Linux itself gives up on so many links, at 40.
        assert!(error.contains("lead back") || error.contains("circle"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_an_error_and_not_a_loss() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff")), "x").unwrap();
        assert!(list(dir.path(), Descent::All, &|_| true).unwrap_err().to_string().contains("is not UTF-8"));
    }
}
