//! Profiles of slow runs.

use std::sync::{Arc, Mutex};

use data_cache::{
    Cache, CachedWarehouse, Config, OperatorKind, Profile, QueryEvent, Status, Warehouse, params,
};

/// Returns a warehouse whose queries are slow above `slow_query_ms`, and its events.
fn watched(slow_query_ms: u64) -> (CachedWarehouse, Arc<Mutex<Vec<QueryEvent>>>) {
    let yaml = format!("query_cache: {{max_size_mb: 0, slow_query_ms: {slow_query_ms}}}");
    let config = Config::from_yaml("c", &yaml).unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    cache.on_query(move |event| seen.lock().unwrap().push(event.clone()));
    let warehouse = Warehouse::in_memory().unwrap().cached(cache);
    warehouse
        .execute_batch(
            "CREATE TABLE orders AS SELECT i, i % 7 AS g FROM range(10000) AS r(i); \
             CREATE TABLE names AS SELECT i AS g, 'secret' || i AS name FROM range(7) AS r(i)",
        )
        .unwrap();
    (warehouse, events)
}

const SQL: &str = "SELECT name, count(*) AS n FROM orders JOIN names USING (g) WHERE i < 9000 AND name <> 'secret9' \
                   GROUP BY name ORDER BY n, name";

fn ask(warehouse: &CachedWarehouse, sql: &str) -> Status {
    warehouse
        .query(sql, params! {})
        .blocking()
        .unwrap()
        .status()
}

fn last(events: &Mutex<Vec<QueryEvent>>) -> QueryEvent {
    events.lock().unwrap().last().unwrap().clone()
}

#[test]
fn a_slow_run_names_its_operators_and_their_rows() {
    let (warehouse, events) = watched(0);
    assert_eq!(ask(&warehouse, SQL), Status::Miss);
    let profile = last(&events).profile.unwrap();
    let of = |kind: OperatorKind| {
        let meant = profile.operators.iter().filter(move |one| one.kind == kind);
        meant.cloned().collect::<Vec<_>>()
    };
    let tables: Vec<_> = of(OperatorKind::Scan)
        .into_iter()
        .filter_map(|one| one.table)
        .collect();
    let is_named = |name: &str| tables.iter().any(|table| table == name);
    assert!(is_named("orders") && is_named("names"), "{tables:?}");
    let mut scanned = of(OperatorKind::Scan).into_iter();
    let scanned = scanned
        .find(|one| one.table.as_deref() == Some("orders"))
        .unwrap();
    assert!(scanned.rows_scanned >= 9000, "{scanned:?}");
    let [join] = of(OperatorKind::Join).try_into().unwrap();
    assert_eq!(join.rows, 9000);
    assert!(join.depth < scanned.depth);
    assert_eq!(of(OperatorKind::Aggregate)[0].rows, 7);
    assert_eq!(of(OperatorKind::Sort)[0].rows, 7);
    assert!(profile.planning.as_nanos() > 0 && profile.cpu.as_nanos() > 0);
    let shown = profile.to_string();
    assert!(
        shown.contains("orders") && shown.contains("9000 rows"),
        "{shown}"
    );
    // no literal of the statement
    assert!(!format!("{profile:?}").contains("secret"));
}

#[test]
fn profiles_never_contain_a_literal_that_looks_like_a_table() {
    let (warehouse, events) = watched(0);
    for sql in [
        "SELECT 'a Table=hunter2 b' || name, g + 1 FROM names",
        "SELECT '{Table=hunter2}' || name FROM names WHERE name <> '{Table=hunter2, ' ORDER BY 1",
    ] {
        ask(&warehouse, sql);
        let profile = last(&events).profile.unwrap();
        assert!(!profile.operators.is_empty());
        assert!(
            !format!("{profile:?} {profile}").contains("hunter2"),
            "{profile:?}"
        );
    }
}

#[test]
fn a_quick_run_and_one_that_did_not_happen_have_no_profile() {
    let (warehouse, events) = watched(600_000);
    ask(&warehouse, SQL);
    assert_eq!(last(&events).profile, None);
    let (warehouse, events) = watched(0);
    ask(&warehouse, SQL);
    assert!(last(&events).profile.is_some());
    assert!(matches!(ask(&warehouse, SQL), Status::Hit(_)));
    assert_eq!(last(&events).profile, None);
    // a run whose result is not stored has a profile
    assert!(matches!(
        ask(&warehouse, "SELECT random() FROM names"),
        Status::Bypass(_)
    ));
    assert!(last(&events).profile.is_some());
}

#[test]
fn a_run_beyond_its_memory_tells_what_it_spilled() {
    let (warehouse, events) = watched(0);
    let dir = tempfile::tempdir().unwrap();
    let engine = warehouse.engine();
    engine
        .set("temp_directory", &dir.path().display().to_string())
        .unwrap();
    engine.set("memory_limit", "40MB").unwrap();
    ask(
        &warehouse,
        "SELECT count(*) FROM (SELECT i, hash(i)::VARCHAR || repeat('x', 60) AS s FROM range(1000000) AS r(i) ORDER BY s LIMIT 900000)",
    );
    let profile = last(&events).profile.unwrap();
    assert!(profile.spilled_bytes > 1 << 20, "{profile:#?}");
    assert!(profile.peak_memory_bytes > 1 << 20, "{profile:#?}");
}

#[test]
fn a_setting_and_a_temporary_table_leave_the_profile_on() {
    let (warehouse, events) = watched(0);
    warehouse.engine().set("TimeZone", "UTC").unwrap();
    warehouse
        .execute_batch("CREATE TEMP TABLE z (a INT)")
        .unwrap_err();
    for at in 0..12 {
        ask(&warehouse, &format!("SELECT random() + {at} FROM orders"));
        let profile: Profile = last(&events).profile.unwrap();
        assert!(!profile.operators.is_empty());
    }
}
