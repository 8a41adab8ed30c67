//! Behaviour through the public API.
#![cfg(feature = "duckdb")]

use data_cache::{Cache, Status, Tier, Warehouse, params};

#[tokio::test]
async fn a_second_question_hits_and_a_write_makes_it_miss() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().join("cache")).unwrap();
    let warehouse = Warehouse::open(dir.path().join("w.duckdb"))
        .unwrap()
        .cached(cache);
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT 1::BIGINT AS a")
        .unwrap();
    let ask = || warehouse.query("SELECT * FROM t WHERE a = $o", params! { o: 1_i64 });
    assert_eq!(ask().await.unwrap().status(), Status::Miss);
    assert_eq!(
        ask().blocking().unwrap().status(),
        Status::Hit(Tier::Memory)
    );
    warehouse.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let after = ask().await.unwrap();
    assert_eq!(
        (after.status(), after.batches()[0].num_rows()),
        (Status::Miss, 2)
    );
    assert!(
        warehouse
            .query("DELETE FROM t", params! {})
            .blocking()
            .is_err()
    );
}
