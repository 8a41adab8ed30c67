//! Thread that writes the queued records to files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::batch::{Batch, Run};
use super::line::Line;
use super::queue::Waiting;
use super::record::Record;
use super::stats::Counts;
use crate::Table;
use crate::config::Config;
use crate::error::{Error, chain};
use crate::file::directory::space;

/// Maximum time that lines wait before they are parsed.
const PATIENCE: Duration = Duration::from_millis(250);
/// Maximum default reserve of free bytes.
const RESERVE: u64 = 256 << 20;

pub(super) struct Flusher {
    shared: Arc<Shared>,
    run: Run,
    batches: [Batch; 3],
    /// Number of the next write.
    number: u64,
    /// Time at which each table was last written.
    last: [Instant; 3],
    failed: Option<Instant>,
}

impl Flusher {
    pub(super) fn new(shared: Arc<Shared>, run: Run) -> Self {
        Self {
            shared,
            run,
            batches: [
                Batch::new(Table::Logs),
                Batch::new(Table::Spans),
                Batch::new(Table::Metrics),
            ],
            number: 1,
            last: [Instant::now(); 3],
            failed: None,
        }
    }

    /// Runs until the history is closed and everything is written.
    pub(super) fn run(mut self) {
        let mut taken = Waiting::default();
        loop {
            let flush = taken.flush;
            self.shared.queue.take(PATIENCE, &mut taken);
            let (is_asked, is_closed) = (taken.flush != flush, taken.is_closed);
            self.add(&taken);
            let every = self.shared.config.every;
            for table in 0..self.batches.len() {
                let is_due = self
                    .last
                    .get(table)
                    .is_none_or(|last| last.elapsed() >= every);
                if is_asked || is_closed || is_due {
                    self.write(table);
                }
            }
            if is_asked || is_closed {
                self.shared.stats.flushed(taken.flush);
            }
            if is_closed && taken.is_empty() {
                return;
            }
        }
    }

    fn add(&mut self, taken: &Waiting) {
        let mut unreadable = 0;
        let mut start = 0;
        for (at, end) in &taken.lines {
            let json = taken.text.get(start..*end).unwrap_or_default();
            start = *end;
            match Line::parse(json) {
                Some(line) => self.batches[0].add_line(*at, &line, &self.run),
                None => unreadable += 1,
            }
            self.write_if_full(0);
        }
        for record in &taken.records {
            match record {
                Record::Span(span) => {
                    self.batches[1].add_span(span, &self.run);
                    self.write_if_full(1);
                }
                Record::Sample(sample) => {
                    self.batches[2].add_sample(sample, &self.run);
                    self.write_if_full(2);
                }
            }
        }
        if unreadable > 0 {
            let stats = &self.shared.stats;
            stats.update(|stats| stats.lines.unreadable += unreadable);
        }
    }

    fn write_if_full(&mut self, table: usize) {
        if self.batches.get(table).is_some_and(Batch::is_full) {
            self.write(table);
        }
    }

    /// Writes the rows of a table; on failure they are dropped and counted.
    fn write(&mut self, table: usize) {
        if let Some(last) = self.last.get_mut(table) {
            *last = Instant::now();
        }
        let Some(batch) = self.batches.get_mut(table) else {
            return;
        };
        let rows = batch.rows() as u64;
        if rows == 0 {
            return;
        }
        let config = &self.shared.config;
        let waits = |failed: Instant| failed.elapsed() < config.retry;
        let outcome = if self.failed.is_some_and(waits) {
            None
        } else {
            let number = self.number;
            self.number += 1;
            let kept = self.shared.keep_directory(self.run.instance).map(|next| {
                // a run number must not be shared with another run
                if let Some(next) = next.filter(|next| *next > self.run.number) {
                    self.run.number = next;
                    self.shared.stats.update(|stats| stats.run = next);
                }
            });
            Some(match kept.and_then(|()| enough_space(config)) {
                Ok(()) => batch.write(&config.dir, number, &self.run, &config.steps),
                Err(error) => (0, 0, Err(error)),
            })
        };
        batch.clear();
        let (written, files, result) = outcome.unwrap_or((0, 0, Ok(())));
        self.shared.stats.update(|stats| {
            let counts: &mut Counts = match table {
                0 => &mut stats.lines,
                1 => &mut stats.spans,
                _ => &mut stats.samples,
            };
            counts.written += written;
            counts.stopped += rows - written;
            stats.files_written += files;
            match &result {
                Err(error) => stats.stopped = Some(chain(error)),
                Ok(()) if written > 0 => stats.stopped = None,
                Ok(()) => {}
            }
        });
        match result {
            Err(_) => self.failed = Some(Instant::now()),
            Ok(()) if written > 0 => self.failed = None,
            Ok(()) => {}
        }
        if files > 0 {
            self.shared.upkeep.wake();
        }
    }
}

/// Fails if free space is below the reserve, which is left to other programs.
fn enough_space(config: &Config) -> Result<(), Error> {
    let Some((free, all)) = space(&config.dir) else {
        return Ok(());
    };
    let reserve = config.reserve.unwrap_or(RESERVE.min(all / 20));
    if free >= reserve {
        return Ok(());
    }
    let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
    Err(Error::io(
        &config.dir,
        "write without using up the disk reserve",
        error,
    ))
}
