//! The latest invalidations by all processes, one JSON object per line.

use std::fs;
use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::file::open_regular;
use super::{Disk, Exclusive};
use crate::stats::Invalidation;

/// Number of lines kept.
const KEPT: usize = 100;
/// Maximum number of bytes read; a larger file was not written by this crate.
const MAX_BYTES: u64 = 4 << 20;
/// Maximum number of characters of a logged pattern.
const PATTERN_CHARS: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Line {
    /// Milliseconds since 1970.
    at: u64,
    pattern: String,
    removed: usize,
}

impl Disk {
    /// Returns the latest invalidations, oldest first; damaged lines are skipped.
    pub(crate) fn invalidations(&self) -> Vec<Invalidation> {
        let lines = self.lines().into_iter();
        lines
            .map(|line| Invalidation {
                at: SystemTime::UNIX_EPOCH + Duration::from_millis(line.at.min(1 << 50)),
                pattern: line.pattern,
                removed: line.removed,
            })
            .collect()
    }

    pub(crate) fn log_invalidation(&self, new: &Invalidation, _: &Exclusive) -> io::Result<()> {
        let mut lines = self.lines();
        let since = new
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        lines.push(Line {
            at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            pattern: new.pattern.chars().take(PATTERN_CHARS).collect(),
            removed: new.removed,
        });
        let from = lines.len().saturating_sub(KEPT);
        let mut text = Vec::new();
        for line in &lines[from..] {
            text.extend(serde_json::to_vec(line)?);
            text.push(b'\n');
        }
        let temporary = self.write_temporary(&text, || Ok(()))?;
        fs::rename(temporary, self.log_path())
    }

    fn lines(&self) -> Vec<Line> {
        let Ok(Some((file, _))) = open_regular(&self.log_path()) else {
            return Vec::new();
        };
        let mut text = Vec::new();
        if file.take(MAX_BYTES).read_to_end(&mut text).is_err() {
            return Vec::new();
        }
        text.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}
