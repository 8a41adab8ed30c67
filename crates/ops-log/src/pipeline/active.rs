use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use crate::context::Snapshot;
use crate::output::drained;
use crate::output::sink::Sink;
use crate::redact::deny::DenyList;
use crate::render::fields::Fields;
use crate::render::line::Layout;
use crate::render::scratch::Scratch;
use crate::render::{console, line};
use crate::setup::config::{Clock, Drained};
use crate::{Config, Error, escape};
use crate::{Level, redact};

/// What a configuration amounts to. Never changed, only replaced.
pub(crate) struct Core {
    pub(crate) service: String,
    /// `","level":"info","logger":"api","event":`, for each level.
    pub(crate) root_heads: [Vec<u8>; 6],
    pub(crate) deny: DenyList,
    pub(crate) span_id: bool,
    pub(crate) globals: Option<Arc<Snapshot>>,
    pub(crate) recent: usize,
    clock: Option<Clock>,
    sinks: Vec<Sink>,
    drain: Option<Drained>,
    hangup: Hangup,
}

impl Core {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let sinks = config
            .main
            .iter()
            .chain(&config.more)
            .map(Sink::open)
            .collect::<Result<Vec<_>, _>>()?;
        let hangup = Hangup::watch(sinks.iter().any(Sink::is_file));
        Ok(Self::new(config, sinks, hangup))
    }

    fn new(config: &Config, sinks: Vec<Sink>, hangup: Hangup) -> Self {
        let root_heads = line::LEVELS.map(|level| {
            let mut head = level.as_bytes().to_vec();
            escape::json(&config.service_name, &mut head);
            head.extend_from_slice(line::EVENT);
            head
        });
        let deny = DenyList::new(config.denied.iter().map(String::as_str));
        let globals = (!config.fields.is_empty()).then(|| {
            let fields = Fields::of(&config.fields, &deny);
            Snapshot::of(fields, config.fields.clone())
        });
        Self {
            service: config.service_name.clone(),
            root_heads,
            deny,
            span_id: config.span_id,
            globals,
            recent: config.recent,
            clock: config.clock.clone(),
            sinks,
            drain: config.drain.clone(),
            hangup,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> SystemTime {
        match &self.clock {
            None => SystemTime::now(),
            Some(Clock(clock)) => clock(),
        }
    }

    /// Hands a rendered line to everyone; true where all of them took it.
    pub(crate) fn deliver(
        &self,
        scratch: &mut Scratch,
        layout: &Layout,
        level: Level,
        logger: Option<&str>,
    ) -> bool {
        if self.hangup.happened() {
            self.reopen();
        }
        // lines for people are made of the parts, whose places a scrubbed line has lost
        for style in self.sinks.iter().filter_map(|sink| sink.style) {
            let logger = logger.unwrap_or(&self.service);
            console::render(scratch, layout, level, logger, style);
        }
        scrub(scratch);
        let mut taken = true;
        for sink in &self.sinks {
            taken &= match sink.style {
                None => sink.write(scratch.json()),
                Some(style) => sink.write(scratch.shown(style)),
            };
        }
        if let Some(Drained(drain)) = &self.drain {
            taken &= drained::log(drain.as_ref(), scratch.json(), level);
        }
        taken
    }

    #[cold]
    fn reopen(&self) {
        for sink in &self.sinks {
            // where that fails lines go on to the old file, and the next line says so
            let _ = sink.reopen();
        }
    }

    pub(crate) fn flush(&self, budget: Duration) -> bool {
        let started = std::time::Instant::now();
        let mut flushed = true;
        for sink in &self.sinks {
            flushed &= sink.flush(budget.saturating_sub(started.elapsed()));
        }
        if let Some(Drained(drain)) = &self.drain {
            flushed &= !matches!(drain.flush(), Err(error) if !matches!(error, slog::FlushError::NotSupported));
        }
        flushed
    }
}

/// Takes the values out that nobody may read, in each form of the line.
pub(crate) fn scrub(scratch: &mut Scratch) {
    if redact::is_active() {
        redact::scrub_json(&mut scratch.fields.json, &mut scratch.spare);
        for shown in &mut scratch.shown {
            redact::scrub_text(&mut shown.text, &mut scratch.spare);
        }
    }
}

/// Whether SIGHUP came: files are opened again then.
struct Hangup {
    came: Arc<AtomicBool>,
    #[cfg(unix)]
    registered: Option<signal_hook::SigId>,
}

impl Hangup {
    fn watch(wanted: bool) -> Self {
        let came = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        let registered = wanted
            .then(|| signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&came)))
            .and_then(Result::ok);
        #[cfg(not(unix))]
        let _ = wanted;
        Self {
            came,
            #[cfg(unix)]
            registered,
        }
    }

    #[inline]
    fn happened(&self) -> bool {
        self.came.load(Relaxed) && self.came.swap(false, Relaxed)
    }
}

#[cfg(unix)]
impl Drop for Hangup {
    fn drop(&mut self) {
        if let Some(id) = self.registered.take() {
            signal_hook::low_level::unregister(id);
        }
    }
}
