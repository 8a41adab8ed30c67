//! Lines for a test, in place of outputs.

use std::future::Future;
use std::ops::Index;
use std::sync::Arc;

use crate::context::capture::Capture;
use crate::context::carry::WithLogContext;
use crate::context::{Context, Scope, current};
use crate::output::slog_output::Parsed;
use crate::pipeline::{GLOBAL, PipelineRef};
use crate::{Level, Value};

/// One line that was captured: `line["status"]` is a field of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CapturedLine {
    /// Its level.
    pub level: Level,
    /// The name of its logger.
    pub logger: String,
    /// Text of the event.
    pub event: String,
    /// Context, then its own fields.
    pub fields: Vec<(String, Value)>,
    /// The whole line.
    pub json: String,
}

impl CapturedLine {
    /// A field; `None` where there is none of this name.
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

/// A field, or `null` where there is none of this name.
impl Index<&str> for CapturedLine {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&Value::Null)
    }
}

/// While it lives, the process's pipeline lets every level pass to those who capture.
struct Listening;

impl Listening {
    fn start() -> Self {
        GLOBAL.levels.capture(true);
        PipelineRef::Global.levels_changed();
        Self
    }
}

impl Drop for Listening {
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

/// Runs `work` and returns the lines it logged, of every level; none of them is written anywhere.
///
/// Spawned work is captured if the context goes along. Tests that run at the same time do not see each other's lines,
/// and loggers that exist already are captured too.
///
/// ```
/// let lines = ops_log::capture_logs(|| ops_log::info!("user_logged_in", username = "alice"));
/// assert_eq!(lines[0].event, "user_logged_in");
/// assert_eq!(lines[0]["username"], "alice");
/// ```
pub fn capture_logs(work: impl FnOnce()) -> Vec<CapturedLine> {
    let capture = Arc::<Capture>::default();
    let listening = Listening::start();
    {
        let mut context = captured(&capture);
        let _scope = Scope::enter(&mut context);
        work();
    }
    drop(listening);
    lines(&capture)
}

/// The same for a future; its output comes along.
pub async fn capture_logs_of<F: Future>(future: F) -> (F::Output, Vec<CapturedLine>) {
    let capture = Arc::<Capture>::default();
    let listening = Listening::start();
    let output = WithLogContext::new(future, captured(&capture)).await;
    drop(listening);
    (output, lines(&capture))
}
