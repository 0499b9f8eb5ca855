//! Tables and files on servers that speak the protocols of S3, Google's and Azure's object stores, which `object_store_server.sh`
//! installs from the package registries.
//!
//! ```text
//! cargo test -p tidegate-connectors --features s3,gcs,azure --test object_stores
//! ```
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_connectors::object_store::aws::AmazonS3Builder;
use tidegate_connectors::object_store::azure::MicrosoftAzureBuilder;
use tidegate_connectors::object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use tidegate_connectors::object_store::{ClientOptions, ObjectStore, ObjectStoreExt, StaticCredentialProvider};
use tidegate_connectors::{
    CleanSource, FileSink, FileSource, Table, TableDefinition, TableFormat, TableSink, TableSource, register_object_store,
};
use tidegate_runtime::{
    Epoch, EpochInfo, Error, LastCommitted, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, Sink, SinkContext, SinkSupplier,
    Source, SourceContext, SourceOutput, SourceSupplier,
};

/// Runs a test for each store.
macro_rules! on_each_store {
    ($($test:ident: $body:ident on $store:ident;)*) => {$(
        #[test]
        fn $test() {
            if let Some(bucket) = Bucket::of(&$store, stringify!($test)) {
                $body(&bucket);
            }
        }
    )*};
}

on_each_store! {
    files_on_s3: files on S3;
    tables_on_s3: tables on S3;
    changes_on_s3: changes on S3;
    files_on_google: files on GOOGLE;
    tables_on_google: tables on GOOGLE;
    changes_on_google: changes on GOOGLE;
    files_on_azure: files on AZURE;
    tables_on_azure: tables on AZURE;
    changes_on_azure: changes on AZURE;
}

/// A kind of stores.
struct Store {
    scheme: &'static str,
    /// The server's port and the bucket's name.
    client: fn(u16, &str) -> Arc<dyn ObjectStore>,
    /// The request that creates a bucket of this name, which the client has not.
    create: fn(&str) -> String,
}

const S3: Store = Store {
    scheme: "s3",
    client: |port, bucket| {
        let store = AmazonS3Builder::new().with_endpoint(format!("http://127.0.0.1:{port}")).with_allow_http(true);
        let store = store.with_region("us-east-1").with_access_key_id("test").with_secret_access_key("test");
        Arc::new(store.with_bucket_name(bucket).build().unwrap())
    },
    create: |bucket| {
        format!("PUT /{bucket} HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")
    },
};

const GOOGLE: Store = Store {
    scheme: "gs",
    client: |port, bucket| {
        let options = ClientOptions::new().with_allow_http(true);
        let credentials = Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: "test".to_owned() }));
        let store = GoogleCloudStorageBuilder::new().with_base_url(&format!("http://127.0.0.1:{port}")).with_bucket_name(bucket);
        Arc::new(store.with_credentials(credentials).with_client_options(options).build().unwrap())
    },
    create: |bucket| format!("PUT /{bucket} HTTP/1.1\r\nAuthorization: Bearer test"),
};

/// The account that every Azurite has, and its key.
const AZURITE: (&str, &str) =
    ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");

const AZURE: Store = Store {
    scheme: "az",
    client: |port, bucket| {
        let (account, key) = AZURITE;
        let store =
            MicrosoftAzureBuilder::new().with_endpoint(format!("http://127.0.0.1:{port}/{account}")).with_allow_http(true);
        Arc::new(store.with_account(account).with_access_key(key).with_container_name(bucket).build().unwrap())
    },
    create: |bucket| {
        // The right to create containers, signed with that key.
        let signed =
            "sv=2019-12-12&ss=b&srt=c&sp=c&se=2126-01-01T00%3A00%3A00Z&sig=axAHG75AMy5Najpj0mFj%2BHRxDlfqhuBwma%2BMDckvaYw%3D";
        format!("PUT /{}/{bucket}?restype=container&{signed} HTTP/1.1", AZURITE.0)
    },
};

/// A bucket, whose store is known under its URL, in a server of its own.
struct Bucket {
    url: String,
    store: Arc<dyn ObjectStore>,
    _server: Server,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Bucket {
    /// `None` where the server can't be had, which in CI is a failure. The bucket has the test's name.
    fn of(store: &Store, test: &str) -> Option<Bucket> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/object_store_server.sh");
        let command = |action: &str| {
            let mut command = Command::new("bash");
            command.args([script, action, store.scheme]).stdout(Stdio::null());
            command
        };
        // One test installs it, the others wait.
        static INSTALLING: Mutex<()> = Mutex::new(());
        let installing = INSTALLING.lock().unwrap();
        let is_installed = command("install").status().is_ok_and(|status| status.success());
        drop(installing);
        if !is_installed {
            let missing = "the server can't be installed: python3 with venv and PyPI are needed, for Azure's npm's registry too";
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            eprintln!("SKIPPED {test}: {missing}");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Server(command("run").arg(port.to_string()).stderr(Stdio::null()).spawn().unwrap());
        let bucket = test.replace('_', "-");
        create(port, &(store.create)(&bucket));
        let url = format!("{}://{bucket}", store.scheme);
        let store = (store.client)(port, &bucket);
        register_object_store(&url, Arc::clone(&store));
        Some(Bucket { url, store, _server: server })
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }
}

/// Asks a server that was just started, as soon as it is there.
fn create(port: u16, request: &str) {
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) => std::thread::yield_now(),
        }
    };
    write!(stream, "{request}\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

fn insert(table: &Table, numbers: Vec<i64>) {
    let rows = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(numbers)) as ArrayRef]).unwrap();
    TableSink::append(table.clone(), schema()).write_batch([rows]).unwrap();
}

fn all(table: &Table) -> Vec<i64> {
    let mut source = TableSource::new(table.clone(), &schema()).supply().unwrap();
    source.open(source_context()).unwrap();
    numbers(&mut *source)
}

fn source_context() -> SourceContext {
    SourceContext {
        node: NodeId::new("s"),
        query: QueryId::random(),
        parallelism: 1,
        offset: None,
        journal: Vec::new(),
        notifier: Notifier::ignored(),
    }
}

const EPOCH: EpochInfo = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };

/// The numbers that a source has, sorted.
fn numbers(source: &mut dyn Source) -> Vec<i64> {
    let Some(end) = source.latest_offset(None, ReadLimit::All).unwrap() else { return Vec::new() };
    let range = OffsetRange { start: None, end };
    source.journal(&range).unwrap();
    let (mut numbers, mut reader) = (Vec::new(), source.reader(0).unwrap());
    for split in source.splits(&range).unwrap() {
        let mut keep = |batch: RecordBatch| {
            numbers.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            Ok(())
        };
        reader.read(&split, &mut SourceOutput::new(EPOCH, &mut keep)).unwrap();
    }
    source.commit(&range.end).unwrap();
    numbers.sort_unstable();
    numbers
}

fn files(bucket: &Bucket) {
    let query = QueryId::random();
    let sink = FileSink::parquet(bucket.at("a b/out")).partition_by(["k"]);
    let fields = vec![Field::new("n", DataType::Int64, true), Field::new("k", DataType::Utf8, true)];
    let both = Arc::new(Schema::new(fields));
    let rows = |range: std::ops::Range<i64>| {
        // What names of objects must not have, and what requests must escape.
        let keys = range.clone().map(|n| ["plain", "a/b", "ü 100%+&"][n.unsigned_abs() as usize % 3]);
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from_iter_values(range.clone())), Arc::new(StringArray::from_iter_values(keys))];
        RecordBatch::try_new(Arc::clone(&both), columns.to_vec()).unwrap()
    };
    let open = |committed: Option<u64>| {
        let (node, schema) = (NodeId::new("out"), Arc::clone(&both));
        let mut opened = sink.supply().unwrap();
        opened.open(SinkContext { node, query, schema, parallelism: 1, committed: committed.map(Epoch::new) }).unwrap();
        opened
    };
    let stage = |sink: &mut dyn Sink, epoch: u64| {
        let (mut writer, info) = (sink.writer(0).unwrap(), EpochInfo { epoch: Epoch::new(epoch), ..EPOCH });
        let from = i64::try_from(epoch).unwrap() * 10;
        writer.write(info, rows(from..from + 10)).unwrap();
        vec![writer.stage(info).unwrap()]
    };
    let source = FileSource::parquet(bucket.at("a b/out"), schema());
    let read = |config: &FileSource| {
        let mut opened = config.supply().unwrap();
        opened.open(source_context()).unwrap();
        numbers(&mut *opened)
    };
    let (mut one, mut other) = (open(None), open(None));
    for epoch in 0..3 {
        let staged = stage(&mut *one, epoch);
        one.commit(Epoch::new(epoch), staged).unwrap();
    }
    // Another run of the query: each commit is a conditional put.
    let staged = stage(&mut *other, 0);
    assert!(other.commit(Epoch::new(0), staged).unwrap_err().to_string().contains("CONCURRENT_STREAM_LOG_UPDATE"));
    assert_eq!(read(&source), (0..30).collect::<Vec<_>>());
    let mut again = open(Some(2));
    assert_eq!(again.last_committed().unwrap(), LastCommitted::Epoch(Epoch::new(2)));
    let staged = stage(&mut *again, 3);
    again.commit(Epoch::new(3), staged).unwrap();
    let of_keys = |keys: &str| FileSource::parquet(bucket.at(&format!("a b/*/k={keys}")), schema());
    let third = |remainder: i64| (0..40).filter(|n| n % 3 == remainder).collect::<Vec<_>>();
    let archived = of_keys("{p*,none}").clean_source(CleanSource::Archive(bucket.at("done").into()));
    assert_eq!(read(&archived), third(0));
    assert_eq!(read(&FileSource::parquet(bucket.at("done/a b/out/k=plain"), schema())), third(0), "they were moved");
    let removed = of_keys("ü*").clean_source(CleanSource::Delete);
    assert_eq!(read(&removed), third(2));
    assert!(read(&removed).is_empty() && read(&archived).is_empty());
    assert_eq!(read(&of_keys("a?2Fb")), third(1));
}

fn changes(bucket: &Bucket) {
    let put = |text: &'static str| {
        let store = Arc::clone(&bucket.store);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move { store.put(&"in/a.csv".into(), text.into()).await.unwrap() });
    };
    put("1\n");
    let mut source = FileSource::csv(bucket.at("in"), schema()).supply().unwrap();
    source.open(source_context()).unwrap();
    let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
    let range = OffsetRange { start: None, end };
    source.journal(&range).unwrap();
    put("2\n");
    let (splits, mut reader) = (source.splits(&range).unwrap(), source.reader(0).unwrap());
    let error = reader.read(&splits[0], &mut SourceOutput::new(EPOCH, &mut |_| Ok(()))).unwrap_err();
    assert!(matches!(&error, Error::SourceDataLoss(what) if what.contains("in/a.csv")), "{error}");
}

fn tables(bucket: &Bucket) {
    let place = bucket.at("warehouse/numbers");
    let definition = TableDefinition::new("n BIGINT", TableFormat::Parquet);
    let table = Table::create(&place, &definition).unwrap();
    assert!(Table::create(&place, &definition).is_err(), "the first commit is taken");
    // Two writers at the same time: each commit is a conditional put, and the loser tries the next number.
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let table = Table::open(&place).unwrap().unwrap();
            scope.spawn(move || (0..10).for_each(|n| insert(&table, vec![thread * 100 + n])));
        }
    });
    // Longer than one part of an upload.
    let many: Vec<i64> = (1_000..2_200_000).map(|n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) | 1 << 40).collect();
    insert(&table, many.clone());
    let mut expected: Vec<i64> = (0..2).flat_map(|thread| (0..10).map(move |n| thread * 100 + n)).chain(many).collect();
    expected.sort_unstable();
    assert!(all(&table) == expected);
    assert_eq!(table.compact(&schema(), 1 << 20).unwrap(), 20);
    assert!(all(&table) == expected);
    assert_eq!(table.vacuum(table.version().unwrap()).unwrap(), 20);
    assert!(all(&table) == expected);
    table.remove().unwrap();
    assert!(Table::open(&place).unwrap().is_none());
}
