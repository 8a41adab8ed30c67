use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Event;
use super::budget::Budget;
use crate::Admin;
use crate::check::Readiness;
use crate::state::{State, log, metrics};

/// Number of seconds between two collections of the document.
const EVERY: u64 = 2;
/// Minimum number of seconds between two events with a [`SLOW`] part.
const SLOW_EVERY: u64 = 10;
/// Parts that contain ages, which differ in each second.
const SLOW: [&str; 6] = [
    "cache",
    "cardinality",
    "secrets",
    "secret_sources",
    "trace_export",
    "traces",
];
/// Parts that show whether something is wrong: sent when they change, even if there is no budget for them.
const AT_ONCE: [&str; 3] = ["checks", "not_ready", "verdict"];
/// Number of seconds after which [`AT_ONCE`] and [`FINDINGS`] are sent again
/// unchanged: a page may have loaded its document between two collections.
const AGAIN_EVERY: u64 = 10;
/// Part that is sent at once if a finding appears or ends, but not because its duration changed.
const FINDINGS: &str = "findings";
/// Parts that the page requests, or takes from other events.
const SENT_ELSEWHERE: [&str; 11] = [
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

/// Parts of the state that were sent, and budgets in bytes: with
/// the event of each second, an open page takes less than 3 KB/s.
pub(super) struct Parts {
    second: u64,
    sent: BTreeMap<String, (String, u64)>,
    /// Second since which a part differs from what was sent, and may be sent.
    due: BTreeMap<String, u64>,
    of_parts: Budget,
    of_lines: Budget,
    last_line: u64,
}

/// Event of each second.
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
            due: BTreeMap::new(),
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
        // quotes within a line are escaped, so the event is larger
        self.of_lines.spend(event.data.len());
        Some(event)
    }

    /// Returns the parts that differ from what was sent, as far as they may be sent now.
    fn changed(&mut self, admin: &Admin, readiness: Readiness) -> Option<Event> {
        let state = serde_json::to_value(State::collect(admin, readiness)).ok()?;
        let Value::Object(mut parts) = state else {
            return None;
        };
        parts.retain(|name, _| !SENT_ELSEWHERE.contains(&name.as_str()));
        let fresh = self.fresh(parts);
        (!fresh.is_empty()).then(|| event("state", &fresh))?
    }

    fn fresh(&mut self, parts: Map<String, Value>) -> Map<String, Value> {
        let is_first = self.sent.is_empty();
        let mut fresh = Map::new();
        let (mut urgent, mut waiting) = (Vec::new(), Vec::new());
        for (name, part) in parts {
            let text = part.to_string();
            let sent = self.sent.get(&name);
            let is_new = sent.is_none_or(|(sent, _)| *sent != text);
            if !is_new {
                self.due.remove(&name);
                let is_old = sent.is_some_and(|(_, at)| at + AGAIN_EVERY <= self.second);
                if is_old && (name == FINDINGS || AT_ONCE.contains(&name.as_str())) {
                    urgent.push((name, part, text));
                }
            } else if self.is_urgent(&name, &part) {
                urgent.push((name, part, text));
            } else if is_first {
                // the reader has just requested the document
                self.sent.insert(name, (text, self.second));
            } else if let Some(since) = self.due_since(&name) {
                waiting.push((since, name, part, text));
            }
        }
        waiting.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        for (_, name, part, text) in waiting {
            // the budget is saved for the part that waits longest: otherwise
            // small parts that change all the time would use it up
            if !self.of_parts.take(text.len()) {
                break;
            }
            self.send(name, part, text, &mut fresh);
        }
        // last: urgent parts need no budget, and a part that needs all of it would never get it
        for (name, part, text) in urgent {
            self.of_parts.spend(text.len());
            self.send(name, part, text, &mut fresh);
        }
        fresh
    }

    /// Returns the second since which a changed part may be sent; `None` if it was sent recently.
    fn due_since(&mut self, name: &str) -> Option<u64> {
        let wait = match SLOW.contains(&name) {
            true => SLOW_EVERY,
            false => 0,
        };
        let sent = self.sent.get(name).map(|(_, at)| at + wait);
        let is_due = sent.is_none_or(|from| self.second >= from);
        is_due.then(|| *self.due.entry(name.to_owned()).or_insert(self.second))
    }

    /// Returns whether a changed part is sent at once.
    fn is_urgent(&self, name: &str, part: &Value) -> bool {
        let standing = |findings: &Value| -> Vec<(Value, Value)> {
            let all = findings.as_array().map_or(&[][..], Vec::as_slice);
            let which = all
                .iter()
                .map(|one| (one["id"].clone(), one["severity"].clone()));
            which.collect()
        };
        if name != FINDINGS {
            return AT_ONCE.contains(&name);
        }
        let sent = self.sent.get(name);
        let before: Option<Value> = sent.and_then(|(text, _)| serde_json::from_str(text).ok());
        before.is_none_or(|before| standing(&before) != standing(part))
    }

    fn send(&mut self, name: String, part: Value, text: String, fresh: &mut Map<String, Value>) {
        self.due.remove(&name);
        self.sent.insert(name.clone(), (text, self.second));
        fresh.insert(name, part);
    }
}

fn event(name: &'static str, data: &impl Serialize) -> Option<Event> {
    let data = serde_json::to_string(data).ok()?;
    Some(Event { name, data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Creates parts of these sizes in bytes, which differ in each second.
    fn moving(second: u64, sizes: &[(&str, usize)]) -> Map<String, Value> {
        let part =
            |&(name, size): &(&str, usize)| (name.to_owned(), json!(format!("{second:0>size$}")));
        sizes.iter().map(part).collect()
    }

    #[test]
    fn what_says_that_something_is_wrong_is_sent_again() {
        let mut parts = Parts::new();
        let state = || {
            let all = json!({"verdict": "ok", "jobs": [], "traces": {}});
            all.as_object().cloned().unwrap_or_default()
        };
        let mut times = Vec::new();
        for second in (1..=31).step_by(2) {
            parts.second = second;
            if parts.fresh(state()).contains_key("verdict") {
                times.push(second);
            }
        }
        assert_eq!(times, [1, 11, 21, 31]);
        assert!(!parts.fresh(state()).contains_key("jobs"));
    }

    #[test]
    fn each_part_that_moves_is_sent_though_others_move_all_the_time() {
        let sizes = [
            ("cache", 3000),
            ("jobs", 38_000),
            ("small_a", 1500),
            ("small_b", 900),
            ("traces", 8800),
            ("verdict", 20),
        ];
        let mut parts = Parts::new();
        let mut times = BTreeMap::<String, Vec<u64>>::new();
        let mut bytes = 0;
        for second in (1..1200).step_by(2) {
            parts.second = second;
            parts.of_parts.second();
            parts.of_parts.second();
            for (name, part) in parts.fresh(moving(second, &sizes)) {
                times.entry(name).or_default().push(second);
                bytes += part.to_string().len();
            }
        }
        assert!(bytes < 16 * 1024 + 40_000 + 800 * 1200, "{bytes}");
        for (name, _) in sizes {
            let times = times.get(name).map_or(&[][..], Vec::as_slice);
            let waits = times.windows(2).map(|pair| pair[1] - pair[0]);
            let longest = waits.max().unwrap_or(u64::MAX);
            let most = if name == "verdict" { 2 } else { 150 };
            assert!(longest <= most, "{name} is sent after {longest} s");
        }
    }

    #[test]
    fn what_is_wrong_is_sent_at_once_and_first_of_all() {
        let finding =
            |id: &str, seen: &str| json!([{ "id": id, "severity": "warning", "seen": seen }]);
        let wrong = |id: &str, seen: &str| {
            let mut parts = moving(0, &[("jobs", 38_000)]);
            parts.insert(FINDINGS.to_owned(), finding(id, seen));
            parts
        };
        let mut parts = Parts::new();
        parts.second = 1;
        let first = parts.fresh(wrong("slow", "1 s"));
        let names: Vec<_> = first.keys().collect();
        assert_eq!(names, [FINDINGS], "others are in the document");
        // the budget is in debt
        parts.of_parts.spend(1_000_000);
        assert!(parts.fresh(wrong("slow", "2 s")).is_empty());
        assert!(parts.fresh(wrong("down", "1 s")).contains_key(FINDINGS));
    }
}
