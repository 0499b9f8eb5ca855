//! Tables and files on a server that speaks S3: `moto_server`, from PyPI, which `s3_server.sh` installs.
//!
//! ```text
//! cargo test -p tidegate-connectors --features s3 --test s3
//! ```
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_connectors::object_store::aws::AmazonS3Builder;
use tidegate_connectors::{
    CleanSource, FileSink, FileSource, Table, TableDefinition, TableFormat, TableSink, TableSource, register_object_store,
};
use tidegate_runtime::{
    Epoch, EpochInfo, LastCommitted, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, Sink, SinkContext, SinkSupplier, Source,
    SourceContext, SourceOutput, SourceSupplier,
};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A server on a free port; `None` where it can't be had, which in CI is a failure.
fn server(test: &str) -> Option<(Server, String)> {
    // One test installs it, the others wait.
    static INSTALLED: Mutex<()> = Mutex::new(());
    let _installing = INSTALLED.lock().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3_server.sh");
    let installed = Command::new("bash").arg(script).stderr(Stdio::inherit()).output().ok();
    let program = installed.filter(|output| output.status.success()).map(|output| String::from_utf8(output.stdout).unwrap());
    let Some(program) = program else {
        assert!(std::env::var_os("CI").is_none(), "moto_server can't be installed");
        eprintln!("SKIPPED {test}: moto_server can't be installed (python3 with venv, and PyPI, are needed)");
        return None;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new(program.trim());
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(server.spawn().unwrap());
    // It answers when it is there: tried again until then.
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    Some((server, format!("http://127.0.0.1:{port}")))
}

/// Creates a bucket; the store's client has no such request.
fn create_bucket(endpoint: &str, bucket: &str) {
    use std::io::{Read, Write};
    let address = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nHost: {address}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
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

/// A server with a bucket, whose store is known as `s3://<bucket>`.
fn bucket(test: &str, bucket: &str) -> Option<Server> {
    let (server, endpoint) = server(test)?;
    create_bucket(&endpoint, bucket);
    let store = AmazonS3Builder::new()
        .with_endpoint(&endpoint)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .build()
        .unwrap();
    register_object_store(&format!("s3://{bucket}"), Arc::new(store));
    Some(server)
}

#[test]
fn files_on_s3() {
    let Some(_server) = bucket("files_on_s3", "files") else { return };
    let query = QueryId::random();
    let sink = FileSink::parquet("s3://files/a b/out").partition_by(["k"]);
    let fields = ["n", "k"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let both = Arc::new(Schema::new(fields));
    let rows = |range: std::ops::Range<i64>| {
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from_iter_values(range.clone())), Arc::new(Int64Array::from_iter_values(range.map(|n| n % 3)))];
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
    let source = FileSource::parquet("s3://files/a b/out", schema());
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
    let glob = FileSource::parquet("s3://files/a b/*/k={1,2}", schema()).clean_source(CleanSource::Delete);
    assert_eq!(read(&glob), (0..40).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    assert!(read(&glob).is_empty(), "they were removed");
}

#[test]
fn tables_on_s3() {
    let Some(_server) = bucket("tables_on_s3", "tide") else { return };
    let definition = TableDefinition::new("n BIGINT", TableFormat::Parquet);
    let table = Table::create("s3://tide/warehouse/numbers", &definition).unwrap();
    assert!(Table::create("s3://tide/warehouse/numbers", &definition).is_err(), "the first commit is taken");
    // Two writers at the same time: each commit is a conditional put, and the loser tries the next number.
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let table = Table::open("s3://tide/warehouse/numbers").unwrap().unwrap();
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
    assert!(Table::open("s3://tide/warehouse/numbers").unwrap().is_none());
}
