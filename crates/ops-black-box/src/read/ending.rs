use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PanicReport;
use crate::format::head::{Head, cut, word as number};
use crate::format::{CLEAN, EXITED, MAX_VERDICT_BYTES, word};
use crate::machine::{Kills, Machine, duration_nanos};

/// End of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ending {
    /// Kind of the end.
    pub kind: EndingKind,
    /// One sentence about the end, with the evidence.
    pub how: String,
    /// Number of the signal that requested or caused the end, if known.
    pub signal: Option<i32>,
}

/// Kind of an [`Ending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndingKind {
    /// The run has not ended.
    Running,
    /// The process was shut down cleanly.
    Clean,
    /// The process exited without a shutdown.
    Exited,
    /// A panic ended the process.
    Panicked,
    /// SIGABRT ended the process.
    Aborted,
    /// The kernel's OOM killer probably killed the process.
    OutOfMemory,
    /// The machine went down while the process ran.
    MachineRestarted,
    /// No mark and no other evidence: SIGKILL or another signal
    /// without a handler, SIGSEGV, or an exit that was not recorded.
    Unknown,
}

impl EndingKind {
    /// Returns the name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Clean => "clean",
            Self::Exited => "exited",
            Self::Panicked => "panicked",
            Self::Aborted => "aborted",
            Self::OutOfMemory => "out_of_memory",
            Self::MachineRestarted => "machine_restarted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for EndingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Maximum time between a panic of the main thread and the exit that it causes: destructors run in between.
const UNWOUND_WITHIN: Duration = Duration::from_secs(5);
/// Maximum time between a panic of the main thread and an exit that
/// it may have caused: a dropped runtime waits for its threads.
const MENTIONED_WITHIN: Duration = Duration::from_secs(60);
/// Maximum time between a panic that cannot be caught and SIGABRT: a backtrace is printed in between.
const ABORTED_WITHIN: Duration = Duration::from_secs(10);
/// Maximum time by which the last sign of life may be later than
/// the boot that ended the run: the clock may be set in between.
const CLOCK_SET_BY: Duration = Duration::from_secs(60);
/// Maximum time between the last sign of life and the next boot for the end to be attributed to the machine.
const REBOOTED_WITHIN: Duration = Duration::from_secs(600);
/// Maximum time between the last sign of life and the next start
/// for an OOM kill in the group to be attributed to the run.
const OOM_ATTRIBUTED_WITHIN: Duration = Duration::from_secs(600);
/// Maximum length of a panic message in the sentence about the end, in bytes.
const MAX_SHOWN_BYTES: usize = 300;

/// Words of the head that change while a process runs.
#[derive(Debug)]
pub(crate) struct Marks {
    boot: [u8; 16],
    group: [u64; 2],
    kills: Kills,
    stop: Option<(u64, Option<i32>)>,
    end: Option<(u64, u64)>,
    has_aborted: bool,
    last_seen: u64,
}

impl Marks {
    pub(super) fn of(bytes: &[u8], head: &Head, last_seen: u64) -> Self {
        let number = |at: usize| number(bytes, at * 8);
        let at = |at| Some(number(at)).filter(|at| *at > 0);
        let signal = i32::try_from(number(word::STOP_SIGNAL)).ok();
        let count = |at| number(at).checked_sub(1);
        Self {
            boot: head.boot,
            group: head.group,
            kills: Kills {
                in_group: count(word::GROUP_KILLS),
                on_machine: count(word::MACHINE_KILLS),
            },
            stop: at(word::STOP_AT).map(|at| (at, signal.filter(|signal| *signal > 0))),
            end: at(word::END).map(|end| (end, number(word::END_AT))),
            has_aborted: bytes.get(word::ABORT * 8) == Some(&b'X'),
            last_seen,
        }
    }

    /// Returns the panic that ended the run; `panics` are those in the ring, oldest first.
    pub(super) fn fatal<'a>(&self, panics: &'a [PanicReport]) -> Option<&'a PanicReport> {
        if self.has_aborted {
            let mut newest = panics.iter().rev();
            return newest.find(|panic| panic.aborts).filter(|panic| {
                self.last_seen.saturating_sub(panic.nanos) <= duration_nanos(ABORTED_WITHIN)
            });
        }
        let Some((EXITED, at)) = self.end else {
            return None;
        };
        let panic = panic_of_main(panics, at, UNWOUND_WITHIN)?;
        // a later signal was handled by the living process: the panic was caught
        (!self.was_caught(panic)).then_some(panic)
    }

    fn was_caught(&self, panic: &PanicReport) -> bool {
        // a stop without a signal may have been requested by destructors of the unwinding thread
        matches!(self.stop, Some((at, Some(_))) if panic.nanos < at)
    }

    /// Judges the end: from marks of the process itself, then from other evidence.
    pub(super) fn judge(&self, panics: &[PanicReport], machine: Option<&Machine>) -> Ending {
        if self.has_aborted {
            return self.aborted(self.fatal(panics));
        }
        match self.end {
            Some((CLEAN, _)) => {
                let asked = self.stop.and_then(|(_, signal)| signal);
                let by = asked.map_or(String::new(), |signal| format!(" after {}", name(signal)));
                Ending::new(EndingKind::Clean, format!("it shut down cleanly{by}")).signal(asked)
            }
            Some((EXITED, at)) => self.exited(at, panics),
            _ => match machine {
                None => Ending::new(
                    EndingKind::Unknown,
                    "it recorded no end; the next start on its machine compares boot id and counters",
                ),
                Some(machine) => self.unmarked(machine),
            },
        }
    }

    fn aborted(&self, fatal: Option<&PanicReport>) -> Ending {
        let ending = match (fatal, self.end) {
            (Some(panic), _) => Ending::new(
                EndingKind::Panicked,
                format!(
                    "it was aborted by a panic that cannot be caught: {}",
                    cut(&panic.message, MAX_SHOWN_BYTES)
                ),
            ),
            (None, Some((CLEAN, _))) => Ending::new(
                EndingKind::Aborted,
                "it was terminated by SIGABRT while exiting, after a clean shutdown",
            ),
            (None, _) => Ending::new(
                EndingKind::Aborted,
                "it was terminated by SIGABRT: its code or a library called abort, or the signal was sent to it",
            ),
        };
        ending.signal(Some(6))
    }

    fn exited(&self, at: u64, panics: &[PanicReport]) -> Ending {
        match (self.fatal(panics), self.stop) {
            (Some(panic), _) => Ending::new(
                EndingKind::Panicked,
                format!(
                    "it exited because its main thread panicked: {}",
                    cut(&panic.message, MAX_SHOWN_BYTES)
                ),
            ),
            (None, Some((_, signal))) => {
                let by = signal.map_or("the program".to_owned(), name);
                let panic = panic_of_main(panics, at, UNWOUND_WITHIN);
                let before = panic.map_or(String::new(), |panic| {
                    format!(
                        "; its main thread had panicked before: {}",
                        cut(&panic.message, MAX_SHOWN_BYTES)
                    )
                });
                Ending::new(
                    EndingKind::Exited,
                    format!("it exited before the shutdown requested by {by} was complete{before}"),
                )
                .signal(signal)
            }
            (None, None) => {
                let panic = panic_of_main(panics, at, MENTIONED_WITHIN);
                let after = panic.map_or(String::new(), |panic| {
                    let since = Duration::from_nanos(at.saturating_sub(panic.nanos));
                    format!(
                        ", {} s after its main thread had panicked: {}",
                        since.as_secs(),
                        cut(&panic.message, MAX_SHOWN_BYTES)
                    )
                });
                Ending::new(
                    EndingKind::Exited,
                    format!("it exited without a shutdown{after}"),
                )
            }
        }
    }

    /// Judges a run without a mark of its end.
    fn unmarked(&self, machine: &Machine) -> Ending {
        let known = self.boot != [0; 16];
        if machine.boot.is_some_and(|boot| known && boot != self.boot) {
            return self.before_boot(machine.booted);
        }
        let silent = Duration::from_nanos(machine.now.saturating_sub(self.last_seen));
        let same_group = self.group != [0, 0] && machine.group == Some(self.group);
        if let (true, Some(before), Some(now)) =
            (same_group, self.kills.in_group, machine.kills.in_group)
            && now > before
            && silent <= OOM_ATTRIBUTED_WITHIN
        {
            return Ending::new(
                EndingKind::OutOfMemory,
                format!(
                    "it was killed, probably by the kernel's OOM killer: oom_kill of its control group rose from {before} to {now}"
                ),
            )
            .signal(Some(9));
        }
        let stopping = self.stop.map_or(String::new(), |(at, signal)| {
            let seconds = Duration::from_nanos(self.last_seen.saturating_sub(at)).as_secs();
            let by = signal.map_or("the program".to_owned(), name);
            format!(" during a shutdown that {by} had requested {seconds} s before")
        });
        let others = match (self.kills.on_machine, machine.kills.on_machine) {
            (Some(before), Some(now)) if now > before => format!(
                "; since then the kernel's OOM killer has killed {} processes on this machine, possibly this one",
                now - before
            ),
            _ => String::new(),
        };
        Ending::new(
            EndingKind::Unknown,
            format!(
                "it recorded no end and ended abruptly{stopping}: SIGKILL or another signal that it does not handle, a memory fault, or an unrecorded exit{others}"
            ),
        )
    }

    fn before_boot(&self, booted: Option<u64>) -> Ending {
        let was_up =
            |booted: u64| booted.saturating_add(duration_nanos(CLOCK_SET_BY)) < self.last_seen;
        if booted.is_some_and(was_up) {
            return Ending::new(
                EndingKind::Unknown,
                "it recorded no end, and the file was written on another machine: its boot id differs, and its last sign of life is from a time when this machine was already up",
            );
        }
        let down = booted.map(|booted| Duration::from_nanos(booted.saturating_sub(self.last_seen)));
        match down {
            Some(down) if down <= REBOOTED_WITHIN => Ending::new(
                EndingKind::MachineRestarted,
                format!(
                    "the machine went down while it was running (power loss, reset, or a reboot without a stop): the boot id has changed, with a boot {} s after the last sign of life",
                    down.as_secs()
                ),
            ),
            _ => Ending::new(
                EndingKind::Unknown,
                "it recorded no end; the machine was rebooted since then, much later or at an unknown time",
            ),
        }
    }
}

impl Ending {
    fn new(kind: EndingKind, how: impl Into<String>) -> Self {
        Self {
            kind,
            how: how.into(),
            signal: None,
        }
    }

    fn signal(mut self, signal: Option<i32>) -> Self {
        self.signal = signal;
        self
    }

    pub(super) fn running() -> Self {
        Self::new(
            EndingKind::Running,
            "its process is still running and writes to the file",
        )
    }

    /// Returns `true` if the run was shut down cleanly, or has not ended.
    pub fn is_clean(&self) -> bool {
        matches!(self.kind, EndingKind::Clean | EndingKind::Running)
    }

    #[cfg(unix)]
    pub(super) fn lost() -> Self {
        Self::new(
            EndingKind::Unknown,
            "its black box is unreadable: all zeros, as after a power loss shortly after its start; the times are the modification time of the file",
        )
    }

    /// Returns the verdict of a later start, if there is one.
    pub(super) fn verdict(bytes: &[u8]) -> Option<Self> {
        let begin = word::VERDICT * 8;
        let both = number(bytes, begin);
        let (length, checksum) = (both as u32 as usize, (both >> 32) as u32);
        let json = bytes.get(begin + 8..begin + 8 + length)?;
        let is_whole = (1..=MAX_VERDICT_BYTES).contains(&length);
        (is_whole && crc32fast::hash(json) == checksum)
            .then(|| serde_json::from_slice(json).ok())
            .flatten()
    }

    /// Returns the bytes of a verdict, to be written at [`word::VERDICT`].
    #[cfg(unix)]
    pub(crate) fn to_verdict(&self) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(self).ok()?;
        let length = u32::try_from(json.len()).ok()?;
        let fits = json.len() <= MAX_VERDICT_BYTES;
        let checksum = crc32fast::hash(&json);
        let head = u64::from(length) | u64::from(checksum) << 32;
        fits.then(|| [&head.to_le_bytes()[..], &json].concat())
    }
}

/// Returns the newest panic of the main thread, if the exit came within this time after it.
/// Panics of other threads may follow it, because their channels to the main thread are closed.
fn panic_of_main(panics: &[PanicReport], exit: u64, within: Duration) -> Option<&PanicReport> {
    let panic = panics.iter().rev().find(|panic| panic.is_main)?;
    let since = exit.checked_sub(panic.nanos)?;
    (since <= duration_nanos(within)).then_some(panic)
}

/// Returns the name of a signal.
fn name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        3 => "SIGQUIT".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}
