use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Default size at which a log file is rotated: 64 MiB.
pub const ROTATION_BYTES: u64 = 64 * 1024 * 1024;

/// Default number of files of a rotated log: the current one and three older ones.
pub const ROTATION_FILES: u32 = 4;

/// Limit on the disk space of a log file.
///
/// Before a line would make `app.log` longer than the limit, it is renamed to `app.log.1`, that to
/// `app.log.2`, and so on; the oldest file is replaced. On by default, with [`ROTATION_BYTES`] and
/// [`ROTATION_FILES`]. As text, in a configuration file and in `OPS_LOG_ROTATION`: `64MiB x 4`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// 0 if there is no limit.
    bytes: u64,
    files: u32,
}

impl Rotation {
    /// Rotates before a file is longer than `bytes`, and keeps
    /// `files` files including the current one; at least 1 of each.
    pub const fn new(bytes: u64, files: u32) -> Self {
        Self {
            bytes: if bytes == 0 { 1 } else { bytes },
            files: if files == 0 { 1 } else { files },
        }
    }

    /// Sets no limit: the file grows until another program rotates it.
    pub const fn off() -> Self {
        Self { bytes: 0, files: 1 }
    }

    /// Returns the maximum length of the current file; `None` without a limit.
    pub const fn max_bytes(&self) -> Option<u64> {
        match self.bytes {
            0 => None,
            bytes => Some(bytes),
        }
    }

    /// Returns the number of files, including the current one.
    pub const fn files(&self) -> u32 {
        self.files
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self::new(ROTATION_BYTES, ROTATION_FILES)
    }
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max_bytes() {
            None => f.write_str("off"),
            Some(bytes) => {
                let unit = UNITS.iter().find(|(_, size)| bytes % size == 0);
                let (name, size) = unit.copied().unwrap_or(("B", 1));
                write!(f, "{}{name} x {}", bytes / size, self.files)
            }
        }
    }
}

/// Units, the largest first.
const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Rotation {
    type Err = ParseRotationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseRotationError {
            text: text.to_owned(),
        };
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self::off());
        }
        let (size, files) = text.split_once(['x', 'X']).ok_or_else(refused)?;
        let size = size.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| {
                let at = size.len().checked_sub(name.len())?;
                let (number, end) = size.split_at_checked(at)?;
                end.eq_ignore_ascii_case(name).then_some((number, *unit))
            })
            .ok_or_else(refused)?;
        let number: u64 = number.trim().parse().map_err(|_| refused())?;
        let files: u32 = files.trim().parse().map_err(|_| refused())?;
        match number.checked_mul(unit) {
            Some(bytes) if bytes > 0 && (1..=MAX_FILES).contains(&files) => {
                Ok(Self::new(bytes, files))
            }
            _ => Err(refused()),
        }
    }
}

/// Returns the path of the file behind links, whether it exists or
/// not: a file is rotated under this name, and links to it stay.
pub(crate) fn behind_links(path: &Path) -> PathBuf {
    let mut place = path.to_owned();
    // a kernel does not follow more links
    for _ in 0..40 {
        let Ok(target) = std::fs::read_link(&place) else {
            break;
        };
        place.pop();
        place.push(target);
    }
    place
}

/// Maximum number of files that a text may set.
const MAX_FILES: u32 = 1000;

/// Text that is not a valid rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRotationError {
    text: String,
}

impl fmt::Display for ParseRotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid rotation {:?}: expected a size and a number of files from 1 to {MAX_FILES}, as in 64MiB x 4 (units B, KiB, MiB, GiB), or off",
            self.text
        )
    }
}

impl std::error::Error for ParseRotationError {}
