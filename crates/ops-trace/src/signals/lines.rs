use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::Thread;
use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt, TraceFlags, TraceId};
use parking_lot::Mutex;

use crate::signals::is_sending;
use crate::signals::ledger::Ledger;

/// Maximum number of waiting lines; further ones are dropped and counted.
pub(crate) const MAX_LINES: usize = 4096;
/// Maximum bytes of the waiting lines; further ones are dropped and counted.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Maximum number of lines in one request, and the number of waiting lines that wakes the sending thread.
pub(crate) const BATCH_LINES: usize = 512;
/// Maximum bytes of the lines in one request.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// A writer whose lines are exported as log records (feature `otlp-logs`). Clones write to the same queue.
///
/// Each `write` is one line, as JSON. `timestamp` (RFC 3339), `level` (in any case), `logger` and `event` become time,
/// severity, scope and body; the trace and the span are those that are current at the write, and each other field is an
/// attribute. A line that is not a JSON object becomes the body.
///
/// A write never blocks: beyond 4,096 lines or 8 MiB lines are dropped and
/// counted. Lines that are written before there is a tracer wait for it.
///
/// ```
/// use std::io::Write;
///
/// let mut lines = ops_trace::LogLines::new();
/// let config = ops_trace::Config::new("my-service").export_logs(true).log_lines(&lines);
/// let tracer = ops_trace::Tracer::new(config)?;
/// lines.write_all(br#"{"level":"info","logger":"shop","event":"order_placed","items":3}"#)?;
/// assert_eq!(tracer.log_stats().unwrap().taken, 1);
/// # tracer.shutdown_blocking(std::time::Duration::ZERO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LogLines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    ledger: Arc<Ledger>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    is_closed: bool,
    sender: Option<Thread>,
}

/// A waiting line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: Box<[u8]>,
    pub(crate) written: SystemTime,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: TraceFlags,
}

impl Line {
    fn new(text: &[u8]) -> Self {
        Context::map_current(|context| {
            let span = context.span();
            let ids = span.span_context();
            Self {
                text: text.into(),
                written: SystemTime::now(),
                trace_id: ids.trace_id(),
                span_id: ids.span_id(),
                flags: ids.trace_flags(),
            }
        })
    }
}

impl LogLines {
    /// Creates an empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&self, text: &[u8]) {
        // exporting the lines that the export itself logs would never end
        if text.is_empty() || is_sending() {
            return;
        }
        let mut queue = self.0.queue.lock();
        let is_full = queue.lines.len() >= MAX_LINES || queue.bytes + text.len() > MAX_BYTES;
        if queue.is_closed || is_full {
            return self.0.ledger.refuse(queue.is_closed);
        }
        self.0.ledger.take(1);
        queue.bytes += text.len();
        queue.lines.push_back(Line::new(text));
        if queue.lines.len() == BATCH_LINES
            && let Some(sender) = &queue.sender
        {
            sender.unpark();
        }
    }

    /// Takes the lines of the next request.
    pub(crate) fn next_batch(&self) -> Vec<Line> {
        let mut queue = self.0.queue.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(line) = queue.lines.front() {
            bytes += line.text.len();
            if batch.len() == BATCH_LINES || bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            batch.extend(queue.lines.pop_front());
        }
        queue.bytes -= batch.iter().map(|line| line.text.len()).sum::<usize>();
        batch
    }

    /// Returns the number of waiting lines.
    pub(crate) fn len(&self) -> usize {
        self.0.queue.lock().lines.len()
    }

    pub(crate) fn is_batch_full(&self) -> bool {
        self.len() >= BATCH_LINES
    }

    /// Stops accepting lines.
    pub(crate) fn close(&self) {
        self.0.queue.lock().is_closed = true;
    }

    /// Sets the thread that is woken when there are enough lines for a request.
    pub(crate) fn wake(&self, sender: Thread) {
        self.0.queue.lock().sender = Some(sender);
    }

    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.0.ledger)
    }
}

impl io::Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line.trim_ascii());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
