//! Clients of a cluster, made of the options that begin with `kafka.`.
//!
//! Values of options may be secrets: they go to the client and nowhere else. `Debug`, descriptions and errors show names, and of
//! values only the cluster's address.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::ClientContext;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tidegate_runtime::{Error, Result};

/// Options that the connector sets itself, and what to do instead.
const RESERVED: [(&str, &str); 9] = [
    ("auto.offset.reset", "set the source option 'startingOffsets' to say where to start"),
    ("key.deserializer", "keys are read as bytes: use DataFrame operations to deserialize them"),
    ("value.deserializer", "values are read as bytes: use DataFrame operations to deserialize them"),
    ("key.serializer", "keys are bytes or strings: use DataFrame operations to serialize them"),
    ("value.serializer", "values are bytes or strings: use DataFrame operations to serialize them"),
    ("enable.auto.commit", "offsets are kept in the checkpoint"),
    ("interceptor.classes", "there are no interceptors"),
    ("transactional.id", "the sink derives it from the query: set 'transactionalIdPrefix' to choose how it begins"),
    ("client.rack", "a replica that is behind its leader could end an epoch early"),
];

/// Options of the Java client that go by another name here.
const JAVA: [(&str, &str); 6] = [
    ("sasl.jaas.config", "sasl.username and kafka.sasl.password"),
    ("ssl.truststore.location", "ssl.ca.location, a file in the PEM format"),
    ("ssl.truststore.password", "ssl.ca.location, which needs no password"),
    (
        "ssl.keystore.type",
        "ssl.keystore.location with a PKCS#12 file, or kafka.ssl.certificate.location and kafka.ssl.key.location",
    ),
    ("max.poll.records", "nothing: records are read until the epoch has its offsets"),
    ("default.api.timeout.ms", "socket.timeout.ms"),
];

/// The options of a client.
#[derive(Clone)]
pub(crate) struct ClientOptions {
    servers: String,
    options: BTreeMap<String, String>,
}

impl ClientOptions {
    /// The options of `given` whose names begin with `kafka.`.
    pub(crate) fn new(given: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = BTreeMap::new();
        for (name, value) in given {
            let Some(name) = name.strip_prefix("kafka.") else { continue };
            if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
                return Err(Error::InvalidArgument(format!("Kafka option '{name}' is not supported: {instead}")));
            }
            if let Some((_, instead)) = JAVA.iter().find(|(java, _)| *java == name) {
                return Err(Error::InvalidArgument(format!(
                    "Kafka option '{name}' is of the Java client; this client has kafka.{instead}"
                )));
            }
            options.insert(name.to_owned(), value.clone());
        }
        let servers = options.get("bootstrap.servers").map(|servers| servers.trim()).unwrap_or_default();
        if servers.is_empty() {
            let message = "Option 'kafka.bootstrap.servers' must be specified: one or more addresses like host:9092, with commas";
            return Err(Error::InvalidArgument(message.to_owned()));
        }
        Ok(ClientOptions { servers: servers.to_owned(), options })
    }

    /// The cluster's address.
    pub(crate) fn servers(&self) -> &str {
        &self.servers
    }

    /// The value that the user gave.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// A client. What the user did not set is as in `defaults`; what is in `fixed` the user can't set.
    pub(crate) fn create<T: FromClientConfigAndContext<Context>>(
        &self,
        defaults: &[(&str, &str)],
        fixed: &[(&str, &str)],
    ) -> Result<T> {
        let mut config = ClientConfig::new();
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.options {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        let created = config.create_with_context(Context::default());
        created.map_err(|error| Error::InvalidArgument(self.missing_file().unwrap_or_else(|| refusal(&error))))
    }

    /// An option that names a file that can't be found: the client only says which of OpenSSL's functions did not find it.
    fn missing_file(&self) -> Option<String> {
        let files = self.options.iter().filter(|(name, _)| name.starts_with("ssl.") && name.ends_with(".location"));
        files.into_iter().find_map(|(name, path)| {
            let error = std::fs::metadata(path).err()?;
            Some(format!("Kafka option '{name}' can't be used: {path}: {error}"))
        })
    }

    /// What could not be done with a client, and why: as the client last heard from the cluster, or as the call ended.
    pub(crate) fn failed(&self, action: &str, error: &KafkaError, context: &Context) -> Error {
        let reason = context.last_failure().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Error::user(format!("can't {action} at {}: {}{reason}", self.servers, describe(error)))
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.options.keys().filter(|name| *name != "bootstrap.servers");
        f.debug_struct("ClientOptions").field("servers", &self.servers).field("also set", &names.collect::<Vec<_>>()).finish()
    }
}

/// Why a client can't be made of its options. The client's own words may quote a value, so they are left out for what may be secret.
fn refusal(error: &KafkaError) -> String {
    let KafkaError::ClientConfig(_, reason, name, _) = error else {
        return format!("can't make a Kafka client: {}{}", describe(error), ssl_hint(&describe(error)));
    };
    if is_secret(name) {
        return format!("Kafka option '{name}' can't be used; its value is not shown");
    }
    format!("Kafka option '{name}' can't be used: {}{}", reason.trim(), ssl_hint(reason))
}

fn ssl_hint(reason: &str) -> &'static str {
    match reason.contains("not available at build time") || reason.contains("No provider for SASL mechanism") {
        true => "; build with the cargo feature kafka-ssl, which needs OpenSSL",
        false => "",
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "token", "key", "jaas", "credential", "oauthbearer", "pem"].iter().any(|part| name.contains(part))
}

/// An error of the client in words.
pub(crate) fn describe(error: &KafkaError) -> String {
    match (error, error.rdkafka_error_code()) {
        (KafkaError::Transaction(error), _) => error.string(),
        (_, Some(code)) => code.to_string(),
        (other, None) => other.to_string(),
    }
}

/// Listens to a client: logs what it says, and remembers what went wrong.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// Of the connection to the cluster: why a call that only ended with a time-out did so.
    failure: Mutex<Option<String>>,
    /// How often the cluster refused a login or a certificate, on either side.
    refusals: AtomicU32,
    /// Of the first record that could not be delivered since it was last asked for.
    undelivered: Mutex<Option<KafkaError>>,
}

impl Context {
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.failure.lock().ok()?.clone()
    }

    /// How often a connection ended because of a login or a certificate: to try again does not help.
    pub(crate) fn refusals(&self) -> u32 {
        self.refusals.load(Ordering::Relaxed)
    }

    fn keep(&self, reason: &str) {
        if let Ok(mut failure) = self.failure.lock() {
            *failure = Some(reason.to_owned());
        }
    }

    /// The first failed delivery since the last call.
    pub(crate) fn take_undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().ok()?.take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            self.keep(message);
        }
        // Warnings about options name their values: the facility says that it is one.
        if facility != "CONFWARN" {
            DefaultClientContext.log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client");
        if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)) {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        // That all brokers are down follows the reason why the last one is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.keep(reason);
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = delivery
            && let Ok(mut undelivered) = self.undelivered.lock()
        {
            undelivered.get_or_insert_with(|| error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::consumer::BaseConsumer;

    fn options(pairs: &[(&str, &str)]) -> Result<ClientOptions> {
        let servers = ("kafka.bootstrap.servers", "localhost:9092");
        ClientOptions::new(
            &pairs.iter().chain([&servers]).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        options(pairs).and_then(|options| options.create::<BaseConsumer<Context>>(&[], &[])).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn options_that_the_connector_sets_are_refused() {
        assert!(refused(&[("kafka.auto.offset.reset", "latest")]).contains("startingOffsets"));
        assert!(refused(&[("kafka.key.deserializer", "x")]).contains("'key.deserializer' is not supported"));
        assert!(refused(&[("kafka.sasl.jaas.config", "a password=hush")]).contains("kafka.sasl.username"));
    }

    #[test]
    fn options_that_are_unknown_or_wrong_are_named() {
        assert!(refused(&[("kafka.no.such", "x")]).contains("'no.such' can't be used"));
        assert!(refused(&[("kafka.fetch.min.bytes", "many")]).contains("'fetch.min.bytes' can't be used"));
        let missing = ClientOptions::new(&BTreeMap::new()).unwrap_err().to_string();
        assert!(missing.contains("'kafka.bootstrap.servers' must be specified"), "{missing}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", options(&[("kafka.sasl.password", "hush"), ("kafka.sasl.username", "me")]).unwrap());
        assert!(shown.contains("sasl.password") && !shown.contains("hush"), "{shown}");
        for name in ["kafka.ssl.key.pem", "kafka.sasl.oauthbearer.config", "kafka.ssl.key.password", "kafka.my.token"] {
            let said = refused(&[(name, "hush"), ("kafka.zz", "hush")]);
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
