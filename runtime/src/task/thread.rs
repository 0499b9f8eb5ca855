//! Named threads. The only place that starts one.

use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// Linux keeps fifteen bytes of a thread's name.
const NAME_BYTES: usize = 15;

/// Starts a thread. `body` must not panic: it reports its own end.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(Error::io("start the thread", name))
}

/// A task's thread name: the node's name, cut so that the subtask's number stays.
pub(crate) fn task_thread_name(node: &str, subtask: usize) -> String {
    let (prefix, suffix) = ("tg-", format!(".{subtask}"));
    let room = NAME_BYTES - prefix.len() - suffix.len();
    let end = (0..=room.min(node.len())).rev().find(|&end| node.is_char_boundary(end)).unwrap_or(0);
    format!("{prefix}{}{suffix}", &node[..end])
}

#[cfg(test)]
mod tests {
    use super::task_thread_name;

    #[test]
    fn names_keep_the_subtask() {
        assert_eq!(task_thread_name("count", 1), "tg-count.1");
        assert_eq!(task_thread_name("a very long operator", 12), "tg-a very lo.12");
        assert_eq!(task_thread_name("ääääääääää", 0), "tg-äääää.0");
    }
}
