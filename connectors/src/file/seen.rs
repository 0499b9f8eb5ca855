//! The files that were read before.

use std::collections::HashMap;

use super::listing::FileState;

/// What makes a file a new one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SeenRules {
    /// Files that are this much older than the newest one that was read are not new, and are forgotten; in nanoseconds.
    pub(crate) max_age: Option<i64>,
    /// A file is known by its name only, wherever it lies.
    pub(crate) file_name_only: bool,
    /// A file that was modified after it was read is new.
    pub(crate) allow_overwrites: bool,
}

/// The files that were read, by their paths, and when they had been modified.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    rules: SeenRules,
    files: HashMap<String, i64>,
    /// Modification time of the newest file.
    newest: Option<i64>,
    /// Older files are not looked at.
    cutoff: Option<i64>,
    /// The cutoff when files were last forgotten.
    forgotten: Option<i64>,
}

impl Seen {
    pub(crate) fn new(rules: SeenRules) -> Self {
        Seen { rules, ..Seen::default() }
    }

    /// Whether a file of this path could be new: if not, it need not be looked at.
    pub(crate) fn may_be_new(&self, path: &str) -> bool {
        self.rules.allow_overwrites || !self.files.contains_key(self.key(path))
    }

    pub(crate) fn is_new(&self, file: &FileState) -> bool {
        let is_known = match self.files.get(self.key(&file.path)) {
            Some(modified) => !self.rules.allow_overwrites || file.mtime <= *modified,
            None => false,
        };
        !is_known && self.cutoff.is_none_or(|cutoff| file.mtime >= cutoff)
    }

    pub(crate) fn add(&mut self, file: &FileState) {
        let key = self.key(&file.path).to_owned();
        self.files.insert(key, file.mtime);
        self.newest = self.newest.max(Some(file.mtime));
    }

    /// Forgets the files that are too old to be taken for new ones.
    pub(crate) fn forget_old(&mut self) {
        let (Some(max_age), Some(newest)) = (self.rules.max_age, self.newest) else { return };
        let cutoff = newest.saturating_sub(max_age);
        self.cutoff = Some(cutoff);
        // Every file is looked at, so not for every epoch.
        if self.forgotten.is_none_or(|forgotten| cutoff.saturating_sub(forgotten) > max_age / 16) {
            self.files.retain(|_, modified| *modified >= cutoff);
            self.forgotten = Some(cutoff);
        }
    }

    fn key<'a>(&self, path: &'a str) -> &'a str {
        if self.rules.file_name_only { path.rsplit('/').next().unwrap_or(path) } else { path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mtime: i64) -> FileState {
        FileState { mtime, path: path.to_owned(), len: 1, tag: None }
    }

    #[test]
    fn known_by_path_name_or_time() {
        let seen = |rules| {
            let mut seen = Seen::new(rules);
            seen.add(&file("a/x", 5));
            move |path: &str, mtime| seen.may_be_new(path) && seen.is_new(&file(path, mtime))
        };
        let by_path = seen(SeenRules::default());
        assert_eq!([("a/x", 5), ("a/x", 6), ("b/x", 5)].map(|(path, time)| by_path(path, time)), [false, false, true]);
        let by_name = seen(SeenRules { file_name_only: true, ..SeenRules::default() });
        assert_eq!([("a/x", 5), ("b/x", 5), ("b/y", 5)].map(|(path, time)| by_name(path, time)), [false, false, true]);
        let by_time = seen(SeenRules { allow_overwrites: true, ..SeenRules::default() });
        assert_eq!([("a/x", 5), ("a/x", 6)].map(|(path, time)| by_time(path, time)), [false, true]);
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_not_new() {
        let mut seen = Seen::new(SeenRules { max_age: Some(10), ..SeenRules::default() });
        (0..1_000).for_each(|time| {
            seen.add(&file(&format!("f{time}"), time));
            seen.forget_old();
        });
        assert_eq!(seen.files.len(), 11);
        assert!(!seen.is_new(&file("f0", 0)));
        assert!(!seen.is_new(&file("other", 988)));
        assert!(seen.is_new(&file("other", 989)));
    }
}
