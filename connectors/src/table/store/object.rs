//! A table in an object store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_runtime::{Error, Result};
use uuid::Uuid;

use super::{LOG, LocalFile, Storage};
use crate::file::remove_file;
use crate::objects::{Expected, Objects};

impl Storage for Objects {
    fn name(&self) -> String {
        self.url().to_owned()
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn log_names(&self) -> Result<Vec<String>> {
        self.names(LOG)
    }

    fn read_log(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read(&format!("{LOG}/{name}"))
    }

    fn create_log(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.create(&format!("{LOG}/{name}"), bytes)
    }

    fn staging(&self, writer: &str) -> Result<PathBuf> {
        Objects::staging(writer)
    }

    fn clear_staging(&self, writer: &str) -> Result<()> {
        Objects::clear_staging(writer)
    }

    fn publish(&self, staged: &Path, path: &str) -> Result<()> {
        self.upload(vec![(staged.to_path_buf(), path.to_owned())])?;
        remove_file(staged)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn data_names(&self) -> Result<Vec<String>> {
        self.names("")
    }

    fn remove(&self, path: &str) -> Result<()> {
        Objects::remove(self, path)
    }

    fn remove_log(&self, name: &str) -> Result<()> {
        Objects::remove(self, &format!("{LOG}/{name}"))
    }

    fn remove_rows(&self) -> Result<()> {
        self.data_names()?.iter().try_for_each(|name| Objects::remove(self, name))
    }

    fn local(&self, path: &str) -> Result<LocalFile> {
        let copy = tempfile::Builder::new().prefix("tidegate-copy-").tempdir();
        let copy = copy.map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        let (name, dir) = (format!("copy-{}", Uuid::new_v4()), copy.path().to_path_buf());
        if !self.download(path, &dir.join(&name), Expected::default())? {
            return Err(Error::user(format!("can't read {}/{path}: it is not there", self.url())));
        }
        Ok(LocalFile { dir, path: name, copy: Some(Arc::new(copy)) })
    }

    fn is_local(&self) -> bool {
        false
    }
}
