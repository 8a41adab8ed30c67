//! Many entries: the time to open, count and invalidate them, and the time that readers wait meanwhile.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use data_cache::{Cache, Config, Stored, Tier, params};

use crate::batches::{is_full, numbers};
use crate::child::Process;
use crate::memory::resident_mb;

const FEW: &str = "SELECT few FROM t";
const MANY: &str = "SELECT many FROM t";
/// Number of entries of `FEW`; all others are of `MANY`.
const FEW_COUNT: i64 = 100;

fn open(dir: &Path) -> Cache {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 512, max_size_mb: 8192}");
    Cache::open_with(dir, &config.unwrap()).unwrap()
}

fn sql(at: i64) -> &'static str {
    if at < FEW_COUNT { FEW } else { MANY }
}

/// Calls `change` while another thread looks up entries of `MANY` in turn; returns the time of `change`, and of the
/// longest `get` meanwhile, with the part of it in which the thread was runnable but had no core.
fn beside_a_reader<R>(
    cache: &Cache,
    count: i64,
    change: impl FnOnce() -> R,
) -> (R, Duration, Longest) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut longest = Longest::default();
            for at in (FEW_COUNT..count).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let (asked, before) = (Instant::now(), waited_for_a_core());
                let _ = cache.get(MANY, &params! { at: at });
                let took = asked.elapsed();
                if took > longest.took {
                    let waited = waited_for_a_core().saturating_sub(before).min(took);
                    longest = Longest { took, waited };
                }
            }
            longest
        });
        let asked = Instant::now();
        let changed = change();
        let took = asked.elapsed();
        done.store(true, Ordering::Relaxed);
        (changed, took, reader.join().unwrap())
    })
}

#[derive(Default)]
struct Longest {
    took: Duration,
    waited: Duration,
}

/// Total time in which this thread was runnable but had no core.
fn waited_for_a_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').nth(1).unwrap().parse().unwrap())
}

/// Role of a child: fills a directory.
pub(crate) fn fill(dir: &Path, role: &str) {
    let count: i64 = role.parse().unwrap();
    let cache = open(dir);
    for at in 0..count {
        cache
            .set(sql(at), &[numbers(&[at])], &params! { at: at }, None)
            .unwrap();
    }
    assert!(cache.flush(Duration::from_secs(60)));
    println!("filled");
}

/// Role of a child: opens a directory that another process filled, and measures.
pub(crate) fn measure(dir: &Path, role: &str) {
    let count: i64 = role.parse().unwrap();
    let before = resident_mb();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let timed = |what: &dyn Fn()| {
        let asked = Instant::now();
        what();
        ms(asked.elapsed())
    };
    let asked = Instant::now();
    let cache = open(dir);
    let opened = ms(asked.elapsed());
    let hit = timed(&|| assert!(cache.get(MANY, &params! { at: count - 1 }).is_some()));
    let counted = timed(&|| assert_eq!(cache.get_stats().entries, count.cast_unsigned()));
    let index = resident_mb().saturating_sub(before);
    for at in 0..count {
        assert!(cache.get(sql(at), &params! { at: at }).is_some(), "{at}");
    }
    let resident = resident_mb().saturating_sub(before);
    let (removed, few, beside_few) =
        beside_a_reader(&cache, count, || cache.invalidate("*few*").unwrap());
    assert_eq!(removed, usize::try_from(FEW_COUNT).unwrap());
    for at in 0..FEW_COUNT {
        assert!(cache.get(FEW, &params! { at: at }).is_none(), "{at}");
    }
    assert!(cache.get(MANY, &params! { at: count - 1 }).is_some());
    let (removed, all, beside_all) = beside_a_reader(&cache, count, || cache.clear().unwrap());
    assert_eq!(removed, usize::try_from(count - FEW_COUNT).unwrap());
    // files are removed meanwhile, without blocking stores
    let mut longest_set = Duration::ZERO;
    for at in 0..50 {
        let asked = Instant::now();
        let stored = cache.set(FEW, &[numbers(&[at])], &params! { at: at }, None);
        longest_set = longest_set.max(asked.elapsed());
        assert!(
            matches!(
                stored,
                Ok(Stored::Kept {
                    tier: Tier::Disk,
                    ..
                })
            ),
            "{stored:?}"
        );
    }
    let served: HashSet<i64> = (FEW_COUNT..count)
        .filter(|at| cache.get(MANY, &params! { at: *at }).is_some())
        .collect();
    assert!(served.is_empty(), "{} are served still", served.len());
    println!(
        "| {count} | {opened:.1} | {hit:.2} | {counted:.1} | {:.2} | {:.2} ({:.2}) | {:.2} | {:.2} ({:.2}) | {:.2} | {index} | {resident} |",
        ms(few),
        ms(beside_few.took),
        ms(beside_few.waited),
        ms(all),
        ms(beside_all.took),
        ms(beside_all.waited),
        ms(longest_set),
    );
    println!("measured");
}

/// Prints times in milliseconds and memory in MiB; asserts only that no invalidated entry is served.
#[test]
fn nothing_that_was_invalidated_is_served_among_many_entries() {
    println!(
        "| entries | open | first hit | first get_stats | invalidate 100 | longest get beside it (of it without a core) | \
         invalidate all | longest get beside it | longest set after it | RSS of the index | RSS with all in memory |"
    );
    let counts: &[u32] = if is_full() {
        &[1000, 10_000, 100_000]
    } else {
        &[1000]
    };
    for count in counts {
        let dir = tempfile::tempdir().unwrap();
        let mut filled = Process::start(&format!("scale-fill {count}"), dir.path());
        assert!(filled.wait_for("filled").is_some());
        filled.succeeds();
        let mut child = Process::start(&format!("scale-measure {count}"), dir.path());
        let row = child.wait_for("| ").expect("the child panicked");
        println!("| {row}");
        assert!(child.wait_for("measured").is_some());
        child.succeeds();
    }
}

/// Frees the blocks of a file that hold zeros only, as a file system does that compresses.
#[cfg(target_os = "linux")]
fn without_zeros(path: &Path) {
    use std::os::unix::fs::FileExt;

    let bytes = std::fs::read(path).unwrap();
    let sparse = path.with_extension("sparse");
    let file = std::fs::File::create(&sparse).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (at, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at as u64 * 4096).unwrap();
        }
    }
    std::fs::rename(sparse, path).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn where_files_occupy_less_than_their_length_a_store_does_not_list_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = "query_cache: {max_size_mb: 1, memory_mb: 0, codec: ipc}";
    let cache = Cache::open_with(dir.path(), &Config::from_yaml("c", config).unwrap()).unwrap();
    let set = |at: i64, rows: usize| {
        let batch = numbers(&vec![0; rows]);
        let stored = cache.set(FEW, &[batch], &params! { at: at }, None).unwrap();
        assert!(matches!(stored, Stored::Kept { .. }), "{stored:?}");
    };
    let files = || {
        let parts = std::fs::read_dir(dir.path().join("v1")).unwrap();
        parts.flat_map(|part| std::fs::read_dir(part.unwrap().path()).unwrap())
    };
    let mut freed = HashSet::new();
    for at in 0..30 {
        set(at, 6000);
        for path in files().map(|file| file.unwrap().path()) {
            if path.extension().is_some_and(|name| name == "arrow") && freed.insert(path.clone()) {
                without_zeros(&path);
            }
        }
    }
    let stats = cache.get_stats();
    assert_eq!((stats.entries, stats.evicted_size), (30, 0));
    assert!(stats.total_size_bytes > 1 << 20, "{stats:?}");
    // of what another program removes, only a list of the files tells
    for file in files() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    set(30, 1);
    assert_eq!(cache.get_stats().entries, 31);
}
