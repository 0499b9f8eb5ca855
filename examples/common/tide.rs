//! What the word counts share: a text that a program serves to itself, and waiting for Ctrl-C.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, bounded, select};
use tidegate::runtime::QueryHandle;

/// What is counted when no server is named.
const TEXT: &str = include_str!("../data/tide.txt");

/// Until the server closes the connection, or Ctrl-C, which finishes what was received.
pub(crate) fn wait(query: &QueryHandle) -> Result<(), Box<dyn std::error::Error>> {
    let interrupted = interrupts()?;
    let (ended, has_ended) = bounded(1);
    let waiting = query.clone();
    std::thread::Builder::new().spawn(move || ended.send(waiting.await_termination(None)))?;
    select! {
        recv(interrupted) -> _ => query.stop()?,
        recv(has_ended) -> result => { result??; }
    }
    Ok(())
}

fn interrupts() -> Result<Receiver<()>, ctrlc::Error> {
    let (interrupt, interrupted) = bounded(1);
    // A second Ctrl-C while the query drains changes nothing.
    ctrlc::set_handler(move || interrupt.try_send(()).unwrap_or_default())?;
    Ok(interrupted)
}

/// Serves the bundled text on a free loopback port, a verse at a time, to the first client; then closes.
pub(crate) fn serve_text() -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::Builder::new().spawn(move || -> std::io::Result<()> {
        let (mut client, _) = listener.accept()?;
        for verse in TEXT.split("\n\n") {
            writeln!(client, "{}", verse.trim_end())?;
            // A pause between verses, so that each is an epoch.
            after(Duration::from_millis(300)).recv().map_err(std::io::Error::other)?;
        }
        Ok(())
    })?;
    Ok(port)
}
