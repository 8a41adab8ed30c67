use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ops_black_box::{BlackBox, Kind, LastRun, Reading};

pub(crate) use crate::config::BlackBox as Settings;
use crate::error::chain;
use crate::findings::snapshot::{BlackBox as Seen, Ended};
use crate::glue;

/// Variable that names the file, or the folder for it; `off` for none.
const VARIABLE: &str = "OPS_BLACK_BOX";
/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);

/// Black box of the process, opened by the last start; used when the process stops.
static CURRENT: Mutex<Option<BlackBox>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<BlackBox>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Results of the start, and the reason why there is no black box although it is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Black box that this part opened.
    opened: Option<BlackBox>,
    last_run: Option<LastRun>,
    off: Option<String>,
}

/// Returns the place in these settings.
pub(crate) fn place(settings: Option<&Settings>) -> Option<&Path> {
    settings?.file.as_deref()
}

/// Returns the keys of the file that are also set in code.
pub(crate) fn covered(in_code: Option<&Settings>, in_file: Option<&Settings>) -> Vec<&'static str> {
    let (Some(code), Some(file)) = (in_code, in_file) else {
        return Vec::new();
    };
    let keys = [
        (
            "black_box: file",
            code.file.is_some() && file.file.is_some(),
        ),
        (
            "black_box: bytes",
            code.bytes.is_some() && file.bytes.is_some(),
        ),
    ];
    let covered = keys.into_iter().filter(|(_, is_covered)| *is_covered);
    covered.map(|(key, _)| key).collect()
}

/// Merges the settings: code takes precedence, then the environment, then the file.
pub(crate) fn merged(in_code: Option<Settings>, in_file: Option<Settings>) -> Option<Settings> {
    let (code, file) = (in_code.unwrap_or_default(), in_file.unwrap_or_default());
    Some(Settings {
        file: code.file.or_else(|| glue::place(VARIABLE, file.file)),
        bytes: code.bytes.or(file.bytes),
    })
}

impl Part {
    /// Opens the black box if it is configured, and sends lines and spans to
    /// it. Logging starts afterwards, so that its first line is included.
    pub(crate) fn start(settings: Option<&Settings>, service: &str) -> Self {
        let Some((settings, path)) = settings.and_then(|set| Some((set, set.file.as_ref()?)))
        else {
            return Self::default();
        };
        let mut config = ops_black_box::Config::new(path, service);
        if let Some(bytes) = settings.bytes {
            config = config.ring_bytes(bytes);
        }
        let mut opened = ops_black_box::open(&config);
        if let Some(last) = &mut opened.last_run {
            note_other_service(&mut last.reading, service);
        }
        let (black_box, off) = match opened.black_box {
            Ok(black_box) => {
                write_to(&black_box);
                *current() = Some(black_box.clone());
                (Some(black_box), None)
            }
            Err(error) => (None, Some(chain(&error))),
        };
        Self {
            opened: black_box,
            last_run: opened.last_run,
            off,
        }
    }

    /// Returns the folder of the black box.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        self.opened.as_ref()?.path().parent().map(Path::to_owned)
    }

    /// Logs how the last run ended, and starts watching this one. Panics are already logged as lines.
    pub(crate) fn started(&self) {
        if let Some(last) = &self.last_run {
            log(last);
        }
        if let Some(why) = &self.off {
            tracing::warn!(target: "ops_layer", why, "black_box_off");
        }
        let Some(black_box) = &self.opened else {
            return;
        };
        if let Err(error) = black_box.watch_process(glue::log::redacted) {
            tracing::warn!(target: "ops_layer", error = chain(&error), "black_box_incomplete");
        }
        if IS_BEATING.swap(true, Ordering::AcqRel) {
            return;
        }
        let beating = std::thread::Builder::new()
            .name("ops-black-box".to_owned())
            .spawn(beat);
        if let Err(error) = beating {
            IS_BEATING.store(false, Ordering::Release);
            tracing::warn!(target: "ops_layer", error = %error, "black_box_incomplete");
        }
    }

    /// Records that the start failed, in the black box that this start opened: a
    /// second start does not touch that of the first one. The file of a previous run
    /// that did not end cleanly is moved back, so that the next start reports it.
    pub(crate) fn refused(&self) {
        let Some(black_box) = &self.opened else {
            return;
        };
        black_box.stopping(None);
        // while this process still owns the place
        if let Some(last) = &self.last_run
            && !last.reading.ending.is_clean()
        {
            // if that fails, the file stays where it is kept
            let _ = std::fs::rename(&last.kept, black_box.path());
        }
        black_box.close();
    }

    pub(crate) fn look(&self) -> Option<Seen> {
        let ended = self.last_run.as_ref();
        let ended = ended.filter(|last| !last.reading.ending.is_clean());
        let is_lost = |opened: &&BlackBox| !opened.is_in_place();
        let lost = self.opened.as_ref().filter(is_lost).map(|opened| {
            let path = opened.path().display();
            format!("{path}: the file was removed or renamed")
        });
        Some(Seen {
            off: self.off.clone().or(lost),
            ended: ended.map(|last| Ended {
                how: last.reading.ending.how.clone(),
                at: last.reading.last_seen,
                kept: last.kept.display().to_string(),
            }),
        })
    }

    /// Returns the previous run, for the admin page.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn last_run(&self) -> Option<ops_admin::LastRun> {
        let last = self.last_run.as_ref()?;
        let reading = &last.reading;
        let mut shown = ops_admin::LastRun::new(reading.ending.kind.as_str(), &reading.ending.how)
            .clean(reading.ending.is_clean())
            .time(reading.started, reading.last_seen)
            .kept(last.kept.display().to_string())
            .left_out(reading.left_out)
            .torn(reading.torn);
        for record in &reading.records {
            shown = shown.record(record.kind.as_str(), record.at, &record.text);
        }
        Some(shown)
    }
}

/// Length in bytes from which a name in the file may be truncated; the limit is 128.
const CUT_FROM: usize = 125;

/// Adds a note if the black box is that of another service.
fn note_other_service(reading: &mut Reading, service: &str) {
    let is_cut = reading.service.len() >= CUT_FROM && service.starts_with(&reading.service);
    if reading.service != service && !is_cut {
        let how = &reading.ending.how;
        reading.ending.how = format!(
            "it was a run of service {}, not of {service}: {how}",
            reading.service
        );
    }
}

/// Records that the process was asked to stop.
pub(crate) fn stopping(signal: Option<i32>) {
    if let Some(black_box) = current().as_ref() {
        black_box.stopping(signal);
    }
}

/// Records that the process ends without a shutdown.
pub(crate) fn exiting() {
    if let Some(black_box) = current().as_ref() {
        black_box.exiting();
    }
}

/// Records an orderly shutdown of the process.
pub(crate) fn close() {
    if let Some(black_box) = current().as_ref() {
        black_box.close();
    }
}

fn write_to(black_box: &BlackBox) {
    let of_lines = black_box.clone();
    glue::log::each_line(move |at, json| of_lines.line(at, json));
    let of_spans = black_box.clone();
    glue::trace::each_end(move |at, json| of_spans.record(Kind::Span, at, json));
}

/// Set while there is a thread for heartbeats.
static IS_BEATING: AtomicBool = AtomicBool::new(false);

/// Writes the newest number of each sparkline once a second, as long as the process runs.
fn beat() {
    loop {
        let numbers = glue::metrics::newest();
        let json = serde_json::to_vec(&numbers).unwrap_or_default();
        let black_box = current().clone();
        if let Some(black_box) = black_box {
            black_box.beat(SystemTime::now(), &json);
        }
        std::thread::sleep(BEAT);
    }
}

/// Logs one line about the previous run.
fn log(last: &LastRun) {
    let ending = last.reading.ending.kind.as_str();
    let how = &last.reading.ending.how;
    let seconds = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    };
    let (since, until) = (
        seconds(last.reading.started),
        seconds(last.reading.last_seen),
    );
    let process = last.reading.process;
    let kept = last.kept.display();
    if last.reading.ending.is_clean() {
        tracing::info!(
            target: "ops_layer", ending, how, since, until, process, kept = %kept, "last_run_ended"
        );
    } else {
        tracing::warn!(
            target: "ops_layer", ending, how, since, until, process, kept = %kept, "last_run_ended"
        );
    }
}
