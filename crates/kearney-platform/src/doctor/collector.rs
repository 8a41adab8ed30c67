//! Sends a span to the collector, and explains a failure.

use std::time::Duration;

use ops_layer::trace::{Config, Tracer, span};

use super::answers::Answers;
use super::found::{Found, Severity};
use super::options::Doctor;

/// Timeout, shorter than the exporter's default of 10 s: a collector that takes longer for one span hangs.
const LIMIT: Duration = Duration::from_secs(5);

/// Prefix of the check's text.
pub(super) const CHECK_PREFIX: &str = "POST";

pub(super) fn ask(_: &Doctor) -> Answers {
    let mut answers = Answers::default();
    let config = Config::new("kearney-platform-doctor")
        .sampling_ratio(1.0)
        .export_timeout(LIMIT);
    let tracer = match Tracer::new(config) {
        Ok(tracer) => tracer,
        Err(error) => {
            let why = crate::error::chain(&error);
            answers.note("collector", "the OTEL_* variables", why.clone());
            answers.find([Found::new("trace_settings_invalid", Severity::Critical)
                .seen(why)
                .means("The platform does not start with these settings.")
                .action("Correct the variable.")
                .runbook("traces-not-appearing")]);
            return answers;
        }
    };
    let handle = tracer.handle();
    let Some(endpoint) = handle.export_health().endpoint else {
        let why = "tracing is off: OTEL_SDK_DISABLED is true, or OTEL_TRACES_EXPORTER does not include otlp";
        answers.note("collector", "the OTEL_* variables", why);
        answers.find([Found::new("traces_off", Severity::Info)
            .seen(why)
            .means("No traces are exported with these settings.")
            .action("If this is not intended, unset the variable.")
            .runbook("traces-not-appearing")]);
        return answers;
    };
    drop(span!(tracer: handle, "doctor"));
    let stats = tracer.shutdown_blocking(LIMIT + Duration::from_secs(1));
    let health = handle.export_health();
    let answer = match (stats.exported, &health.last_failure) {
        (1.., _) => {
            let took = health.last_duration.unwrap_or_default().as_millis();
            format!("accepted the span after {took} ms")
        }
        (_, Some(failure)) => failure.clone(),
        (_, None) if stats.rejected > 0 => "accepted the batch but rejected the span".to_owned(),
        (_, None) => format!("no response within {} s", LIMIT.as_secs()),
    };
    answers.note(
        "collector",
        format!("{CHECK_PREFIX} {endpoint} with one span"),
        answer.clone(),
    );
    if let Some(last) = answers.tried.last_mut() {
        last.ok = stats.exported > 0;
    }
    let findings = ops_layer::diagnose_export(&handle);
    if findings.is_empty() && stats.exported == 0 {
        let id = if stats.rejected > 0 {
            "spans_rejected"
        } else {
            "collector_hung"
        };
        answers.find([Found::new(id, Severity::Warning)
            .seen(answer)
            .means("Traces do not arrive.")
            .action("Check the collector's own log.")
            .runbook("traces-not-appearing")]);
        return answers;
    }
    answers.find(findings.into_iter().map(Found::from));
    answers
}
