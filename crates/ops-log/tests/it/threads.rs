//! Many threads log at the same time: more than there are parts to share.

use std::io::{self, Write};
use std::thread;

use ops_log::{Config, Level, Output, Pipeline, Stats, error, info};
use serde_json::Value;

const THREADS: u64 = 20;
const LINES: u64 = 300;

fn log_from_all_threads(pipeline: &Pipeline) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = pipeline.logger("threads").bind("thread", thread);
            scope.spawn(move || {
                for n in 0..LINES {
                    if n % 3 == 0 {
                        error!(log, "threaded", n = n);
                    } else {
                        info!(log, "threaded", n = n);
                    }
                }
            });
        }
    });
}

/// Calls `watch` until the work is done, and once more.
fn meanwhile(work: impl FnOnce() + Send, mut watch: impl FnMut()) {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        while !working.is_finished() {
            watch();
        }
        watch();
    });
}

#[test]
fn recent_lines_of_all_threads_have_one_numbered_order_without_a_gap() {
    let all = usize::try_from(THREADS * LINES).unwrap();
    let (pipeline, _) = crate::pipeline(|config| config.recent_lines(all), true);
    let (mut last, mut lines) = (0, Vec::new());
    meanwhile(
        || log_from_all_threads(&pipeline),
        || {
            let fresh = pipeline.recent_after(last);
            assert_eq!(fresh.last - last, fresh.lines.len() as u64);
            last = fresh.last;
            lines.extend(fresh.lines);
        },
    );
    assert_eq!((last, lines.len()), (THREADS * LINES, all));
    let mut next = vec![0; usize::try_from(THREADS).unwrap()];
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let thread = usize::try_from(line["thread"].as_u64().unwrap()).unwrap();
        assert_eq!(line["n"], next[thread], "lines of a thread are in order");
        next[thread] += 1;
    }
    assert_eq!(pipeline.recent(all), lines);
}

#[test]
fn only_the_newest_lines_are_kept_whichever_threads_wrote_them() {
    let (pipeline, _) = crate::pipeline(|config| config.recent_lines(5), true);
    let write = |event: &'static str, lines: u64| {
        let log = pipeline.root();
        let writing = thread::spawn(move || (0..lines).for_each(|_| info!(log, event)));
        writing.join().unwrap();
    };
    let count = |event: &str| {
        let recent = pipeline.recent(200);
        recent.iter().filter(|line| line.contains(event)).count()
    };
    write("first", 9);
    write("second", 3);
    assert_eq!((count("first"), count("second")), (2, 3));
    write("third", 1);
    assert_eq!((count("first"), count("second"), count("third")), (1, 3, 1));
    write("fourth", 5);
    assert_eq!((pipeline.recent(200).len(), count("fourth")), (5, 5));
    assert_eq!(pipeline.recent_after(15).lines, pipeline.recent(3));
    pipeline
        .configure(Config::new().stdout(false).recent_lines(2))
        .unwrap();
    write("fifth", 1);
    assert_eq!((count("fourth"), count("fifth")), (1, 1));
}

/// Writer that refuses every second line.
struct FailsEverySecondLine(u64);

impl Write for FailsEverySecondLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        if self.0.is_multiple_of(2) {
            return Err(io::Error::other("not now"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn events(stats: &Stats) -> u64 {
    Level::ALL.iter().map(|level| stats.events(*level)).sum()
}

#[test]
fn counts_add_up_at_every_moment_while_threads_log() {
    let output = Output::writer(FailsEverySecondLine(0)).json(true);
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output)).unwrap();
    let mut before = 0;
    meanwhile(
        || log_from_all_threads(&pipeline),
        || {
            let stats = pipeline.stats();
            assert_eq!(stats.written + stats.dropped, events(&stats));
            assert!(events(&stats) >= before);
            before = events(&stats);
        },
    );
    let stats = pipeline.stats();
    assert_eq!(stats.written + stats.dropped, THREADS * LINES);
    assert_eq!(stats.events(Level::Error), THREADS * LINES / 3);
    assert!(stats.written > 0 && stats.dropped > 0);
}

#[cfg(target_os = "linux")]
#[test]
fn lines_to_a_device_are_counted_once_each_whether_it_takes_them() {
    for (path, taken) in [("/dev/null", true), ("/dev/full", false)] {
        let output = Output::file(path).json(true);
        let pipeline = Pipeline::new(Config::new().stdout(false).output(output)).unwrap();
        log_from_all_threads(&pipeline);
        let all = THREADS * LINES;
        let expected = if taken { (all, 0) } else { (0, all) };
        let stats = pipeline.stats();
        assert_eq!((stats.written, stats.dropped), expected, "{path}");
        let health = &pipeline.output_health()[0];
        assert_eq!((health.lost, health.problem.is_none()), (expected.1, taken));
    }
}
