//! The last invalidations of all processes, one JSON object a line.

use std::fs;
use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::file::open_regular;
use super::{Disk, Exclusive};
use crate::stats::Invalidation;

/// Lines kept.
const KEPT: usize = 100;
/// A file larger than this is not ours.
const MAX_BYTES: u64 = 4 << 20;
/// Characters of a pattern that are logged.
const PATTERN_CHARS: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Line {
    /// Milliseconds since 1970.
    at: u64,
    pattern: String,
    removed: usize,
}

impl Disk {
    /// The last invalidations, oldest first; lines that are damaged are left out.
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
