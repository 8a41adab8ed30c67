use std::time::{Duration, Instant};

use ops_history::{ErrorKind, History, Step};

use crate::{LONG, Place, child, is_full, numbers, wait_for};

/// Asserts that every row known to be in a file is found exactly once; returns the number of rows.
fn assert_whole(place: &Place) -> u64 {
    let published = std::fs::read_to_string(place.dir().join("published"));
    let published: u64 = published.map_or(0, |text| text.parse().unwrap_or(0));
    let found = numbers(&[place.dir()]);
    let count = found.len() as u64;
    assert_eq!(found, (0..count).collect::<Vec<_>>(), "gaps or doubles");
    assert!(count >= published, "{count} of {published} rows");
    count
}

fn assert_survives(place: &Place) {
    let count = assert_whole(place);
    // the next start removes drafts and merged sources, and loses nothing
    let next = place.open();
    assert_eq!(next.stats().unreadable, [""; 0]);
    assert!(next.close(LONG));
    drop(next);
    assert_eq!(assert_whole(place), count);
    for name in place.names("logs") {
        assert!(!name.starts_with(".draft"), "{name}");
    }
}

#[test]
fn a_kill_at_each_step_loses_no_row_of_a_file_and_doubles_none() {
    for step in child::STEPS {
        // the seventeenth file is the merged one, or is written beside it
        let times: &[u64] = match step {
            _ if is_full() => &[1, 2, 16, 17, 18, 35],
            Step::Merged => &[1],
            Step::SourceRemoved => &[3],
            _ => &[17],
        };
        for times in times {
            let place = Place::new();
            let mut child = child::start(&place.dir(), Some((*step, *times)));
            let status = child.wait().unwrap();
            assert!(!status.success(), "{step:?} {times}");
            assert_survives(&place);
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_no_row_of_a_file_and_doubles_none() {
    let place = Place::new();
    for round in 0..if is_full() { 200 } else { 3 } {
        let mut child = child::start(&place.dir(), None);
        let published = place.dir().join("published");
        let _ = std::fs::remove_file(&published);
        wait_for("a file", || {
            std::fs::read_to_string(&published)
                .is_ok_and(|text| text.parse::<u64>().is_ok_and(|n| n > 100 * (round % 7)))
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_survives(&place);
        std::fs::remove_dir_all(place.dir()).unwrap();
    }
}

#[test]
fn a_second_process_on_a_directory_is_rejected_and_the_first_one_loses_nothing() {
    let place = Place::new();
    let mut first = child::start(&place.dir(), None);
    let published = || {
        let text = std::fs::read_to_string(place.dir().join("published"));
        text.map_or(0, |text| text.parse::<u64>().unwrap_or(0))
    };
    wait_for("a file", || published() > 0);
    // in parallel: each waits for the lock, in case its holder is about to end
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let refused = History::open(place.config()).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Locked);
            });
        }
    });
    let before = published();
    wait_for("files of the first one", || published() > before + 300);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_survives(&place);
}

#[cfg(target_os = "linux")]
#[test]
fn open_waits_for_a_lock_that_is_released_soon() {
    let place = Place::new();
    assert!(place.open().close(LONG));
    let path = place.dir().join("writer.lock").canonicalize().unwrap();
    let times_open = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        open.filter(|open| *open == path).count()
    };
    for _ in 0..20 {
        // like a forked child that has not called `exec` yet
        let held = std::fs::File::open(&path).unwrap();
        held.lock().unwrap();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| History::open(place.config()));
            let has_looked = || times_open() > 1 || opened.is_finished();
            wait_for("a look at the lock", has_looked);
            drop(held);
            // a busy machine may release the lock only after the second is over
            let is_early = begin.elapsed() < Duration::from_millis(500);
            match opened.join().unwrap() {
                Ok(history) => assert!(history.close(LONG)),
                Err(refused) => assert!(!is_early, "{refused}"),
            }
        });
    }
}
