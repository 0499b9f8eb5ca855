//! A table in an object store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_runtime::{Error, Result};
use uuid::Uuid;

use super::{LOG, LocalFile, Storage};
use crate::file::{is_hidden, remove_file};
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

    fn publish(&self, files: Vec<(PathBuf, String)>) -> Result<()> {
        self.upload(files.clone())?;
        files.iter().try_for_each(|(staged, _)| remove_file(staged))
    }

    fn data_paths(&self) -> Result<Vec<String>> {
        let is_data = |path: &String| !path.split('/').any(is_hidden);
        Ok(self.list("")?.into_iter().map(|(path, _)| path).filter(is_data).collect())
    }

    fn modified(&self, path: &str) -> Result<Option<SystemTime>> {
        Ok(self.head(path)?.map(|object| object.last_modified.into()))
    }

    fn clear_staged_before(&self, _time: SystemTime) -> Result<usize> {
        // It is on the machine of the writer, where the next run of the query clears it.
        Ok(0)
    }

    fn remove(&self, path: &str) -> Result<()> {
        Objects::remove(self, path)
    }

    fn remove_log(&self, name: &str) -> Result<()> {
        Objects::remove(self, &format!("{LOG}/{name}"))
    }

    fn remove_empty(&self, _paths: &[String]) -> Result<()> {
        Ok(())
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
