//! No caller waits forever: panics, queries that depend on themselves, slow neighbors.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use data_cache::testing::set_longest_wait;
use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Config, Error, Params, Query, QueryEngine, State, Status,
    Tier, arrow::array::RecordBatch, params,
};

use crate::batches::{number, numbers};

/// Far below the limits of waiting, and far above the time that a busy machine needs.
const SOON: Duration = Duration::from_secs(30);
/// A TTL that is not the default.
const TEN_SECONDS: Duration = Duration::from_secs(10);

type Run = Box<dyn Fn(&str) -> Result<Vec<RecordBatch>, Error> + Send + Sync>;

/// An engine that runs a closure of the test.
struct Scripted(Run);

impl QueryEngine for Scripted {
    fn identity(&self) -> String {
        "scripted".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        let (token, tables) = ("1".to_owned(), Vec::new());
        Ok(State { token, tables })
    }

    fn run(&self, sql: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        (self.0)(sql)
    }
}

fn scripted(
    cache: &Cache,
    run: impl Fn(&str) -> Result<Vec<RecordBatch>, Error> + Send + Sync + 'static,
) -> CachedEngine<Scripted> {
    CachedEngine::new(Scripted(Box::new(run)), cache.clone())
}

fn in_memory() -> Cache {
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    Cache::open_with("nowhere", &config).unwrap()
}

/// Runs `work` on a thread; fails the test instead of waiting forever. Prints how long it waited.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let asked = Instant::now();
    std::thread::spawn(move || {
        let _ = sender.send(work());
    });
    let answer = receiver
        .recv_timeout(SOON)
        .unwrap_or_else(|_| panic!("it waits for ever"));
    let this = std::thread::current();
    println!(
        "{}: waited {:.2?}",
        this.name().unwrap_or_default(),
        asked.elapsed()
    );
    answer
}

#[test]
fn a_panic_in_the_engine_is_an_error_of_everybody_who_waits() {
    let engine = scripted(&in_memory(), |_| panic!("on purpose"));
    for _ in 0..3 {
        let asked = engine.clone();
        let error = soon(move || asked.query("SELECT 1", params! {}).blocking().unwrap_err());
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let asked = engine.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(asked.query("SELECT 1", params! {}).into_future())
            })
        })
        .collect();
    for answer in waiting {
        assert!(soon(move || answer.join().unwrap()).is_err());
    }
}

#[test]
fn a_panic_in_a_hook_costs_nobody_an_answer() {
    let cache = in_memory();
    cache.on_query(|_| panic!("on purpose"));
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    cache.on_query(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let engine = scripted(&cache, |_| Ok(vec![numbers(&[7])]));
    for _ in 0..2 {
        let asked = engine.clone();
        let answer = soon(move || asked.query("SELECT 7", params! {}).blocking().unwrap());
        assert_eq!(number(answer.batches()), 7);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let cache = in_memory();
    cache.carry_context(|_| panic!("on purpose"));
    let engine = scripted(&cache, |_| Ok(vec![numbers(&[7])]));
    assert!(soon(move || engine.query("SELECT 7", params! {}).blocking()).is_err());
}

#[test]
fn a_computation_that_asks_for_its_own_result_computes_once_more() {
    let cache = in_memory();
    let asked = cache.clone();
    let answer = soon(move || {
        let none = Params::new();
        asked.get_or_compute("SELECT 1", &none, None, || {
            let inner = asked.get_or_compute("SELECT 1", &none, None, || {
                Ok::<_, String>(vec![numbers(&[1])])
            })?;
            Ok::<_, String>(vec![numbers(&[number(&inner) + 1])])
        })
    });
    assert_eq!(number(&answer.unwrap()), 2);
    let answer = soon(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        runtime.block_on(async move {
            let (none, inside) = (Params::new(), cache.clone());
            let compute = async move {
                let none = Params::new();
                let own = inside.get_or_compute_async("SELECT 2", &none, None, async {
                    Ok::<_, String>(vec![numbers(&[3])])
                });
                Ok::<_, String>(vec![numbers(&[number(&own.await?) + 1])])
            };
            cache
                .get_or_compute_async("SELECT 2", &none, None, compute)
                .await
        })
    });
    assert_eq!(number(&answer.unwrap()), 4);
}

#[test]
fn a_computation_that_asks_another_cache_on_its_directory_does_not_wait_for_itself() {
    /// Less than the time that a process waits for another one's computation.
    const LIMIT: Duration = Duration::from_secs(20);
    let dir = tempfile::tempdir().unwrap();
    let open = || Cache::open(dir.path()).unwrap();
    let (outer, inner) = (open(), open());
    let begin = Instant::now();
    let none = Params::new();
    let answer = outer.get_or_compute("SELECT 1", &none, None, || {
        let own = inner.get_or_compute("SELECT 1", &none, None, || {
            Ok::<_, String>(vec![numbers(&[1])])
        })?;
        Ok::<_, String>(vec![numbers(&[number(&own) + 1])])
    });
    assert_eq!(number(&answer.unwrap()), 2);
    assert!(begin.elapsed() < LIMIT);
    // the same for an engine that queries through the other cache
    let beside = scripted(&inner, |_| Ok(vec![numbers(&[3])]));
    let engine = scripted(&outer, move |sql| {
        let query = beside.query(sql, params! {}).ttl(TEN_SECONDS);
        let own = query.blocking()?;
        assert_eq!(own.status(), Status::Bypass(Bypass::Reentrant));
        Ok(vec![numbers(&[number(own.batches()) + 1])])
    });
    let begin = Instant::now();
    let answer = engine.query("SELECT 3", params! {}).blocking().unwrap();
    assert_eq!(
        (answer.status(), number(answer.batches())),
        (Status::Miss, 4)
    );
    assert!(begin.elapsed() < LIMIT);
}

#[test]
fn two_computations_that_ask_for_each_other_both_end() {
    let cache = in_memory();
    let both = Arc::new(Barrier::new(2));
    let threads: Vec<_> = [("SELECT 1", "SELECT 2"), ("SELECT 2", "SELECT 1")]
        .into_iter()
        .map(|(own, other)| {
            let (cache, both) = (cache.clone(), both.clone());
            std::thread::spawn(move || {
                let none = Params::new();
                cache.get_or_compute(own, &none, None, || {
                    both.wait();
                    cache
                        .get_or_compute(other, &none, None, || Ok::<_, String>(vec![numbers(&[5])]))
                })
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(number(&soon(move || thread.join().unwrap()).unwrap()), 5);
    }
    // the same as tasks
    let answers = soon(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        runtime.block_on(async move {
            let both = Arc::new(tokio::sync::Barrier::new(2));
            let ask = |own: &'static str, other: &'static str| {
                let (cache, inside, both) = (cache.clone(), cache.clone(), both.clone());
                tokio::spawn(async move {
                    let none = Params::new();
                    let compute = async move {
                        both.wait().await;
                        let compute = async { Ok::<_, String>(vec![numbers(&[6])]) };
                        inside
                            .get_or_compute_async(other, &Params::new(), None, compute)
                            .await
                    };
                    cache.get_or_compute_async(own, &none, None, compute).await
                })
            };
            let (one, two) = (ask("SELECT 3", "SELECT 4"), ask("SELECT 4", "SELECT 3"));
            (one.await.unwrap(), two.await.unwrap())
        })
    });
    assert_eq!(
        (number(&answers.0.unwrap()), number(&answers.1.unwrap())),
        (6, 6)
    );
}

#[test]
fn a_hook_and_an_engine_may_ask_the_question_that_they_are_part_of() {
    let cache = in_memory();
    let slot: Arc<Mutex<Option<CachedEngine<Scripted>>>> = Arc::default();
    let depth = Arc::new(AtomicUsize::new(0));
    let again = {
        let (slot, depth) = (slot.clone(), depth.clone());
        move || {
            if depth.fetch_add(1, Ordering::SeqCst) < 2 {
                let engine = slot.lock().unwrap().clone().unwrap();
                let answer = engine.query("SELECT 1", params! {}).blocking().unwrap();
                assert_eq!(answer.status(), Status::Bypass(Bypass::Reentrant));
            }
        }
    };
    let hook = again.clone();
    cache.on_query(move |event| {
        if event.status == Status::Miss {
            hook();
        }
    });
    let engine = scripted(&cache, move |_| {
        again();
        Ok(vec![numbers(&[1])])
    });
    *slot.lock().unwrap() = Some(engine.clone());
    let asked = engine.clone();
    let answer = soon(move || asked.query("SELECT 1", params! {}).blocking().unwrap());
    assert_eq!(
        (answer.status(), number(answer.batches())),
        (Status::Miss, 1)
    );
    assert!(depth.load(Ordering::SeqCst) >= 2);
    let asked = engine.query("SELECT 1", params! {}).blocking().unwrap();
    assert_eq!(asked.status(), Status::Hit(Tier::Memory));
    *slot.lock().unwrap() = None;
}

/// Runs `SELECT 1`; its run, or a hook of it, runs `inner`. Returns the status of the outer and of the inner query.
fn ask_from_within(
    by_hook: bool,
    inner: fn(&CachedEngine<Scripted>) -> Query<Scripted>,
) -> (Status, Status) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let slot: Arc<Mutex<Option<CachedEngine<Scripted>>>> = Arc::default();
    let (asked, statuses) = mpsc::channel();
    let is_first = Arc::new(AtomicBool::new(true));
    let within = {
        let slot = slot.clone();
        move || {
            if is_first.swap(false, Ordering::SeqCst) {
                let engine = slot.lock().unwrap().take().unwrap();
                let answer = inner(&engine).blocking().unwrap();
                asked.send(answer.status()).unwrap();
            }
        }
    };
    let hook = within.clone();
    cache.on_query(move |event| {
        if by_hook && event.status == Status::Miss {
            hook();
        }
    });
    let engine = scripted(&cache, move |_| {
        if !by_hook {
            within();
        }
        Ok(vec![numbers(&[1])])
    });
    *slot.lock().unwrap() = Some(engine.clone());
    let outer = engine.query("SELECT 1", params! {}).blocking().unwrap();
    (outer.status(), statuses.try_recv().unwrap())
}

#[test]
fn a_question_that_is_asked_from_within_itself_in_another_way_does_not_wait_for_itself() {
    type Inner = fn(&CachedEngine<Scripted>) -> Query<Scripted>;
    let ways: [Inner; 4] = [
        |engine| engine.query("SELECT 1", params! {}).ttl(TEN_SECONDS),
        |engine| {
            let query = engine.query("SELECT 1", params! {});
            query.stale_while(TEN_SECONDS)
        },
        |engine| {
            engine.cache().invalidate("nothing").unwrap();
            engine.query("SELECT 1", params! {})
        },
        // another handle on the same data
        |engine| {
            let other = scripted(engine.cache(), |_| Ok(vec![numbers(&[1])]));
            other.query("SELECT 1", params! {})
        },
    ];
    let reentrant = Status::Bypass(Bypass::Reentrant);
    for (at, inner) in ways.into_iter().enumerate() {
        for by_hook in [false, true] {
            let asked = soon(move || ask_from_within(by_hook, inner));
            assert_eq!(asked, (Status::Miss, reentrant), "{at} {by_hook}");
        }
    }
}

#[test]
fn two_questions_that_ask_each_other_in_another_way_both_end() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let slot: Arc<Mutex<Option<CachedEngine<Scripted>>>> = Arc::default();
    let (both, within) = (Barrier::new(2), slot.clone());
    let are_first = [AtomicBool::new(true), AtomicBool::new(true)];
    let (asked, statuses) = mpsc::channel();
    let engine = scripted(&cache, move |sql| {
        let (at, other) = match sql {
            "SELECT 1" => (0, "SELECT 2"),
            _ => (1, "SELECT 1"),
        };
        if are_first[at].swap(false, Ordering::SeqCst) {
            both.wait();
            let engine = within.lock().unwrap().clone().unwrap();
            let query = engine.query(other, params! {}).ttl(TEN_SECONDS);
            asked.send(query.blocking()?.status()).unwrap();
        }
        Ok(vec![numbers(&[1])])
    });
    *slot.lock().unwrap() = Some(engine.clone());
    let asking = ["SELECT 1", "SELECT 2"].map(|sql| {
        let engine = engine.clone();
        std::thread::spawn(move || engine.query(sql, params! {}).blocking().unwrap())
    });
    for asking in asking {
        let answer = soon(move || asking.join().unwrap());
        assert_eq!(answer.status(), Status::Miss);
    }
    *slot.lock().unwrap() = None;
    let inner: Vec<_> = statuses.try_iter().collect();
    let is_reentrant = |status: &&Status| **status == Status::Bypass(Bypass::Reentrant);
    assert_eq!(
        inner.iter().filter(is_reentrant).count(),
        1,
        "the one that asked last: {inner:?}"
    );
}

#[test]
fn a_caller_that_blocks_a_runtime_does_not_wait_for_a_task_of_it() {
    let cache = in_memory();
    let answer = soon(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let (started, begun) = tokio::sync::oneshot::channel();
            let (go, gone) = tokio::sync::oneshot::channel::<()>();
            let asked = cache.clone();
            let task = tokio::spawn(async move {
                let compute = async move {
                    let _ = started.send(());
                    let _ = gone.await;
                    Ok::<_, String>(vec![numbers(&[1])])
                };
                asked
                    .get_or_compute_async("SELECT 1", &Params::new(), None, compute)
                    .await
            });
            begun.await.unwrap();
            let own = cache.get_or_compute("SELECT 1", &Params::new(), None, || {
                Ok::<_, String>(vec![numbers(&[2])])
            });
            let _ = go.send(());
            (number(&own.unwrap()), number(&task.await.unwrap().unwrap()))
        })
    });
    assert_eq!(answer, (2, 1));
}

#[test]
fn waiting_has_a_limit_when_the_question_cannot_be_recognized() {
    let cache = in_memory();
    set_longest_wait(&cache, Duration::from_millis(50));
    let asked = cache.clone();
    let answer = soon(move || {
        let none = Params::new();
        asked.get_or_compute("SELECT 1", &none, None, || {
            // a new thread does not know whose query it works on
            std::thread::scope(|scope| {
                let inner = scope.spawn(|| {
                    asked.get_or_compute("SELECT 1", &none, None, || {
                        Ok::<_, String>(vec![numbers(&[1])])
                    })
                });
                inner.join().unwrap()
            })
        })
    });
    assert_eq!(number(&answer.unwrap()), 1);
}

/// Counts the calls that the cache makes.
struct Asked(Arc<AtomicUsize>);

impl QueryEngine for Asked {
    fn identity(&self) -> String {
        "asked".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let (token, tables) = ("1".to_owned(), Vec::new());
        Ok(State { token, tables })
    }

    fn is_current(&self, _: &str, state: &State) -> bool {
        state.token == "1"
    }

    fn run(&self, _: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        Ok(vec![numbers(&[1])])
    }
}

#[test]
fn a_miss_and_a_hit_ask_for_the_state_once_each() {
    let states = Arc::new(AtomicUsize::new(0));
    let engine = CachedEngine::new(Asked(states.clone()), in_memory());
    for (status, asked) in [(Status::Miss, 1), (Status::Hit(Tier::Memory), 2)] {
        let answer = engine.query("SELECT 1", params! {}).blocking().unwrap();
        assert_eq!(
            (answer.status(), states.load(Ordering::SeqCst)),
            (status, asked)
        );
        assert!(engine.cache().flush(SOON));
    }
}

thread_local! {
    static CONTEXT: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn a_computation_that_is_a_task_has_the_context_of_its_caller() {
    let cache = Cache::open_with(
        "nowhere",
        &Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap(),
    )
    .unwrap();
    cache.carry_context(|job| {
        let context = CONTEXT.get();
        assert!(context < 10, "on purpose");
        Box::new(move || {
            let before = CONTEXT.replace(context);
            job();
            CONTEXT.set(before);
        })
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    // the last case has a carrier that panics
    for (at, expected) in [(1, [1, 1, 2]), (5, [5, 5, 6]), (10, [0, 0, 1])] {
        let (sender, seen) = mpsc::channel();
        let compute = async move {
            sender.send(CONTEXT.get()).unwrap();
            tokio::task::yield_now().await;
            sender.send(CONTEXT.get()).unwrap();
            CONTEXT.set(CONTEXT.get() + 1);
            sender.send(CONTEXT.get()).unwrap();
            CONTEXT.set(0);
            Ok::<_, String>(vec![numbers(&[7])])
        };
        let sql = format!("SELECT {at}");
        let asked = cache.clone();
        let result = runtime.block_on(async move {
            CONTEXT.set(at);
            let none = Params::new();
            let asked = asked.get_or_compute_async(&sql, &none, None, compute);
            asked.await
        });
        assert_eq!(number(&result.unwrap()), 7);
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
        CONTEXT.set(0);
    }
}

#[test]
fn a_hit_from_a_file_does_not_wait_behind_slow_queries() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let waiting = gate.clone();
    let engine = scripted(&cache, move |sql| {
        if sql.starts_with("SELECT slow") {
            let is_closed = |is_open: &mut bool| !*is_open;
            let _open = waiting
                .1
                .wait_while(waiting.0.lock().unwrap(), is_closed)
                .unwrap();
        }
        Ok(vec![numbers(&[1])])
    });
    engine
        .query("SELECT quick", params! {})
        .keep()
        .blocking()
        .unwrap();
    assert!(cache.flush(SOON));
    cache
        .set("SELECT set", &[numbers(&[2])], &Params::new(), None)
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let slow: Vec<_> = (0..40)
        .map(|at| {
            runtime.spawn(
                engine
                    .query(format!("SELECT slow {at}"), params! {})
                    .into_future(),
            )
        })
        .collect();
    // more queries than threads for computing: none of them can end before the hits have arrived
    let start = Instant::now();
    let asked = engine.clone();
    let hit = soon(move || asked.query("SELECT quick", params! {}).blocking().unwrap());
    assert_eq!(hit.status(), Status::Hit(Tier::Disk));
    let found = runtime.block_on(cache.get_async("SELECT set", &Params::new()));
    assert_eq!(number(found.unwrap().batches()), 2);
    println!("two hits beside 40 slow queries: {:?}", start.elapsed());
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for task in slow {
        assert_eq!(
            number(runtime.block_on(task).unwrap().unwrap().batches()),
            1
        );
    }
}

/// Returns its setting; its first run is paused before it reads the setting and before it returns.
struct Set {
    setting: AtomicI64,
    changes: AtomicU64,
    first: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
}

impl Set {
    fn set(&self, setting: i64) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.setting.store(setting, Ordering::SeqCst);
    }
}

impl QueryEngine for Set {
    fn identity(&self) -> String {
        "set".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        let token = self.setting.load(Ordering::SeqCst).to_string();
        let tables = Vec::new();
        Ok(State { token, tables })
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    fn run(&self, _: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        let held = self.first.lock().unwrap().take();
        let hold = || {
            if let Some((is_reached, may_go_on)) = &held {
                is_reached.send(()).unwrap();
                // with a limit, so that a query that joins it gets a result to be checked
                let _ = may_go_on.recv_timeout(SOON / 3);
            }
        };
        hold();
        let answer = self.setting.load(Ordering::SeqCst);
        hold();
        Ok(vec![numbers(&[answer])])
    }
}

#[test]
fn a_query_after_a_setting_is_changed_back_does_not_join_an_earlier_run() {
    let (is_reached, reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let engine = Set {
        setting: AtomicI64::new(1),
        changes: AtomicU64::new(0),
        first: Mutex::new(Some((is_reached, may_go_on))),
    };
    let engine = CachedEngine::new(engine, in_memory());
    let ask = |engine: CachedEngine<Set>| {
        let answer = engine.query("SELECT n", params! {}).blocking().unwrap();
        number(answer.batches())
    };
    let asked = engine.clone();
    let first = std::thread::spawn(move || ask(asked));
    reached.recv_timeout(SOON).unwrap();
    engine.engine().set(2);
    go_on.send(()).unwrap();
    reached.recv_timeout(SOON).unwrap();
    engine.engine().set(1);
    let asked = engine.clone();
    assert_eq!(soon(move || ask(asked)), 1);
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap(), 2);
    assert_eq!(ask(engine), 1);
}
