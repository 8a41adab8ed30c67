use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Event;
use super::budget::Budget;
use crate::Admin;
use crate::check::Readiness;
use crate::state::{State, log, metrics};

/// Seconds between two looks at the document.
const EVERY: u64 = 2;
/// Parts whose ages move all the time: sent at most so often, in seconds.
const SLOW_EVERY: u64 = 10;
const SLOW: [&str; 6] = [
    "cache",
    "cardinality",
    "secrets",
    "secret_sources",
    "trace_export",
    "traces",
];
/// Parts that the page asks for, or takes from other events.
const ELSEWHERE: [&str; 11] = [
    "failed_traces",
    "generated_at",
    "history",
    "last_run",
    "log_levels",
    "metrics",
    "recent_lines",
    "recent_traces",
    "routes",
    "slow_traces",
    "uptime_seconds",
];

/// Parts of the state that were sent, and bytes that may be sent: with the event of each second an open page takes less than 3 KB/s.
pub(super) struct Parts {
    second: u64,
    sent: BTreeMap<String, (String, u64)>,
    of_parts: Budget,
    of_lines: Budget,
    last_line: u64,
}

/// The event of each second.
#[derive(Serialize)]
struct Tick {
    at: u64,
    uptime_seconds: u64,
    #[serde(flatten)]
    newest: Option<metrics::Newest>,
}

impl Parts {
    pub(super) fn new() -> Self {
        Self {
            second: 0,
            sent: BTreeMap::new(),
            of_parts: Budget::new(800, 16 * 1024),
            of_lines: Budget::new(1000, 8 * 1024),
            last_line: log::last(),
        }
    }

    pub(super) fn collect(&mut self, admin: &Admin, readiness: Readiness) -> Vec<Event> {
        self.second += 1;
        self.of_parts.second();
        self.of_lines.second();
        let tick = Tick {
            at: crate::state::millis(std::time::SystemTime::now()),
            uptime_seconds: admin.uptime().as_secs(),
            newest: metrics::newest(),
        };
        let mut events: Vec<_> = event("tick", &tick).into_iter().collect();
        events.extend(self.lines());
        if self.second % EVERY == 1 {
            events.extend(self.changed(admin, readiness));
        }
        events
    }

    fn lines(&mut self) -> Option<Event> {
        let lines = log::lines_after(self.last_line, self.of_lines.left())?;
        if lines.last == self.last_line {
            return None;
        }
        self.last_line = lines.last;
        let event = event("lines", &lines)?;
        // quotes within a line grow when they are sent
        self.of_lines.spend(event.data.len());
        Some(event)
    }

    /// The parts that are not as they were sent, as far as they may be sent now.
    fn changed(&mut self, admin: &Admin, readiness: Readiness) -> Option<Event> {
        let state = serde_json::to_value(State::collect(admin, readiness)).ok()?;
        let Value::Object(parts) = state else {
            return None;
        };
        let is_first = self.sent.is_empty();
        let mut fresh = Map::new();
        for (name, part) in parts {
            if ELSEWHERE.contains(&name.as_str()) {
                continue;
            }
            let text = part.to_string();
            let known = self.sent.get(&name);
            let wait = if SLOW.contains(&name.as_str()) {
                SLOW_EVERY
            } else {
                0
            };
            let is_due = known.is_none_or(|(sent, at)| *sent != text && self.second >= at + wait);
            // whoever reads has asked for the document, a moment ago
            if is_first || is_due && self.of_parts.take(text.len()) {
                self.sent.insert(name.clone(), (text, self.second));
                if !is_first {
                    fresh.insert(name, part);
                }
            }
        }
        (!fresh.is_empty()).then(|| event("state", &fresh))?
    }
}

fn event(name: &'static str, data: &impl Serialize) -> Option<Event> {
    let data = serde_json::to_string(data).ok()?;
    Some(Event { name, data })
}
