//! Capturing of lines in tests, in place of outputs.

use std::future::Future;
use std::ops::Index;
use std::sync::Arc;

use crate::context::capture::Capture;
use crate::context::carry::WithLogContext;
use crate::context::{Context, Scope, current};
use crate::output::slog_output::Parsed;
use crate::pipeline::{GLOBAL, PipelineRef};
use crate::{Level, Value};

/// Captured line: `line["status"]` is one of its fields.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CapturedLine {
    /// Level of the line.
    pub level: Level,
    /// Name of the logger.
    pub logger: String,
    /// Text of the event.
    pub event: String,
    /// Fields of the context, then of the line.
    pub fields: Vec<(String, Value)>,
    /// Whole line as JSON.
    pub json: String,
}

impl CapturedLine {
    /// Returns a field; `None` if there is no field of this name.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let (_, value) = self.fields.iter().find(|(known, _)| known == key)?;
        Some(value)
    }

    fn new(json: String) -> Option<Self> {
        let mut line = Parsed::new(json.as_bytes())?;
        line.take("timestamp");
        Some(Self {
            level: line.take("level").parse().ok()?,
            logger: line.take("logger"),
            event: line.take("event"),
            fields: line.fields,
            json,
        })
    }
}

/// Returns a field, or `null` if there is no field of this name.
impl Index<&str> for CapturedLine {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&Value::Null)
    }
}

/// Guard that makes the global pipeline pass every level to captures.
struct CaptureGuard;

impl CaptureGuard {
    fn start() -> Self {
        GLOBAL.levels.capture(true);
        PipelineRef::Global.levels_changed();
        Self
    }
}

impl Drop for CaptureGuard {
    fn drop(&mut self) {
        GLOBAL.levels.capture(false);
        PipelineRef::Global.levels_changed();
    }
}

fn captured(into: &Arc<Capture>) -> Context {
    Context {
        capture: Some(Arc::clone(into)),
        ..current()
    }
}

fn lines(of: &Capture) -> Vec<CapturedLine> {
    of.take()
        .into_iter()
        .filter_map(CapturedLine::new)
        .collect()
}

/// Runs `work` and returns the lines that it logged, of every level; they are not written to any output.
///
/// Spawned work is captured if it inherits the context. Tests that run at the same
/// time do not see each other's lines, and existing loggers are captured too.
///
/// ```
/// let lines = ops_log::capture_logs(|| ops_log::info!("user_logged_in", username = "alice"));
/// assert_eq!(lines[0].event, "user_logged_in");
/// assert_eq!(lines[0]["username"], "alice");
/// ```
pub fn capture_logs(work: impl FnOnce()) -> Vec<CapturedLine> {
    let capture = Arc::<Capture>::default();
    let guard = CaptureGuard::start();
    {
        let mut context = captured(&capture);
        let _scope = Scope::enter(&mut context);
        work();
    }
    drop(guard);
    lines(&capture)
}

/// Runs a future like [`capture_logs`]; returns its output and its lines.
pub async fn capture_logs_of<F: Future>(future: F) -> (F::Output, Vec<CapturedLine>) {
    let capture = Arc::<Capture>::default();
    let guard = CaptureGuard::start();
    let output = WithLogContext::new(future, captured(&capture)).await;
    drop(guard);
    (output, lines(&capture))
}
