use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ops_secrets::{ErrorKind, SecretSource};

use crate::{Bench, TOKEN_PATH, wait_until};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn bench_with(value: &str) -> Bench {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, value);
    assert_eq!(bench.token().unwrap().expose(), value);
    bench
}

fn read(bench: &Bench, ttl: u64) -> String {
    bench
        .secrets
        .get("mapbox_token")
        .ttl(seconds(ttl))
        .blocking()
        .unwrap()
        .expose()
        .to_owned()
}

#[test]
fn a_time_to_live_is_judged_by_the_caller_who_reads() {
    let bench = bench_with("first-value");
    bench.ssm.set(TOKEN_PATH, "second-value");
    bench.clock.advance(seconds(350));
    assert_eq!(read(&bench, 600), "first-value");
    assert_eq!(read(&bench, 100), "second-value");
    assert_eq!(bench.ssm.calls().len(), 2);
}

#[test]
fn a_time_to_live_of_zero_asks_again_and_refills() {
    let bench = bench_with("first-value");
    bench.ssm.set(TOKEN_PATH, "second-value");
    assert_eq!(read(&bench, 0), "second-value");
    assert_eq!(read(&bench, 300), "second-value");
    assert_eq!(bench.ssm.calls().len(), 2);
}

#[test]
fn without_a_time_to_live_a_value_lasts_at_most_300_seconds() {
    let bench = bench_with("first-value");
    bench.clock.advance(seconds(200));
    bench.token().unwrap();
    assert_eq!(bench.ssm.calls().len(), 1);
    bench.clock.advance(seconds(101));
    bench.token().unwrap();
    assert_eq!(bench.ssm.calls().len(), 2);
}

#[test]
fn a_hit_near_the_end_of_life_answers_at_once_and_refreshes_behind() {
    let bench = bench_with("first-value");
    bench.ssm.set(TOKEN_PATH, "second-value");
    bench.ssm.hold();
    bench.clock.advance(seconds(265));
    assert_eq!(read(&bench, 300), "first-value");
    bench.ssm.release();
    wait_until(|| read(&bench, 300) == "second-value");
    assert_eq!(bench.ssm.calls().len(), 2);
    assert_eq!(bench.secrets.stats().refreshes, 1);
}

#[test]
fn a_failing_source_is_bridged_by_the_last_value_for_an_hour_past_its_life() {
    for kind in [
        ErrorKind::Throttled,
        ErrorKind::Transient,
        ErrorKind::Unavailable,
    ] {
        let bench = bench_with("last-good-one");
        bench.ssm.fail(TOKEN_PATH, kind);
        bench.clock.advance(seconds(301));
        assert_eq!(read(&bench, 300), "last-good-one");
        bench.clock.advance(seconds(3598));
        assert_eq!(read(&bench, 300), "last-good-one");
        bench.clock.advance(seconds(120));
        let error = bench
            .secrets
            .get("mapbox_token")
            .or("d")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(bench.secrets.stats().stale_served, 2);
    }
}

#[test]
fn a_denial_takes_effect_at_once() {
    let bench = bench_with("revoked-value");
    bench.ssm.fail(TOKEN_PATH, ErrorKind::AccessDenied);
    bench.clock.advance(seconds(301));
    assert_eq!(bench.token().unwrap_err().kind(), ErrorKind::AccessDenied);
    bench.ssm.fail(TOKEN_PATH, ErrorKind::Transient);
    bench.clock.advance(seconds(10));
    assert_eq!(bench.token().unwrap_err().kind(), ErrorKind::Transient);
}

#[test]
fn attempts_after_failures_are_one_two_four_seconds_apart() {
    let bench = Bench::new(|config| config);
    bench.ssm.fail(TOKEN_PATH, ErrorKind::Throttled);
    let mut attempts_at = Vec::new();
    for second in 0..=8 {
        let before = bench.ssm.calls().len();
        assert_eq!(bench.token().unwrap_err().kind(), ErrorKind::Throttled);
        if bench.ssm.calls().len() > before {
            attempts_at.push(second);
        }
        bench.clock.advance(seconds(1));
    }
    assert_eq!(attempts_at, [0, 1, 3, 7]);
}

#[test]
fn absence_is_remembered_for_thirty_seconds() {
    let bench = Bench::new(|config| config);
    for _ in 0..3 {
        assert!(
            bench
                .secrets
                .get("mapbox_token")
                .optional_blocking()
                .unwrap()
                .is_none()
        );
    }
    assert_eq!(bench.ssm.calls().len(), 1);
    bench.ssm.set(TOKEN_PATH, "there-now");
    bench.clock.advance(seconds(31));
    assert_eq!(read(&bench, 300), "there-now");
}

#[test]
fn an_invalidated_value_is_asked_for_again() {
    let bench = bench_with("first-value");
    bench.ssm.set(TOKEN_PATH, "second-value");
    assert!(bench.secrets.invalidate("mapbox_token"));
    assert_eq!(read(&bench, 300), "second-value");
}

#[test]
fn sixty_four_threads_on_one_cold_secret_cause_one_lookup() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "shared-value");
    bench.ssm.hold();
    std::thread::scope(|scope| {
        let read = || bench.token().unwrap().expose().to_owned();
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(read)).collect();
        wait_until(|| bench.secrets.waiting("mapbox_token") == 64);
        bench.ssm.release();
        assert!(
            threads
                .into_iter()
                .all(|thread| thread.join().unwrap() == "shared-value")
        );
    });
    assert_eq!(bench.ssm.calls().len(), 1);
}

#[test]
fn fifty_cold_secrets_take_the_time_of_a_few_round_trips() {
    crate::assert_within(Duration::from_millis(80), fifty_cold_secrets);
}

fn fifty_cold_secrets() -> Duration {
    let lines = (0..50)
        .map(|n| format!("  s{n}: {{aws_path: /a/s{n}}}\n"))
        .collect::<String>();
    let bench = Bench::new(|config| config.catalog_text(format!("secrets:\n{lines}")));
    for n in 0..50 {
        let (source, name) = if n % 2 == 0 {
            (&bench.ssm, format!("/a/s{n}"))
        } else {
            (&bench.sm, format!("a/s{n}"))
        };
        source.set(&name, "value-of-many");
    }
    bench.ssm.set_latency(Duration::from_millis(20));
    bench.sm.set_latency(Duration::from_millis(20));
    let start = Instant::now();
    let report = bench.secrets.validate_blocking().unwrap();
    let took = start.elapsed();
    let found = |secret: &ops_secrets::SecretReport| secret.present && !secret.not_asked_yet;
    assert!(report.secrets.iter().all(found), "{report}");
    assert_eq!((bench.ssm.calls().len(), bench.sm.calls().len()), (1, 1));
    took
}

#[test]
fn a_source_that_never_answers_costs_the_deadline() {
    let bench = Bench::new(|config| config.deadline(Duration::from_millis(50)));
    bench.ssm.hold();
    assert_eq!(
        bench
            .secrets
            .get("mapbox_token")
            .or("d")
            .blocking()
            .unwrap_err()
            .kind(),
        ErrorKind::Transient
    );
}

#[test]
fn the_same_call_works_without_tokio_and_on_both_of_its_runtimes() {
    let ask = |bench: &Bench| bench.token().unwrap().source();
    let fresh = || {
        let bench = Bench::new(|config| config);
        bench.ssm.set(TOKEN_PATH, "value");
        bench
    };
    assert_eq!(ask(&fresh()), SecretSource::AwsSsm);
    for mut builder in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        let runtime = builder.build().unwrap();
        let (awaited, blocked) = (fresh(), fresh());
        runtime.block_on(async {
            assert_eq!(
                awaited.secrets.get("mapbox_token").await.unwrap().source(),
                SecretSource::AwsSsm
            );
            assert_eq!(ask(&blocked), SecretSource::AwsSsm);
        });
    }
}

#[test]
fn a_blocking_call_on_a_worker_leaves_the_other_tasks_running() {
    let bench = Bench::new(|config| config.deadline(seconds(60)));
    bench.ssm.set(TOKEN_PATH, "value");
    bench.ssm.hold();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (secrets, ssm) = (bench.secrets.clone(), bench.ssm.clone());
    let waiting = secrets.clone();
    let start = Instant::now();
    runtime.block_on(async {
        let blocked = tokio::spawn(async move { waiting.get("mapbox_token").blocking().unwrap() });
        // runs on the only worker, and only if the blocked task has left it
        let releasing = tokio::spawn(async move {
            while secrets.waiting("mapbox_token") == 0 {
                tokio::task::yield_now().await;
            }
            ssm.release();
        });
        releasing.await.unwrap();
        assert_eq!(blocked.await.unwrap().expose(), "value");
    });
    assert!(start.elapsed() < seconds(50), "{:?}", start.elapsed());
}

#[test]
fn a_blocking_call_inside_a_local_set_still_answers() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "value");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let secrets = bench.secrets.clone();
    let asked = local.block_on(&runtime, async {
        let task = tokio::task::spawn_local(async move { secrets.get("mapbox_token").blocking() });
        task.await.unwrap()
    });
    assert_eq!(asked.unwrap().expose(), "value");
}

#[test]
fn every_form_gives_the_same_answer_on_every_runtime() {
    for mut builder in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        let bench = bench_with("value");
        let secrets = &bench.secrets;
        builder.build().unwrap().block_on(async {
            assert_eq!(secrets.get("mapbox_token").await.unwrap().expose(), "value");
            assert!(
                secrets
                    .get("mapbox_token")
                    .optional()
                    .await
                    .unwrap()
                    .is_some()
            );
            let source = secrets.get("mapbox_token").source().await.unwrap();
            assert_eq!(source, SecretSource::AwsSsm);
            assert_eq!(
                secrets.get("mapbox_token").source_blocking().unwrap(),
                source
            );
            assert_eq!(secrets.validate().await.unwrap().secrets.len(), 2);
            assert_eq!(secrets.validate_blocking().unwrap().secrets.len(), 2);
        });
    }
}

#[test]
fn a_listener_may_ask_for_secrets_itself() {
    let bench = Bench::new(|config| config.environment([("OTHER_TOKEN", "other-value")]));
    bench.ssm.set(TOKEN_PATH, "first-value");
    let secrets = bench.secrets.clone();
    bench.secrets.on_resolved(move |_| {
        secrets.get("OTHER_TOKEN").blocking().unwrap();
    });
    assert_eq!(read(&bench, 300), "first-value");
}

#[test]
fn hits_misses_refreshes_and_answers_are_counted() {
    let bench = bench_with("value");
    for _ in 0..3 {
        bench.token().unwrap();
    }
    bench.secrets.get("nowhere").optional_blocking().unwrap();
    let stats = bench.secrets.stats();
    let answers = |source| {
        stats
            .by_source
            .iter()
            .find(|(of, _)| *of == source)
            .unwrap()
            .1
    };
    assert_eq!(
        (stats.cache_hits, stats.cache_misses, stats.ssm_lookups),
        (3, 1, 1)
    );
    assert_eq!(answers(SecretSource::AwsSsm), 4);
    assert_eq!(answers(SecretSource::Missing), 1);
}

#[test]
fn answers_are_counted_and_never_older_than_an_invalidation_whoever_asks_at_the_same_time() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2000;
    let bench = bench_with("0");
    let read = || {
        let secret = bench.token().unwrap();
        secret.expose().parse::<u64>().unwrap()
    };
    let newest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let known = newest.load(Ordering::SeqCst);
                    let seen = read();
                    assert!(seen >= known, "{seen} after {known} was announced");
                }
            });
        }
        for value in 1..=50 {
            bench.ssm.set(TOKEN_PATH, &value.to_string());
            bench.secrets.invalidate("mapbox_token");
            newest.store(value, Ordering::SeqCst);
            assert_eq!(read(), value);
        }
    });
    let stats = bench.secrets.stats();
    let answers: u64 = stats.by_source.iter().map(|(_, answers)| answers).sum();
    assert_eq!(answers, THREADS * EACH + 50 + 1);
    assert_eq!(stats.cache_hits + stats.cache_misses, answers);
}

#[test]
fn a_caller_that_goes_away_does_not_cancel_the_lookup() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "value");
    bench.ssm.hold();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let gone = runtime.block_on(async {
        tokio::time::timeout(Duration::from_millis(5), async {
            bench.secrets.get("mapbox_token").await
        })
        .await
    });
    assert!(gone.is_err());
    bench.ssm.release();
    assert_eq!(read(&bench, 300), "value");
    assert_eq!(bench.ssm.calls().len(), 1);
}
