use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use crate::format::head::{Head, cut};
use crate::format::{MAX_RING_BYTES, MIN_RING_BYTES};
use crate::machine::Machine;

/// Size of the ring unless configured: about ten seconds of 3 000 lines of 250 bytes.
pub const RING_BYTES: u64 = 8 * 1024 * 1024;

/// Maximum length of the service's name in the file name, in bytes:
/// a file name may have 255, and the names of kept files are longer.
const MAX_NAME_BYTES: usize = 200;

/// Path and size of a black box.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    service: String,
    ring_bytes: u64,
}

impl Config {
    /// Creates the configuration for the black box of a service. `path` is a file,
    /// or an existing directory that gets the file `<service>.box`. Of the service's name only letters and digits of any
    /// script, `-`, `_` and `.` are used, without leading dots and at most 100 of them; if none is left, it is `service`.
    pub fn new(path: impl Into<PathBuf>, service: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            service: service.into(),
            ring_bytes: RING_BYTES,
        }
    }

    /// Sets the size of the ring, clamped to 64 KiB to 256 MiB and rounded up to a power of two. Default: [`RING_BYTES`].
    #[must_use]
    pub fn ring_bytes(mut self, bytes: u64) -> Self {
        let bytes = bytes.clamp(MIN_RING_BYTES, MAX_RING_BYTES);
        self.ring_bytes = bytes.next_power_of_two();
        self
    }

    /// Returns the path of the file.
    pub fn file(&self) -> PathBuf {
        if !self.path.is_dir() {
            return self.path.clone();
        }
        let letters = self.service.chars();
        let is_kept = |letter: &char| letter.is_alphanumeric() || "-_.".contains(*letter);
        let name: String = letters.filter(is_kept).take(100).collect();
        let name = cut(name.trim_start_matches('.'), MAX_NAME_BYTES);
        let name = if name.is_empty() { "service" } else { name };
        self.path.join(format!("{name}.box"))
    }

    pub(crate) fn head(&self, machine: &Machine) -> Head {
        Head {
            ring_bytes: self.ring_bytes,
            run: RandomState::new().hash_one(machine.now),
            process: u64::from(std::process::id()),
            started: machine.now,
            boot: machine.boot.unwrap_or_default(),
            group: machine.group.unwrap_or_default(),
            service: self.service.clone(),
        }
    }
}

/// Returns the path with `.` and a suffix added to it.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
