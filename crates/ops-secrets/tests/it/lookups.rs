//! Running lookups: who joins them, who waits for them and how long, and what outdates them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ops_secrets::{ErrorKind, FetchError, FetchResult, Secrets, Source, SourceFuture, SourceValue};

use crate::{Bench, SOON, TOKEN_PATH, assert_within, config, wait_until};

const LIMIT: Duration = Duration::from_millis(500);

/// Starts a lookup for the token whose result will be the old value.
fn with_an_old_answer_under_way(bench: &Bench) -> std::thread::JoinHandle<String> {
    bench.ssm.set(TOKEN_PATH, "old-value");
    bench.ssm.hold_answers();
    let secrets = bench.secrets.clone();
    let asking = std::thread::spawn(move || {
        let secret = secrets.get("mapbox_token").blocking().unwrap();
        secret.expose().to_owned()
    });
    wait_until(|| bench.ssm.calls().len() == 1);
    bench.ssm.set(TOKEN_PATH, "new-value");
    asking
}

#[test]
fn an_invalidation_outdates_the_lookup_under_way_for_everybody() {
    let bench = Bench::new(|config| config);
    let asking = with_an_old_answer_under_way(&bench);
    bench.secrets.invalidate("mapbox_token");
    wait_until(|| bench.ssm.calls().len() == 2);
    bench.ssm.release();
    assert_eq!(asking.join().unwrap(), "new-value");
    let later = bench.token().unwrap();
    assert_eq!(later.expose(), "new-value");
    assert_eq!(bench.ssm.calls().len(), 2);
}

#[test]
fn a_time_to_live_of_zero_joins_no_lookup_that_was_sent_before() {
    let bench = Bench::new(|config| config);
    let asking = with_an_old_answer_under_way(&bench);
    let secrets = bench.secrets.clone();
    let fresh = std::thread::spawn(move || {
        let secret = secrets.get("mapbox_token").ttl_seconds(0.0).blocking();
        secret.unwrap().expose().to_owned()
    });
    wait_until(|| bench.ssm.calls().len() == 2);
    bench.ssm.release();
    assert_eq!(fresh.join().unwrap(), "new-value");
    asking.join().unwrap();
    wait_until(|| bench.secrets.waiting("mapbox_token") == 0);
    let later = bench.token().unwrap();
    assert_eq!(later.expose(), "new-value");
}

#[test]
fn a_time_to_live_of_zero_asks_during_a_back_off_and_takes_nothing_old() {
    for kind in [ErrorKind::Throttled, ErrorKind::Transient] {
        let bench = Bench::new(|config| config);
        bench.ssm.set(TOKEN_PATH, "old-value");
        let fresh = || {
            bench
                .secrets
                .get("mapbox_token")
                .ttl_seconds(0.0)
                .blocking()
        };
        fresh().unwrap();
        bench.ssm.fail(TOKEN_PATH, kind);
        for call in 2..=4 {
            assert_eq!(fresh().unwrap_err().kind(), kind);
            assert_eq!(bench.ssm.calls().len(), call);
        }
        bench.ssm.set(TOKEN_PATH, "new-value");
        assert_eq!(fresh().unwrap().expose(), "new-value");
    }
}

#[test]
fn lookups_that_begin_together_are_one_call() {
    let lines: String = (0..50)
        .map(|n| format!("  s{n}: {{aws_path: /a/s{n}}}\n"))
        .collect();
    let bench = Bench::new(|config| config.catalog_text(format!("secrets:\n{lines}")));
    for n in 0..50 {
        bench.ssm.set(&format!("/a/s{n}"), "value");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let asked = (0..50).map(|n| {
            let secrets = bench.secrets.clone();
            tokio::spawn(async move { secrets.get(&format!("s{n}")).await.unwrap() })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap().expose(), "value");
        }
    });
    // one call in the best case; on a busy machine, callers may start later than lookups wait for each other
    assert!(bench.ssm.calls().len() <= 10, "{:?}", bench.ssm.calls());
}

/// Source with a forbidden behavior.
enum Bad {
    Panics,
    PanicsLater,
    Blocks(std::sync::Mutex<std::sync::mpsc::Receiver<()>>),
    Forgets,
}

impl Source for Bad {
    fn name(&self) -> &'static str {
        "bad"
    }

    fn fetch<'a>(&'a self, _: &'a [String], _: Instant) -> SourceFuture<'a> {
        match self {
            Self::Panics => panic!("planted"),
            Self::PanicsLater => Box::pin(async { panic!("planted later") }),
            Self::Blocks(until) => {
                let _ = until.lock().unwrap().recv();
                Box::pin(async { Vec::new() })
            }
            Self::Forgets => Box::pin(async { Vec::new() }),
        }
    }
}

#[test]
fn whatever_a_source_does_every_caller_gets_an_answer_in_time() {
    let deadline = Duration::from_millis(300);
    let mut held = Vec::new();
    let mut blocks = || {
        let (release, until) = std::sync::mpsc::channel();
        held.push(release);
        Bad::Blocks(std::sync::Mutex::new(until))
    };
    let sources: [&mut dyn FnMut() -> Bad; 4] = [
        &mut || Bad::Panics,
        &mut || Bad::PanicsLater,
        &mut || Bad::Forgets,
        &mut blocks,
    ];
    for source in sources {
        assert_within(deadline + 4 * LIMIT, || time_of_answers(source(), deadline));
    }
}

fn time_of_answers(source: Bad, deadline: Duration) -> Duration {
    let config = config().catalog_text("secrets: {a: {}}");
    let secrets = Secrets::new(config.source(source).deadline(deadline)).unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..64 {
            let secrets = &secrets;
            scope.spawn(move || {
                let asked = match n % 2 {
                    0 => secrets.get("a").or("never").blocking(),
                    _ => pollster(secrets),
                };
                assert_eq!(asked.unwrap_err().kind(), ErrorKind::Transient);
            });
        }
    });
    start.elapsed()
}

/// Awaits without tokio, so that nothing but the crate's own alarm wakes it.
fn pollster(secrets: &Secrets) -> Result<ops_secrets::Secret, ops_secrets::SecretError> {
    use std::future::IntoFuture;
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut asking = std::pin::pin!(secrets.get("a").or("never").into_future());
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = std::task::Context::from_waker(&waker);
    loop {
        match asking.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Custom source as a team would write it.
struct Vault(Arc<AtomicUsize>);

impl Source for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { names.iter().map(|name| answer(name)).collect() })
    }
}

fn answer(name: &str) -> FetchResult {
    match name {
        "kv/db" => Ok(SourceValue::new("from-the-vault")),
        "denied" => Err(FetchError::failed(ErrorKind::AccessDenied, "policy")),
        "sealed" => Err(FetchError::unreachable(ErrorKind::Unavailable, "sealed")),
        _ => Err(FetchError::Absent),
    }
}

#[test]
fn a_store_of_ones_own_is_asked_after_aws_and_keeps_its_failures() {
    let catalog = "secrets:
  db_password: {path: kv/db}
  denied: {default: never}
  absent: {default: in-its-place}
  sealed: {default: never}
";
    let calls = Arc::new(AtomicUsize::new(0));
    let config = config()
        .catalog_text(catalog)
        .source(Vault(Arc::clone(&calls)));
    let secrets = Secrets::new(config).unwrap();
    let get = |name: &'static str| secrets.get(name).blocking();
    let found = get("db_password").unwrap();
    assert_eq!(
        (found.expose(), found.source().as_str()),
        ("from-the-vault", "vault")
    );
    get("db_password").unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1, "cached");
    assert_eq!(get("denied").unwrap_err().kind(), ErrorKind::AccessDenied);
    assert_eq!(get("absent").unwrap().expose(), "in-its-place");
    // automatic mode skips AWS, but no custom source
    assert_eq!(get("sealed").unwrap_err().kind(), ErrorKind::Unavailable);
    let report = secrets.report();
    let shown = serde_json::to_value(&report.sources).unwrap();
    assert_eq!(shown[0]["source"], "vault");
    assert_eq!(shown[0]["health"]["unhealthy"], "sealed");
}

/// Compares one lookup with ten that have a tenth of its callers each: if
/// callers cost more the more there are, it takes longer, and a busy machine slows both down.
#[test]
fn tens_of_thousands_wait_for_one_lookup_in_linear_time() {
    let take = |callers: usize| {
        let bench = Bench::new(|config| config.deadline(SOON));
        bench.ssm.set(TOKEN_PATH, "value");
        bench.ssm.hold_answers();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let started = Instant::now();
        runtime.block_on(async {
            let asked = (0..callers).map(|_| {
                let secrets = bench.secrets.clone();
                tokio::spawn(async move { secrets.get("mapbox_token").await.unwrap() })
            });
            let asked: Vec<_> = asked.collect();
            while bench.secrets.waiting("mapbox_token") < callers {
                tokio::task::yield_now().await;
            }
            bench.ssm.release();
            for asked in asked {
                assert_eq!(asked.await.unwrap().expose(), "value");
            }
        });
        started.elapsed()
    };
    let mut factors = Vec::new();
    while factors.len() < 10 {
        let tenths: Duration = (0..10).map(|_| take(3_000)).sum();
        let whole = take(30_000);
        println!("ten times 3000 callers: {tenths:?}; 30000 callers: {whole:?}");
        let factor = whole.as_secs_f64() / tenths.as_secs_f64();
        if factor < 2.5 {
            return;
        }
        factors.push(factor);
    }
    panic!("never in linear time: {factors:?}");
}
