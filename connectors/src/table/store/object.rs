//! A table in an object store.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock, mpsc};

use dashmap::DashMap;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart};
use tidegate_runtime::{Error, Result};
use uuid::Uuid;

use super::{LOG, LocalFile, Storage};
use crate::file::{remove_directory, remove_file};

/// The length of the parts that a large file is uploaded in.
const PART_BYTES: usize = 8 << 20;

/// The stores that are known, by scheme and authority.
static STORES: LazyLock<DashMap<String, Arc<dyn ObjectStore>>> = LazyLock::new(DashMap::new);

/// Makes an object store known under a URL such as `s3://bucket`, with its own credentials and settings: for tables whose place begins
/// with that. `memory://name` needs no store: it is there while the process runs.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_connectors::{Table, TableDefinition, TableFormat, register_object_store};
///
/// register_object_store("s3://bucket", Arc::new(object_store::memory::InMemory::new()));
/// let definition = TableDefinition { columns: "id BIGINT".to_owned(), format: TableFormat::Parquet };
/// let table = Table::create("s3://bucket/warehouse/ids", &definition)?;
/// assert_eq!(table.version()?, 0);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
pub fn register_object_store(url: &str, store: Arc<dyn ObjectStore>) {
    STORES.insert(url.trim_end_matches('/').to_owned(), store);
}

#[derive(Debug)]
pub(super) struct Objects {
    url: String,
    store: Arc<dyn ObjectStore>,
    /// The table's own keys begin with it.
    prefix: Key,
}

impl Objects {
    pub(super) fn at(url: &str) -> Result<Self> {
        let refused = |what: &str| Error::InvalidArgument(format!("{url}: {what}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refused("this is no URL"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let root = format!("{scheme}://{authority}");
        if scheme == "memory" {
            STORES.entry(root.clone()).or_insert_with(|| Arc::new(InMemory::new()));
        }
        let store = STORES.get(&root).map(|store| Arc::clone(store.value()));
        let store = store.ok_or_else(|| {
            refused(&format!("no object store is known under {root}: call register_object_store(\"{root}\", …) before"))
        })?;
        let prefix = Key::parse(path).map_err(|error| refused(&error.to_string()))?;
        Ok(Objects { url: url.to_owned(), store, prefix })
    }

    /// The names right below, as a file system's folders.
    pub(super) fn folders(&self) -> Result<Vec<String>> {
        let (store, prefix) = (Arc::clone(&self.store), self.prefix.clone());
        let listed = self.wait("list", "", async move { store.list_with_delimiter(Some(&prefix)).await })?;
        Ok(listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned)).collect())
    }

    fn key(&self, path: &str) -> Key {
        path.split('/').fold(self.prefix.clone(), |key, part| key.join(part))
    }

    /// The names right below a folder.
    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let (store, prefix) = (Arc::clone(&self.store), if folder.is_empty() { self.prefix.clone() } else { self.key(folder) });
        let listed = self.wait("list", folder, async move { store.list_with_delimiter(Some(&prefix)).await })?;
        Ok(listed.objects.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect())
    }

    /// Runs a request to its end on threads of its own: the caller may be on any thread, also on one of an async runtime.
    fn wait<T: Send + 'static>(
        &self,
        what: &str,
        path: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.answer(request)?.map_err(|error| self.failed(what, path, &error))
    }

    fn answer<T: Send + 'static>(&self, request: impl Future<Output = T> + Send + 'static) -> Result<T> {
        // Never dropped: a runtime must not be dropped on a thread of another one.
        static RUNTIME: OnceLock<std::io::Result<tokio::runtime::Runtime>> = OnceLock::new();
        let runtime = RUNTIME.get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("tg-objects").enable_all().build()
        });
        let runtime =
            runtime.as_ref().map_err(|error| Error::user(format!("threads for object stores can't be started: {error}")))?;
        let (sender, receiver) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // The receiver waits below, unless the process is ending.
            drop(sender.send(request.await));
        });
        receiver.recv().map_err(|_| Error::user(format!("{}: a request panicked", self.url)))
    }

    fn failed(&self, what: &str, path: &str, error: &object_store::Error) -> Error {
        Error::user(format!("can't {what} {}/{path}: {error}", self.url))
    }
}

impl Storage for Objects {
    fn name(&self) -> String {
        self.url.clone()
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn log_names(&self) -> Result<Vec<String>> {
        self.names(LOG)
    }

    fn read_log(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = format!("{LOG}/{name}");
        let (store, key) = (Arc::clone(&self.store), self.key(&path));
        match self.answer(async move { store.get(&key).await?.bytes().await })? {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", &path, &error)),
        }
    }

    fn create_log(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let path = format!("{LOG}/{name}");
        let (store, key, payload) = (Arc::clone(&self.store), self.key(&path), PutPayload::from(bytes.to_vec()));
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.answer(async move { store.put_opts(&key, payload, options).await })? {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                // An answer that was lost makes the store's client ask again: then the entry is our own.
                Ok(self.read_log(name)?.is_some_and(|there| there == bytes))
            }
            Err(error) => Err(self.failed("write the log entry", &path, &error)),
        }
    }

    fn staging(&self, writer: &str) -> Result<PathBuf> {
        let staging = std::env::temp_dir().join(format!("tidegate-staging-{writer}"));
        std::fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
        Ok(staging)
    }

    fn clear_staging(&self, writer: &str) -> Result<()> {
        let staging = std::env::temp_dir().join(format!("tidegate-staging-{writer}"));
        remove_directory(&staging)
    }

    fn publish(&self, staged: &Path, path: &str) -> Result<()> {
        let (store, key, from) = (Arc::clone(&self.store), self.key(path), staged.to_path_buf());
        let uploaded = self.answer(async move { upload(store.as_ref(), &key, &from).await })?;
        uploaded.map_err(|error| Error::user(format!("can't upload {} to {}/{path}: {error}", staged.display(), self.url)))?;
        remove_file(staged)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn data_names(&self) -> Result<Vec<String>> {
        self.names("")
    }

    fn remove(&self, path: &str) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), self.key(path));
        match self.answer(async move { store.delete(&key).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", path, &error)),
        }
    }

    fn remove_log(&self, name: &str) -> Result<()> {
        self.remove(&format!("{LOG}/{name}"))
    }

    fn remove_rows(&self) -> Result<()> {
        self.data_names()?.iter().try_for_each(|name| self.remove(name))
    }

    fn local(&self, path: &str) -> Result<LocalFile> {
        let copy = tempfile::Builder::new().prefix("tidegate-copy-").tempdir();
        let copy = copy.map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        let (name, dir) = (format!("copy-{}", Uuid::new_v4()), copy.path().to_path_buf());
        let (store, key, to) = (Arc::clone(&self.store), self.key(path), dir.join(&name));
        let downloaded = self.answer(async move { download(store.as_ref(), &key, &to).await })?;
        downloaded.map_err(|error| Error::user(format!("can't read {}/{path}: {error}", self.url)))?;
        Ok(LocalFile { dir, path: name, copy: Some(Arc::new(copy)) })
    }

    fn is_local(&self) -> bool {
        false
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A file is there whole or not at all: its parts are put together by the store at the end.
async fn upload(store: &dyn ObjectStore, key: &Key, from: &Path) -> Result<(), AnyError> {
    use tokio::io::AsyncReadExt;
    let mut file = tokio::fs::File::open(from).await?;
    let length = file.metadata().await?.len();
    let mut bytes = Vec::new();
    if length <= PART_BYTES as u64 {
        file.read_to_end(&mut bytes).await?;
        store.put(key, PutPayload::from(bytes)).await?;
        return Ok(());
    }
    let mut parts = WriteMultipart::new_with_chunk_size(store.put_multipart(key).await?, PART_BYTES);
    bytes.resize(1 << 20, 0);
    loop {
        let read = file.read(&mut bytes).await?;
        if read == 0 {
            break;
        }
        parts.wait_for_capacity(4).await?;
        parts.write(bytes.get(..read).unwrap_or_default());
    }
    parts.finish().await?;
    Ok(())
}

async fn download(store: &dyn ObjectStore, key: &Key, to: &Path) -> Result<(), AnyError> {
    use tokio::io::AsyncWriteExt;
    let mut file = tokio::fs::File::create_new(to).await?;
    let mut stream = store.get(key).await?.into_stream();
    while let Some(bytes) = stream.try_next().await? {
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok(())
}
