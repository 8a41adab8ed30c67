//! Rules about the export of spans.

use std::time::Duration;

use super::history::{History, SETTLED, WINDOW};
use super::snapshot::{Export, Snapshot};
use super::{Finding, Severity};

/// Duration from which a failure is a finding; a shorter one is a restart of the collector.
const FAILING_FOR: Duration = Duration::from_secs(10);
/// Start of the standard library's message about a name that cannot be resolved.
const LOOKUP: &str = "failed to lookup address";
/// Appended to the observation if nothing shows whether it still holds.
const NOT_ASKED: &str = "; no sampled span has ended for a minute, so the export was not retried";
const SLOW: Duration = Duration::from_secs(2);
const RUNBOOK: &str = "traces-not-appearing";
/// Text of rustls about a certificate that it does not accept.
const OF_RUSTLS: &str = "invalid peer certificate";
/// Setting in the failure text if the collector does not accept this service's certificate.
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
/// Setting in the failure text if a proxy leads to the collector.
const PROXY: &str = "HTTPS_PROXY";

pub(super) const COLLECTOR: [&str; 5] = [
    "collector_credentials",
    "collector_certificate",
    "collector_hung",
    "collector_unreachable",
    "collector_refusing",
];

pub(super) fn collector(now: &Snapshot, history: &History) -> Option<Finding> {
    let export = now.export.as_ref()?;
    let failing = export
        .failing_for
        .filter(|failing| *failing >= FAILING_FOR)?;
    let mut finding = failure(export, failing);
    if has_nothing_to_send(now, history) {
        finding.seen += NOT_ASKED;
    }
    Some(finding.since(now.wall.checked_sub(failing).unwrap_or(now.wall)))
}

/// Returns whether no span was queued a minute ago and none has ended
/// since: the collector was not contacted either, and may work again.
fn has_nothing_to_send(now: &Snapshot, history: &History) -> bool {
    let before = history.before(now, WINDOW);
    let both = before.and_then(|before| before.export.as_ref().zip(now.export.as_ref()));
    both.is_some_and(|(before, now)| before.queued == 0 && before.ended == now.ended)
}

/// Creates the finding about a collector that has failed for this long.
pub(super) fn failure(export: &Export, failing: Duration) -> Finding {
    let endpoint = export.endpoint.as_deref().unwrap_or("the collector");
    let (id, answer, action) = match (export.status, export.kind) {
        (Some(status @ (401 | 403)), _) => (
            "collector_credentials",
            format!("rejects the credentials ({status})"),
            "Set the token in OTEL_EXPORTER_OTLP_HEADERS and restart.",
        ),
        (_, "timeout") => (
            "collector_hung",
            "does not respond in time".to_owned(),
            "Check the collector's load and log, and the network to it; restart it if it hangs.",
        ),
        (_, "refused") if export.failure.contains(PROXY) => (
            "collector_unreachable",
            "cannot be reached through the proxy".to_owned(),
            "Start the proxy, or correct HTTPS_PROXY and NO_PROXY.",
        ),
        (_, "refused") => (
            "collector_unreachable",
            "cannot be reached".to_owned(),
            "Start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT.",
        ),
        (None, "other") if export.failure.contains(LOOKUP) => (
            "collector_unreachable",
            "cannot be reached: its name cannot be resolved at the moment".to_owned(),
            "Check DNS on this machine, or correct OTEL_EXPORTER_OTLP_ENDPOINT.",
        ),
        (None, "other") if export.failure.contains(CLIENT_CERTIFICATE) => (
            "collector_certificate",
            "rejects the client certificate, or requires one".to_owned(),
            "Set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY, or renew the certificate.",
        ),
        (None, "other") if export.failure.contains(OF_RUSTLS) => (
            "collector_certificate",
            "presents an invalid certificate".to_owned(),
            "Renew it, or name its CA in OTEL_EXPORTER_OTLP_CERTIFICATE; `openssl s_client -connect HOST:PORT` shows its dates and names.",
        ),
        (None, "other") => (
            "collector_refusing",
            "sends no valid OTLP response".to_owned(),
            "Check the cause: the connection is closed early, or another service listens there; OTLP/HTTP uses port 4318, OTLP/gRPC 4317.",
        ),
        _ => (
            "collector_refusing",
            "rejects spans".to_owned(),
            "Check the response: 404 means a wrong path, 429 and 5xx an overloaded collector.",
        ),
    };
    let severity = if export.is_default {
        Severity::Info
    } else {
        Severity::Warning
    };
    let lasts = match failing.as_secs() {
        0 => String::new(),
        seconds => format!(", failing for {seconds} s"),
    };
    let seen = format!("{endpoint} {answer}{lasts}: {}", export.failure);
    let means = "Traces are not exported; recent ones are on the admin page only.";
    let finding = Finding::new(id, severity).seen(seen).means(means);
    finding.action(action).runbook(RUNBOOK)
}

pub(super) fn slow(now: &Snapshot, history: &History) -> Option<Finding> {
    let slow = |export: &Export| export.last_duration.filter(|took| *took >= SLOW);
    let export = now
        .export
        .as_ref()
        .filter(|export| export.failing_for.is_none())?;
    let took = slow(export)?;
    let before = history.last()?.export.as_ref()?;
    slow(before)?;
    if has_nothing_to_send(now, history) {
        return None;
    }
    let finding = Finding::new("collector_slow", Severity::Warning)
        .seen(format!("the last export took {:.1} s", took.as_secs_f64()))
        .means("Spans are queued; once the queue is full, they are dropped.")
        .action("Check the collector's load, and the network to it.");
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn dropped(now: &Snapshot, history: &History) -> Option<Finding> {
    let before = history.since(now, WINDOW)?.export.as_ref()?;
    let export = now.export.as_ref()?;
    let full = export.queue_full.saturating_sub(before.queue_full);
    let failed = export.export_failed.saturating_sub(before.export_failed);
    let open = export.circuit_open.saturating_sub(before.circuit_open);
    let dropped = full + failed + open;
    // for a failure that just began, the cause is reported first
    let is_new = export
        .failing_for
        .is_some_and(|failing| failing < FAILING_FOR);
    if dropped == 0 || (is_new && full == 0) {
        return None;
    }
    let ended = export.ended.saturating_sub(before.ended);
    let failures = |export: &Export| export.export_failed + export.circuit_open;
    let settled = history.before(now, SETTLED);
    let settled = settled.and_then(|before| before.export.as_ref());
    let is_over = export.failing_for.is_none()
        && full == 0
        && settled.is_some_and(|before| failures(before) == failures(export));
    let severity = if export.is_default || is_over {
        Severity::Info
    } else {
        Severity::Warning
    };
    let finding = Finding::new("spans_dropped", severity)
        .seen(format!(
            "{dropped} spans were dropped and {ended} ended in the last minute (queue full {full}, export failed {failed}, \
             paused after failures {open})"
        ))
        .means("Traces are incomplete.")
        .action(match full {
            0 if is_over => "No action needed: the collector accepts spans again. Dropped spans are not resent.",
            0 if export.failing_for.is_none() => {
                "Check the collector's log if this continues: it accepts spans again, but failed less than 30 s ago."
            }
            0 if is_refused(export) => {
                "Fix the cause of the rejection: spans that end meanwhile are dropped and not resent."
            }
            0 => "Restore the collector: spans that end meanwhile are dropped and not resent.",
            _ => "Lower the sampling ratio (OTEL_TRACES_SAMPLER_ARG), or raise OTEL_BSP_MAX_QUEUE_SIZE.",
        });
    Some(finding.runbook(RUNBOOK))
}

/// Returns whether the collector responds, but one side does not accept
/// what the other one presents: it is neither down nor overloaded.
fn is_refused(export: &Export) -> bool {
    match export.status {
        Some(status) => status < 500 && status != 429,
        None => [CLIENT_CERTIFICATE, OF_RUSTLS]
            .iter()
            .any(|text| export.failure.contains(text)),
    }
}

pub(super) fn rejected(now: &Snapshot, history: &History) -> Option<Finding> {
    let before = history.since(now, WINDOW)?.export.as_ref()?;
    let export = now.export.as_ref()?;
    let rejected = export.rejected.saturating_sub(before.rejected);
    (rejected > 0).then(|| {
        Finding::new("spans_rejected", Severity::Warning)
            .seen(format!(
                "the collector accepted batches and rejected {rejected} of their spans in the last minute"
            ))
            .means("Traces are incomplete.")
            .action("See the log event `trace_spans_rejected` for the reason.")
            .runbook(RUNBOOK)
    })
}
