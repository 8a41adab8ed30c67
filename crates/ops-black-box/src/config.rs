use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use crate::format::head::{Head, cut};
use crate::format::{MAX_RING_BYTES, MIN_RING_BYTES};
use crate::machine::Machine;

/// Size of the ring unless configured: about ten seconds of 3 000 lines of 250 bytes.
pub const RING_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of a service's name in that of its file: a name of a file may have 255, and those of the files beside it are longer.
const MAX_NAME_BYTES: usize = 200;

/// Place and size of a black box.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    service: String,
    ring_bytes: u64,
}

impl Config {
    /// Creates the configuration of the black box of this service: a file, or a folder that is there and gets the file
    /// `<service>.box`, of letters, digits, `-`, `_` and `.` of its name in any script.
    pub fn new(path: impl Into<PathBuf>, service: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            service: service.into(),
            ring_bytes: RING_BYTES,
        }
    }

    /// Sets the size of the ring, which is rounded up to a power of two; 64 KiB to 256 MiB are possible. [`RING_BYTES`] unless
    /// set.
    #[must_use]
    pub fn ring_bytes(mut self, bytes: u64) -> Self {
        let bytes = bytes.clamp(MIN_RING_BYTES, MAX_RING_BYTES);
        self.ring_bytes = bytes.next_power_of_two();
        self
    }

    /// Returns the file that it names.
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

/// Path with an ending added to it.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
