use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_cache::arrow::array::RecordBatch;
use data_cache::{Cache, CachedWarehouse, Error, Warehouse, cached_query, params};

use crate::batches::{number, numbers};
use crate::cache::Lines;
use crate::child::Process;

static SYNC_RUNS: AtomicUsize = AtomicUsize::new(0);
static ASYNC_RUNS: AtomicUsize = AtomicUsize::new(0);
static FAILING_RUNS: AtomicUsize = AtomicUsize::new(0);

#[cached_query(ttl_seconds = 3600, tables("main.Orders", "\"Parts\"", "jobs "))]
fn orders(of: i64) -> Result<Vec<RecordBatch>, String> {
    Ok(vec![numbers(&[of])])
}

#[cached_query(ttl_seconds = 3600, tables("Users"))]
fn user_stats(user_id: i64, region: &str) -> Result<Vec<RecordBatch>, String> {
    SYNC_RUNS.fetch_add(1, Ordering::SeqCst);
    Ok(vec![numbers(&[
        user_id,
        i64::try_from(region.len()).unwrap(),
    ])])
}

#[cached_query(ttl_seconds = 3600, skip(_note))]
async fn user_stats_async(user_id: i64, _note: String) -> Result<Vec<RecordBatch>, String> {
    tokio::task::yield_now().await;
    ASYNC_RUNS.fetch_add(1, Ordering::SeqCst);
    Ok(vec![numbers(&[user_id])])
}

#[cached_query(ttl_seconds = 3600)]
fn failing() -> Result<Vec<RecordBatch>, &'static str> {
    FAILING_RUNS.fetch_add(1, Ordering::SeqCst);
    Err("always")
}

#[cached_query(ttl_seconds = 3600, on = warehouse)]
async fn count_of(warehouse: &CachedWarehouse, least: i64) -> Result<Vec<RecordBatch>, Error> {
    let sql = "SELECT count(*) AS n FROM t WHERE a >= $least";
    let result = warehouse.query(sql, params! { least: least }).await?;
    Ok(result.into_batches())
}

/// Role of a child whose process-wide cache cannot be opened.
pub(crate) fn call_without_a_cache() {
    let lines = Lines::of(|| {
        for runs in 1..=3 {
            assert_eq!(number(&user_stats(1, "eu").unwrap()), 1);
            assert_eq!(SYNC_RUNS.load(Ordering::SeqCst), runs);
        }
    });
    assert_eq!(lines.matches("process_cache_unavailable").count(), 1);
    assert!(lines.contains("thesis.tex"), "{lines}");
    println!("called");
}

#[test]
fn functions_say_once_that_there_is_no_cache() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let command = command.env("OPS_CACHE_DIR", dir.path());
    let mut child = Process::start_as(command, "function", dir.path());
    assert!(child.wait_for("called").is_some(), "the child panicked");
    child.succeeds();
}

/// Child whose variable for the directory is blank.
pub(crate) fn open_the_process_wide_cache(dir: &Path) {
    std::env::set_current_dir(dir).unwrap();
    data_cache::get_cache().unwrap();
    let names = std::fs::read_dir(dir).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["data"]);
    println!("opened");
}

#[test]
fn a_blank_directory_variable_counts_as_unset() {
    for place in ["", " ", "\t\n"] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let command = command.env("OPS_CACHE_DIR", place);
        let mut child = Process::start_as(command, "place", dir.path());
        assert!(child.wait_for("opened").is_some(), "{place:?}");
        child.succeeds();
    }
}

/// One test, since the cache is process-wide.
#[tokio::test]
async fn a_cached_function_runs_once_for_each_set_of_arguments() {
    let dir = tempfile::tempdir().unwrap();
    data_cache::install(Cache::open(dir.path()).unwrap()).unwrap();
    let again = Cache::open(dir.path()).unwrap();
    assert!(
        data_cache::install(again)
            .unwrap_err()
            .to_string()
            .contains("already")
    );
    let cache = data_cache::get_cache().unwrap();

    for table in ["orders", "main.orders", "\"Parts\"", "jobs"] {
        orders(1).unwrap();
        assert_eq!(cache.invalidate_table(table).unwrap(), 1, "{table}");
    }

    for _ in 0..3 {
        assert_eq!(number(&user_stats(123, "eu").unwrap()), 123);
    }
    assert_eq!(SYNC_RUNS.load(Ordering::SeqCst), 1);
    user_stats(124, "eu").unwrap();
    user_stats(123, "us").unwrap();
    assert_eq!(SYNC_RUNS.load(Ordering::SeqCst), 3);
    assert_eq!(cache.invalidate("fn:*::user_stats").unwrap(), 3);
    user_stats(123, "eu").unwrap();
    assert_eq!(SYNC_RUNS.load(Ordering::SeqCst), 4);
    assert_eq!(cache.invalidate_table("users").unwrap(), 1);
    assert_eq!(cache.invalidate_table("user_stats").unwrap(), 0);

    let asked = (0..100).map(|at| user_stats_async(7, at.to_string()));
    let mut tasks = tokio::task::JoinSet::new();
    asked.for_each(|call| {
        tasks.spawn(call);
    });
    for answer in tasks.join_all().await {
        assert_eq!(number(&answer.unwrap()), 7);
    }
    assert_eq!(ASYNC_RUNS.load(Ordering::SeqCst), 1);

    for _ in 0..3 {
        assert_eq!(failing(), Err("always"));
    }
    assert_eq!(FAILING_RUNS.load(Ordering::SeqCst), 3);
    let labels: Vec<_> = cache.top(10).into_iter().map(|entry| entry.label).collect();
    assert_eq!(labels, ["fn:it::macros::user_stats_async"]);
}

#[tokio::test]
async fn on_a_warehouse_each_write_makes_the_result_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let warehouse = Warehouse::in_memory().unwrap().cached(cache.clone());
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT range AS a FROM range(10)")
        .unwrap();
    assert_eq!(number(&count_of(&warehouse, 5).await.unwrap()), 5);
    let before = cache.get_stats();
    assert_eq!(number(&count_of(&warehouse, 5).await.unwrap()), 5);
    let after = cache.get_stats();
    assert_eq!(
        (after.hits - before.hits, after.misses - before.misses),
        (1, 0)
    );
    warehouse
        .execute_batch("INSERT INTO t VALUES (100)")
        .unwrap();
    assert_eq!(number(&count_of(&warehouse, 5).await.unwrap()), 6);
}

/// Two functions with one name in one module: nested in functions, in impl blocks, created by one macro.
mod same_names {
    use data_cache::{CachedWarehouse, cached_query};

    use crate::batches::numbers;

    type Batches = Result<Vec<data_cache::arrow::array::RecordBatch>, String>;

    pub(super) fn nested_one(warehouse: &CachedWarehouse) -> Batches {
        #[cached_query(ttl_seconds = 3600, on = warehouse)]
        fn inner(warehouse: &CachedWarehouse) -> Batches {
            Ok(vec![numbers(&[1])])
        }
        inner(warehouse)
    }

    pub(super) fn nested_two(warehouse: &CachedWarehouse) -> Batches {
        #[cached_query(ttl_seconds = 3600, on = warehouse)]
        fn inner(warehouse: &CachedWarehouse) -> Batches {
            Ok(vec![numbers(&[2])])
        }
        inner(warehouse)
    }

    pub(super) struct One;
    pub(super) struct Two;

    macro_rules! value {
        ($type:ty, $value:expr) => {
            impl $type {
                const VALUE: i64 = $value;
                #[cached_query(ttl_seconds = 3600, on = warehouse)]
                pub(super) fn value(warehouse: &CachedWarehouse) -> Batches {
                    Ok(vec![numbers(&[<$type>::VALUE])])
                }
            }
        };
    }
    value!(One, 3);
    value!(Two, 4);

    macro_rules! pair {
        ($($outer:ident = $value:expr),*) => {$(
            pub(super) fn $outer(warehouse: &CachedWarehouse) -> Batches {
                const VALUE: i64 = $value;
                #[cached_query(ttl_seconds = 3600, on = warehouse)]
                fn made(warehouse: &CachedWarehouse) -> Batches {
                    Ok(vec![numbers(&[VALUE])])
                }
                made(warehouse)
            }
        )*};
    }
    pair!(made_one = 5, made_two = 6);

    #[cached_query(ttl_seconds = 3600, on = warehouse)]
    pub(super) fn sized<const N: usize, const IS_EVEN: bool>(
        warehouse: &CachedWarehouse,
    ) -> Batches {
        Ok(vec![numbers(&[
            i64::try_from(N).unwrap() + i64::from(IS_EVEN)
        ])])
    }
}

#[test]
fn two_cached_functions_of_one_name_never_share_a_result() {
    use same_names::{One, Two, made_one, made_two, nested_one, nested_two, sized};

    let config = data_cache::Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let warehouse = Warehouse::in_memory().unwrap().cached(cache.clone());
    for _ in 0..2 {
        let answers = [
            nested_one(&warehouse),
            nested_two(&warehouse),
            One::value(&warehouse),
            Two::value(&warehouse),
            made_one(&warehouse),
            made_two(&warehouse),
            sized::<10, true>(&warehouse),
            sized::<20, true>(&warehouse),
            sized::<20, false>(&warehouse),
        ];
        let answers = answers.map(|answer| number(&answer.unwrap()));
        assert_eq!(answers, [1, 2, 3, 4, 5, 6, 11, 21, 20]);
    }
    assert_eq!(cache.get_stats().hits, 9);
    // every function of that name
    assert_eq!(cache.invalidate("fn:*::inner").unwrap(), 2);
    assert_eq!(cache.invalidate("fn:*::sized").unwrap(), 3);
}

macro_rules! of_tables {
    ($($table:literal),*) => {
        /// Calls functions that differ in their tables only, as those of two builds of a program do.
        fn of_tables(warehouse: &CachedWarehouse) {
            $({
                #[cached_query(ttl_seconds = 3600, on = warehouse, tables($table))]
                fn joined(warehouse: &CachedWarehouse) -> Result<Vec<RecordBatch>, Error> {
                    warehouse.engine().query("SELECT 1", &params! {})
                }
                joined(warehouse).unwrap();
            })*
        }
    };
}
of_tables!("orders", "users");

#[test]
fn a_function_that_names_other_tables_than_before_does_not_take_results_of_before() {
    let config = data_cache::Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    of_tables(&Warehouse::in_memory().unwrap().cached(cache.clone()));
    assert_eq!(cache.invalidate_table("users").unwrap(), 1);
    assert_eq!(cache.invalidate_table("orders").unwrap(), 1);
}

/// Cached functions whose results depend on the type that they belong to.
mod types {
    use std::marker::PhantomData;

    use data_cache::{CachedWarehouse, cached_query};

    use crate::batches::numbers;

    type Batches = Result<Vec<data_cache::arrow::array::RecordBatch>, String>;

    pub(super) struct Typed<T>(PhantomData<T>);

    impl<T> Typed<T> {
        pub(super) fn of(_: T) -> Self {
            Self(PhantomData)
        }

        pub(super) fn size_of_it(&self, warehouse: &CachedWarehouse) -> Batches {
            Self::size(warehouse)
        }

        #[cached_query(ttl_seconds = 3600, on = warehouse)]
        pub(super) fn size(warehouse: &CachedWarehouse) -> Batches {
            Ok(vec![numbers(&[size_of::<T>() as i64])])
        }

        #[cached_query(ttl_seconds = 3600, on = warehouse)]
        pub(super) async fn size_async(warehouse: &CachedWarehouse) -> Batches {
            Ok(vec![numbers(&[size_of::<T>() as i64])])
        }
    }

    pub(super) struct Sized<const N: usize>;

    impl<const N: usize> Sized<N> {
        #[cached_query(ttl_seconds = 3600, on = warehouse)]
        pub(super) fn size(warehouse: &CachedWarehouse) -> Batches {
            Ok(vec![numbers(&[i64::try_from(N).unwrap()])])
        }
    }

    pub(super) trait Table {
        const ID: i64;

        #[cached_query(ttl_seconds = 3600, on = warehouse)]
        fn id(warehouse: &CachedWarehouse) -> Batches {
            Ok(vec![numbers(&[Self::ID])])
        }
    }

    pub(super) struct Users;
    pub(super) struct Orders;

    impl Table for Users {
        const ID: i64 = 5;
    }

    impl Table for Orders {
        const ID: i64 = 6;
    }
}

#[tokio::test]
async fn two_types_with_one_cached_function_never_share_a_result() {
    use types::{Orders, Sized, Table, Typed, Users};

    let config = data_cache::Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let warehouse = Warehouse::in_memory().unwrap().cached(cache.clone());
    for _ in 0..2 {
        let answers = [
            Typed::<u8>::size(&warehouse),
            Typed::<[u8; 2]>::size(&warehouse),
            Typed::<u8>::size_async(&warehouse).await,
            Typed::<u16>::size_async(&warehouse).await,
            Sized::<3>::size(&warehouse),
            Sized::<4>::size(&warehouse),
            Users::id(&warehouse),
            Orders::id(&warehouse),
        ];
        let answers = answers.map(|answer| number(&answer.unwrap()));
        assert_eq!(answers, [1, 2, 1, 2, 3, 4, 5, 6]);
    }
    assert_eq!(cache.get_stats().hits, 8);
    // closures have no names of their own
    for _ in 0..2 {
        let (one, two) = ([0_u8; 7], [0_u8; 9]);
        let answers = [
            Typed::of(move || one[0]).size_of_it(&warehouse),
            Typed::of(move || two[0]).size_of_it(&warehouse),
        ];
        assert_eq!(answers.map(|answer| number(&answer.unwrap())), [7, 9]);
    }
    assert_eq!(cache.get_stats().hits, 8);
}

#[cached_query(ttl_seconds = 3600, on = warehouse, skip(flickers))]
fn hour_of(warehouse: &CachedWarehouse, flickers: bool) -> Result<Vec<RecordBatch>, Error> {
    let engine = warehouse.engine();
    if flickers {
        engine.set("TimeZone", "Asia/Tokyo")?;
    }
    let ran = engine.query("SELECT date_part('hour', arrives) AS n FROM t", &params! {});
    if flickers {
        engine.set("TimeZone", "UTC")?;
    }
    ran
}

#[test]
fn a_function_whose_warehouse_had_another_setting_meanwhile_is_not_kept() {
    let config = data_cache::Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let warehouse = Warehouse::in_memory().unwrap().cached(cache.clone());
    warehouse.engine().set("TimeZone", "UTC").unwrap();
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT TIMESTAMPTZ '2024-01-01 12:00:00+00' AS arrives")
        .unwrap();
    let answers = [true, false, true].map(|flickers| {
        let answer = hour_of(&warehouse, flickers);
        number(&answer.unwrap())
    });
    assert_eq!(answers, [21, 12, 12]);
    assert_eq!(cache.get_stats().hits, 1);
}
