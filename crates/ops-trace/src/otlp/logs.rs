use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::LogLines;
use crate::otlp::delivery::Delivery;
use crate::otlp::worker::Source;
use crate::otlp::{record, scope};
use crate::signals::lines::Line;

/// Sends lines: every second unless configured otherwise, or as soon as there are 512.
pub(crate) struct Logs {
    lines: LogLines,
    resource: Resource,
    delay: Duration,
    next: Instant,
    delivery: Delivery,
}

impl Logs {
    pub(crate) fn new(
        lines: LogLines,
        resource: Resource,
        delay: Duration,
        delivery: Delivery,
    ) -> Self {
        Self {
            lines,
            resource,
            delay,
            next: Instant::now() + delay,
            delivery,
        }
    }

    fn request(&self, lines: Vec<Line>) -> ExportLogsServiceRequest {
        let mut scopes = BTreeMap::<String, Vec<LogRecord>>::new();
        for line in lines {
            let (logger, record) = record::of(&line);
            scopes.entry(logger).or_default().push(record);
        }
        let scope_logs = scopes.into_iter().map(|(logger, log_records)| ScopeLogs {
            scope: Some(scope(&logger)),
            log_records,
            ..ScopeLogs::default()
        });
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: scope_logs.collect(),
                ..ResourceLogs::default()
            }],
        }
    }
}

impl Source for Logs {
    fn due(&self) -> Instant {
        if self.lines.is_batch_full() {
            return Instant::now();
        }
        self.next
    }

    fn push(&mut self) {
        loop {
            let lines = self.lines.next_batch();
            if lines.is_empty() {
                break;
            }
            let items = lines.len() as u64;
            let body = self.request(lines).encode_to_vec();
            self.delivery.send(items, body);
        }
        self.next = Instant::now() + self.delay;
    }
}
