use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::{Condvar, Mutex};
use std::io::Write as _;

use crate::builtin::ScrapeFailure;
use crate::scrape::render::render;

/// Scrapes that may be under way or wait at the same time; the next one is refused.
const SCRAPES_MAX: usize = 5;
/// A scrape waits for its text no longer than this: Prometheus itself gives up after 10 seconds.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// A text that is shorter is sent as it is.
const GZIP_FROM_BYTES: usize = 1024;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
static SHARED: SharedRender = SharedRender {
    state: Mutex::new(State {
        rendering: false,
        rendered: None,
    }),
    done: Condvar::new(),
};

/// One exposition, in both encodings.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) text: Bytes,
    /// `None` where it would not pay.
    pub(crate) gzip: Option<Bytes>,
}

/// One render at a time, which all scrapes share that came before it began.
struct SharedRender {
    state: Mutex<State>,
    done: Condvar,
}

struct State {
    rendering: bool,
    rendered: Option<(Instant, Result<Arc<Rendered>, ScrapeFailure>)>,
}

/// A scrape that was let in.
pub(crate) struct Scrape {
    arrived: Instant,
}

impl Scrape {
    pub(crate) fn begin() -> Result<Self, ScrapeFailure> {
        let before = UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        let scrape = Self {
            arrived: Instant::now(),
        };
        if before < SCRAPES_MAX {
            Ok(scrape)
        } else {
            Err(ScrapeFailure::Busy) // what is not handed out gives its place back
        }
    }

    /// Waits for a text of a render that began after this scrape arrived, so that it shows all that happened before.
    /// Blocks the thread.
    pub(crate) fn wait(self) -> Result<Arc<Rendered>, ScrapeFailure> {
        let deadline = self.arrived + WAIT_MAX;
        let mut state = SHARED.state.lock();
        loop {
            if let Some((began, outcome)) = &state.rendered
                && *began >= self.arrived
            {
                return outcome.clone();
            }
            if !state.rendering {
                // on a thread of its own: a render that hangs keeps no scrape from its answer
                let thread = std::thread::Builder::new().name("ops-metrics-render".into());
                if thread.spawn(render_shared).is_err() {
                    return Err(ScrapeFailure::Thread);
                }
                state.rendering = true;
            }
            if SHARED.done.wait_until(&mut state, deadline).timed_out() {
                return Err(ScrapeFailure::Timeout);
            }
        }
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

fn render_shared() {
    let began = Instant::now();
    let outcome = std::panic::catch_unwind(|| {
        // the service asked before: it is installed
        let text = Bytes::from(render().unwrap_or_default());
        Arc::new(Rendered {
            gzip: zipped(&text),
            text,
        })
    });
    let mut state = SHARED.state.lock();
    state.rendering = false;
    state.rendered = Some((began, outcome.map_err(|_| ScrapeFailure::Panic)));
    SHARED.done.notify_all();
}

fn zipped(text: &[u8]) -> Option<Bytes> {
    if text.len() < GZIP_FROM_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .ok()
        .map(Bytes::from)
}
