use std::io::Write;
use std::time::Duration;

use dev::file_system::Mounted;
use ops_history::{History, Step};

use crate::child::STEPS;
use crate::{LONG, Place, assert_adds_up, number, numbers};

#[test]
fn a_full_disk_stops_writing_which_resumes_with_space_and_losses_are_counted() {
    let place = Place::new();
    let Some(_mounted) = Mounted::over(place.folder.path(), "1m") else {
        let _ = writeln!(std::io::stderr(), "nothing can be mounted here: not tested");
        return;
    };
    let config = place.config().reserve(0).retry_after(Duration::ZERO);
    let history = History::open(config).unwrap();
    number(&history, 0, 0);
    assert!(history.flush(LONG));
    // another file takes all the space
    let others = place.folder.path().join("others");
    assert!(std::fs::write(&others, vec![1; 2 << 20]).is_err());
    for n in 1..4 {
        number(&history, n, n);
        assert!(history.flush(LONG));
        let stopped = history.stats().stopped.unwrap();
        assert!(stopped.contains("(os error 28)"), "{stopped}");
    }
    assert_eq!(history.stats().lines.stopped, 3);
    assert_eq!(numbers(&[place.dir()]), [0]);
    assert_eq!(place.names("logs").len(), 1, "nothing half is left");
    std::fs::remove_file(&others).unwrap();
    number(&history, 4, 4);
    assert!(history.close(LONG));
    let stats = history.stats();
    assert_eq!(stats.stopped, None);
    assert_eq!((stats.lines.written, stats.lines.stopped), (2, 3));
    assert_adds_up(&stats);
    assert_eq!(numbers(&[place.dir()]), [0, 4]);
}

#[test]
fn the_last_bytes_of_a_disk_are_left_to_others() {
    let place = Place::new();
    let history = History::open(place.config().reserve(u64::MAX)).unwrap();
    number(&history, 0, 0);
    assert!(history.close(LONG));
    let stats = history.stats();
    let stopped = stats.stopped.unwrap();
    assert!(
        stopped.contains("write without using up the disk reserve"),
        "{stopped}"
    );
    assert_eq!((stats.lines.stopped, stats.lines.written), (1, 0));
}

#[test]
fn a_failure_at_each_step_loses_only_rows_that_are_counted() {
    // all steps except those of a merge
    for fails in STEPS.iter().copied().take(6) {
        let place = Place::new();
        let seen = std::sync::atomic::AtomicU64::new(0);
        let config = place
            .config()
            .retry_after(Duration::ZERO)
            .on_step(move |step| {
                let is_second =
                    step == fails && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1;
                if is_second {
                    Err(std::io::Error::other("on purpose"))
                } else {
                    Ok(())
                }
            });
        let history = History::open(config).unwrap();
        for n in 0..3 {
            number(&history, n, n);
            assert!(history.flush(LONG));
        }
        assert!(history.close(LONG));
        let stats = history.stats();
        assert_eq!(
            (stats.lines.written, stats.lines.stopped),
            (2, 1),
            "{fails:?}"
        );
        assert_eq!(numbers(&[place.dir()]), [0, 2], "{fails:?}");
    }
}

#[test]
fn a_stopped_history_retries_only_after_the_retry_time() {
    let place = Place::new();
    let tried = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = tried.clone();
    let config = place.config().on_step(move |step| {
        if step == Step::Created {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Err(std::io::Error::other("on purpose"))
    });
    let history = History::open(config).unwrap();
    for n in 0..50 {
        number(&history, n, n);
        assert!(history.flush(LONG));
    }
    assert!(history.close(LONG));
    assert_eq!(tried.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(history.stats().lines.stopped, 50);
    assert_adds_up(&history.stats());
}
