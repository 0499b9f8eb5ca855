//! Which files a path stands for: a directory's, one file, or what a pattern matches; in a file system or in an object store.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use tidegate_runtime::{Error, Result};

use super::glob::Pattern;
use super::listing::{Descent, FileState, below, file_state, is_hidden, visible_names, walk};
use super::manifest::{Content, MANIFEST};
use super::object_directory::ObjectDirectory;
use super::object_manifest::owner_in;
use super::part::unique_epoch_of;
use super::partitions;
use crate::objects::{Objects, as_url};

/// Which of the files below a path are taken: Spark's general options of file sources.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// `pathGlobFilter`: what the name of a file must match.
    pub(crate) filter: Option<String>,
    /// `recursiveFileLookup`.
    pub(crate) recursive: bool,
    /// `modifiedAfter` and `modifiedBefore`, in nanoseconds, both exclusive.
    pub(crate) modified: (Option<i64>, Option<i64>),
    /// `basePath`: directories below it are partitions, also those of the path itself.
    pub(crate) base_path: Option<PathBuf>,
}

/// Where a file source looks. Paths of files are relative to [`base`](Self::base).
#[derive(Debug, Clone)]
pub(crate) struct Location {
    base: PathBuf,
    /// Set if the base is the URL of a place in an object store.
    remote: Option<ObjectDirectory>,
    /// What names below the base must match, one level each. None: the files right in the base.
    levels: Vec<Level>,
    filter: Option<Pattern>,
    descent: Descent,
    modified: (Option<i64>, Option<i64>),
    partitioning: Partitioning,
}

/// Which directories of a path are partitions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partitioning {
    /// The base of the source, as far as it is below `basePath`.
    above: Vec<String>,
    /// How many directories below the base are no partitions, because the path names them.
    skip: usize,
    /// With `recursiveFileLookup` there are none.
    off: bool,
}

impl Partitioning {
    /// The partition values of a file, in the order of its directories; `None` is null.
    pub(crate) fn values(&self, path: &str) -> Vec<(String, Option<String>)> {
        if self.off || self.above.is_empty() && !path.contains('=') {
            return Vec::new();
        }
        let directories: Vec<&str> = path.split('/').collect();
        let below = directories.split_last().map_or(&[][..], |(_, directories)| directories);
        let parts = self.above.iter().map(String::as_str).chain(below.iter().copied().skip(self.skip));
        parts.filter_map(partitions::parse).collect()
    }
}

#[derive(Debug, Clone)]
enum Level {
    Name(String),
    Pattern(Pattern),
}

impl Location {
    /// What `path` stands for now. A path that exists is taken as it is, whatever characters it has.
    pub(crate) fn of(path: &Path, choice: &Choice) -> Result<Self> {
        let (base, levels) = match as_url(path) {
            Some(url) => resolve_url(url)?,
            None => resolve(path)?,
        };
        let remote = as_url(&base).map(Objects::at).transpose()?.map(ObjectDirectory::new);
        let descent = if choice.recursive { Descent::All } else { Descent::Partitions };
        let mut partitioning = Partitioning { above: Vec::new(), skip: levels.len(), off: choice.recursive };
        if let Some(root) = &choice.base_path {
            let outside = || {
                Error::InvalidArgument(format!(
                    "the option basePath must be a directory above the path: {} is not above {}",
                    root.display(),
                    path.display()
                ))
            };
            let above = base.strip_prefix(root).map_err(|_| outside())?;
            partitioning.above = above.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            partitioning.skip = 0;
        }
        let filter = choice.filter.as_deref().map(Pattern::parse).transpose()?;
        Ok(Location { base, remote, levels, filter, descent, modified: choice.modified, partitioning })
    }

    /// The directory that the paths of files are relative to.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The place in an object store that it is, if it is one.
    pub(crate) fn remote(&self) -> Option<&Objects> {
        self.remote.as_ref().map(|remote| &remote.objects)
    }

    /// Fails if there is no directory to list. An object store has none: there are files, or none yet.
    pub(crate) fn check(&self) -> Result<()> {
        if self.remote.is_some() { Ok(()) } else { check_directory(&self.base) }
    }

    /// A file as it is now; `None` if it is gone.
    pub(crate) fn refresh(&self, file: FileState) -> Result<Option<FileState>> {
        match &self.remote {
            Some(remote) => remote.state(&file.path),
            None => file.refresh(&self.base),
        }
    }

    pub(crate) fn partitioning(&self) -> &Partitioning {
        &self.partitioning
    }

    /// All visible files whose paths `wanted` accepts, oldest first.
    pub(crate) fn files(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileState>> {
        let mut files = match &self.remote {
            Some(remote) => self.objects(remote, wanted)?,
            None => self.walked(wanted)?,
        };
        files.retain(|file| self.is_in_time(file));
        files.sort_unstable();
        Ok(files)
    }

    /// The same in a file system, in any order.
    fn walked(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileState>> {
        let passes = |path: &str| self.passes(path) && wanted(path);
        let mut files = Vec::new();
        if self.levels.is_empty()
            && let Some(content) = Content::read(&self.base)?
        {
            self.committed(&content, wanted, &mut files, &|path| file_state(&self.base, path.to_owned()))?;
            files.retain(|file| self.passes(&file.path));
        } else if self.levels.is_empty() {
            walk(&self.base, "", self.descent, &passes, &mut files)?;
        }
        for path in self.matches()? {
            // A directory that matches stands for the files in it.
            if self.base.join(&path).is_dir() {
                walk(&self.base, &path, self.descent, &passes, &mut files)?;
            } else if passes(&path) {
                files.extend(file_state(&self.base, path)?);
            }
        }
        Ok(files)
    }

    /// The same in an object store: all of it is listed.
    fn objects(&self, remote: &ObjectDirectory, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileState>> {
        let mut listed = remote.list()?;
        // A long listing comes in pieces, which are of different moments. Whose output it is, is said before there is a file of it: if there
        // is one, a second listing can't miss that.
        if self.levels.is_empty()
            && owner_in(&listed).is_none()
            && listed.iter().any(|file| unique_epoch_of(file.name()).is_some())
        {
            listed = remote.list()?;
        }
        self.of_listing(remote, listed, wanted)
    }

    /// The files among objects that were listed.
    pub(super) fn of_listing(
        &self,
        remote: &ObjectDirectory,
        mut listed: Vec<FileState>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<FileState>> {
        let content = if self.levels.is_empty() { remote.manifest(&listed)? } else { None };
        let Some(content) = content else {
            listed.retain(|file| self.covers(&file.path) && self.passes(&file.path) && wanted(&file.path));
            return Ok(listed);
        };
        let listed: HashMap<&str, &FileState> = listed.iter().map(|file| (file.path.as_str(), file)).collect();
        // A file that was committed while the listing went on may lie in a piece of it that was there before.
        let state = |path: &str| match listed.get(path) {
            Some(state) => Ok(Some(FileState::clone(state))),
            None => remote.state(path),
        };
        let mut files = Vec::new();
        self.committed(&content, wanted, &mut files, &state)?;
        files.retain(|file| self.passes(&file.path));
        Ok(files)
    }

    /// Whether a walk from the base would come to an object of this path.
    fn covers(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let Some((named, below)) = parts.split_at_checked(self.levels.len()) else { return false };
        let fits = |(level, part): (&Level, &&str)| match level {
            Level::Name(name) => name == part,
            Level::Pattern(pattern) => !is_hidden(part) && pattern.matches(part),
        };
        let descends = |part: &&str| !is_hidden(part) && (self.descent == Descent::All || partitions::is_partition(part));
        self.levels.iter().zip(named).all(fits)
            && match below.split_last() {
                // What matches is itself a file.
                None => true,
                Some((name, directories)) => !is_hidden(name) && directories.iter().all(descends),
            }
    }

    /// Whether the directory is the output of a file sink.
    ///
    /// # Errors
    /// When an object store can't be asked.
    pub(crate) fn has_manifest(&self) -> Result<bool> {
        Ok(self.levels.is_empty()
            && match &self.remote {
                Some(remote) => owner_in(&remote.list()?).is_some(),
                None => self.base.join(MANIFEST).is_file(),
            })
    }

    /// The files of a sink's committed epochs; `state` gives a file as it is now.
    fn committed(
        &self,
        content: &Content,
        wanted: &dyn Fn(&str) -> bool,
        files: &mut Vec<FileState>,
        state: &dyn Fn(&str) -> Result<Option<FileState>>,
    ) -> Result<()> {
        let mut paths: Vec<&str> = Vec::new();
        for file in content.files() {
            match content.merged.iter().find(|merge| merge.file.path == file.path) {
                // Some of what was merged was read before, in small files: the rest is read in these, too.
                Some(merge) if merge.replaces.iter().any(|path| !wanted(path)) => {
                    paths.extend(merge.replaces.iter().map(String::as_str));
                }
                _ => paths.push(&file.path),
            }
        }
        for path in paths.into_iter().filter(|path| wanted(path)) {
            match state(path)? {
                Some(state) => files.push(state),
                None => {
                    return Err(Error::SourceDataLoss(format!(
                        "the file {} was committed by a sink, as its manifest says, but is gone",
                        self.base.join(path).display()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether a file's name passes the filter.
    fn passes(&self, path: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(path.rsplit('/').next().unwrap_or(path)))
    }

    /// Whether a file was modified when it should have been.
    fn is_in_time(&self, file: &FileState) -> bool {
        let (after, before) = self.modified;
        after.is_none_or(|after| file.mtime > after) && before.is_none_or(|before| file.mtime < before)
    }

    /// The paths that match all levels; none if there are no levels.
    fn matches(&self) -> Result<Vec<String>> {
        let mut paths = if self.levels.is_empty() { Vec::new() } else { vec![String::new()] };
        for level in &self.levels {
            let mut next = Vec::new();
            for path in &paths {
                match level {
                    Level::Name(name) => next.push(below(path, name)),
                    Level::Pattern(pattern) if self.base.join(path).is_dir() => {
                        let names = visible_names(&self.base.join(path))?;
                        next.extend(names.iter().filter(|name| pattern.matches(name)).map(|name| below(path, name)));
                    }
                    Level::Pattern(_) => {}
                }
            }
            paths = next;
        }
        Ok(paths)
    }
}

fn check_directory(dir: &Path) -> Result<()> {
    std::fs::read_dir(dir).map(drop).map_err(|error| {
        let what =
            format!("{error}; create the directory, or give the one that the files are put into, with the right to list it");
        Error::io("list the source directory", dir)(std::io::Error::new(error.kind(), what))
    })
}

/// The part of a URL that is no pattern, and what follows it.
fn resolve_url(url: &str) -> Result<(PathBuf, Vec<Level>)> {
    let url = url.trim_end_matches('/');
    let is_pattern = |part: &str| part.contains(['*', '?', '{', '[']);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let parts: Vec<&str> = rest.split('/').collect();
    if let Some(first) = parts.iter().position(|part| is_pattern(part)) {
        let level = |part: &&str| match is_pattern(part) {
            true => Pattern::parse(part).map(Level::Pattern),
            false => Ok(Level::Name((*part).to_owned())),
        };
        let (literal, levels) = parts.split_at(first);
        return Ok((
            PathBuf::from(format!("{scheme}://{}", literal.join("/"))),
            levels.iter().map(level).collect::<Result<_>>()?,
        ));
    }
    // An object of this name is a file, as in a file system.
    if let [directories @ .., name] = parts.as_slice()
        && !directories.is_empty()
    {
        let parent = format!("{scheme}://{}", directories.join("/"));
        if Objects::at(&parent)?.head(name)?.is_some() {
            return Ok((PathBuf::from(parent), vec![Level::Name((*name).to_owned())]));
        }
    }
    Ok((PathBuf::from(url), Vec::new()))
}

/// The directory of a path that is no pattern, and what follows it.
fn resolve(path: &Path) -> Result<(PathBuf, Vec<Level>)> {
    if path.is_file() {
        let (Some(base), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(Error::InvalidArgument(format!("{} names no file", path.display())));
        };
        return Ok((or_here(base), vec![Level::Name(name.to_owned())]));
    }
    if path.is_dir() || !is_glob(path) {
        return Ok((path.to_path_buf(), Vec::new()));
    }
    let literal = path.components().take_while(|part| !is_pattern(part));
    let base: PathBuf = literal.clone().collect();
    let levels = path.components().skip(literal.count()).map(|part| match part.as_os_str().to_str() {
        Some(text) if is_pattern(&part) => Pattern::parse(text).map(Level::Pattern),
        Some(text) => Ok(Level::Name(text.to_owned())),
        None => Err(Error::InvalidArgument(format!("the pattern {} is not UTF-8", path.display()))),
    });
    Ok((or_here(&base), levels.collect::<Result<_>>()?))
}

fn or_here(dir: &Path) -> PathBuf {
    if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_path_buf() }
}

/// Whether a path is a pattern for names.
pub(crate) fn is_glob(path: &Path) -> bool {
    path.components().any(|part| is_pattern(&part))
}

fn is_pattern(part: &Component<'_>) -> bool {
    part.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), "x").unwrap();
        }
        dir
    }

    fn found(location: &Location) -> Vec<String> {
        let files = location.files(&|path| path != "d1/seen").unwrap();
        let mut paths: Vec<String> = files.into_iter().map(|file| file.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn directories_files_and_patterns() {
        let dir = tree(&["top.txt", "d1/a.txt", "d1/b.csv", "d1/_hidden.txt", "d1/seen", "d2/c.txt", "d1/sub/x.txt"]);
        let found = |path: &str, filter: Option<&str>, recursive| {
            let choice = Choice { filter: filter.map(str::to_owned), recursive, ..Choice::default() };
            found(&Location::of(&dir.path().join(path), &choice).unwrap())
        };
        assert_eq!(found("d1", None, false), ["a.txt", "b.csv", "seen"]);
        assert_eq!(found("d1", Some("*.txt"), false), ["a.txt"]);
        assert_eq!(found("d1", Some("*.txt"), true), ["a.txt", "sub/x.txt"]);
        assert_eq!(found("top.txt", None, false), ["top.txt"]);
        assert_eq!(found("*.txt", None, false), ["top.txt"]);
        assert_eq!(found("d*/*.txt", None, false), ["d1/a.txt", "d2/c.txt"]);
        assert_eq!(found("d*", None, false), ["d1/a.txt", "d1/b.csv", "d2/c.txt"]);
        assert_eq!(found("d*", None, true), ["d1/a.txt", "d1/b.csv", "d1/sub/x.txt", "d2/c.txt"]);
        assert_eq!(found("{d2,none}/c.txt", None, false), ["d2/c.txt"]);
        assert!(found("none*/x", None, false).is_empty());
    }

    #[test]
    fn files_modified_in_a_time() {
        let dir = tree(&["a", "b", "c"]);
        for (name, seconds) in [("a", 1), ("b", 2), ("c", 3)] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            std::fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(time).unwrap();
        }
        let found = |after: Option<i64>, before: Option<i64>| {
            let nanos = |seconds: Option<i64>| seconds.map(|seconds| seconds * 1_000_000_000);
            let choice = Choice { modified: (nanos(after), nanos(before)), ..Choice::default() };
            found(&Location::of(dir.path(), &choice).unwrap())
        };
        assert_eq!(found(Some(1), None), ["b", "c"]);
        assert_eq!(found(None, Some(3)), ["a", "b"]);
        assert_eq!(found(Some(1), Some(3)), ["b"]);
    }

    #[test]
    fn partitions_below_the_path_or_the_base_path() {
        let dir = tree(&["t/y=1/m=2/a", "t/y=1/m=3/b"]);
        let values = |path: &str, base: Option<&str>, file: &str| {
            let base_path = base.map(|base| dir.path().join(base));
            let location = Location::of(&dir.path().join(path), &Choice { base_path, ..Choice::default() }).unwrap();
            let values = location.partitioning().values(file).into_iter();
            values.map(|(key, value)| format!("{key}={}", value.unwrap_or("-".into()))).collect::<Vec<_>>()
        };
        assert_eq!(values("t", None, "y=1/m=2/a"), ["y=1", "m=2"]);
        assert_eq!(values("t/y=1", None, "m=2/a"), ["m=2"]);
        assert_eq!(values("t/y=*", None, "y=1/m=2/a"), ["m=2"]);
        assert_eq!(values("t/y=1", Some("t"), "m=2/a"), ["y=1", "m=2"]);
        assert_eq!(values("t/y=*", Some("t"), "y=1/m=__HIVE_DEFAULT_PARTITION__/a"), ["y=1", "m=-"]);
        let elsewhere = Choice { base_path: Some(dir.path().join("u")), ..Choice::default() };
        assert!(Location::of(&dir.path().join("t"), &elsewhere).is_err());
    }
}
