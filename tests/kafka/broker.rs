//! The broker: a process of its own, in a temporary directory, at ports that were free.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// By when a broker must answer.
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Broker {
    process: Mutex<Child>,
    directory: tempfile::TempDir,
    port: u16,
}

impl Broker {
    pub(crate) fn start() -> Result<Self, String> {
        let script = Command::new(script()).arg("--jars").output().map_err(|error| error.to_string())?;
        if !script.status.success() {
            return Err(String::from_utf8_lossy(&script.stderr).trim().to_owned());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let port = free_ports()?;
        let process = Mutex::new(spawn(port, directory.path())?);
        let broker = Broker { process, directory, port };
        broker.await_answer()?;
        Ok(broker)
    }

    pub(crate) fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it takes logins.
    pub(crate) fn servers_with_login(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    /// Where it speaks TLS.
    #[cfg(feature = "kafka-ssl")]
    pub(crate) fn servers_with_tls(&self) -> String {
        format!("127.0.0.1:{}", self.port + 3)
    }

    /// Where it speaks TLS and takes logins.
    #[cfg(feature = "kafka-ssl")]
    pub(crate) fn servers_with_tls_and_login(&self) -> String {
        format!("127.0.0.1:{}", self.port + 4)
    }

    /// A file of its directory: `ca.pem` is its own certificate, `other.pem` that of a stranger.
    #[cfg(feature = "kafka-ssl")]
    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_string_lossy().into_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Stops it from doing anything, though it stays connected to everyone: what comes out of this lets it go on when it is dropped.
    pub(crate) fn hang(&self) -> Hung<'_> {
        self.signal("-STOP");
        Hung(self)
    }

    fn signal(&self, signal: &str) {
        let process = self.process.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }

    /// Runs it again, with what it had.
    pub(crate) fn restart(&self) {
        *self.process.lock().unwrap() = spawn(self.port, self.directory.path()).unwrap();
        self.await_answer().unwrap();
    }

    fn await_answer(&self) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            if let Ok(Some(status)) = self.process.lock().unwrap().try_wait() {
                let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                return Err(format!("the broker ended with {status}:\n{log}"));
            }
            let client: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", self.servers())
                .set("log_level", "0")
                .create()
                .map_err(|error| error.to_string())?;
            if client.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return Ok(());
            }
        }
        Err("the broker does not answer".to_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A broker that hangs.
pub(crate) struct Hung<'a>(&'a Broker);

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.0.signal("-CONT");
    }
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker.sh")
}

fn spawn(port: u16, directory: &Path) -> Result<Child, String> {
    let log = File::options().create(true).append(true).open(directory.join("log")).map_err(|error| error.to_string())?;
    let mut command = Command::new(script());
    command.arg(port.to_string()).arg(directory).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(|error| error.to_string())?).stderr(log);
    command.spawn().map_err(|error| error.to_string())
}

/// The first of five ports in a row that are free now.
fn free_ports() -> Result<u16, String> {
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port));
    for _ in 0..100 {
        let first = listen(0).and_then(|listener| listener.local_addr()).map_err(|error| error.to_string())?.port();
        if first < u16::MAX - 4 && (first..=first + 4).all(|port| listen(port).is_ok()) {
            return Ok(first);
        }
    }
    Err("no five ports in a row are free".to_owned())
}
