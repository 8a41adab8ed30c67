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
static FLIGHT: Flight = Flight {
    state: Mutex::new(State {
        flying: false,
        landed: None,
    }),
    landing: Condvar::new(),
};

/// One exposition, in both encodings.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) text: Bytes,
    /// `None` where it would not pay.
    pub(crate) gzip: Option<Bytes>,
}

/// One render at a time, which all scrapes share that came before it began.
struct Flight {
    state: Mutex<State>,
    landing: Condvar,
}

struct State {
    flying: bool,
    landed: Option<(Instant, Result<Arc<Rendered>, ScrapeFailure>)>,
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
        let mut state = FLIGHT.state.lock();
        loop {
            if let Some((began, outcome)) = &state.landed
                && *began >= self.arrived
            {
                return outcome.clone();
            }
            if !state.flying {
                // on a thread of its own: a render that hangs keeps no scrape from its answer
                let flight = std::thread::Builder::new().name("ops-metrics-render".into());
                if flight.spawn(fly).is_err() {
                    return Err(ScrapeFailure::Thread);
                }
                state.flying = true;
            }
            if FLIGHT.landing.wait_until(&mut state, deadline).timed_out() {
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

fn fly() {
    let began = Instant::now();
    let outcome = std::panic::catch_unwind(|| {
        // the service asked before: it is installed
        let text = Bytes::from(render().unwrap_or_default());
        Arc::new(Rendered {
            gzip: zipped(&text),
            text,
        })
    });
    let mut state = FLIGHT.state.lock();
    state.flying = false;
    state.landed = Some((began, outcome.map_err(|_| ScrapeFailure::Panic)));
    FLIGHT.landing.notify_all();
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
