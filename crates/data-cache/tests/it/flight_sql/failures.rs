//! Faults between client and server: a clear error, and no incomplete result is cached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use data_cache::{Error, ErrorKind, FlightSqlConfig, Params, QueryResult, Status};
use tonic::Code;

use super::server::{Faults, Server};
use super::{MINUTE, cached, client, open};
use crate::child::Process;

/// A million rows of 100 bytes and more.
const LARGE: &str = "SELECT range AS n, repeat('x', 100) AS s FROM range(1000000)";
const LIMIT_BYTES: usize = 64 << 20;
/// Runs for minutes.
const SLOW: &str = "SELECT sum(a.range * b.range % 7) AS s FROM range(1000000) a, range(1000000) b";

type Cached = data_cache::CachedEngine<data_cache::FlightSql>;

fn ask(cached: &Cached, sql: &str) -> Result<QueryResult, Error> {
    cached.query(sql, Params::new()).ttl(MINUTE).blocking()
}

/// Asserts that a query fails with these words, and leaves nothing in the cache.
fn fails(cached: &Cached, sql: &str, words: &[&str]) -> String {
    let error = ask(cached, sql)
        .map(|found| found.status())
        .unwrap_err()
        .to_string();
    println!("{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(cached.cache().get_stats().entries, 0, "{error}");
    error
}

/// Queries a server in another process, and kills the server once it is working.
fn killed(role: &str, sql: &str) -> (tempfile::TempDir, Cached) {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(role, dir.path());
    let address = process.wait_for("at ").unwrap();
    let (cache_dir, cached) = cached(open(FlightSqlConfig::new(address).retries(1)));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&cached, sql));
        process.wait_for("at work").unwrap();
        process.kill();
        let error = asked.join().unwrap().unwrap_err().to_string();
        println!("{error}");
        assert!(
            error.contains("no connection to the Flight SQL server"),
            "{error}"
        );
    });
    assert_eq!(cached.cache().get_stats().entries, 0);
    (cache_dir, cached)
}

#[test]
fn killed_server_is_an_error_and_nothing_is_cached() {
    let (_dir, cached) = killed("flight-sql slow", SLOW);
    // the server stays away
    fails(
        &cached,
        "SELECT 1 AS n",
        &["no connection", "tried 2 times"],
    );
}

#[test]
fn server_killed_in_the_middle_of_a_result_is_an_error_and_nothing_is_cached() {
    let _cached = killed("flight-sql hold", LARGE);
}

#[test]
fn result_that_breaks_off_is_not_asked_for_again_and_not_cached() {
    let server = Server::start("");
    let (_dir, cached) = cached(client(&server));
    server.set(Faults {
        break_after: Some(3),
        ..Faults::default()
    });
    let error = fails(&cached, LARGE, &["connection reset by peer"]);
    assert!(!error.contains("tried"), "{error}");
    assert_eq!(server.counts().results, 1);
    server.set(Faults {
        no_trailers: true,
        ..Faults::default()
    });
    fails(&cached, "SELECT 1 AS n", &["missing grpc-status"]);
    server.set(Faults::default());
    assert_eq!(
        ask(&cached, "SELECT 1 AS n").unwrap().status(),
        Status::Miss
    );
}

#[test]
fn only_one_statement_that_reads_is_sent() {
    let server = Server::start("CREATE TABLE t AS SELECT 1 AS n");
    let (_dir, cached) = cached(client(&server));
    for refused in [
        "DELETE FROM t",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM t",
        r"SELECT 'it\'s'; DELETE FROM t",
        "WITH a AS (SELECT U&'x') DELETE FROM t",
        r"WITH a AS (SELECT 'it\'s' AS x) DELETE FROM t WHERE n = 'y'",
        "EXPLAIN ANALYZE `DELETE` FROM t; DELETE FROM t",
    ] {
        let error = ask(&cached, refused).unwrap_err();
        assert_eq!(error.kind(), data_cache::ErrorKind::Input, "{refused}");
    }
    assert_eq!(server.counts().infos, 0);
    for read in [
        "SELECT ';' AS a; ",
        "WITH a AS (SELECT 1 AS n) SELECT 'DELETE' AS b FROM a",
    ] {
        assert_eq!(ask(&cached, read).unwrap().status(), Status::Miss, "{read}");
    }
}

#[test]
fn server_that_is_not_available_is_asked_again() {
    let server = Server::start("");
    let (_dir, cached) = cached(client(&server));
    server.set(Faults {
        unavailable: 2,
        ..Faults::default()
    });
    assert_eq!(
        ask(&cached, "SELECT 1 AS n").unwrap().status(),
        Status::Miss
    );
    assert_eq!(server.counts().results, 3);
    server.set(Faults {
        unavailable: 9,
        ..Faults::default()
    });
    let error = ask(&cached, "SELECT 2 AS n").unwrap_err().to_string();
    assert!(
        error.contains("the node is restarting (tried 3 times)"),
        "{error}"
    );
    assert!(
        error.starts_with("the Flight SQL server is not available"),
        "{error}"
    );
    assert_eq!(server.counts().results, 6);
    // each attempt prepares a new statement, and all of them are closed
    server.set(Faults {
        unavailable: 2,
        ..Faults::default()
    });
    let bound = cached
        .engine()
        .query("SELECT $1::INT AS n", &Params::positional([1]));
    assert!(bound.is_ok(), "{bound:?}");
    assert_eq!(server.counts().prepared, 3);
    server.wait_until(|counts| counts.closed == counts.prepared);
    // an error of the server is not retried
    server.set(Faults::default());
    let before = server.counts().infos;
    let error = ask(&cached, "SELECT nothing").unwrap_err().to_string();
    assert!(
        error.contains("nothing") && !error.contains("tried"),
        "{error}"
    );
    assert_eq!(server.counts().infos, before + 1);
}

#[test]
fn server_that_gives_up_is_asked_once_and_may_answer_later() {
    let server = Server::start("");
    let (_dir, cached) = cached(client(&server));
    let (deadline, full) = (Code::DeadlineExceeded, Code::ResourceExhausted);
    for (code, asked) in [(deadline, 1), (full, 2)] {
        server.set(Faults {
            failure: Some(code),
            ..Faults::default()
        });
        let error = ask(&cached, "SELECT 1 AS n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let message = error.to_string();
        assert!(message.contains("the queue is full"), "{message}");
        assert!(!message.contains("tried"), "{message}");
        assert_eq!(server.counts().results, asked);
    }
    server.set(Faults {
        failure: Some(Code::Internal),
        ..Faults::default()
    });
    let error = ask(&cached, "SELECT 1 AS n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
    server.set(Faults::default());
    let found = ask(&cached, "SELECT 1 AS n").unwrap();
    assert_eq!(found.status(), Status::Miss);
}

#[test]
fn long_message_of_the_server_is_its_own_and_no_lost_connection() {
    let server = Server::start("");
    let (_dir, cached) = cached(client(&server));
    // Java servers put the whole stack trace into the error
    let sql = format!("SELECT no_column_{}", "x".repeat(100_000));
    let error = ask(&cached, &sql).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Engine, "{message}");
    assert!(message.contains("no_column_x"), "{message}");
    assert!(!message.contains("tried"), "{message}");
    assert_eq!(server.counts().infos, 1);
    assert!(ask(&cached, "SELECT 1 AS n").is_ok());
}

#[test]
fn server_that_is_back_at_its_address_is_asked_again() {
    // its own address, so that no other process takes the port meanwhile
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let own = ([127, 82, high, low.max(1)], 0);
    let server = Server::start_at("", own.into());
    let (_dir, cached) = cached(open(FlightSqlConfig::new(server.address()).retries(0)));
    assert!(ask(&cached, "SELECT 1 AS n").is_ok());
    let address = server.socket();
    drop(server);
    let begun = Instant::now();
    while let Ok(found) = ask(&cached, "SELECT now() AS n") {
        // the server ends in the background
        assert_eq!(found.status(), Status::Miss);
        cached.cache().clear().unwrap();
        assert!(begun.elapsed() < MINUTE);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let error = ask(&cached, "SELECT 2 AS n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let _server = Server::start_at("", address);
    assert!(ask(&cached, "SELECT 2 AS n").is_ok());
}

#[test]
fn expired_token_has_the_caller_asked_again() {
    let server = Server::start("");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    // a different token each time
    let config = FlightSqlConfig::new(server.address()).bearer("reporting", move || {
        Ok(format!(
            "token-{}\n",
            counted.fetch_add(1, Ordering::Relaxed)
        ))
    });
    let accept = |token: &str| {
        server.set(Faults {
            token: Some(token.to_owned()),
            ..Faults::default()
        })
    };
    accept("token-0");
    let (_dir, cached) = cached(open(config));
    let run = |number: usize| {
        cached
            .engine()
            .query(&format!("SELECT {number} AS n"), &Params::new())
    };
    assert!(run(0).is_ok() && run(1).is_ok());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    accept("token-1");
    assert!(run(2).is_ok());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    // also with parameters
    accept("token-2");
    let bound = cached
        .engine()
        .query("SELECT $1::INT AS n", &Params::positional([1]));
    assert!(bound.is_ok(), "{bound:?}");
    server.wait_until(|counts| counts.closed == counts.prepared);
    // called once more, and not again
    accept("never");
    let refused = server.counts().refused;
    let error = fails(
        &cached,
        "SELECT 3 AS n",
        &["rejected the login", "token expired: Bearer ***"],
    );
    assert!(!error.contains("token-"), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert_eq!(server.counts().refused, refused + 2);
}

#[test]
fn token_is_taken_out_of_what_the_server_says_however_long_it_is() {
    let server = Server::start("");
    server.set(Faults {
        token: Some("never".to_owned()),
        ..Faults::default()
    });
    let token = "eyJhbGciOi".repeat(200);
    let config =
        FlightSqlConfig::new(server.address()).bearer("reporting", move || Ok(token.clone()));
    let (_dir, cached) = cached(open(config));
    let error = fails(&cached, "SELECT 1 AS n", &["token expired: Bearer ***"]);
    assert!(!error.contains("eyJ"), "{error}");
}

#[test]
fn one_refusal_of_many_queries_has_the_caller_asked_once() {
    let server = Server::start("");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let config = FlightSqlConfig::new(server.address()).bearer("reporting", move || {
        Ok(format!("token-{}", counted.fetch_add(1, Ordering::Relaxed)))
    });
    let client = open(config);
    let accept = |token: &str| {
        server.set(Faults {
            token: Some(token.to_owned()),
            ..Faults::default()
        })
    };
    accept("token-0");
    client.query("SELECT 1 AS n", &Params::new()).unwrap();
    accept("token-1");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.query("SELECT 1 AS n", &Params::new()).unwrap());
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn basic_login_takes_the_token_of_the_handshake_and_repeats_it_when_it_expired() {
    let server = Server::start("");
    let rotated = Arc::new(AtomicBool::new(false));
    let read = rotated.clone();
    let config = FlightSqlConfig::new(server.address()).basic("me", move || {
        Ok(if read.load(Ordering::Relaxed) {
            "new"
        } else {
            "old"
        }
        .to_owned())
    });
    let accept = |password: &str, token: &str| {
        server.set(Faults {
            password: Some(password.to_owned()),
            token: Some(token.to_owned()),
            ..Faults::default()
        });
    };
    let client = open(config);
    let run = || client.query("SELECT 1 AS n", &Params::new());
    let refused = || {
        let error = run().unwrap_err().to_string();
        let message = "user or password is wrong: Basic ***";
        assert!(
            error.contains(message) && !error.contains("bWU6"),
            "{error}"
        );
    };
    accept("another", "session-0");
    refused();
    let logins = server.counts().handshakes;
    // me:old
    accept("bWU6b2xk", "session-1");
    assert!(run().is_ok() && run().is_ok());
    assert_eq!(server.counts().handshakes, logins + 1);
    // me:new
    accept("bWU6bmV3", "session-2");
    refused();
    rotated.store(true, Ordering::Relaxed);
    assert!(run().is_ok());
}

#[test]
fn credentials_that_cannot_be_had_are_an_error_of_the_query() {
    let server = Server::start("");
    let address = server.address();
    let panics = FlightSqlConfig::new(&address).bearer("a", || panic!("no secret"));
    let fails_too =
        FlightSqlConfig::new(&address).bearer("a", || Err("the vault is sealed".to_owned()));
    let empty = FlightSqlConfig::new(&address).bearer("a", || Ok(" \n".to_owned()));
    let broken = FlightSqlConfig::new(&address).bearer("a", || Ok("a\nb".to_owned()));
    for (config, words) in [
        (panics, "bearer token panicked"),
        (fails_too, "the vault is sealed"),
        (empty, "bearer token is empty"),
        (broken, "not valid in an HTTP header"),
    ] {
        let (_dir, cached) = cached(open(config));
        fails(&cached, "SELECT 1 AS n", &[words]);
    }
    assert_eq!(server.counts().infos, 0);
}

#[test]
fn cancelled_query_is_stopped_on_the_server() {
    let server = Server::start("");
    let (_dir, cached) = cached(client(&server));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let query = cached.query(SLOW, Params::new()).ttl(MINUTE);
    runtime.block_on(async {
        let asked = tokio::spawn(query.into_future());
        tokio::task::yield_now().await;
        server.wait_until(|counts| counts.running == 1);
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
    });
    let counts = server.wait_until(|counts| counts.running == 0 && counts.cancels == 1);
    assert_eq!(counts.interrupted, 1, "{counts:?}");
    assert_eq!(cached.cache().get_stats().entries, 0);
}

#[test]
fn slow_server_ends_with_the_deadline_and_stops() {
    let server = Server::start("");
    let config = FlightSqlConfig::new(server.address()).deadline(Duration::from_secs(2));
    let (_dir, cached) = cached(open(config));
    let begun = Instant::now();
    fails(
        &cached,
        SLOW,
        &["no complete result", "within 2s", "deadline"],
    );
    assert!(begun.elapsed() < MINUTE);
    server.wait_until(|counts| counts.running == 0 && counts.cancels == 1);
}

#[test]
fn server_that_never_answers_ends_with_the_deadline() {
    // accepts connections, and never responds
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("flight-sql://{}", listener.local_addr().unwrap());
    let config = FlightSqlConfig::new(address).deadline(Duration::from_millis(200));
    let (_dir, cached) = cached(open(config));
    fails(&cached, "SELECT 1 AS n", &["within 200ms"]);
}

#[test]
fn result_over_the_limit_is_an_error_while_it_is_received() {
    let server = Server::start("");
    let config = FlightSqlConfig::new(server.address()).max_result_bytes(LIMIT_BYTES);
    let (_dir, cached) = cached(open(config));
    fails(
        &cached,
        LARGE,
        &["exceeds the limit of 67108864 bytes", "is discarded"],
    );
    let counts = server.wait_until(|counts| counts.running == 0);
    // data in flight: HTTP/2 windows and two batches; the whole result is 116 MB
    println!("{} bytes were sent", counts.batch_bytes);
    assert!(counts.batch_bytes < LIMIT_BYTES + (16 << 20), "{counts:?}");
    // a single larger message is rejected by its length
    let config = FlightSqlConfig::new(server.address()).max_result_bytes(10_000);
    let (_dir, cached) = super::cached(open(config));
    fails(
        &cached,
        "SELECT repeat('x', 1000000) AS s",
        &["exceeds the limit of 10000 bytes"],
    );
    assert!(ask(&cached, "SELECT 1 AS n").is_ok());
}

/// Peak memory of this process so far, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().unwrap() << 10
}

/// Role of a client process whose memory is measured.
pub(crate) fn receive_too_much(dir: &std::path::Path) {
    let address = std::fs::read_to_string(dir.join("address")).unwrap();
    let config = FlightSqlConfig::new(address).max_result_bytes(LIMIT_BYTES);
    let (_dir, cached) = cached(open(config));
    assert!(ask(&cached, "SELECT 1 AS n").is_ok());
    let before = peak_memory();
    let error = ask(&cached, LARGE).unwrap_err().to_string();
    assert!(
        error.contains("exceeds the limit of 67108864 bytes"),
        "{error}"
    );
    println!("grew by {}", peak_memory() - before);
}

#[test]
fn client_takes_little_more_memory_than_its_limit() {
    let server = Server::start("");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("address"), server.address()).unwrap();
    let mut process = Process::start("flight-sql limit", dir.path());
    let grew: usize = process.wait_for("grew by ").unwrap().parse().unwrap();
    process.succeeds();
    println!(
        "1 000 000 rows of 116 MB against a limit of 64 MiB: the client's memory grew by {} MiB at its peak",
        grew >> 20
    );
    // HTTP/2 windows, one message, and memory that the allocator retains
    assert!(grew < LIMIT_BYTES + (32 << 20), "{grew}");
}

#[test]
fn login_is_not_sent_to_another_address_that_the_server_names() {
    let server = Server::start("");
    let place = |uri: &str| {
        server.set(Faults {
            location: Some(uri.to_owned()),
            ..Faults::default()
        })
    };
    let (_dir, cached) = cached(client(&server));
    place("grpc+tcp://other.example.com:32010");
    fails(
        &cached,
        "SELECT 1 AS n",
        &["other.example.com:32010", "ignore_locations"],
    );
    let ignoring = open(FlightSqlConfig::new(server.address()).ignore_locations());
    assert!(ignoring.query("SELECT 1 AS n", &Params::new()).is_ok());
    for here in [
        "arrow-flight-reuse-connection://?",
        &format!("grpc+tcp://127.0.0.1:{}", server.port()),
    ] {
        place(here);
        assert!(
            cached
                .engine()
                .query("SELECT 1 AS n", &Params::new())
                .is_ok(),
            "{here}"
        );
    }
}

#[test]
fn tls_trusts_the_authority_that_is_configured_and_no_other() {
    let key = || rcgen::KeyPair::generate().unwrap();
    let authority = || {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        rcgen::CertifiedIssuer::self_signed(params, key()).unwrap()
    };
    let (ours, other) = (authority(), authority());
    let own = key();
    let names = vec!["cluster.internal".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .unwrap()
        .signed_by(&own, &ours)
        .unwrap();
    let server = Server::start_with("", Some((&certificate.pem(), &own.serialize_pem())));
    let config = |pem: String| {
        FlightSqlConfig::new(format!("flight-sql+tls://127.0.0.1:{}", server.port()))
            .certificate_authority(pem)
            .retries(0)
    };
    let run = |config| open(config).query("SELECT 1 AS n", &Params::new());
    run(config(ours.pem()).server_name("cluster.internal")).unwrap();
    for wrong in [
        config(other.pem()).server_name("cluster.internal"),
        config(ours.pem()).server_name("elsewhere.internal"),
        config(ours.pem()),
    ] {
        let error = run(wrong).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    assert!(
        client(&server)
            .query("SELECT 1 AS n", &Params::new())
            .is_err()
    );
}
