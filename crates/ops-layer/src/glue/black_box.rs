use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ops_black_box::{BlackBox, Kind, LastRun, Reading};

pub(crate) use crate::config::BlackBox as Settings;
use crate::error::chain;
use crate::findings::snapshot::{BlackBox as Seen, Ended};
use crate::glue;

/// Names the file, or the folder that it is made in; `off` for none.
const VARIABLE: &str = "OPS_BLACK_BOX";
/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);

/// The black box of the process, for its stop: that of the last start.
static CURRENT: Mutex<Option<BlackBox>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<BlackBox>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Findings of the start, and the reason why there is no black box although one was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// The one that this part opened.
    opened: Option<BlackBox>,
    last_run: Option<LastRun>,
    off: Option<String>,
}

/// Returns where it is, if these settings say so.
pub(crate) fn place(settings: Option<&Settings>) -> Option<&Path> {
    settings?.file.as_deref()
}

/// Names the keys of the file that are set in code, too.
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

/// Returns what holds: what is set in code, then the environment, then the file.
pub(crate) fn settled(in_code: Option<Settings>, in_file: Option<Settings>) -> Option<Settings> {
    let (code, file) = (in_code.unwrap_or_default(), in_file.unwrap_or_default());
    Some(Settings {
        file: code.file.or_else(|| glue::place(VARIABLE, file.file)),
        bytes: code.bytes.or(file.bytes),
    })
}

impl Part {
    /// Opens the black box, if one is asked for, and has lines and spans written to it. Logging starts after this, so that its
    /// first line is in the box.
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
            name_other(&mut last.reading, service);
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

    /// Folder that it is in.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        self.opened.as_ref()?.path().parent().map(Path::to_owned)
    }

    /// Logs how the last run ended, and begins to watch this one. Panics are lines already.
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

    /// Notes that the start was refused, in the black box of this start only: a second start leaves that of the first one. A run
    /// before that ended otherwise gets its place back, so that the next start tells of it.
    pub(crate) fn refused(&self) {
        let Some(black_box) = &self.opened else {
            return;
        };
        black_box.stopping(None);
        // while the place is still ours
        if let Some(last) = &self.last_run
            && !last.reading.ending.is_clean()
        {
            // it stays where it is kept if that fails
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
            format!("{path}: somebody removed it, or gave it another name")
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

    /// Returns the run before, for the admin page.
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

/// Bytes from which on a name in the file may have been cut, at 128.
const CUT_FROM: usize = 125;

/// Says so if another service left the black box: what it tells is not of this one.
fn name_other(reading: &mut Reading, service: &str) {
    let is_cut = reading.service.len() >= CUT_FROM && service.starts_with(&reading.service);
    if reading.service != service && !is_cut {
        let how = &reading.ending.how;
        reading.ending.how = format!(
            "it was a run of {}, not of {service}: {how}",
            reading.service
        );
    }
}

/// Notes that somebody asked the process to stop.
pub(crate) fn stopping(signal: Option<i32>) {
    if let Some(black_box) = current().as_ref() {
        black_box.stopping(signal);
    }
}

/// Notes that the process ends without a shutdown.
pub(crate) fn exiting() {
    if let Some(black_box) = current().as_ref() {
        black_box.exiting();
    }
}

/// Notes that the process was shut down in order.
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

/// Set once there is a thread for heartbeats.
static IS_BEATING: AtomicBool = AtomicBool::new(false);

/// Writes the newest number of each sparkline, once a second, for as long as the process runs.
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

/// One line about the run before.
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
