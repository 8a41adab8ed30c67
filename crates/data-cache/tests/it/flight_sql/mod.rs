//! A Flight SQL server as the engine: the contract of engines, and failures between client and server.

mod differential;
pub(crate) mod failures;
mod foreign;
pub(crate) mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_cache::arrow::array::RecordBatch;
use data_cache::testing::contract::Contract;
use data_cache::{
    Bypass, Cache, CachedEngine, Config, Dialect, Error, FlightSql, FlightSqlConfig, Params, State,
    Status, Warehouse, cached_query,
};

use self::server::Server;
use crate::batches::number;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn open(config: FlightSqlConfig) -> FlightSql {
    FlightSql::open(config).unwrap()
}

pub(crate) fn client(server: &Server) -> FlightSql {
    open(FlightSqlConfig::new(server.address()))
}

fn cached(engine: FlightSql) -> (tempfile::TempDir, CachedEngine<FlightSql>) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 16}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    (dir, engine.cached(cache))
}

#[test]
fn duckdb_keeps_the_contract_of_engines() {
    let report = Contract::new(Warehouse::in_memory().unwrap()).run();
    println!("{report}");
    assert_eq!(report.failed().count(), 0, "{report}");
}

#[test]
fn flight_sql_keeps_the_contract_of_engines() {
    let server = Server::start("");
    let report = Contract::new(client(&server)).run();
    println!("{report}");
    assert_eq!(report.failed().count(), 0, "{report}");
    // cancelled queries ended on the server, and prepared statements are closed
    let counts =
        server.wait_until(|counts| counts.running == 0 && counts.closed == counts.prepared);
    assert!(counts.prepared > 80, "{counts:?}");
}

#[test]
fn result_is_cached_only_if_its_query_asks_for_it() {
    let server = Server::start("CREATE TABLE t AS SELECT 1 AS n");
    let (_dir, cached) = cached(client(&server));
    let sql = "SELECT n FROM t";
    for _ in 0..2 {
        let answer = cached.query(sql, Params::new()).blocking().unwrap();
        assert_eq!(answer.status(), Status::Bypass(Bypass::Unclassified));
    }
    let kept = cached.query(sql, Params::new()).keep().blocking().unwrap();
    assert_eq!(kept.status(), Status::Bypass(Bypass::Unclassified));
    let ask = || {
        cached
            .query(sql, Params::new())
            .ttl(MINUTE)
            .blocking()
            .unwrap()
    };
    assert_eq!(ask().status(), Status::Miss);
    assert!(matches!(ask().status(), Status::Hit(_)));
    assert_eq!(server.counts().results, 4);
}

#[cached_query(ttl_seconds = 60, on = cluster)]
async fn counted(cluster: &CachedEngine<FlightSql>) -> Result<Vec<RecordBatch>, Error> {
    let result = cluster.query("SELECT count(*) AS n FROM t", Params::new());
    Ok(result.await?.into_batches())
}

#[tokio::test]
async fn function_on_a_server_is_cached_for_its_time_unless_the_state_is_to_be_asked_for() {
    let server = Server::start("CREATE TABLE t AS SELECT 1 AS n");
    let config = || FlightSqlConfig::new(server.address());
    let with_state = config().state(|sql| {
        assert!(!sql.is_empty(), "a function is no statement");
        None
    });
    for (config, runs) in [(config(), 1), (with_state, 2)] {
        let (_dir, cached) = cached(open(config));
        let before = server.counts().results;
        for _ in 0..2 {
            assert_eq!(number(&counted(&cached).await.unwrap()), 1);
        }
        assert_eq!(server.counts().results - before, runs);
    }
}

#[test]
fn state_of_the_caller_says_when_a_result_is_old() {
    let server = Server::start("CREATE TABLE t AS SELECT 1 AS n");
    let version = Arc::new(AtomicU64::new(1));
    let seen = version.clone();
    let config = FlightSqlConfig::new(server.address()).state(move |sql| {
        assert!(!sql.contains("panics"), "a state function that panics");
        let token = seen.load(Ordering::Relaxed).to_string();
        let tables = vec!["t".to_owned()];
        (!sql.contains("unknown")).then_some(State { token, tables })
    });
    let (_dir, cached) = cached(open(config));
    let ask = |sql: &str| {
        cached
            .query(sql, Params::new())
            .ttl(MINUTE)
            .blocking()
            .unwrap()
    };
    let sql = "SELECT n FROM t";
    assert_eq!(ask(sql).status(), Status::Miss);
    assert!(matches!(ask(sql).status(), Status::Hit(_)));
    server.execute("UPDATE t SET n = 2");
    version.store(2, Ordering::Relaxed);
    let answer = ask(sql);
    assert_eq!(answer.status(), Status::Miss);
    assert_eq!(crate::differential::shown(answer.batches())[1], "2");
    assert_eq!(cached.cache().invalidate_table("t").unwrap(), 2);
    for sql in ["SELECT n AS unknown FROM t", "SELECT n AS panics FROM t"] {
        for _ in 0..2 {
            assert_eq!(
                ask(sql).status(),
                Status::Bypass(Bypass::UnknownState),
                "{sql}"
            );
        }
    }
}

#[test]
fn result_during_whose_run_the_state_changed_is_not_kept() {
    let server = Server::start("");
    let version = Arc::new(AtomicU64::new(0));
    // a different state at each call
    let config = FlightSqlConfig::new(server.address()).state(move |_| {
        let token = version.fetch_add(1, Ordering::Relaxed).to_string();
        Some(State {
            token,
            tables: Vec::new(),
        })
    });
    let (_dir, cached) = cached(open(config));
    for _ in 0..2 {
        let answer = cached
            .query("SELECT 1 AS n", Params::new())
            .ttl(MINUTE)
            .blocking();
        assert_eq!(answer.unwrap().status(), Status::Miss);
    }
    assert_eq!(cached.cache().get_stats().entries, 0);
}

#[test]
fn spellings_share_a_result_only_where_the_dialect_is_known() {
    let server = Server::start("");
    // a backslash: some dialects read it as an escape
    let spellings = ["SELECT '\\' AS a", "SELECT  '\\'  AS a"];
    for (dialect, expected) in [(Dialect::Unknown, 2), (Dialect::DuckDb, 1)] {
        let config = FlightSqlConfig::new(server.address()).dialect(dialect);
        let (_dir, cached) = cached(open(config));
        for sql in spellings {
            cached
                .query(sql, Params::new())
                .ttl(MINUTE)
                .blocking()
                .unwrap();
        }
        assert_eq!(cached.cache().get_stats().entries, expected, "{dialect:?}");
    }
}

#[test]
fn results_of_one_principal_are_not_served_to_another() {
    let server = Server::start("");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let token = || Ok("same".to_owned());
    let address = server.address();
    let configs = [
        FlightSqlConfig::new(&address),
        FlightSqlConfig::new(&address).bearer("a", token),
        FlightSqlConfig::new(&address).bearer("b", token),
        FlightSqlConfig::new(&address)
            .bearer("b", token)
            .header("database", "x"),
        FlightSqlConfig::new(&address).basic("b", token),
    ];
    for config in configs {
        let debug = format!("{config:?}");
        assert!(!debug.contains("same"), "{debug}");
        let named = config.clone();
        server.set(server::Faults {
            // user b, password "same"
            password: Some("YjpzYW1l".to_owned()),
            ..server::Faults::default()
        });
        let cached = open(config).cached(cache.clone());
        let ask = || {
            cached
                .query("SELECT 1 AS n", Params::new())
                .ttl(MINUTE)
                .blocking()
        };
        assert_eq!(ask().unwrap().status(), Status::Miss, "{named:?}");
        assert!(
            matches!(ask().unwrap().status(), Status::Hit(_)),
            "{named:?}"
        );
    }
}

#[test]
fn named_parameters_find_their_place_where_the_server_names_them() {
    let server = Server::start("");
    let client = client(&server);
    let sql = "SELECT $b::INT - $a::INT AS n";
    let found = client
        .query(sql, &data_cache::params! { a: 1, b: 10 })
        .unwrap();
    assert_eq!(crate::differential::shown(&found)[1], "9");
    let error = client
        .query(sql, &data_cache::params! { a: 1, c: 10 })
        .unwrap_err();
    assert!(
        error.to_string().contains("no value for parameter"),
        "{error}"
    );
    assert_eq!(error.kind(), data_cache::ErrorKind::Input);
}

#[test]
fn client_can_be_used_and_dropped_on_a_thread_of_another_runtime() {
    let server = Server::start("");
    for multi in [false, true] {
        let mut builder = match multi {
            true => tokio::runtime::Builder::new_multi_thread(),
            false => tokio::runtime::Builder::new_current_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let refused = FlightSqlConfig::new("flight-sql://cluster");
            assert!(FlightSql::open(refused).is_err());
            let client = client(&server);
            assert!(client.query("SELECT 1 AS n", &Params::new()).is_ok());
            let (_dir, cached) = cached(client);
            assert!(cached.query("SELECT 1 AS n", Params::new()).await.is_ok());
        });
    }
}

#[test]
fn address_that_is_none_is_refused_with_what_is_accepted() {
    for (address, what) in [
        ("cluster:32010", "missing scheme"),
        ("postgres://cluster:32010", "scheme"),
        ("flight-sql://cluster", "port"),
        ("flight-sql://cluster:0", "port"),
        ("flight-sql://:32010", "host"),
        ("flight-sql://cluster:32010/db", "path"),
        ("flight-sql://me:secret@cluster:32010", "contains a user"),
        ("flight-sql://cluster:32010/?token=secret", "path"),
    ] {
        let error = FlightSql::open(FlightSqlConfig::new(address)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(what) && text.contains("flight-sql://HOST:PORT"),
            "{address}: {text}"
        );
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(error.kind(), data_cache::ErrorKind::Input);
    }
    let config = FlightSqlConfig::new("flight-sql://cluster:1").certificate_authority("x");
    assert!(
        FlightSql::open(config)
            .unwrap_err()
            .to_string()
            .contains("TLS")
    );
    let config = FlightSqlConfig::new("flight-sql+tls://cluster:1").certificate_authority("x");
    assert!(
        FlightSql::open(config)
            .unwrap_err()
            .to_string()
            .contains("PEM")
    );
    let config = FlightSqlConfig::new("flight-sql://cluster:1").header("bad name", "x");
    assert!(
        FlightSql::open(config)
            .unwrap_err()
            .to_string()
            .contains("header")
    );
}
