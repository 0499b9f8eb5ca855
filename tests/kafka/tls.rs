//! TLS and logins: what works, what is said when it does not, and what is never said.

use std::path::Path;
use std::sync::{Mutex, OnceLock};

use tidegate::connectors::MemorySink;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::broker::Broker;
use crate::clients::{Admin, produce, values};
use crate::sources::{session, texts};

type Options = Vec<(&'static str, String)>;

fn tls(broker: &Broker, authority: &str) -> Options {
    vec![
        ("kafka.bootstrap.servers", broker.servers_with_tls()),
        ("kafka.security.protocol", "SSL".to_owned()),
        ("kafka.ssl.ca.location", broker.file(authority)),
    ]
}

fn login(broker: &Broker, mechanism: &str, password: &str) -> Options {
    vec![
        ("kafka.bootstrap.servers", broker.servers_with_tls_and_login()),
        ("kafka.security.protocol", "SASL_SSL".to_owned()),
        ("kafka.ssl.ca.location", broker.file("ca.pem")),
        ("kafka.sasl.mechanism", mechanism.to_owned()),
        ("kafka.sasl.username", "tide".to_owned()),
        ("kafka.sasl.password", password.to_owned()),
    ]
}

fn read(topic: &str, options: &Options) -> tidegate::Result<Vec<String>> {
    let reader = session().read().option("subscribe", topic).option("fetchOffset.numRetries", 0);
    let frame = reader.options(options.iter().map(|(name, value)| (*name, value.as_str()))).kafka()?;
    Ok(texts(&frame.select_expr(["CAST(value AS STRING) AS value"]).collect()?))
}

fn write(topic: &str, options: &Options) -> tidegate::Result<()> {
    let writer = session().sql("SELECT 'w' AS value")?.write().format("kafka").option("topic", topic);
    options.iter().fold(writer, |writer, (name, value)| writer.option(name, value)).save("")
}

pub(crate) fn tls_and_logins_are_spoken(broker: &Broker) {
    Admin::new(broker).create("tls", 1);
    let ways = [tls(broker, "ca.pem"), login(broker, "PLAIN", "gate"), login(broker, "SCRAM-SHA-256", "gate")];
    for (count, options) in ways.iter().enumerate() {
        write("tls", options).unwrap();
        assert_eq!(read("tls", options).unwrap(), vec!["w"; count + 1]);
    }
}

pub(crate) fn tls_that_is_wrong_is_said(broker: &Broker) {
    Admin::new(broker).create("tls-wrong", 1);
    let mut plain = tls(broker, "ca.pem");
    plain.retain(|(name, _)| *name != "kafka.security.protocol");
    let mut missing = tls(broker, "ca.pem");
    missing[2].1 = broker.file("no-such.pem");
    for (options, reason) in [
        (tls(broker, "other.pem"), "certificate verify failed"),
        (login(broker, "PLAIN", "wrong-secret"), "uthentication failed"),
        (login(broker, "SCRAM-SHA-256", "wrong-secret"), "uthentication failed"),
        (login(broker, "SCRAM-SHA-512", "wrong-secret"), "SCRAM-SHA-512"),
        (plain, "isconnected"),
        (missing, "no-such.pem: No such file"),
    ] {
        for refused in [read("tls-wrong", &options).map(drop), write("tls-wrong", &options)] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(reason) && !said.contains("wrong-secret"), "{reason}: {said}");
        }
    }
}

/// Keeps all that is logged while it is asked to.
struct Log;

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Log {
    fn keep(what: impl FnOnce(&mut Text)) {
        let mut text = Text(String::new());
        what(&mut text);
        LOGGED.lock().unwrap().push(text.0);
    }

    /// The whole process' log, from now on.
    fn listen() {
        static ONCE: OnceLock<()> = OnceLock::new();
        ONCE.get_or_init(|| tracing::subscriber::set_global_default(Log).unwrap());
    }
}

impl Subscriber for Log {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        Log::keep(|text| span.record(text));
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        Log::keep(|text| values.record(text));
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        Log::keep(|text| event.record(text));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// All bytes below a directory.
fn bytes(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { bytes(&path) } else { std::fs::read(&path).unwrap() });
    }
    all
}

pub(crate) fn tls_secrets_are_never_shown(broker: &Broker) {
    Log::listen();
    let admin = Admin::new(broker);
    ["tls-secrets", "tls-secrets-out"].iter().for_each(|topic| admin.create(topic, 1));
    produce(broker, "tls-secrets", 0, ["a", "b"]);
    let (mut shown, checkpoint) = (Vec::new(), tempfile::tempdir().unwrap());
    for password in ["gate", "wrong-secret"] {
        let mut options = login(broker, "SCRAM-SHA-256", password);
        // All that the client itself has to say.
        options.push(("kafka.debug", "all".to_owned()));
        options.push(("kafka.ssl.keystore.password", "keystore-secret".to_owned()));
        let pairs = || options.iter().map(|(name, value)| (*name, value.as_str()));
        let reader =
            session().read_stream().format("kafka").option("subscribe", "tls-secrets").option("startingOffsets", "earliest");
        let reader = reader.option("fetchOffset.numRetries", 0).options(pairs());
        shown.push(format!("{reader:?}"));
        let frame = reader.load().unwrap().select(["value"]);
        shown.push(format!("{frame:?} {}", frame.explain_text().unwrap()));
        let writer = frame.write_stream().format("kafka").options(pairs()).option("topic", "tls-secrets-out");
        shown.push(format!("{writer:?}"));
        match writer.checkpoint(checkpoint.path()).available_now().start() {
            Ok(query) => {
                shown.push(format!("{:?} {}", query.await_termination(None), query.explain()));
                shown.extend(query.recent_progress().iter().map(|progress| format!("{progress:?}")));
            }
            Err(error) => shown.push(format!("{error} {error:?}")),
        }
        let batch = session().read().option("subscribe", "tls-secrets").option("fetchOffset.numRetries", 0).options(pairs());
        shown.push(format!("{batch:?}"));
        let batch = batch.kafka().unwrap();
        shown.push(format!("{batch:?} {}", batch.explain_text().unwrap()));
        shown.push(format!("{:?}", batch.collect()));
        let writer = session().sql("SELECT 'w' AS value").unwrap().write().format("kafka").option("topic", "tls-secrets-out");
        let writer = pairs().fold(writer, |writer, (name, value)| writer.option(name, value));
        shown.push(format!("{writer:?}"));
        shown.push(format!("{:?}", writer.save("")));
        let sink = MemorySink::new();
        let reader = session().read_stream().format("kafka").option("subscribe", "tls-secrets").options(pairs());
        let started =
            reader.option("fetchOffset.numRetries", 0).load().unwrap().write_stream().sink(sink).available_now().start();
        shown.push(format!("{:?}", started.map(|query| query.await_termination(None))));
    }
    assert_eq!(values(broker, "tls-secrets-out"), ["a", "b", "w"]);
    let logged = LOGGED.lock().unwrap().join("\n");
    assert!(logged.contains("SASL") && logged.contains("uthentication failed"), "the client's own log is there");
    let stored = String::from_utf8_lossy(&bytes(checkpoint.path())).into_owned();
    // `gate` alone is part of the project's name.
    for secret in ["\"gate\"", "=gate\n", " gate ", "wrong-secret", "keystore-secret"] {
        for (place, text) in [("shown", shown.join("\n")), ("logged", logged.clone()), ("checkpoint", stored.clone())] {
            let found = text.find(secret).map(|at| &text[text.floor_char_boundary(at.saturating_sub(100))..at]);
            assert!(found.is_none(), "{secret} is {place} after {found:?}");
        }
    }
}
