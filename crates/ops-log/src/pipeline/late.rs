//! Lines that are kept until their request ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::context::carry::WithLogContext;
use crate::context::late::LateBuffer;
use crate::context::{self, Context};
use crate::level::late_lines::LateLines;
use crate::level::levels::LateOverride;
use crate::pipeline::active::ActiveConfig;
use crate::pipeline::{GLOBAL, PipelineRef, State, bind_all};
use crate::render::bound::BoundFields;
use crate::render::head::RecordMeta;
use crate::render::line::Line;
use crate::render::line_buffers::{LineBuffers, RenderedLine, with_buffers};
use crate::render::scalars;
use crate::{Error, LEVEL_TTL, Level, MAX_LEVEL_TTL};

impl State {
    /// Keeps a line that is not written at once because it is below the level, or its trace is
    /// not sampled. Returns `false` for any other line, and if the caller is not in a request.
    #[cold]
    pub(super) fn keep(
        &self,
        buffers: &mut LineBuffers,
        active: &ActiveConfig,
        meta: &RecordMeta<'_>,
        bound: &[&Arc<BoundFields>],
        fill: &mut dyn FnMut(&mut Line<'_>),
    ) -> bool {
        let buffer = context::with_current(|context| match &context.capture {
            None => context.late.clone(),
            Some(_) => None,
        });
        let Some(buffer) = buffer.flatten() else {
            return false;
        };
        if meta.always || !Arc::ptr_eq(&buffer.totals, &self.late) {
            return false;
        }
        let logger = meta.logger.unwrap_or(&active.service);
        let mut filters = active.outputs.filters().map(Some).chain([None]);
        let passes = filters.any(|filter| self.is_wanted(meta, logger, filter));
        let sampling = active.sampling.as_ref();
        let is_sampled = || sampling.is_none_or(|of| self.sampled(of, meta, bound));
        if passes && (!buffer.is_open() || is_sampled()) {
            return false;
        }
        let (format, outputs) = (&active.format, &active.outputs);
        let mut line = Line::begin(buffers, format, &self.counters, active.now(true), meta);
        bind_all(&mut line, active, bound, true);
        line.fill(fill);
        if active.call_site {
            line.call_site(meta);
        }
        line.late();
        let event_span = line.end();
        outputs.render(buffers, &event_span, meta.level, logger, format);
        buffer.keep(buffers.rendered(meta.level));
        true
    }

    /// Returns `true` if the caller's request keeps such lines.
    pub(super) fn is_kept(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        let is_kept = |late: &Arc<LateBuffer>| {
            Arc::ptr_eq(&late.totals, &self.late) && late.wants(level, target, other)
        };
        self.levels.keeps_late()
            && context::with_current(|context| context.late.as_ref().is_some_and(is_kept))
                .unwrap_or_default()
    }

    /// Writes the lines kept for a request, each with its own time.
    fn write_late(&self, buffer: &LateBuffer) {
        let (lines, cut) = buffer.take();
        if cut > 0 {
            let meta = RecordMeta::own_warning(&"late_lines_cut");
            self.write(&meta, &[], &mut |line| {
                line.field("lines", |line| scalars::integer(cut, line.json()));
                line.late();
            });
        }
        self.late.written.fetch_add(lines.len() as u64, Relaxed);
        self.hand_over_late(lines);
    }

    fn hand_over_late(&self, lines: VecDeque<RenderedLine>) {
        let goes_by_the_level = |_: &ActiveConfig, filter: Option<&crate::Filter>| filter.is_none();
        for line in lines {
            let level = line.level;
            let written = with_buffers(|buffers| {
                buffers.restore(line);
                self.hand_over(buffers, level, true, &goes_by_the_level);
            });
            if written.is_none() {
                self.line_log.count(0, level, false);
            }
        }
    }
}

/// Request whose lines are kept, if lines are kept at all. When it is dropped
/// the remaining lines are dropped, even if work that it spawned continues.
#[derive(Debug)]
pub(crate) struct LateRequest(Option<Arc<LateBuffer>>);

impl LateRequest {
    /// Starts to keep lines of this context, unless they are captured.
    pub(crate) fn begin(state: &State, context: &mut Context) -> Self {
        let rule = state.levels.late().filter(|_| context.capture.is_none());
        context.late = rule.map(|rule| Arc::new(LateBuffer::new(rule, &state.late)));
        Self(context.late.clone())
    }

    /// Ends the request, in its scope: its lines are written if it failed or was slow.
    pub(crate) fn end(&self, state: &State, failed: bool, took: Duration) {
        let Some(buffer) = &self.0 else { return };
        if failed || buffer.rule.is_slow(took) {
            state.write_late(buffer);
        } else {
            buffer.discard();
        }
    }
}

impl Drop for LateRequest {
    fn drop(&mut self) {
        if let Some(buffer) = &self.0 {
            buffer.discard();
        }
    }
}

/// Runs a future with its own [`LateLines`], like a request; for jobs or messages of a queue.
/// They are written if `failed` returns `true` for its output, if it panics, or if it was slow.
///
/// ```
/// # async fn save() -> Result<(), std::io::Error> { Ok(()) }
/// # async fn example() {
/// let saved = ops_log::with_late_lines(save(), Result::is_err).await;
/// # let _ = saved;
/// # }
/// ```
pub async fn with_late_lines<F: Future>(
    future: F,
    failed: impl FnOnce(&F::Output) -> bool,
) -> F::Output {
    let mut context = context::current();
    let running = Running(LateRequest::begin(&GLOBAL, &mut context), Instant::now());
    let output = WithLogContext::new(future, context).await;
    let Running(request, started) = &running;
    request.end(&GLOBAL, failed(&output), started.elapsed());
    output
}

/// Running future that keeps lines; its panic counts as a failure.
struct Running(LateRequest, Instant);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(&GLOBAL, true, self.1.elapsed());
        }
    }
}

impl PipelineRef {
    pub(crate) fn set_late_lines(
        &self,
        late: LateLines,
        ttl: Option<Duration>,
        who: &str,
        why: &str,
    ) -> Result<(), Error> {
        let ttl = ttl.unwrap_or(LEVEL_TTL).min(MAX_LEVEL_TTL);
        let _reporting = self.reporting.lock();
        let change = LateOverride {
            late,
            until: Instant::now() + ttl,
            who: who.to_owned(),
            why: why.to_owned(),
        };
        let (before, start) = self.levels.set_late(change.clone());
        if start {
            self.start_reverting(None)?;
        }
        self.levels_changed();
        self.log_late(
            "late_lines_changed",
            &change,
            &before,
            &change.late,
            Some(ttl),
        );
        Ok(())
    }

    /// Logs a change whatever the level is, like [`log_override`](Self::log_override).
    pub(super) fn log_late(
        &self,
        event: &str,
        change: &LateOverride,
        from: &LateLines,
        to: &LateLines,
        ttl: Option<Duration>,
    ) {
        self.write(&RecordMeta::own_warning(&event), &[], &mut |line| {
            line.field("from", |line| line.text(&from.to_string()));
            line.field("to", |line| line.text(&to.to_string()));
            if let Some(ttl) = ttl {
                let seconds = ttl.as_secs_f64();
                line.field("ttl_seconds", |line| scalars::float(seconds, line.json()));
            }
            line.field("who", |line| line.text(&change.who));
            line.field("why", |line| line.text(&change.why));
        });
    }
}
