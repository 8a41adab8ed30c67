use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::{DecodeError, Message};

use super::received::{hex, text, texts, value};

/// A log record as a collector receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedLog {
    /// 32 hexadecimal digits; empty outside of a trace.
    pub trace_id: String,
    /// 16 hexadecimal digits; empty outside of a span.
    pub span_id: String,
    /// True if the trace is sampled.
    pub is_sampled: bool,
    /// Time of the line.
    pub time: SystemTime,
    /// Severity number, 1 to 24; 0 if it has none.
    pub severity: i32,
    /// Severity as written in the line.
    pub severity_text: String,
    /// Name of the logger.
    pub logger: String,
    /// Event of the line as text.
    pub body: String,
    /// Other fields, values as text.
    pub attributes: Vec<(String, String)>,
    /// Number of dropped fields.
    pub attributes_dropped: u32,
    /// Resource attributes of the process that sent it.
    pub resource: Vec<(String, String)>,
}

impl ReceivedLog {
    /// Returns the value of an attribute as text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        value(&self.attributes, key)
    }
}

pub(super) fn of(body: &[u8]) -> Result<Vec<ReceivedLog>, DecodeError> {
    let mut logs = Vec::new();
    for of_resource in ExportLogsServiceRequest::decode(body)?.resource_logs {
        let resource = texts(of_resource.resource.unwrap_or_default().attributes);
        for of_scope in of_resource.scope_logs {
            let logger = of_scope.scope.unwrap_or_default().name;
            let records = of_scope.log_records.into_iter();
            logs.extend(records.map(|record| log(record, &logger, &resource)));
        }
    }
    Ok(logs)
}

fn log(record: LogRecord, logger: &str, resource: &[(String, String)]) -> ReceivedLog {
    ReceivedLog {
        trace_id: hex(&record.trace_id),
        span_id: hex(&record.span_id),
        is_sampled: record.flags & 1 == 1,
        time: SystemTime::UNIX_EPOCH + Duration::from_nanos(record.time_unix_nano),
        severity: record.severity_number,
        severity_text: record.severity_text,
        logger: logger.to_owned(),
        body: text(record.body),
        attributes: texts(record.attributes),
        attributes_dropped: record.dropped_attributes_count,
        resource: resource.to_vec(),
    }
}
