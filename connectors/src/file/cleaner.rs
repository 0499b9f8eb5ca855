//! What becomes of files that were read: Spark's option `cleanSource`.

use std::path::{Component, Path, PathBuf};

use tidegate_runtime::{Error, Result};

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
    /// must be on the same file system.
    Archive(PathBuf),
}

impl CleanSource {
    /// Refuses an archive from which files would be read again.
    pub(crate) fn check(&self, base: &Path) -> Result<()> {
        let CleanSource::Archive(archive) = self else { return Ok(()) };
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

    /// Does it to a file; failing is no reason to fail the query.
    pub(crate) fn clean(&self, file: &Path) {
        let cleaned = match self {
            CleanSource::Off => Ok(()),
            CleanSource::Delete => std::fs::remove_file(file),
            CleanSource::Archive(archive) => move_below(archive, file),
        };
        if let Err(error) = cleaned {
            tracing::warn!(file = %file.display(), %error, "a file that was read can't be cleaned up");
        }
    }
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
        CleanSource::Off.clean(&file);
        assert!(file.exists());
        archive.clean(&file);
        let moved = dir.path().join("done").join(file.strip_prefix("/").unwrap());
        assert_eq!((file.exists(), moved.exists()), (false, true));
        put();
        archive.clean(&file);
        assert!(file.exists(), "nothing in the archive is replaced");
        CleanSource::Delete.clean(&file);
        CleanSource::Delete.clean(&file);
        assert!(!file.exists());
    }

    #[test]
    fn an_archive_within_the_source_is_refused() {
        let check = |archive: &str| CleanSource::Archive(archive.into()).check(Path::new("/in"));
        assert!(check("/in/done").is_err());
        assert!(check("/in").is_err());
        check("/done").unwrap();
    }
}
