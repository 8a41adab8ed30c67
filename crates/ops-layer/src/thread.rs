//! Threads that create the values they work with.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Starts a thread, and waits until it has created its value or
/// failed: a runtime must not be dropped on a thread of another one.
pub(crate) fn start<T>(
    name: &str,
    begin: impl FnOnce() -> io::Result<T> + Send + 'static,
    work: impl FnOnce(T) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (sender, started) = mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn(move || match begin() {
        Ok(begun) => {
            let _ = sender.send(Ok(()));
            work(begun);
        }
        Err(error) => drop(sender.send(Err(error))),
    })?;
    let panicked = |_| Err(io::Error::other(format!("the thread {name} panicked")));
    started.recv().unwrap_or_else(panicked)?;
    Ok(thread)
}
