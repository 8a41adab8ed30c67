use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::output::notice::Notices;
use crate::output::outputs::Outputs;
use crate::pipeline::limiter::Limiter;
use crate::pipeline::trace_sampling::TraceSampling;
use crate::render::bound::BoundFields;
use crate::render::callback::caught;
use crate::render::head::LineFormat;
use crate::setup::config::Clock;
use crate::{Config, Error};

/// Applied configuration. Never changed, only replaced.
pub(crate) struct ActiveConfig {
    pub(crate) service: String,
    pub(crate) format: LineFormat,
    pub(crate) globals: Option<Arc<BoundFields>>,
    pub(crate) outputs: Outputs,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) sampling: Option<TraceSampling>,
    pub(crate) call_site: bool,
    clock: Option<Clock>,
}

impl ActiveConfig {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let outputs = config.main.iter().chain(&config.more);
        let outputs = Outputs::open(
            outputs,
            config.drain.clone(),
            config.rotation,
            &config.json_form,
        )
        .map_err(|(output, source)| Error::File {
            path: output.path().map_or_else(PathBuf::new, Into::into),
            source,
        })?;
        let deny = config.deny_list();
        let globals =
            (!config.fields.is_empty()).then(|| BoundFields::by(config.fields.clone(), &deny));
        Ok(Self {
            service: config.service_name.clone(),
            format: LineFormat::new(&config.service_name, deny, config.span_id),
            globals,
            outputs,
            limiter: Limiter::new(config.rate_limit, &config.target_rate_limits),
            sampling: TraceSampling::new(config.sampled_traces),
            call_site: config.call_site,
            clock: config.clock.clone(),
        })
    }

    /// Returns `true` if threads may keep this after it is replaced: its outputs can
    /// be closed, and it holds no clock of the application. The result never changes.
    #[inline]
    pub(crate) fn may_be_kept(&self) -> bool {
        self.clock.is_none() && self.outputs.can_be_closed()
    }

    /// Returns the time of a line, from the application's clock
    /// if that may be called; a clock that panics is ignored.
    #[inline(always)]
    pub(crate) fn now(&self, may_call_application: bool) -> SystemTime {
        match &self.clock {
            Some(clock) if may_call_application => time_of(clock),
            _ => SystemTime::now(),
        }
    }

    pub(crate) fn notices(&self, at: SystemTime) -> Notices<'_> {
        Notices {
            format: &self.format,
            service: &self.service,
            at,
        }
    }
}

#[inline(never)]
fn time_of(Clock(clock): &Clock) -> SystemTime {
    caught(|| clock()).unwrap_or_else(SystemTime::now)
}
