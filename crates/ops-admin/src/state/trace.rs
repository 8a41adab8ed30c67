#[cfg(feature = "metrics")]
use std::collections::HashMap;
use std::collections::HashSet;
#[cfg(feature = "metrics")]
use std::time::{Duration, SystemTime};

use ops_trace::{RecentSpan, RecentTrace};
use serde::Serialize;

use super::dependency::Dependency;
use super::time::{micros, millis, seconds_left};
use crate::Admin;
use crate::text::redacted;

/// Number of traces that the document lists, the newest ones.
const LISTED: usize = 40;
/// Number of traces of each kind that the document has with their spans.
const WITH_SPANS: usize = 20;

/// Recent traces, and the counts of their export.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    recent_traces: Vec<Spans>,
    slow_traces: Vec<Spans>,
    failed_traces: Vec<Spans>,
    traces: Vec<Summary>,
    /// Number of slow and failed traces that were evicted.
    traces_evicted: u64,
    trace_export: ops_trace::Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling: Option<Sampling>,
}

/// Trace with its spans as bars.
#[derive(Debug, Serialize)]
struct Spans {
    trace_id: String,
    duration_us: u64,
    error: bool,
    spans: Vec<Bar>,
    spans_left_out: u64,
}

#[derive(Debug, Serialize)]
struct Bar {
    name: String,
    depth: usize,
    error: bool,
    start_us: u64,
    duration_us: u64,
}

/// Trace as a line of a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    trace_id: String,
    start: u64,
    duration_us: u64,
    name: String,
    method: Option<String>,
    route: Option<String>,
    status: Option<u16>,
    error: bool,
    slow: bool,
    spans: usize,
}

/// Trace with everything that is known of it.
#[derive(Debug, Serialize)]
pub(crate) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    spans_left_out: u64,
    waterfall: Vec<DetailedSpan>,
    /// Lines that carry its id, oldest first, as far as they are kept.
    lines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DetailedSpan {
    span_id: String,
    parent_span_id: Option<String>,
    #[serde(flatten)]
    bar: Bar,
    attributes: Vec<(String, String)>,
}

/// Slowest trace of a route.
#[cfg(feature = "metrics")]
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Slowest {
    trace_id: String,
    duration_us: u64,
}

#[derive(Debug, Serialize)]
struct Sampling {
    ratio: f64,
    configured: f64,
    remaining_seconds: Option<u64>,
    who: Option<String>,
    why: Option<String>,
}

pub(crate) fn collect(admin: &Admin) -> Option<Part> {
    let recent = ops_trace::recent();
    let sampling = ops_trace::global().map(|handle| {
        let now = handle.sampling();
        let change = now.remaining.and_then(|_| admin.ratio_change());
        let change = change.map(|(who, why)| (redacted(&who), redacted(&why)));
        let (who, why) = change.unzip();
        Sampling {
            ratio: now.ratio,
            configured: now.configured,
            remaining_seconds: now.remaining.map(seconds_left),
            who,
            why,
        }
    });
    Some(Part {
        recent_traces: with_spans(&recent.recent),
        slow_traces: with_spans(&recent.slow),
        failed_traces: with_spans(&recent.errors),
        traces: summaries(&recent).into_iter().take(LISTED).collect(),
        traces_evicted: recent.evicted,
        trace_export: ops_trace::stats(),
        sampling,
    })
}

/// Conditions for a trace.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// `error`, `slow`, or a status or its class: `404`, `5xx`.
    pub(crate) status: Option<String>,
    /// Part of the method and route, or of the name.
    pub(crate) route: Option<String>,
    /// Minimum duration.
    pub(crate) min_us: Option<u64>,
}

/// Returns the newest matching traces.
pub(crate) fn list(wanted: &Wanted, limit: usize) -> Vec<Summary> {
    let all = summaries(&ops_trace::recent()).into_iter();
    all.filter(|trace| wanted.takes(trace))
        .take(limit)
        .collect()
}

impl Wanted {
    /// Returns `true` for a valid [`status`](Self::status).
    pub(crate) fn is_status(text: &str) -> bool {
        let is_number = |text: &str| matches!(text.as_bytes(), [b'1'..=b'5', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
        match text.strip_suffix("xx") {
            Some(class) => class.len() == 1 && is_number(class),
            None => matches!(text, "error" | "slow") || text.len() == 3 && is_number(text),
        }
    }

    fn takes(&self, trace: &Summary) -> bool {
        let status = trace
            .status
            .map(|status| status.to_string())
            .unwrap_or_default();
        let of_status = |wanted: &str| match wanted {
            "error" => trace.error,
            "slow" => trace.slow,
            class if class.ends_with("xx") => {
                !status.is_empty() && status.starts_with(class.trim_end_matches('x'))
            }
            exact => status == exact,
        };
        let text = [&trace.method, &trace.route].map(|text| text.as_deref().unwrap_or_default());
        let text = format!("{} {}", text.join(" "), trace.name);
        self.status.as_deref().is_none_or(of_status)
            && self.route.as_ref().is_none_or(|part| text.contains(part))
            && self.min_us.is_none_or(|least| trace.duration_us >= least)
    }
}

/// Returns the trace with this id, if it is kept.
pub(crate) fn find(id: &str) -> Option<Detail> {
    let recent = ops_trace::recent();
    let kinds = [&recent.recent, &recent.slow, &recent.errors];
    let trace = kinds
        .into_iter()
        .flatten()
        .find(|trace| trace.trace_id == id)?;
    let slow = recent.slow.iter().any(|trace| trace.trace_id == id);
    let waterfall = trace.waterfall();
    Some(Detail {
        summary: summary(trace, slow),
        spans_left_out: trace.spans_left_out,
        waterfall: waterfall
            .iter()
            .map(|bar| DetailedSpan {
                span_id: bar.span.span_id.clone(),
                parent_span_id: bar.span.parent_span_id.clone(),
                attributes: bar.span.attributes.clone(),
                bar: shown(bar),
            })
            .collect(),
        lines: super::log::of_trace(id),
    })
}

/// Returns the slowest kept trace by method and route, of those that ended within this time.
#[cfg(feature = "metrics")]
pub(crate) fn slowest(within: Duration) -> HashMap<(String, String), Slowest> {
    let since = SystemTime::now().checked_sub(within).map_or(0, millis);
    let mut slowest = HashMap::<_, Slowest>::new();
    for trace in summaries(&ops_trace::recent()) {
        if trace.start + trace.duration_us / 1000 < since {
            continue;
        }
        let (Some(method), Some(route)) = (trace.method, trace.route) else {
            continue;
        };
        let this = Slowest {
            trace_id: trace.trace_id,
            duration_us: trace.duration_us,
        };
        let known = slowest
            .entry((method, route))
            .or_insert_with(|| this.clone());
        if known.duration_us < this.duration_us {
            *known = this;
        }
    }
    slowest
}

/// Returns the state of the collector, based on the exports.
pub(super) fn collector(part: &Part) -> Option<Dependency> {
    let stats = &part.trace_export;
    let lost = stats.dropped();
    let (state, detail) = match ops_trace::last_export_ok() {
        None if stats.dropped_no_exporter > 0 => ("off", "spans are not exported".to_owned()),
        None => ("unknown", "no export yet".to_owned()),
        Some(true) => (
            "up",
            format!("{} spans exported, {lost} dropped", stats.exported),
        ),
        Some(false) => {
            let failures = &stats.failures;
            let kinds = [
                ("unreachable", failures.refused),
                ("timed out", failures.timeout),
                ("with status 4xx", failures.http_4xx),
                ("with status 5xx", failures.http_5xx),
                ("other", failures.other),
            ];
            let kinds = kinds.iter().filter(|(_, count)| *count > 0);
            let kinds: Vec<_> = kinds
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            let kinds = kinds.join(", ");
            (
                "down",
                format!("failed exports: {kinds}; {lost} spans dropped"),
            )
        }
    };
    Some(Dependency {
        name: "trace collector".to_owned(),
        state,
        detail,
    })
}

fn summaries(recent: &ops_trace::RecentTraces) -> Vec<Summary> {
    let slow: HashSet<&str> = recent
        .slow
        .iter()
        .map(|trace| trace.trace_id.as_str())
        .collect();
    let mut seen = HashSet::new();
    let kinds = [&recent.recent, &recent.slow, &recent.errors];
    let mut all: Vec<_> = kinds
        .into_iter()
        .flatten()
        .filter(|trace| seen.insert(trace.trace_id.as_str()))
        .map(|trace| summary(trace, slow.contains(trace.trace_id.as_str())))
        .collect();
    all.sort_by_key(|trace| std::cmp::Reverse(trace.start));
    all
}

/// Summarizes a trace. Its request is the span that began first and whose parent is elsewhere.
fn summary(trace: &RecentTrace, slow: bool) -> Summary {
    let root = trace.spans.first();
    let of = |key: &str| root.and_then(|root| attribute(root, key));
    // a gRPC call has the names under which its requests are counted
    let call = of("rpc.method").filter(|_| of("rpc.system.name").as_deref() == Some("grpc"));
    // `_OTHER` is any name that a client made up: it has no route
    let known = |method: &String| method != "_OTHER";
    Summary {
        trace_id: trace.trace_id.clone(),
        start: millis(trace.start),
        duration_us: micros(trace.duration),
        name: root.map(|root| root.name.clone()).unwrap_or_default(),
        method: of("http.request.method")
            .or_else(|| call.as_ref().map(|_| "POST".to_owned()))
            .or_else(|| of("rpc.system.name")),
        route: of("http.route")
            .or_else(|| call.filter(known).map(|method| format!("/{method}")))
            .or_else(|| of("rpc.method").filter(known)),
        status: of("http.response.status_code").and_then(|status| status.parse().ok()),
        error: trace.error,
        slow,
        spans: trace.spans.len(),
    }
}

fn attribute(span: &RecentSpan, key: &str) -> Option<String> {
    let mut found = span.attributes.iter();
    found
        .find(|(known, _)| known == key)
        .map(|(_, value)| value.clone())
}

fn with_spans(traces: &[RecentTrace]) -> Vec<Spans> {
    let spans = |trace: &RecentTrace| Spans {
        trace_id: trace.trace_id.clone(),
        duration_us: micros(trace.duration),
        error: trace.error,
        spans: trace.waterfall().iter().map(shown).collect(),
        spans_left_out: trace.spans_left_out,
    };
    traces.iter().take(WITH_SPANS).map(spans).collect()
}

fn shown(bar: &ops_trace::Bar<'_>) -> Bar {
    Bar {
        name: bar.span.name.clone(),
        depth: bar.depth,
        error: bar.span.error,
        start_us: micros(bar.offset),
        duration_us: micros(bar.span.duration),
    }
}
