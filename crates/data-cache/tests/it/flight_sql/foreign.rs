//! A third-party server, DataFusion's, in its own process, so that the client is not tested against this crate's test
//! server only. `cargo xtask ci --full` builds `dev/flight-sql-server` and names it in `FLIGHT_SQL_SERVER`; without it,
//! these tests report that they did nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_cache::testing::contract::Contract;
use data_cache::{ErrorKind, FlightSqlConfig, Params, Status, Value, Warehouse};

use super::{MINUTE, cached, open};
use crate::batches::{Random, is_full};
use crate::differential::shown;

/// Rows of the table `flights`.
const ROWS: u32 = 2000;
/// Runs for minutes.
const SLOW: &str = "SELECT sum(a.id * b.id % 7 + c.id) AS s FROM flights a CROSS JOIN flights b CROSS JOIN flights c";

struct Foreign {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    address: String,
    _dir: tempfile::TempDir,
}

impl Foreign {
    /// Serves the table `flights`; accepts only this token, if there is one. `None` if no server was built.
    fn start(token: Option<&str>) -> Option<Self> {
        let Some(program) = std::env::var_os("FLIGHT_SQL_SERVER") else {
            println!("not tested: FLIGHT_SQL_SERVER names no server (cargo xtask ci --full)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("flights.parquet");
        flights()
            .execute_batch(&format!("COPY flights TO '{}'", file.display()))
            .unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("flights={}", file.display()))
            .env_remove("FLIGHT_SQL_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(token) = token {
            command.env("FLIGHT_SQL_TOKEN", token);
        }
        let mut child = command.spawn().unwrap();
        let mut foreign = Self {
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()),
            child,
            address: String::new(),
            _dir: dir,
        };
        foreign.address = foreign.line().strip_prefix("at ").unwrap().to_owned();
        Some(foreign)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn config(&self) -> FlightSqlConfig {
        FlightSqlConfig::new(&self.address)
    }

    fn set_token(&mut self, token: &str) {
        writeln!(self.input, "{token}").unwrap();
        assert_eq!(self.line(), "token taken");
    }

    /// Returns the CPU time of the server in clock ticks.
    fn work(&self) -> u64 {
        let stat = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(Path::new(&stat)).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').collect();
        fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
    }

    /// Waits until it worked for 30 more ticks.
    fn wait_for_work(&self, before: u64) {
        let begun = Instant::now();
        while self.work() < before + 30 {
            std::thread::park_timeout(Duration::from_millis(10));
            assert!(begun.elapsed() < MINUTE, "it does not work");
        }
    }

    /// Waits until it no longer works.
    fn wait_for_rest(&self) {
        let begun = Instant::now();
        let mut before = self.work();
        loop {
            std::thread::park_timeout(Duration::from_millis(200));
            let now = self.work();
            if now <= before + 1 {
                return;
            }
            before = now;
            assert!(begun.elapsed() < MINUTE, "it works on");
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Creates the table in DuckDB.
fn flights() -> Warehouse {
    let warehouse = Warehouse::in_memory().unwrap();
    warehouse
        .execute_batch(&format!(
            "CREATE TABLE flights AS SELECT range::INT AS id, 'A' || (range % 7) AS origin, \
             CASE WHEN range % 11 = 0 THEN NULL ELSE 'A' || (range % 5) END AS dest, \
             (range * 37 % 1000)::BIGINT AS distance, (range % 90 - 10)::DOUBLE / 4 AS delay, \
             DATE '2024-01-01' + (range % 365)::INT AS day FROM range({ROWS})"
        ))
        .unwrap();
    warehouse
}

/// Returns a parameter whose type DataFusion can infer: from the other operand, not from a CAST around it.
fn typed(at: usize, kind: &str) -> String {
    match kind {
        "VARCHAR" => format!("(${at} || '')"),
        kind => format!("(${at} + CAST(0 AS {kind}))"),
    }
}

#[test]
fn foreign_server_keeps_the_contract_of_engines() {
    let Some(foreign) = Foreign::start(None) else {
        return;
    };
    let contract = Contract::new(open(foreign.config()))
        .parameter(typed)
        // DataFusion does not accept parameters whose type it cannot infer from an operand, such as a date
        .leave_out("parameters_keep_their_values");
    let report = contract.run();
    println!("{report}");
    assert_eq!(report.failed().count(), 0, "{report}");
}

#[test]
fn foreign_server_answers_random_queries_as_duckdb_does_directly_and_from_the_cache() {
    let Some(foreign) = Foreign::start(None) else {
        return;
    };
    let count = if is_full() { 2000 } else { 100 };
    let duckdb = flights();
    let (_dir, cached) = cached(open(foreign.config()));
    let mut random = Random(20_261_127);
    let (mut hits, mut differ) = (0, 0);
    for _ in 0..count {
        let (sql, params) = query(&mut random);
        let ask = cached.query(&sql, params.clone()).ttl(MINUTE);
        let found = ask
            .blocking()
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let expected = duckdb.query(&sql, &params).unwrap();
        hits += usize::from(matches!(found.status(), Status::Hit(_)));
        // names and types differ between engines
        if shown(found.batches())[1..] != shown(&expected)[1..] {
            println!("{:?} {sql} {params:?}", found.status());
            differ += 1;
        }
    }
    println!("{count} queries, {hits} from the cache: {differ} differ from DuckDB");
    assert_eq!(differ, 0);
    assert!(hits * 10 > count, "{hits} hits");
}

/// Returns a query that both engines read alike.
fn query(random: &mut Random) -> (String, Params) {
    let columns = ["id", "origin", "dest", "distance", "delay", "day"];
    let (params, wanted) = match random.below(4) {
        0 => (Params::new(), "1 = 1"),
        1 => (
            Params::positional([format!("A{}", random.below(4))]),
            "origin = $1",
        ),
        2 => {
            let least = i64::try_from(random.below(3) * 400).unwrap();
            (Params::positional([least]), "distance >= $1")
        }
        _ => {
            let bound = [Value::Date(19_730), Value::Double(random.below(3) as f64)];
            (Params::positional(bound), "day > $1 AND delay < $2")
        }
    };
    let column = columns[random.below(6)];
    let sql = match random.below(3) {
        0 => format!(
            "SELECT origin, count(*) AS n, min({column}) AS low, max({column}) AS high FROM flights WHERE {wanted} GROUP BY origin ORDER BY origin"
        ),
        1 => format!(
            "SELECT count(*) AS n, sum(distance) AS far, avg(delay) AS late, count(dest) AS known FROM flights WHERE {wanted}"
        ),
        _ => format!(
            "SELECT id, {column} AS c, distance * 2 AS twice FROM flights WHERE {wanted} ORDER BY id LIMIT {}",
            random.below(4) * 50
        ),
    };
    (sql, params)
}

#[test]
fn foreign_server_is_given_a_new_token_when_it_refuses_the_old_one() {
    let Some(mut foreign) = Foreign::start(Some("one")) else {
        return;
    };
    let asked = |client: &data_cache::FlightSql| {
        let plain = client.query("SELECT 1 AS n", &Params::new())?;
        client.query("SELECT $1 + 1 AS n", &Params::positional([1]))?;
        Ok::<_, data_cache::Error>(plain)
    };
    let token = Arc::new(Mutex::new("one".to_owned()));
    let given = token.clone();
    let client = open(
        foreign
            .config()
            .bearer("tests", move || Ok(given.lock().unwrap().clone())),
    );
    asked(&client).unwrap();
    foreign.set_token("two");
    let refused = asked(&client).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let words = "rejected the login";
    assert!(refused.to_string().contains(words), "{refused}");
    "two".clone_into(&mut token.lock().unwrap());
    asked(&client).unwrap();
    // a server without a handshake accepts no password, and an error reports it
    for config in [
        foreign.config(),
        foreign.config().basic("me", || Ok("two".to_owned())),
    ] {
        let error = asked(&open(config)).unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn foreign_server_stops_what_nobody_waits_for() {
    let Some(foreign) = Foreign::start(None) else {
        return;
    };
    let (_dir, cached) = cached(open(foreign.config()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let before = foreign.work();
    let query = cached.query(SLOW, Params::new()).ttl(MINUTE);
    runtime.block_on(async {
        let asked = tokio::spawn(query.into_future());
        tokio::task::yield_now().await;
        foreign.wait_for_work(before);
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
    });
    foreign.wait_for_rest();
    println!("cancelled after {} ticks of work", foreign.work() - before);
    // the same through the deadline
    let client = open(foreign.config().deadline(Duration::from_millis(500)));
    let late = client.query(SLOW, &Params::new()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    assert!(late.to_string().contains("within 500ms"), "{late}");
    foreign.wait_for_rest();
    assert!(client.query("SELECT 1 AS n", &Params::new()).is_ok());
}

#[test]
fn foreign_server_that_is_killed_is_an_error_and_nothing_is_cached() {
    let Some(mut foreign) = Foreign::start(None) else {
        return;
    };
    let (_dir, cached) = cached(open(foreign.config().retries(1)));
    let before = foreign.work();
    let query = || cached.query(SLOW, Params::new()).ttl(MINUTE).blocking();
    std::thread::scope(|scope| {
        let asked = scope.spawn(query);
        foreign.wait_for_work(before);
        foreign.child.kill().unwrap();
        let error = asked.join().unwrap().unwrap_err();
        println!("{error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    });
    let error = query().unwrap_err().to_string();
    assert!(error.contains("tried 2 times"), "{error}");
    assert_eq!(cached.cache().get_stats().entries, 0);
}

#[test]
fn foreign_result_over_the_limit_is_an_error_while_it_is_received() {
    let Some(foreign) = Foreign::start(None) else {
        return;
    };
    let large =
        "SELECT a.id AS n, repeat('x', 100) AS s FROM flights a CROSS JOIN flights b LIMIT 1000000";
    let (_dir, cached) = cached(open(foreign.config().max_result_bytes(64 << 20)));
    let error = cached.query(large, Params::new()).ttl(MINUTE).blocking();
    let error = error.map(|found| found.status()).unwrap_err().to_string();
    assert!(
        error.contains("exceeds the limit of 67108864 bytes"),
        "{error}"
    );
    assert_eq!(cached.cache().get_stats().entries, 0);
    let whole = open(foreign.config()).query(large, &Params::new()).unwrap();
    let rows: usize = whole.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, 1_000_000);
}
