use std::io;
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The one background thread that talks to the network, started by the first lookup that needs it.
///
/// A private runtime makes lookups independent of the caller's: sync code, a current-thread test and a multi-thread
/// server all get the same behaviour, and a caller that goes away does not cancel a lookup others wait for.
#[derive(Default)]
pub(crate) struct Deck(Mutex<Option<Running>>);

struct Running {
    handle: Handle,
    _until_dropped: oneshot::Sender<()>,
}

impl Deck {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut running = self.0.lock();
        let started = match running.take() {
            Some(started) => started,
            None => start()?,
        };
        started.handle.spawn(task);
        *running = Some(started);
        Ok(())
    }
}

fn start() -> io::Result<Running> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (sender, dropped) = oneshot::channel::<()>();
    thread::Builder::new()
        .name("ops-secrets".into())
        .spawn(move || {
            // ends with an error when the sender is dropped, which is the signal
            let _ = runtime.block_on(dropped);
        })?;
    Ok(Running {
        handle,
        _until_dropped: sender,
    })
}
