//! Random queries through a cache and directly, while the data changes: the results never differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_cache::{FlightSqlConfig, Params, State, Status, Value};

use super::server::Server;
use super::{MINUTE, cached, open};
use crate::batches::{Random, is_full};
use crate::differential::shown;

const SETUP: &str = "CREATE TABLE flights AS SELECT range::INT AS id, 'A' || (range % 7) AS origin, \
    CASE WHEN range % 11 = 0 THEN NULL ELSE 'A' || (range % 5) END AS dest, (range * 37 % 1000)::BIGINT AS distance, \
    (range % 90 - 10)::DOUBLE / 3 AS delay, DATE '2024-01-01' + (range % 365)::INT AS day FROM range(2000); \
    CREATE TABLE airports AS SELECT 'A' || range AS code, 'Airport  ' || range AS name FROM range(6)";
const WRITES: &[&str] = &[
    "UPDATE flights SET delay = delay + 1 WHERE id % 3 = 0",
    "INSERT INTO flights SELECT max(id) + 1, 'A1', NULL, 5, 0.5, DATE '2024-02-29' FROM flights",
    "DELETE FROM flights WHERE id % 97 = 5",
    "UPDATE airports SET name = name || '!' WHERE code = 'A2'",
];

/// Returns a query with its parameters: of so few shapes and values that many are repeated.
fn query(random: &mut Random) -> (String, Params) {
    let columns = ["id", "origin", "dest", "distance", "delay", "day"];
    let grouped = ["origin", "dest", "day"];
    let (params, wanted) = match random.below(5) {
        0 => (Params::new(), "TRUE"),
        1 => (
            Params::positional([format!("A{}", random.below(4))]),
            "origin = $1",
        ),
        2 => {
            let bound = Params::positional([i64::try_from(random.below(3) * 400).unwrap()]);
            (bound, "distance >= $1")
        }
        3 => {
            let dest = [Value::Null, Value::from("A1"), Value::from("A'1")];
            (
                Params::positional([dest[random.below(3)].clone()]),
                "dest IS NOT DISTINCT FROM $1",
            )
        }
        _ => {
            let bound = [Value::Date(19_730), Value::Double(random.below(3) as f64)];
            (Params::positional(bound), "day > $1 AND delay < $2")
        }
    };
    let sql = match random.below(4) {
        0 => {
            let (by, of) = (grouped[random.below(3)], columns[random.below(6)]);
            format!(
                "SELECT {by}, count(*) AS n, min({of}) AS low, max({of}) AS high FROM flights WHERE {wanted} GROUP BY {by} ORDER BY ALL"
            )
        }
        1 => format!("SELECT count(*) AS n, sum(distance) AS far FROM flights WHERE {wanted}"),
        2 => format!(
            "SELECT f.id, a.name, {} FROM flights AS f LEFT JOIN airports AS a ON a.code = f.dest WHERE {wanted} ORDER BY ALL LIMIT {}",
            columns[random.below(6)],
            random.below(4) * 7
        ),
        _ => format!(
            "SELECT {} FROM flights WHERE {wanted} ORDER BY ALL",
            columns[random.below(6)]
        ),
    };
    (sql, params)
}

#[test]
fn random_queries_through_a_cache_answer_like_the_server_alone() {
    let count = if is_full() { 10_000 } else { 200 };
    let server = Server::start(SETUP);
    let version = Arc::new(AtomicU64::new(0));
    let seen = version.clone();
    let config = FlightSqlConfig::new(server.address()).state(move |_| {
        let token = seen.load(Ordering::Relaxed).to_string();
        Some(State {
            token,
            tables: Vec::new(),
        })
    });
    let (_dir, cached) = cached(open(config));
    let mut random = Random(20_261_127);
    let (mut hits, mut misses, mut differ, mut writes) = (0, 0, 0, 0);
    for _ in 0..count {
        if random.below(100) == 0 {
            server.execute(WRITES[random.below(WRITES.len())]);
            version.fetch_add(1, Ordering::Relaxed);
            writes += 1;
        }
        let (sql, params) = query(&mut random);
        let through = cached
            .query(&sql, params.clone())
            .ttl(MINUTE)
            .blocking()
            .unwrap();
        let direct = cached.engine().query(&sql, &params).unwrap();
        match through.status() {
            Status::Hit(_) => hits += 1,
            Status::Miss => misses += 1,
            other => panic!("{sql}: {other:?}"),
        }
        if shown(through.batches()) != shown(&direct) {
            println!("{:?} {sql} {params:?}", through.status());
            differ += 1;
        }
    }
    println!(
        "{count} queries, {hits} from the cache, {misses} from the server, {writes} writes: {differ} differ"
    );
    assert_eq!(differ, 0);
    assert!(hits * 10 > count, "{hits} hits: nothing was tested");
}
