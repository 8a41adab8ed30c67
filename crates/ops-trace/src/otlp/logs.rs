use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::LogLines;
use crate::config::signals::{LogLimits, LogsSettings};
use crate::otlp::delivery::Delivery;
use crate::otlp::worker::Source;
use crate::otlp::{record, scope};
use crate::signals::lines::Line;

/// Sends lines: every second unless configured otherwise, or as soon as 512 are waiting.
pub(crate) struct Logs {
    lines: LogLines,
    resource: Resource,
    delay: Duration,
    limits: LogLimits,
    next: Instant,
    /// Number of unsent lines that were waiting when the delay was over: newer ones wait for the next delay.
    lines_due: usize,
    delivery: Delivery,
}

impl Logs {
    pub(crate) fn new(settings: &LogsSettings, resource: Resource, delivery: Delivery) -> Self {
        Self {
            lines: settings.lines.clone(),
            resource,
            delay: settings.delay,
            limits: settings.limits,
            next: Instant::now() + settings.delay,
            lines_due: 0,
            delivery,
        }
    }

    /// Sends the lines of one request; returns their number.
    fn send_batch(&mut self) -> usize {
        let lines = self.lines.next_batch();
        let items = lines.len();
        if items > 0 {
            let body = self.request(lines).encode_to_vec();
            self.delivery.send(items as u64, body);
        }
        items
    }

    fn request(&self, lines: Vec<Line>) -> ExportLogsServiceRequest {
        let mut scopes = BTreeMap::<String, Vec<LogRecord>>::new();
        for line in lines {
            let (logger, record) = record::of(&line, self.limits);
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
        if self.lines_due > 0 || self.lines.is_batch_full() {
            return Instant::now();
        }
        self.next
    }

    /// Sends one request, so that other signals get their turn, however many lines are waiting.
    fn push(&mut self) {
        if self.lines_due == 0 {
            self.lines_due = self.lines.len();
        }
        let sent = self.send_batch();
        self.lines_due = self.lines_due.saturating_sub(sent);
        // a request that panicked has lost its lines, so that fewer remain than were counted
        if self.lines_due == 0 || sent == 0 {
            self.lines_due = 0;
            self.next = Instant::now() + self.delay;
        }
    }

    fn push_the_rest(&mut self) {
        while self.send_batch() > 0 {}
    }
}
