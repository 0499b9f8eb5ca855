//! Wakes a source when the file system tells of something new.

#[cfg(feature = "notify")]
pub(crate) use with_notify::Watch;

#[cfg(feature = "notify")]
mod with_notify {
    use std::path::Path;

    use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
    use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
    use tidegate_runtime::Notifier;

    /// Calls a notifier for as long as it lives.
    #[derive(Debug)]
    pub(crate) struct Watch {
        _watcher: RecommendedWatcher,
    }

    impl Watch {
        /// Watches a directory, and all below it if `is_deep`. `None` where that can't be done: the source is polled then.
        pub(crate) fn start(directory: &Path, is_deep: bool, notifier: Notifier) -> Option<Self> {
            let handler = move |event: notify::Result<Event>| {
                // After an error events may be missing.
                if event.is_err() || event.is_ok_and(|event| is_news(&event)) {
                    notifier.notify();
                }
            };
            let mode = if is_deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            let watching = notify::recommended_watcher(handler).and_then(|mut watcher| {
                watcher.watch(directory, mode)?;
                Ok(Watch { _watcher: watcher })
            });
            watching
                .inspect_err(
                    |error| tracing::debug!(directory = %directory.display(), %error, "a source's directory is not watched"),
                )
                .ok()
        }
    }

    /// Whether a file may be there that was not: reading one is none of it, and neither is removing one.
    fn is_news(event: &Event) -> bool {
        match event.kind {
            EventKind::Create(_) | EventKind::Any | EventKind::Other => true,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => false,
            EventKind::Modify(_) => true,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => false,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::sync::mpsc::channel;
        use std::time::Duration;

        #[test]
        fn a_file_that_is_moved_in_wakes() {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("in")).unwrap();
            std::fs::write(dir.path().join("a"), "x").unwrap();
            let (sender, woken) = channel();
            let notifier = Notifier::new(move || sender.send(()).unwrap_or_default());
            let Some(_watch) = Watch::start(&dir.path().join("in"), false, notifier) else { return };
            std::fs::rename(dir.path().join("a"), dir.path().join("in/a")).unwrap();
            woken.recv_timeout(Duration::from_secs(60)).unwrap();
        }

        #[test]
        fn what_can_not_be_watched_is_polled() {
            let dir = tempfile::tempdir().unwrap();
            assert!(Watch::start(&dir.path().join("none"), true, Notifier::ignored()).is_none());
        }
    }
}

/// Nothing is watched by a build without the feature `notify`.
#[cfg(not(feature = "notify"))]
#[derive(Debug)]
pub(crate) struct Watch;

#[cfg(not(feature = "notify"))]
impl Watch {
    /// `None`: the source is polled.
    pub(crate) fn start(_directory: &std::path::Path, _is_deep: bool, _notifier: tidegate_runtime::Notifier) -> Option<Self> {
        None
    }
}
