use parking_lot::Mutex;

use crate::SignalStats;

/// Counts of one signal. Each item is in exactly one of them at any time.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    stats: SignalStats,
    down: bool,
    /// True once the remaining items were counted as lost: later outcomes are not counted.
    is_abandoned: bool,
}

/// Outcome of items that waited.
#[derive(Debug)]
pub(crate) enum Outcome {
    Accepted {
        rejected: u64,
    },
    Failed {
        cause: String,
    },
    /// There were no items, because the source failed: `exporter_up` does not change.
    #[cfg(feature = "otlp-metrics")]
    NoSource {
        cause: String,
    },
    CircuitOpen,
    Shutdown,
}

impl Ledger {
    pub(crate) fn take(&self, items: u64) {
        let entries = &mut *self.0.lock();
        entries.stats.taken += items;
        if entries.is_abandoned {
            entries.stats.dropped_shutdown += items;
        } else {
            entries.stats.queued += items;
        }
    }

    #[cfg(feature = "otlp-logs")]
    pub(crate) fn refuse(&self, is_closed: bool) {
        let stats = &mut self.0.lock().stats;
        stats.taken += 1;
        match is_closed {
            true => stats.dropped_shutdown += 1,
            false => stats.dropped_queue_full += 1,
        }
    }

    pub(crate) fn record(&self, items: u64, outcome: Outcome) {
        let entries = &mut *self.0.lock();
        if entries.is_abandoned {
            return;
        }
        let stats = &mut entries.stats;
        stats.queued = stats.queued.saturating_sub(items);
        match outcome {
            Outcome::Accepted { rejected } => {
                let rejected = rejected.min(items);
                stats.rejected += rejected;
                stats.exported += items - rejected;
                entries.down = false;
            }
            Outcome::Failed { cause } => {
                stats.dropped_export_failed += items;
                stats.export_failures += 1;
                stats.last_failure = Some(cause);
                entries.down = true;
            }
            #[cfg(feature = "otlp-metrics")]
            Outcome::NoSource { cause } => {
                stats.export_failures += 1;
                stats.last_failure = Some(cause);
            }
            Outcome::CircuitOpen => stats.dropped_circuit_open += items,
            Outcome::Shutdown => stats.dropped_shutdown += items,
        }
    }

    pub(crate) fn abandon(&self) {
        let entries = &mut *self.0.lock();
        entries.is_abandoned = true;
        entries.stats.dropped_shutdown += std::mem::take(&mut entries.stats.queued);
    }

    pub(crate) fn stats(&self) -> SignalStats {
        let entries = self.0.lock();
        SignalStats {
            exporter_up: !entries.down,
            ..entries.stats.clone()
        }
    }
}
