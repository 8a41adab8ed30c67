//! Leases: of the machines that miss one result, one computes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use data_cache::arrow::array::RecordBatch;
use data_cache::testing::{ManualClock, TempDir, let_bucket_time_pass};
use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Error, Params, QueryEngine, SharedConfig, SharedStats,
    State, Status, Tier, params,
};

use super::proxy::{Fault, Proxy};
use super::{COST, IN_A_SERVICE, LIMIT, PAUSE, SHARED, bucket, config, hurried, until};
use crate::batches::{number, numbers};
use dev::moto::Moto;

/// An engine with the same data on each machine, whose queries end when the test lets them.
#[derive(Clone, Default)]
pub(super) struct Fleet {
    runs: Arc<AtomicUsize>,
    /// Number of queries that may end.
    may_end: Arc<(Mutex<usize>, Condvar)>,
}

impl Fleet {
    /// Lets this many more queries end.
    pub(super) fn end(&self, queries: usize) {
        *self.may_end.0.lock().unwrap() += queries;
        self.may_end.1.notify_all();
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(super) fn machine(&self, config: &SharedConfig) -> Replica {
        let dir = TempDir::new().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        cache.share(config).unwrap();
        let engine = CachedEngine::new(self.clone(), cache);
        Replica { _dir: dir, engine }
    }
}

impl QueryEngine for Fleet {
    fn identity(&self) -> String {
        "fleet".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        let (token, tables) = ("1".to_owned(), Vec::new());
        Ok(State { token, tables })
    }

    fn content(&self) -> Option<String> {
        Some("the same".to_owned())
    }

    fn run(&self, sql: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let (may_end, changed) = &*self.may_end;
        let may_end = may_end.lock().unwrap();
        let (mut may_end, waited) = changed
            .wait_timeout_while(may_end, 2 * LIMIT, |may_end| *may_end == 0)
            .unwrap();
        assert!(!waited.timed_out(), "nobody ends it");
        *may_end -= 1;
        if sql.contains("fails") {
            return Err(Error::engine("on purpose"));
        }
        Ok(vec![numbers(&[7])])
    }
}

pub(super) struct Replica {
    _dir: TempDir,
    pub(super) engine: CachedEngine<Fleet>,
}

impl Replica {
    pub(super) fn ask(&self) -> Status {
        self.ask_for("SELECT 7")
    }

    pub(super) fn ask_for(&self, sql: &str) -> Status {
        let found = self.engine.query(sql, params! {}).blocking().unwrap();
        assert_eq!(number(found.batches()), 7);
        found.status()
    }

    pub(super) fn flush(&self) {
        assert!(self.engine.cache().flush(LIMIT));
    }

    pub(super) fn stats(&self) -> SharedStats {
        self.engine.cache().shared_stats().unwrap()
    }

    /// Returns `true` if the bucket did not respond in time and is not called: a busy machine then computes more.
    fn was_slow(&self) -> bool {
        let stats = self.stats();
        stats.is_open || stats.failed > 0 || stats.is_conditional.is_none()
    }
}

#[test]
fn others_wait_for_the_machine_that_computes() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, fleet) = (bucket(&moto), Fleet::default());
    let config = config(&bucket, &moto.url);
    let machines: Vec<_> = (0..4).map(|_| fleet.machine(&config)).collect();
    // a machine that does not know yet if the store has leases computes without one
    let knows = |machine: &Replica| machine.stats().is_conditional.is_some();
    until(|| machines.iter().all(knows));
    std::thread::scope(|scope| {
        let asking: Vec<_> = machines
            .iter()
            .map(|machine| scope.spawn(|| machine.ask()))
            .collect();
        let waiting = || machines.iter().filter(|m| m.stats().waited == 1).count();
        until(|| waiting() + fleet.runs() >= 4);
        fleet.end(4);
        let statuses: Vec<_> = asking.into_iter().map(|a| a.join().unwrap()).collect();
        let of = |wanted| statuses.iter().filter(|s| **s == wanted).count();
        assert_eq!(of(Status::Miss), fleet.runs(), "{statuses:?}");
    });
    if machines.iter().any(Replica::was_slow) {
        return;
    }
    assert_eq!(fleet.runs(), 1);
    machines.iter().for_each(Replica::flush);
    let sum = |of: fn(&SharedStats) -> u64| machines.iter().map(|m| of(&m.stats())).sum::<u64>();
    assert_eq!((sum(|s| s.hits), sum(|s| s.misses)), (3, 1));
    assert_eq!((sum(|s| s.written), sum(|s| s.leases_lost)), (1, 0));
    // the lease is released
    let names = moto.names(&bucket);
    assert!(!names.iter().any(|n| n.contains("leases/")), "{names:?}");
}

#[test]
fn a_failure_is_one_machines_own_and_the_next_one_computes() {
    let Some(moto) = Moto::shared() else { return };
    let fleet = Fleet::default();
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (fleet.machine(&config), fleet.machine(&config));
    let fails = |machine: &Replica| {
        let query = machine.engine.query("SELECT fails", params! {});
        query.blocking().unwrap_err().to_string()
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fails(&one));
        until(|| fleet.runs() == 1);
        let second = scope.spawn(|| fails(&two));
        until(|| two.stats().waited == 1 || fleet.runs() == 2);
        fleet.end(2);
        assert!(first.join().unwrap().contains("on purpose"));
        assert!(second.join().unwrap().contains("on purpose"));
    });
    assert_eq!(fleet.runs(), 2);
}

#[test]
fn a_lease_is_renewed_while_its_holder_computes_and_expires_when_it_cannot() {
    let Some(moto) = Moto::shared() else { return };
    let (proxy, fleet) = (Proxy::new(&moto.url), Fleet::default());
    let bucket = bucket(&moto);
    let lease = Duration::from_secs(1);
    let one = fleet.machine(&config(&bucket, &proxy.url).lease(lease));
    let two = fleet.machine(&config(&bucket, &moto.url).lease(lease));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| one.ask());
        until(|| fleet.runs() == 1);
        let begin = Instant::now();
        let second = scope.spawn(|| two.ask());
        // four renewals, three of which take as long as a lease
        until(|| proxy.count("PUT", "/leases/") >= 5 || fleet.runs() == 2);
        // a machine that is too busy to renew the lease loses it
        let is_lost = fleet.runs() == 2;
        assert!(is_lost || begin.elapsed() > lease);
        // the holder cannot renew any more, as if it were dead
        proxy.set(Fault::Status(500));
        let begin = Instant::now();
        until(|| fleet.runs() == 2);
        // much less than the 30 s after which a waiting machine computes in any case
        assert!(begin.elapsed() < 25 * lease, "{:?}", begin.elapsed());
        fleet.end(2);
        assert_eq!(first.join().unwrap(), Status::Miss);
        assert_eq!(second.join().unwrap(), Status::Miss);
    });
    assert!(two.stats().leases == 1 || two.was_slow());
}

#[test]
fn what_is_quick_is_neither_leased_nor_asked_for_again() {
    let Some(moto) = Moto::shared() else { return };
    let (proxy, fleet) = (Proxy::new(&moto.url), Fleet::default());
    let config = config(&bucket(&moto), &proxy.url).min_compute(LIMIT);
    let machine = fleet.machine(&config);
    fleet.end(9);
    // its compute time is unknown
    assert_eq!(machine.ask_for("SELECT 7 + 0"), Status::Miss);
    machine.flush();
    assert_eq!((machine.stats().leases, machine.stats().written), (1, 0));
    let asked = proxy.count("", "");
    for zero in ["'a'", "1", "2"] {
        let sql = format!("SELECT 7 + {zero}");
        assert_eq!(machine.ask_for(&sql), Status::Miss);
    }
    machine.flush();
    assert_eq!((machine.stats().quick, proxy.count("", "")), (3, asked));
    assert_eq!(machine.ask_for("SELECT 7 AS other"), Status::Miss);
    assert!(proxy.count("", "") > asked);
}

#[test]
fn a_store_that_ignores_conditions_gives_no_leases_but_results() {
    let Some(moto) = Moto::shared() else { return };
    let (proxy, fleet) = (Proxy::new(&moto.url), Fleet::default());
    let config = config(&bucket(&moto), &proxy.url);
    proxy.set_for("PUT", "", Fault::IgnoreConditions);
    let (one, two) = (fleet.machine(&config), fleet.machine(&config));
    fleet.end(1);
    assert_eq!(one.ask(), Status::Miss);
    one.flush();
    assert_eq!(two.ask(), SHARED);
    // no lease was ever written
    fleet.end(1);
    assert_eq!(one.ask_for("SELECT 7 AS b"), Status::Miss);
    assert_eq!(one.stats().is_conditional, Some(false));
    assert_eq!((one.stats().leases, one.stats().is_open), (0, false));
    assert_eq!(proxy.count("PUT", "/leases/"), 0);
    // each machine checks once, at its start
    until(|| two.stats().is_conditional.is_some());
    assert_eq!(proxy.count("PUT", "/conditional"), 4);
}

#[test]
fn a_lease_whose_answer_was_lost_or_that_met_a_conflict_costs_work_at_most() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::new(&moto.url);
    for fault in [
        Fault::LoseAnswers(1),
        Fault::LoseAnswers(2),
        Fault::Status(409),
        Fault::Status(412),
        Fault::Status(500),
        Fault::Status(403),
    ] {
        let fleet = Fleet::default();
        let config = config(&bucket(&moto), &proxy.url);
        let machine = fleet.machine(&config);
        proxy.set_for("PUT", "/leases/", fault);
        fleet.end(1);
        let begin = Instant::now();
        assert_eq!(machine.ask(), Status::Miss, "{fault:?}");
        assert!(begin.elapsed() < LIMIT / 2, "{fault:?}");
        proxy.set(Fault::None);
        machine.flush();
        assert_eq!(fleet.runs(), 1, "{fault:?}");
        let may_be_held = matches!(fault, Fault::LoseAnswers(_));
        assert!(may_be_held || machine.stats().leases == 0, "{fault:?}");
    }
}

#[test]
fn a_store_whose_writes_hang_costs_its_limit_once() {
    let Some(moto) = Moto::shared() else { return };
    for hangs_at_start in [true, false] {
        let (proxy, fleet) = (Proxy::new(&moto.url), Fleet::default());
        if hangs_at_start {
            proxy.set_for("PUT", "", Fault::Hang);
        }
        let machine = fleet.machine(&hurried(&bucket(&moto), &proxy.url));
        until(|| hangs_at_start || machine.stats().is_conditional.is_some());
        proxy.set_for("PUT", "", Fault::Hang);
        fleet.end(99);
        let begin = Instant::now();
        assert_eq!(machine.ask(), Status::Miss);
        let waited = begin.elapsed();
        assert!(waited < COST, "{waited:?}, {:?}", machine.stats());
        // a read of the lease may be in progress still
        let asked = proxy.count("GET", "/v1/");
        for n in 0..8 {
            assert_eq!(machine.ask_for(&format!("SELECT 7 AS n{n}")), Status::Miss);
        }
        assert_eq!(
            (machine.stats().skipped, proxy.count("GET", "/v1/")),
            (8, asked)
        );

        // once the bucket responds, it is called again, and no lookup waits for a write
        let_bucket_time_pass(machine.engine.cache(), PAUSE);
        assert_eq!(machine.ask_for("SELECT 7 AS probing"), Status::Miss);
        until(|| !machine.stats().is_open);
        let wanted = proxy.count("PUT", "leases/");
        for n in 0..8 {
            assert_eq!(machine.ask_for(&format!("SELECT 7 AS m{n}")), Status::Miss);
        }
        assert_eq!(proxy.count("PUT", "leases/"), wanted);
        assert!(proxy.count("GET", "/v1/") > asked);
        assert!(machine.stats().is_read_only);
    }
}

/// Makes a machine read the lease that it wants when its time is over. Returns `false` if that was over before.
fn is_looked_at_in_vain(moto: &Moto) -> bool {
    let (proxy, fleet) = (Proxy::new(&moto.url), Fleet::default());
    let config = config(&bucket(moto), &proxy.url).patience(IN_A_SERVICE);
    let machine = fleet.machine(&config);
    until(|| machine.stats().is_conditional.is_some());
    proxy.set_for("", "leases/", Fault::Hang);
    fleet.end(1);
    assert_eq!(machine.ask(), Status::Miss);
    let (stats, is_looked_at) = (machine.stats(), proxy.count("GET", "leases/") > 0);
    assert!(stats.is_open, "{stats:?}");
    assert!(!is_looked_at || stats.is_read_only, "{stats:?}");
    is_looked_at
}

#[test]
fn a_hanging_lease_request_stops_writes_even_if_a_read_fails_last() {
    let Some(moto) = Moto::shared() else { return };
    // a busy machine may not get a response within 2 s
    assert!((0..5).any(|_| is_looked_at_in_vain(&moto)));
}

/// Makes a machine want a lease that another one holds, while the store
/// delays the request. Returns `false` if the machine did not see that.
fn waits_for_the_holder(moto: &Moto) -> bool {
    let (bucket, fleet, proxy) = (bucket(moto), Fleet::default(), Proxy::new(&moto.url));
    let holder = fleet.machine(&config(&bucket, &moto.url));
    let other = fleet.machine(&config(&bucket, &proxy.url));
    until(|| other.stats().is_conditional.is_some());
    proxy.set_for("PUT", "leases/", Fault::Hang);
    std::thread::scope(|scope| {
        let computing = scope.spawn(|| holder.ask());
        until(|| fleet.runs() == 1);
        let waiting = scope.spawn(|| other.ask());
        until(|| other.stats().waited == 1 || fleet.runs() == 2);
        fleet.end(2);
        assert_eq!(computing.join().unwrap(), Status::Miss);
        let stats = other.stats();
        waiting.join().unwrap() == SHARED && !stats.is_open && !stats.is_read_only
    })
}

#[test]
fn a_store_that_delays_a_lease_request_counts_as_available() {
    let Some(moto) = Moto::shared() else { return };
    // a busy machine may not get a response within 2 s
    assert!((0..5).any(|_| waits_for_the_holder(&moto)));
}

#[test]
fn machines_whose_clocks_are_an_hour_apart_wait_for_each_other() {
    let Some(moto) = Moto::shared() else { return };
    let fleet = Fleet::default();
    let config = config(&bucket(&moto), &moto.url);
    let (one, two) = (fleet.machine(&config), fleet.machine(&config));
    let start = 1_700_000_000;
    ManualClock::install(one.engine.cache(), start);
    ManualClock::install(two.engine.cache(), start + 3600);
    let ask = |machine: &Replica| {
        let query = machine.engine.query("SELECT 7", params! {});
        let found = query.ttl(Duration::from_secs(7200)).blocking().unwrap();
        (found.status(), number(found.batches()))
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&one));
        until(|| fleet.runs() == 1);
        let second = scope.spawn(|| ask(&two));
        until(|| two.stats().waited == 1 || fleet.runs() == 2);
        fleet.end(2);
        assert_eq!(first.join().unwrap(), (Status::Miss, 7));
        let found = second.join().unwrap();
        assert!(found == (SHARED, 7) || one.was_slow() || two.was_slow());
    });
}

/// Queries a result that is stale after a minute.
fn ask_stale(machine: &Replica) -> Status {
    let query = machine.engine.query("SELECT 7", params! {});
    let query = query.ttl(Duration::from_secs(60));
    let answer = query.stale_while(Duration::from_secs(600)).blocking();
    answer.unwrap().status()
}

#[test]
fn what_is_computed_after_a_wait_is_kept_though_something_was_invalidated_meanwhile() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, fleet) = (bucket(&moto), Fleet::default());
    let proxy = Proxy::new(&moto.url);
    let one = fleet.machine(&config(&bucket, &proxy.url));
    let two = fleet.machine(&config(&bucket, &moto.url));
    let (of_one, of_two) = (
        ManualClock::install(one.engine.cache(), 1_700_000_000),
        ManualClock::install(two.engine.cache(), 1_700_000_000),
    );
    let knows = |machine: &Replica| machine.stats().is_conditional.is_some();
    until(|| knows(&one) && knows(&two));
    fleet.end(1);
    assert_eq!(ask_stale(&two), Status::Miss);
    two.flush();
    of_one.advance(100);
    of_two.advance(100);
    // another machine computes it, and cannot write it
    proxy.set_for("PUT", "/v1/", Fault::Status(403));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask_stale(&one));
        until(|| fleet.runs() == 2);
        assert_eq!(ask_stale(&two), Status::Stale);
        until(|| two.stats().waited == 1 || two.was_slow());
        two.engine.cache().invalidate("SELECT 8").unwrap();
        fleet.end(2);
        assert_eq!(asking.join().unwrap(), Status::Miss);
    });
    two.flush();
    if one.was_slow() || two.was_slow() {
        return;
    }
    assert_eq!(fleet.runs(), 3);
    assert_eq!(ask_stale(&two), Status::Hit(Tier::Memory));
}

#[test]
fn a_flush_waits_for_no_machine_that_computes_what_is_stale_here() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, fleet) = (bucket(&moto), Fleet::default());
    let config = config(&bucket, &moto.url);
    let (one, two) = (fleet.machine(&config), fleet.machine(&config));
    let clocks = [&one, &two].map(|machine| {
        until(|| machine.stats().is_conditional.is_some());
        ManualClock::install(machine.engine.cache(), 1_700_000_000)
    });
    fleet.end(1);
    assert_eq!(ask_stale(&two), Status::Miss);
    two.flush();
    clocks.iter().for_each(|clock| clock.advance(100));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask_stale(&one));
        until(|| fleet.runs() == 2);
        assert_eq!(ask_stale(&two), Status::Stale);
        until(|| two.stats().waited == 1 || two.was_slow());
        let begin = Instant::now();
        let flushing = scope.spawn(|| two.flush());
        until(|| fleet.runs() == 3);
        // half of the maximum time that a machine is waited for
        let waited = begin.elapsed();
        fleet.end(2);
        flushing.join().unwrap();
        assert_eq!(asking.join().unwrap(), Status::Miss);
        assert!(waited < Duration::from_secs(15), "{waited:?}");
    });
    assert_eq!(ask_stale(&two), Status::Hit(Tier::Memory));
}

#[test]
fn a_query_with_zero_ttl_neither_reads_the_bucket_nor_takes_a_lease() {
    let Some(moto) = Moto::shared() else { return };
    let (proxy, fleet) = (Proxy::new(&moto.url), Fleet::default());
    let machine = fleet.machine(&config(&bucket(&moto), &proxy.url));
    fleet.end(2);
    let query = machine.engine.query("SELECT 7", params! {});
    let answer = query.ttl(Duration::ZERO).blocking().unwrap();
    assert_eq!(answer.status(), Status::Miss);
    let asked = |method| proxy.count(method, "/v1/") + proxy.count(method, "/leases/");
    assert_eq!((asked("GET"), asked("PUT")), (0, 0));
    assert_eq!(machine.stats().misses, 0);
    assert_eq!(machine.ask_for("SELECT 7"), Status::Miss);
    assert!(asked("GET") > 0);
}
