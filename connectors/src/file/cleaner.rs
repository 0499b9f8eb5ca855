//! What becomes of files that were read: Spark's option `cleanSource`.

use std::path::{Component, Path, PathBuf};

use tidegate_runtime::{Error, Result};

use super::location::Location;
use crate::objects::{Objects, as_url};

/// What becomes of a source's file when the epoch that read it is committed.
///
/// It is done once and not tried again: a crash right after the commit, or an error, leaves the file where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CleanSource {
    /// It stays.
    #[default]
    Off,
    /// It is removed.
    Delete,
    /// It is moved below this directory, to the path that it had: `/done` gets `/in/a.csv` as `/done/in/a.csv`. The directory
    /// must be on the same file system, or in the same object store as a URL: `s3://b/done` gets `s3://b/in/a.csv` as
    /// `s3://b/done/in/a.csv`.
    Archive(PathBuf),
}

impl CleanSource {
    /// Refuses an archive from which files would be read again.
    pub(crate) fn check(&self, base: &Path) -> Result<()> {
        let CleanSource::Archive(archive) = self else { return Ok(()) };
        if let Some(url) = as_url(base) {
            return check_archive_url(url, archive);
        }
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("resolve", path));
        if absolute(archive)?.starts_with(absolute(base)?) {
            return Err(Error::InvalidArgument(format!(
                "the option sourceArchiveDir must not lie where the source looks for files: {} is below {}",
                archive.display(),
                base.display()
            )));
        }
        Ok(())
    }

    /// Does it to a file of a source; failing is no reason to fail the query.
    pub(crate) fn clean(&self, location: &Location, path: &str) {
        let file = location.base().join(path);
        let cleaned = match location.remote() {
            Some(objects) => self.clean_object(objects, path).map_err(|error| error.to_string()),
            None => self.clean_file(&file).map_err(|error| error.to_string()),
        };
        if let Err(error) = cleaned {
            tracing::warn!(file = %file.display(), error, "a file that was read can't be cleaned up");
        }
    }

    fn clean_file(&self, file: &Path) -> std::io::Result<()> {
        match self {
            CleanSource::Off => Ok(()),
            CleanSource::Delete => std::fs::remove_file(file),
            CleanSource::Archive(archive) => move_below(archive, file),
        }
    }

    fn clean_object(&self, objects: &Objects, path: &str) -> Result<()> {
        match self {
            CleanSource::Off => Ok(()),
            CleanSource::Delete => objects.remove(path),
            CleanSource::Archive(archive) => {
                let (_, below) = root_and_rest(objects.url());
                let target = if below.is_empty() { path.to_owned() } else { format!("{below}/{path}") };
                objects.move_to(path, &Objects::at(&archive.to_string_lossy())?, &target)
            }
        }
    }
}

/// A URL's scheme and authority, and the path below.
fn root_and_rest(url: &str) -> (&str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    (&url[..end], url[end..].trim_matches('/'))
}

fn check_archive_url(base: &str, archive: &Path) -> Result<()> {
    let (base, archive) = (base.trim_end_matches('/'), archive.to_string_lossy());
    let archive = archive.trim_end_matches('/');
    let is_below = archive.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if root_and_rest(base).0 == root_and_rest(archive).0 && !is_below {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "the option sourceArchiveDir must lie in the same object store, and not where the source looks for files: {archive} for {base}"
    )))
}

fn move_below(archive: &Path, file: &Path) -> std::io::Result<()> {
    let absolute = std::path::absolute(file)?;
    let target: PathBuf = archive.components().chain(absolute.components().filter(|part| is_name(part))).collect();
    if target.exists() {
        return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, format!("{} is there already", target.display())));
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(file, target)
}

fn is_name(part: &Component<'_>) -> bool {
    matches!(part, Component::Normal(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_with_its_path_or_removed_or_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in/a");
        let archive = CleanSource::Archive(dir.path().join("done"));
        let put = || {
            std::fs::create_dir_all(dir.path().join("in")).unwrap();
            std::fs::write(&file, "x").unwrap();
        };
        put();
        CleanSource::Off.clean_file(&file).unwrap();
        assert!(file.exists());
        archive.clean_file(&file).unwrap();
        let moved = dir.path().join("done").join(file.strip_prefix("/").unwrap());
        assert_eq!((file.exists(), moved.exists()), (false, true));
        put();
        archive.clean_file(&file).unwrap_err();
        assert!(file.exists(), "nothing in the archive is replaced");
        CleanSource::Delete.clean_file(&file).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn an_archive_within_the_source_is_refused() {
        let check = |archive: &str| CleanSource::Archive(archive.into()).check(Path::new("/in"));
        assert!(check("/in/done").is_err());
        assert!(check("/in").is_err());
        check("/done").unwrap();
        let check = |archive: &str| CleanSource::Archive(archive.into()).check(Path::new("s3://b/in/"));
        assert!(check("s3://b/in/done").is_err() && check("s3://other/done").is_err() && check("/done").is_err());
        check("s3://b/input").unwrap();
    }
}
