//! The files of a place in an object store: its listing, and the manifest if a sink writes there.

use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectMeta;
use tidegate_runtime::Result;

use super::listing::FileState;
use super::manifest::Content;
use super::object_manifest;
use crate::objects::Objects;

/// A place in an object store that files are read from.
#[derive(Debug, Clone)]
pub(crate) struct ObjectDirectory {
    pub(crate) objects: Objects,
    /// The manifest as it was read last, and the object that says whose it is. Epochs are only added to it.
    known: Arc<Mutex<Option<(FileState, Content)>>>,
}

impl ObjectDirectory {
    pub(crate) fn new(objects: Objects) -> Self {
        ObjectDirectory { objects, known: Arc::default() }
    }

    /// All objects, also those that are hidden from readers.
    pub(crate) fn list(&self) -> Result<Vec<FileState>> {
        Ok(self.objects.list("")?.into_iter().map(|(path, meta)| state_of(path, &meta)).collect())
    }

    /// An object as it is now; `None` if there is none.
    pub(crate) fn state(&self, path: &str) -> Result<Option<FileState>> {
        Ok(self.objects.head(path)?.map(|meta| state_of(path.to_owned(), &meta)))
    }

    /// What the manifest among the objects says; `None` if there is none.
    pub(crate) fn manifest(&self, listed: &[FileState]) -> Result<Option<Content>> {
        let Some(owner) = object_manifest::owner_in(listed) else { return Ok(None) };
        // Nothing is left half done by a thread that panicked.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.take().filter(|(of, _)| of == owner).map(|(_, content)| content);
        let content = object_manifest::read(&self.objects, listed, before)?;
        *known = Some((owner.clone(), content.clone()));
        Ok(Some(content))
    }
}

fn state_of(path: String, meta: &ObjectMeta) -> FileState {
    let mtime = meta.last_modified.timestamp_nanos_opt().unwrap_or(i64::MAX);
    FileState { mtime, path, len: meta.size, tag: meta.e_tag.clone() }
}
