use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::history::interval::{Interval, Totals};
use crate::history::routes::{Marks, RouteSummary};
use crate::series::distribution::Distribution;

/// Number of seconds that [`sparklines`] cover, with one point each.
pub const SPARKLINE_SECONDS: usize = 300;
/// Maximum length of a gap in seconds: a longer one is shortened to the longest window.
const GAP_SECONDS_MAX: u64 = 24 * 60 * 60;
/// Minimum time between two ticks: an earlier tick is skipped, and the next one includes its values.
const SHORTEST: Duration = Duration::from_millis(500);

/// Time that a sparkline covers, and its resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Window {
    /// 300 points of one second.
    FiveMinutes,
    /// 360 points of ten seconds.
    Hour,
    /// 1440 points of one minute.
    Day,
}

impl Window {
    pub(crate) const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    /// Returns the time that one point covers.
    pub fn step(self) -> Duration {
        Duration::from_secs(self.shape().0)
    }

    /// Returns the maximum number of points.
    pub fn points(self) -> usize {
        self.shape().1
    }

    fn shape(self) -> (u64, usize) {
        match self {
            Self::FiveMinutes => (1, SPARKLINE_SECONDS),
            Self::Hour => (10, 360),
            Self::Day => (60, 1440),
        }
    }
}

/// Recent values of one number, oldest first.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sparkline {
    /// `requests_per_second`, `error_ratio`, `p50_seconds`, `p95_seconds`, `cache_hit_ratio`, `p99_seconds`,
    /// `requests_in_flight`, `resident_memory_bytes`, `cpu_cores`, or a name passed to
    /// [`add_sparkline`](crate::add_sparkline).
    pub name: &'static str,
    /// One point for each step; `None` if nothing was measured: no traffic, or the process was suspended.
    pub points: Vec<Option<f64>>,
}

/// Recent values, in three resolutions.
#[derive(Debug)]
pub(crate) struct History {
    rings: [Ring; Window::ALL.len()],
    before: Option<(Duration, Totals)>,
    /// Number of seconds so far, which is the number of the newest point in the shortest window.
    seconds: u64,
    routes: Marks,
}

static GLOBAL: Mutex<History> = Mutex::new(History::new());

/// Returns the numbers on the admin page for the past five minutes, second by second.
pub fn sparklines() -> Vec<Sparkline> {
    sparklines_over(Window::FiveMinutes)
}

/// Returns the numbers on the admin page for this window.
pub fn sparklines_over(window: Window) -> Vec<Sparkline> {
    current().sparklines(window)
}

/// Returns the distribution of the latency of requests in this window.
pub fn latency_over(window: Window) -> Distribution {
    current().latency(window)
}

/// Returns the number of seconds in the history so far, including
/// gaps: the number of the newest point of [`sparklines`].
pub fn history_seconds() -> u64 {
    current().seconds
}

/// Returns the requests of each route in this window, or since the start if that is later; routes with most requests
/// first. Probes and scrapes are left out. The window may be up to a tenth longer than its name states.
pub fn routes_over(window: Window) -> Vec<RouteSummary> {
    current().routes.since(window)
}

/// Ends a second; `now` is the time since any fixed moment, `added` has the values of the added sparklines.
pub(crate) fn tick(now: Duration, added: Vec<Option<f64>>) {
    let totals = Totals::read(added);
    let mut history = current();
    history.push(now, totals);
    history.routes.tick(now);
}

fn current() -> MutexGuard<'static, History> {
    #[cfg(feature = "testing")]
    if let Some(history) = scoped::CURRENT.get() {
        return history.lock();
    }
    GLOBAL.lock()
}

/// History of a test, which replaces the process's.
#[cfg(feature = "testing")]
pub(crate) mod scoped {
    use std::cell::Cell;

    use parking_lot::Mutex;

    use super::History;

    thread_local! {
        pub(super) static CURRENT: Cell<Option<&'static Mutex<History>>> = const { Cell::new(None) };
    }

    /// Leaves the history when dropped.
    pub(crate) struct Entered(Option<&'static Mutex<History>>);

    pub(crate) fn enter(history: &'static Mutex<History>) -> Entered {
        Entered(CURRENT.replace(Some(history)))
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
}

impl History {
    pub(crate) const fn new() -> Self {
        Self {
            rings: [Ring::new(), Ring::new(), Ring::new()],
            before: None,
            seconds: 0,
            routes: Marks::new(),
        }
    }

    fn push(&mut self, now: Duration, totals: Totals) {
        let Some((then, before)) = self.before.as_ref() else {
            self.before = Some((now, totals));
            return;
        };
        // a tick belongs to the second it falls into, so that a late tick does not move the points after it
        let elapsed = now.as_secs().saturating_sub(then.as_secs());
        let length = now.saturating_sub(*then);
        if elapsed == 0 || length < SHORTEST {
            return;
        }
        let interval = totals.since(before, length);
        for _ in 1..elapsed.min(GAP_SECONDS_MAX) {
            self.advance(None);
        }
        self.advance(Some(interval));
        self.before = Some((now, totals));
    }

    fn advance(&mut self, second: Option<Interval>) {
        self.seconds += 1;
        for (ring, window) in self.rings.iter_mut().zip(Window::ALL) {
            ring.advance(second.as_ref(), window.shape());
        }
    }

    fn ring(&self, window: Window) -> impl Iterator<Item = &Option<Interval>> {
        let pairs = Window::ALL.iter().zip(&self.rings);
        pairs
            .filter(move |(of, _)| **of == window)
            .flat_map(|(_, ring)| &ring.points)
    }

    fn sparklines(&self, window: Window) -> Vec<Sparkline> {
        let names = Interval::names();
        let mut lines: Vec<Sparkline> = names
            .into_iter()
            .map(|name| Sparkline {
                name,
                points: Vec::new(),
            })
            .collect();
        for point in self.ring(window) {
            let mut values = point.as_ref().map(Interval::values).unwrap_or_default();
            values.resize(lines.len(), None);
            for (line, value) in lines.iter_mut().zip(values) {
                line.points.push(value);
            }
        }
        lines
    }

    fn latency(&self, window: Window) -> Distribution {
        let mut all = Distribution::default();
        for interval in self.ring(window).flatten() {
            all.merge(&interval.latency);
        }
        all
    }
}

/// Points of one window, and the next point, which is still open.
#[derive(Debug)]
struct Ring {
    points: VecDeque<Option<Interval>>,
    open: Option<Interval>,
    open_seconds: u64,
}

impl Ring {
    const fn new() -> Self {
        Self {
            points: VecDeque::new(),
            open: None,
            open_seconds: 0,
        }
    }

    fn advance(&mut self, second: Option<&Interval>, (step, len): (u64, usize)) {
        if let Some(second) = second {
            match &mut self.open {
                Some(open) => open.merge(second),
                None => self.open = Some(second.clone()),
            }
        }
        self.open_seconds += 1;
        if self.open_seconds >= step {
            if self.points.len() == len {
                self.points.pop_front();
            }
            self.points.push_back(self.open.take());
            self.open_seconds = 0;
        }
    }
}
