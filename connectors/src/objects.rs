//! Object stores, by the URLs of places in them.

use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock, mpsc};

use bytes::Bytes;
use dashmap::DashMap;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use tidegate_runtime::{Error, Result};

use crate::file::remove_directory;

/// The length of the parts that a large file is uploaded in.
const PART_BYTES: usize = 8 << 20;
/// How many files are uploaded at the same time.
const UPLOADS: usize = 8;
/// How many parts of a file are asked for at the same time.
const DOWNLOADS: usize = 4;

/// The stores that are known, by scheme and authority.
static STORES: LazyLock<DashMap<String, Arc<dyn ObjectStore>>> = LazyLock::new(DashMap::new);

/// Makes an object store known under a URL such as `s3://bucket`, with its own credentials and settings: for tables and files whose
/// place begins with that. `memory://name` needs no store: it is there while the process runs.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_connectors::{Table, TableDefinition, TableFormat, register_object_store};
///
/// register_object_store("s3://bucket", Arc::new(object_store::memory::InMemory::new()));
/// let definition = TableDefinition::new("id BIGINT", TableFormat::Parquet);
/// let table = Table::create("s3://bucket/warehouse/ids", &definition)?;
/// assert_eq!(table.version()?, 0);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
pub fn register_object_store(url: &str, store: Arc<dyn ObjectStore>) {
    STORES.insert(url.trim_end_matches('/').to_owned(), store);
}

/// The URL that a path is, if it is one.
pub(crate) fn as_url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains("://"))
}

/// A place in an object store. Paths are relative to it.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    url: String,
    store: Arc<dyn ObjectStore>,
    /// The keys of the place begin with it.
    prefix: Key,
}

/// What asked-for bytes have to be of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) tag: Option<String>,
    pub(crate) len: Option<u64>,
}

impl Objects {
    pub(crate) fn at(url: &str) -> Result<Self> {
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
        Ok(Objects { url: url.trim_end_matches('/').to_owned(), store, prefix })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What is below, with paths.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<(String, ObjectMeta)>> {
        let (store, prefix) = (Arc::clone(&self.store), self.key(folder)?);
        let listed: Vec<ObjectMeta> = self.wait("list", folder, async move { store.list(Some(&prefix)).try_collect().await })?;
        let relative = |meta: ObjectMeta| {
            let path = self.relative(&meta.location)?;
            Some((path, meta))
        };
        Ok(listed.into_iter().filter_map(relative).collect())
    }

    /// The names right below, as a file system's folders.
    pub(crate) fn folders(&self) -> Result<Vec<String>> {
        let (store, prefix) = (Arc::clone(&self.store), self.prefix.clone());
        let listed = self.wait("list", "", async move { store.list_with_delimiter(Some(&prefix)).await })?;
        Ok(listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned)).collect())
    }

    /// The names of the objects right below a folder.
    pub(crate) fn names(&self, folder: &str) -> Result<Vec<String>> {
        let (store, prefix) = (Arc::clone(&self.store), self.key(folder)?);
        let listed = self.wait("list", folder, async move { store.list_with_delimiter(Some(&prefix)).await })?;
        Ok(listed.objects.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect())
    }

    /// What is known of an object without its bytes; `None` if there is none.
    pub(crate) fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        let (store, key) = (Arc::clone(&self.store), self.key(path)?);
        self.if_there("ask for", path, self.answer(async move { store.head(&key).await })?)
    }

    /// The bytes of a small object; `None` if there is none.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let (store, key) = (Arc::clone(&self.store), self.key(path)?);
        let bytes = self.answer(async move { store.get(&key).await?.bytes().await })?;
        Ok(self.if_there("read", path, bytes)?.map(|bytes| bytes.to_vec()))
    }

    /// Puts a small object, whole, if there is none of this path. Says whether it is there now with these bytes.
    pub(crate) fn create(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let (store, key, payload) = (Arc::clone(&self.store), self.key(path)?, PutPayload::from(bytes.to_vec()));
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.answer(async move { store.put_opts(&key, payload, options).await })? {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                // An answer that was lost makes the store's client ask again: then the object is our own.
                Ok(self.read(path)?.is_some_and(|there| there == bytes))
            }
            Err(error) => Err(self.failed("create", path, &error)),
        }
    }

    /// Removes an object, if it is there.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), self.key(path)?);
        self.if_there("remove", path, self.answer(async move { store.delete(&key).await })?).map(|_| ())
    }

    /// Copies an object to another place of the same store, if nothing is there, and removes it here.
    pub(crate) fn move_to(&self, path: &str, place: &Objects, to: &str) -> Result<()> {
        if place.head(to)?.is_some() {
            return Err(Error::user(format!("{}/{to} is there already", place.url)));
        }
        let (store, from, to) = (Arc::clone(&self.store), self.key(path)?, place.key(to)?);
        self.wait("copy", path, async move { store.copy(&from, &to).await })?;
        self.remove(path)
    }

    /// Uploads files, several at a time. A file is there whole or not at all.
    pub(crate) fn upload(&self, files: Vec<(PathBuf, String)>) -> Result<()> {
        let keyed = files.into_iter().map(|(from, path)| Ok((self.key(&path)?, from, path)));
        let keyed = keyed.collect::<Result<Vec<_>>>()?;
        let store = Arc::clone(&self.store);
        let uploaded = self.answer(async move {
            let uploads = keyed.into_iter().map(|(key, from, path)| {
                let store = Arc::clone(&store);
                async move { upload(store.as_ref(), &key, &from).await.map_err(|error| (from, path, error.to_string())) }
            });
            futures::stream::iter(uploads).buffer_unordered(UPLOADS).try_collect::<Vec<()>>().await
        })?;
        uploaded.map(drop).map_err(|(from, path, error)| {
            Error::user(format!("can't upload {} to {}/{path}: {error}", from.display(), self.url))
        })
    }

    /// Copies an object into a new file. Says whether the object is as expected: if not, the file is not complete.
    pub(crate) fn download(&self, path: &str, to: &Path, expected: Expected) -> Result<bool> {
        let (store, key, to) = (Arc::clone(&self.store), self.key(path)?, to.to_path_buf());
        let downloaded = self.answer(async move { download(store.as_ref(), &key, &to, expected).await })?;
        downloaded.map_err(|error| Error::user(format!("can't read {}/{path}: {error}", self.url)))
    }

    /// A stretch of an object; `None` if the object is not as expected.
    pub(crate) fn read_range(&self, path: &str, expected: Expected, range: Range<u64>) -> Result<Option<Bytes>> {
        let (store, key) = (Arc::clone(&self.store), self.key(path)?);
        self.wait("read", path, async move {
            match part_of(store.as_ref(), &key, &expected, range).await? {
                Some(object) => object.bytes().await.map(Some),
                None => Ok(None),
            }
        })
    }

    /// Copies parts of an object to their places in a file that is there. Says whether the object is as expected: if not, the file
    /// is not complete.
    pub(crate) fn download_parts(&self, path: &str, to: &Path, expected: Expected, parts: Vec<Range<u64>>) -> Result<bool> {
        let (store, key, to) = (Arc::clone(&self.store), self.key(path)?, to.to_path_buf());
        let downloaded = self.answer(async move {
            let download = |part| download_part(store.as_ref(), &key, &to, &expected, part);
            let each = futures::stream::iter(parts.into_iter().map(download)).buffer_unordered(DOWNLOADS);
            each.try_fold(true, |all, one| std::future::ready(Ok(all && one))).await
        })?;
        downloaded.map_err(|error: AnyError| Error::user(format!("can't read {}/{path}: {error}", self.url)))
    }

    /// The directory of this machine where the writer of this name stages files: nobody else does there.
    pub(crate) fn staging(writer: &str) -> Result<PathBuf> {
        let staging = std::env::temp_dir().join(format!("tidegate-staging-{writer}"));
        std::fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
        Ok(staging)
    }

    /// Removes what a writer has staged, and its directory.
    pub(crate) fn clear_staging(writer: &str) -> Result<()> {
        remove_directory(&std::env::temp_dir().join(format!("tidegate-staging-{writer}")))
    }

    /// The key as it is written in the path: nothing is escaped.
    fn key(&self, path: &str) -> Result<Key> {
        let key = match (self.prefix.as_ref(), path) {
            (prefix, "") => Key::parse(prefix),
            ("", path) => Key::parse(path),
            (prefix, path) => Key::parse(format!("{prefix}/{path}")),
        };
        key.map_err(|error| Error::InvalidArgument(format!("{}/{path}: {error}", self.url)))
    }

    fn relative(&self, key: &Key) -> Option<String> {
        let (prefix, key) = (self.prefix.as_ref(), key.as_ref());
        let path = if prefix.is_empty() { key } else { key.strip_prefix(prefix)?.strip_prefix('/')? };
        (!path.is_empty()).then(|| path.to_owned())
    }

    fn if_there<T>(&self, what: &str, path: &str, answer: object_store::Result<T>) -> Result<Option<T>> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(what, path, &error)),
        }
    }

    fn wait<T: Send + 'static>(
        &self,
        what: &str,
        path: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.answer(request)?.map_err(|error| self.failed(what, path, &error))
    }

    /// Runs a request to its end on threads of its own: the caller may be on any thread, also on one of an async runtime.
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

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The parts of a large file are put together by the store at the end.
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

/// A stretch of an object; `None` if the object is not as expected.
async fn part_of(
    store: &dyn ObjectStore,
    key: &Key,
    expected: &Expected,
    range: Range<u64>,
) -> object_store::Result<Option<GetResult>> {
    let options = GetOptions { if_match: expected.tag.clone(), range: Some(range.into()), ..GetOptions::default() };
    match store.get_opts(key, options).await {
        Err(object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(object) => Ok(Some(object).filter(|object| expected.len.is_none_or(|len| len == object.meta.size))),
    }
}

async fn download_part(
    store: &dyn ObjectStore,
    key: &Key,
    to: &Path,
    expected: &Expected,
    part: Range<u64>,
) -> Result<bool, AnyError> {
    use tokio::io::{AsyncSeekExt, AsyncWriteExt};
    let Some(object) = part_of(store, key, expected, part.clone()).await? else { return Ok(false) };
    let mut file = tokio::fs::OpenOptions::new().write(true).open(to).await?;
    file.seek(std::io::SeekFrom::Start(part.start)).await?;
    let (mut stream, mut left) = (object.into_stream(), part.end - part.start);
    while let Some(bytes) = stream.try_next().await? {
        left = left.checked_sub(bytes.len() as u64).ok_or("it gave more than it was asked for")?;
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    if left > 0 { Err("it gave less than it was asked for".into()) } else { Ok(true) }
}

async fn download(store: &dyn ObjectStore, key: &Key, to: &Path, expected: Expected) -> Result<bool, AnyError> {
    use tokio::io::AsyncWriteExt;
    let options = GetOptions { if_match: expected.tag, ..GetOptions::default() };
    let object = match store.get_opts(key, options).await {
        Err(object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. }) => return Ok(false),
        object => object?,
    };
    if expected.len.is_some_and(|len| len != object.meta.size) {
        return Ok(false);
    }
    let mut file = tokio::fs::File::create_new(to).await?;
    let mut stream = object.into_stream();
    while let Some(bytes) = stream.try_next().await? {
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok(true)
}
