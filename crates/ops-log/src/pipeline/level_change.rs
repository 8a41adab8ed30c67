//! Temporary changes of a level, and their log lines.

use std::time::{Duration, Instant};

use crate::level::levels::{Override, Reverted};
use crate::pipeline::{LEVELS_CHANGED, PipelineRef};
use crate::render::head::RecordMeta;
use crate::render::scalars;
use crate::{Error, LEVEL_TTL, Level, MAX_LEVEL_TTL};

impl PipelineRef {
    pub(crate) fn set_level(
        &self,
        target: &str,
        level: Level,
        ttl: Option<Duration>,
        who: &str,
        why: &str,
    ) -> Result<(), Error> {
        let ttl = ttl.unwrap_or(LEVEL_TTL).min(MAX_LEVEL_TTL);
        let _reporting = self.reporting.lock();
        let change = Override {
            target: target.to_owned(),
            level,
            before: "",
            until: Instant::now() + ttl,
            who: who.to_owned(),
            why: why.to_owned(),
        };
        let (change, start) = (self.levels.set_override(change)).ok_or(Error::TooManyChanges)?;
        if start {
            self.start_reverting(Some(target))?;
        }
        self.levels_changed();
        self.log_override(
            "log_level_changed",
            &change,
            level.as_str(),
            Some(ttl.as_secs_f64()),
        );
        Ok(())
    }

    pub(crate) fn revert_level(&self, target: &str) -> bool {
        self.levels.end_override(target)
    }

    /// Starts the thread that reverts changes; if that fails, the change of this target is reverted now.
    pub(super) fn start_reverting(&self, target: Option<&str>) -> Result<(), Error> {
        let pipeline = self.clone();
        std::thread::Builder::new()
            .name("ops-log-level".to_owned())
            .spawn(move || pipeline.revert_levels())
            .map(drop)
            .map_err(|error| {
                self.levels.forget(target);
                Error::Revert(error)
            })
    }

    fn revert_levels(&self) {
        while let Some(reverted) = self.levels.next_reverted() {
            let _reporting = self.reporting.lock();
            self.levels_changed();
            self.log_reverted(reverted);
        }
    }

    pub(super) fn log_reverted(&self, reverted: Reverted) {
        match reverted {
            Reverted::Level(change, now) => {
                let over = Override {
                    before: change.level.as_str(),
                    ..change
                };
                self.log_override("log_level_reverted", &over, now, None);
            }
            Reverted::Late(change, now) => {
                self.log_late("late_lines_reverted", &change, &change.late, &now, None);
            }
        }
    }

    /// Notifies the bridge, which caches levels.
    pub(crate) fn levels_changed(&self) {
        if let (Self::Global, Some(hook)) = (self, LEVELS_CHANGED.get()) {
            hook();
        }
    }

    /// Logs a change whatever the level is: readers of the log must know why there are more or fewer lines.
    fn log_override(&self, event: &str, change: &Override, to: &str, ttl_seconds: Option<f64>) {
        let target = if change.target.is_empty() {
            "*"
        } else {
            &change.target
        };
        self.write(&RecordMeta::own_warning(&event), &[], &mut |line| {
            line.field("target", |line| line.text(target));
            line.field("from", |line| line.text(change.before));
            line.field("to", |line| line.text(to));
            if let Some(seconds) = ttl_seconds {
                line.field("ttl_seconds", |line| scalars::float(seconds, line.json()));
            }
            line.field("who", |line| line.text(&change.who));
            line.field("why", |line| line.text(&change.why));
        });
    }
}
