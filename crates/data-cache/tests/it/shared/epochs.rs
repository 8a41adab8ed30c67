//! Results without a content id: they depend on the epoch.

use std::time::{Duration, Instant};

use data_cache::testing::{ManualClock, TempDir, let_bucket_time_pass};
use data_cache::{Cache, Params, SharedConfig, SharedStats, Skip, Stored};
use dev::moto::Moto;

use super::proxy::{Fault, Proxy};
use super::{COST, LIMIT, bucket, config, hurried, results, until};
use crate::batches::{number, numbers};

const SQL: &str = "SELECT something";
const POLL: Duration = Duration::from_millis(100);
/// Other machines notice an invalidation within 2 s plus a response time; in any case within 30 s.
const BOUND: Duration = Duration::from_secs(30);

pub(super) struct Machine {
    _dir: TempDir,
    cache: Cache,
}

impl Machine {
    pub(super) fn new(config: &SharedConfig) -> Self {
        Self::that_looks_each(POLL, config)
    }

    fn that_looks_each(interval: Duration, config: &SharedConfig) -> Self {
        let dir = TempDir::new().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let config = config.clone().computed().poll(interval);
        cache.share(&config).unwrap();
        Self { _dir: dir, cache }
    }

    pub(super) fn set(&self, value: i64) -> Stored {
        let batches = [numbers(&[value])];
        let stored = self.cache.set(SQL, &batches, &Params::new(), None).unwrap();
        self.flush();
        stored
    }

    pub(super) fn get(&self) -> Option<i64> {
        let hit = self.cache.get(SQL, &Params::new())?;
        Some(number(hit.batches()))
    }

    /// Returns the stored result, or this value.
    pub(super) fn get_or(&self, value: i64) -> i64 {
        self.get_or_for(None, value)
    }

    /// [`get_or`](Self::get_or) with a TTL in seconds.
    fn get_or_for(&self, ttl: Option<u64>, value: i64) -> i64 {
        let compute = || Ok::<_, String>(vec![numbers(&[value])]);
        let found = self.cache.get_or_compute(SQL, &Params::new(), ttl, compute);
        self.flush();
        number(&found.unwrap())
    }

    pub(super) fn invalidate(&self) {
        self.cache.invalidate("*").unwrap();
    }

    fn flush(&self) {
        assert!(self.cache.flush(LIMIT));
    }

    pub(super) fn stats(&self) -> SharedStats {
        self.cache.shared_stats().unwrap()
    }

    /// Waits until this machine sees another epoch; fails if that takes longer than [`BOUND`].
    pub(super) fn sees_another_epoch_than(&self, before: &SharedStats) {
        let begin = Instant::now();
        while self.stats().epoch == before.epoch {
            assert!(begin.elapsed() < BOUND, "{:?}", self.stats());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_one_machine_keeps_answers_another_until_anyone_invalidates() {
    let Some(moto) = Moto::shared() else { return };
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (Machine::new(&config), Machine::new(&config));
    assert_eq!(one.get(), None);
    assert!(matches!(one.set(1), Stored::Kept { .. }));
    assert_eq!((two.get(), two.get_or(9)), (Some(1), 1));
    let stats = two.cache.get_stats();
    assert_eq!((stats.shared_hits, stats.misses), (1, 0));

    let before = one.stats();
    assert_eq!(before.epoch, two.stats().epoch);
    two.cache.invalidate("*nothing like that*").unwrap();
    // at once on this machine, soon on the other
    assert_eq!(two.get(), None);
    one.sees_another_epoch_than(&before);
    assert_eq!(one.get(), None);
    assert_eq!(one.get_or(2), 2);
    assert_eq!((two.get_or(9), one.get()), (2, Some(2)));
    for invalidate in [
        |cache: &Cache| cache.clear(),
        |cache: &Cache| cache.invalidate_table("t"),
    ] {
        invalidate(&one.cache).unwrap();
        assert_eq!(one.get(), None);
        assert_eq!(one.get_or(3), 3);
    }
}

#[test]
fn a_shorter_time_than_before_holds_from_then_on() {
    let Some(moto) = Moto::shared() else { return };
    let config = config(&bucket(&moto), &moto.url);
    let ask = |after: u64, ttl: u64, value: i64| {
        let machine = Machine::new(&config);
        ManualClock::install(&machine.cache, 1_700_000_000 + after);
        machine.get_or_for(Some(ttl), value)
    };
    assert_eq!(ask(0, 3600, 1), 1);
    // a new version with a TTL of 60 s: its result does not live longer
    assert_eq!(ask(100, 60, 2), 2);
    assert_eq!(ask(130, 3600, 3), 2);
    assert_eq!(ask(170, 3600, 4), 4);
}

#[test]
fn the_last_of_many_replacements_is_the_one_that_stays() {
    let Some(moto) = Moto::shared() else { return };
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (Machine::new(&config), Machine::new(&config));
    for value in 0..12 {
        let batches = [numbers(&[value])];
        one.cache.set(SQL, &batches, &Params::new(), None).unwrap();
    }
    one.flush();
    assert_eq!(two.get(), Some(11));
    // a result that is not stored removes the older one
    let before = two.stats();
    let stored = one
        .cache
        .set(SQL, &[numbers(&[12])], &Params::new(), Some(0));
    assert_eq!(stored.unwrap(), Stored::Skipped(Skip::ZeroTtl));
    assert_eq!(one.get(), None);
    two.sees_another_epoch_than(&before);
    assert_eq!(two.get(), None);
}

#[test]
fn more_results_than_can_be_written_put_no_other_out_of_reach() {
    const KEYS: i64 = 100;
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::new(&moto.url);
    let config = config(&bucket(&moto), &proxy.url);
    let one = Machine::new(&config);
    let set = |key: i64, value: i64| {
        let sql = format!("SELECT {key}");
        let batches = [numbers(&[value])];
        one.cache.set(&sql, &batches, &Params::new(), None).unwrap();
    };
    one.set(7);
    for key in 0..KEYS {
        set(key, 1);
        one.flush();
    }
    let before = one.stats();
    assert_eq!((before.written, before.dropped), (101, 0));
    // none of them is written before all are queued
    proxy.set_for("PUT", "/v1/", Fault::Hold);
    for key in 0..KEYS {
        set(key, 2);
    }
    proxy.set(Fault::None);
    one.flush();
    let after = one.stats();
    assert!(after.dropped > 0, "{after:?}");
    assert_eq!(before.epoch, after.epoch);
    assert_eq!(one.get(), Some(7));
    let two = Machine::new(&config);
    assert_eq!(two.get(), Some(7));
    let get = |key: i64| {
        let hit = two.cache.get(&format!("SELECT {key}"), &Params::new())?;
        Some(number(hit.batches()))
    };
    let found: Vec<_> = (0..KEYS).map(get).collect();
    assert!(found.iter().all(|found| *found != Some(1)), "{found:?}");
    assert!(found.contains(&Some(2)));
}

#[test]
fn an_epoch_that_is_lost_or_older_puts_everything_out_of_reach() {
    let Some(moto) = Moto::shared() else { return };
    let bucket = bucket(&moto);
    let config = config(&bucket, &moto.url);
    let (one, two) = (Machine::new(&config), Machine::new(&config));
    one.set(1);
    assert_eq!(two.get(), Some(1));
    let old = moto.read(&bucket, "data-cache/epoch");

    let before = (one.stats(), two.stats());
    moto.remove(&bucket, "data-cache/epoch");
    one.sees_another_epoch_than(&before.0);
    two.sees_another_epoch_than(&before.1);
    assert_eq!((one.get(), two.get()), (None, None));

    // a copy of the bucket from before an invalidation is restored
    one.set(2);
    let old_count = moto.read(&bucket, "data-cache/epoch");
    one.cache.clear().unwrap();
    let before = one.stats();
    moto.write(&bucket, "data-cache/epoch", &old_count);
    one.sees_another_epoch_than(&before);
    assert_eq!(one.get(), None);
    let three = Machine::new(&config);
    assert_eq!(three.get(), None);
    assert_eq!(three.stats().epoch, one.stats().epoch);

    // and one from before the epoch was lost
    let before = one.stats();
    moto.write(&bucket, "data-cache/epoch", &old);
    one.sees_another_epoch_than(&before);
    assert_eq!(one.get(), None);

    // a note with another seal is ignored
    let before = one.stats();
    moto.write(
        &bucket,
        "data-cache/epoch",
        b"0123456789abcdef 7 of a stranger, as long as a seal ..........",
    );
    one.sees_another_epoch_than(&before);
    assert_eq!(one.stats().epoch, None);
    assert_eq!(one.set(3), Stored::Skipped(Skip::UnknownEpoch));
    assert_eq!((one.get(), one.get_or(4), one.get_or(5)), (None, 4, 5));
}

#[test]
fn an_invalidation_over_an_older_copy_of_the_bucket_holds_when_it_returns() {
    let Some(moto) = Moto::shared() else { return };
    let bucket = bucket(&moto);
    let config = config(&bucket, &moto.url);
    // it reads the epoch only once, at the start
    let one = Machine::that_looks_each(Duration::from_secs(3600), &config);
    one.set(1);
    let copy = moto.read(&bucket, "data-cache/epoch");
    one.invalidate();
    one.invalidate();
    one.set(2);
    moto.write(&bucket, "data-cache/epoch", &copy);
    one.invalidate();
    assert_eq!(one.get(), None);
    let two = Machine::new(&config);
    assert_eq!(two.get(), None);
    assert_eq!(two.stats().epoch, one.stats().epoch);

    // an epoch of an abandoned lineage
    moto.remove(&bucket, "data-cache/epoch");
    one.invalidate();
    one.set(3);
    moto.write(&bucket, "data-cache/epoch", &copy);
    one.invalidate();
    assert_eq!(one.get(), None);
    let three = Machine::new(&config);
    assert_eq!(three.get(), None);
    assert_eq!(three.stats().epoch, one.stats().epoch);
}

#[test]
fn an_older_copy_that_comes_while_a_lineage_begins_is_not_taken() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, proxy) = (bucket(&moto), Proxy::new(&moto.url));
    let one = Machine::new(&config(&bucket, &proxy.url));
    one.set(1);
    let copy = moto.read(&bucket, "data-cache/epoch");
    one.invalidate();
    let before = one.stats();
    moto.remove(&bucket, "data-cache/epoch");
    one.sees_another_epoch_than(&before);
    // it is lost again, and a copy of the first lineage is restored before the next one is written
    let (begun, before) = (proxy.count("PUT", "/epoch"), one.stats());
    proxy.set_for("PUT", "/epoch", Fault::Hold);
    moto.remove(&bucket, "data-cache/epoch");
    until(|| proxy.count("PUT", "/epoch") > begun);
    moto.write(&bucket, "data-cache/epoch", &copy);
    proxy.set(Fault::None);
    one.sees_another_epoch_than(&before);
    assert_eq!(one.get(), None);
}

#[test]
fn an_invalidation_that_cannot_be_written_fails_and_holds_here() {
    let Some(moto) = Moto::shared() else { return };
    let bucket = bucket(&moto);
    let proxy = Proxy::new(&moto.url);
    let (one, two) = (
        Machine::new(&hurried(&bucket, &proxy.url)),
        Machine::new(&config(&bucket, &moto.url)),
    );
    one.set(1);
    assert_eq!(two.get(), Some(1));
    let before = two.stats();
    for fault in [Fault::Status(500), Fault::Hang] {
        proxy.set(fault);
        let begin = Instant::now();
        let error = one.cache.invalidate("*").unwrap_err().to_string();
        assert!(error.contains("bucket"), "{error}");
        assert!(begin.elapsed() < COST, "{:?}", begin.elapsed());
        assert_eq!((one.get(), one.get_or(2)), (None, 2), "{fault:?}");
        assert_eq!(one.set(3), Stored::Skipped(Skip::UnknownEpoch));
    }
    // the invalidation is written later
    proxy.set(Fault::None);
    two.sees_another_epoch_than(&before);
    assert_eq!(two.get(), None);
}

#[test]
fn a_lost_answer_to_an_invalidation_is_an_invalidation() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::new(&moto.url);
    let one = Machine::new(&config(&bucket(&moto), &proxy.url));
    one.set(1);
    for lost in [1, 2] {
        proxy.set_for("PUT", "/epoch", Fault::LoseAnswers(lost));
        // the outcome depends on the client's second try
        let _ = one.cache.invalidate("*");
        assert_eq!(one.get(), None);
    }
}

#[test]
fn on_a_store_without_conditions_results_without_content_stay_here() {
    let Some(moto) = Moto::shared() else { return };
    let bucket = bucket(&moto);
    let proxy = Proxy::new(&moto.url);
    proxy.set_for("PUT", "", Fault::IgnoreConditions);
    let config = config(&bucket, &proxy.url);
    let (one, two) = (Machine::new(&config), Machine::new(&config));
    one.set(1);
    assert_eq!((one.get(), two.get()), (Some(1), None));
    assert_eq!(one.stats().is_conditional, Some(false));
    one.cache.invalidate("*").unwrap();
    assert_eq!(one.get(), None);
    assert!(results(&moto, &bucket).is_empty());
}

#[test]
fn a_machine_that_does_not_see_the_epoch_for_30_seconds_keeps_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::new(&moto.url);
    let one = Machine::new(&config(&bucket(&moto), &proxy.url));
    one.set(1);
    proxy.set(Fault::Status(503));
    let looks = || proxy.count("GET", "/epoch");
    let before = looks();
    // the read that was in progress when the fault began has ended
    until(|| looks() > before + 2);
    assert_eq!(one.get(), Some(1));
    let pass = |time| let_bucket_time_pass(&one.cache, time);
    pass(BOUND / 2);
    assert_eq!(one.get(), Some(1));
    pass(BOUND / 2);
    assert_eq!(one.get(), None);
    assert_eq!(one.set(2), Stored::Skipped(Skip::UnknownEpoch));
    assert_eq!((one.get_or(3), one.get_or(4)), (3, 4));
    // valid again, since there was no invalidation
    proxy.set(Fault::None);
    until(|| one.get() == Some(1));
}

#[test]
fn machines_that_ask_for_a_function_at_once_compute_it_once() {
    let Some(moto) = Moto::shared() else { return };
    let config = config(&bucket(&moto), &moto.url);
    let machines: Vec<_> = (0..3).map(|_| Machine::new(&config)).collect();
    let computed = std::sync::atomic::AtomicUsize::new(0);
    // the first read of the epoch has ended
    for machine in &machines {
        machine.get();
    }
    let waiting = || machines.iter().filter(|m| m.stats().waited > 0).count();
    // a bucket that does not respond within 2 s is not called
    let is_slow = || {
        machines
            .iter()
            .any(|m| m.stats().is_open || m.stats().epoch.is_none())
    };
    std::thread::scope(|scope| {
        for machine in &machines {
            let computed = &computed;
            let (waiting, is_slow) = (&waiting, &is_slow);
            scope.spawn(move || {
                let compute = || {
                    computed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let begin = Instant::now();
                    while waiting() < 2 && !is_slow() {
                        assert!(begin.elapsed() < LIMIT, "nobody waits");
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    Ok::<_, String>(vec![numbers(&[5])])
                };
                let found = machine
                    .cache
                    .get_or_compute(SQL, &Params::new(), None, compute);
                assert_eq!(number(&found.unwrap()), 5);
            });
        }
    });
    assert!(computed.into_inner() == 1 || is_slow());
}
