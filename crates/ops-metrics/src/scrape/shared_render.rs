use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::{Condvar, Mutex};
use std::io::Write as _;

use crate::builtin::{ScrapeFailure, ops_metrics_render_bytes};
use crate::scrape::exposition::Format;
use crate::scrape::render::{render_into, run_hooks};

/// Scrapes that may be under way or wait at the same time; the next one is refused.
const SCRAPES_MAX: usize = 5;
/// A scrape waits for its text no longer than this: Prometheus itself gives up after 10 seconds.
const WAIT_MAX: Duration = Duration::from_secs(2);
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
static RENDERING: Mutex<()> = Mutex::new(());
static SHARED: [SharedRender; 4] = [const { SharedRender::new() }; 4];

/// A form of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) gzip: bool,
}

impl Form {
    fn shared(self) -> Option<&'static SharedRender> {
        let format = match self.format {
            Format::Text => 0,
            Format::OpenMetrics => 2,
        };
        SHARED.get(format + usize::from(self.gzip))
    }
}

/// One render at a time for each form, which all scrapes share that came before it began.
struct SharedRender {
    state: Mutex<State>,
    done: Condvar,
}

impl SharedRender {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                rendering: false,
                rendered: None,
            }),
            done: Condvar::new(),
        }
    }
}

struct State {
    rendering: bool,
    rendered: Option<(Instant, Result<Bytes, ScrapeFailure>)>,
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
    pub(crate) fn wait(self, form: Form) -> Result<Bytes, ScrapeFailure> {
        let shared = form.shared().ok_or(ScrapeFailure::Thread)?;
        let deadline = self.arrived + WAIT_MAX;
        let mut state = shared.state.lock();
        loop {
            if let Some((began, outcome)) = &state.rendered
                && *began >= self.arrived
            {
                return outcome.clone();
            }
            if !state.rendering {
                // on a thread of its own: a render that hangs keeps no scrape from its answer
                let thread = std::thread::Builder::new().name("ops-metrics-render".into());
                if thread.spawn(move || render_shared(shared, form)).is_err() {
                    return Err(ScrapeFailure::Thread);
                }
                state.rendering = true;
            }
            if shared.done.wait_until(&mut state, deadline).timed_out() {
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

fn render_shared(shared: &SharedRender, form: Form) {
    let one_at_a_time = RENDERING.lock();
    let began = Instant::now();
    let outcome = std::panic::catch_unwind(|| rendered(form));
    drop(one_at_a_time);
    let mut state = shared.state.lock();
    state.rendering = false;
    state.rendered = Some((began, outcome.map_err(|_| ScrapeFailure::Panic)));
    shared.done.notify_all();
}

/// Renders piece by piece: besides the result, no more than a piece is held.
fn rendered(Form { format, gzip }: Form) -> Bytes {
    run_hooks();
    let size = ops_metrics_render_bytes().get() as usize;
    if gzip {
        let mut encoder = GzEncoder::new(Vec::with_capacity(size / 8), Compression::fast());
        // writing to memory does not fail
        render_into(format, &mut |chunk| {
            drop(encoder.write_all(chunk.as_bytes()))
        });
        encoder.finish().unwrap_or_default().into()
    } else {
        let mut text = Vec::with_capacity(size + size / 16);
        render_into(format, &mut |chunk| {
            text.extend_from_slice(chunk.as_bytes())
        });
        text.into()
    }
}
