use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ops_log::{Config, Output, Pipeline, info};

use crate::{Written, json};

/// Returns the path of a compiled example of this crate; examples are built with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo test -p ops-log`, or `cargo build -p ops-log --examples`",
        path.display()
    );
    path
}

#[test]
fn people_and_a_file_get_the_same_lines_in_their_formats() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs/app.log");
    let people = Written::default();
    let config = Config::new()
        .stdout(false)
        .clock(crate::sample_time)
        .output(Output::writer(people.clone()).color(false))
        .output(Output::writer(people.clone()).color(true))
        .file(&path);
    let pipeline = Pipeline::new(config).unwrap();
    info!(pipeline.root(), "both", n = 1);
    info!(pipeline.root(), "again");
    let lines = people.lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "2025-01-15 10:30:00 [info     ] both  n=1\n");
    assert!(lines[1].starts_with('\x1b'));
    let file = std::fs::read_to_string(&path).unwrap();
    assert_eq!(file.lines().count(), 2);
    assert!(file.starts_with(r#"{"timestamp":"2025-01-15T10:30:00.123Z""#));
    assert!(pipeline.flush(std::time::Duration::from_secs(1)));
}

#[test]
fn a_file_that_is_named_twice_has_each_line_once() {
    let dir = tempfile::tempdir().unwrap();
    // its directory is created when the file is opened
    let logs = dir.path().join("logs");
    let path = logs.join("app.log");
    let errors = Output::file(&path).json(true).level(ops_log::Level::Error);
    let config = Config::new().stdout(false).file(&path);
    let config = config.file(logs.join("./app.log")).file(&path);
    // links to the file and to its directory, like `/var/run`, which links to `/run`
    let links = tempfile::tempdir().unwrap();
    let link = |to: &Path, name: &str| {
        let link = links.path().join(name);
        std::os::unix::fs::symlink(to, &link).unwrap();
        link
    };
    let config = config.file(link(&path, "app.log"));
    let config = config.file(link(dir.path(), "run").join("logs/app.log"));
    let config = config.rotation("1KiB x 20".parse().unwrap());
    let pipeline = Pipeline::new(config).unwrap();
    for number in 0..50 {
        info!(pipeline.root(), "counted", number = number);
    }
    let files = std::fs::read_dir(logs).unwrap();
    let lines = files.map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path());
        text.unwrap().lines().count()
    });
    assert_eq!(lines.sum::<usize>(), 50);
    // an output that accepts only some lines does not replace the file
    let both = Config::new().stdout(false).output(errors).file(&path);
    drop(pipeline);
    let pipeline = Pipeline::new(both.rotation(ops_log::Rotation::off())).unwrap();
    info!(pipeline.root(), "no_error");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("no_error"), "{text}");
}

#[test]
fn a_file_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    std::fs::write(&path, "before\n").unwrap();
    let pipeline = Pipeline::new(Config::new().stdout(false).file(&path)).unwrap();
    info!(pipeline.root(), "appended");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("before\n{") && text.ends_with("}\n"),
        "{text}"
    );
}

#[test]
fn an_output_that_fails_panics_or_logs_loses_its_line_and_nothing_else() {
    struct Bad(u32, Option<ops_log::Logger>);

    impl std::io::Write for Bad {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::StorageFull.into()),
                2 => panic!("in write"),
                3 => Ok(0),
                _ => {
                    if let Some(log) = &self.1 {
                        info!(log, "re-entrant");
                    }
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let (other, _) = json();
    let output = Output::writer(Bad(0, Some(other.root())));
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output)).unwrap();
    for n in 0..5 {
        info!(pipeline.root(), "sent", n = n);
    }
    let stats = pipeline.stats();
    assert_eq!((stats.written, stats.dropped), (2, 3));
    // each line counts by level, even if no output accepted it
    ops_log::error!(pipeline.root(), "one more");
    let of = |level| pipeline.stats().events(level);
    assert_eq!(
        (of(ops_log::Level::Info), of(ops_log::Level::Error)),
        (5, 1)
    );
    // one for each call of `write` that logs: for the report of lost lines, and for two lines
    assert_eq!(other.stats().dropped, 4);
}

#[test]
fn what_follows_a_line_that_was_written_in_part_begins_on_a_line_of_its_own() {
    struct Short(Written, u32);

    impl std::io::Write for Short {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += 1;
            match self.1 {
                1 => self.0.write(&bytes[..10]),
                2 => Err(std::io::ErrorKind::StorageFull.into()),
                _ => self.0.write(bytes),
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let written = Written::default();
    let output = Output::writer(Short(written.clone(), 0)).json(true);
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output)).unwrap();
    info!(pipeline.root(), "torn");
    info!(pipeline.root(), "whole");
    let text = written.lines().concat();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].contains("log_lines_lost") && lines[1].ends_with("\"lines\":1}"));
    assert!(serde_json::from_str::<serde_json::Value>(lines[1]).is_ok());
    assert!(serde_json::from_str::<serde_json::Value>(lines[2]).is_ok());
    assert_eq!((pipeline.stats().written, pipeline.stats().dropped), (1, 1));
}

#[test]
fn half_a_line_of_a_killed_process_stays_on_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    std::fs::write(&path, "whole\n{\"timest").unwrap();
    let config = || Config::new().stdout(false).file(&path);
    for event in ["first", "second"] {
        let pipeline = Pipeline::new(config()).unwrap();
        info!(pipeline.root(), event);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["whole", "{\"timest"]);
    assert_eq!(lines.len(), 4, "{text}");
    for line in &lines[2..] {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
    }
}

#[test]
fn kill_9_loses_no_line_that_was_returned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let mut child = Command::new(example("endless"))
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut returned = BufReader::new(child.stdout.take().unwrap());
    let mut last = String::new();
    for _ in 0..20_000 {
        last.clear();
        returned.read_line(&mut last).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut more = String::new();
    returned.read_to_string(&mut more).unwrap();
    // the last number in the pipe may be incomplete
    let whole = more.rfind('\n').map_or("", |end| &more[..end]);
    let last: u64 = whole.lines().last().unwrap_or(last.trim()).parse().unwrap();
    let file = std::fs::read_to_string(&path).unwrap();
    // Linux stops a killed process between two pages: a line whose call has not returned may be incomplete
    let whole = file.rfind('\n').map_or("", |end| &file[..end]);
    let numbers: Vec<u64> = whole
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["number"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
    assert!(
        *numbers.last().unwrap() >= last,
        "{} of {last}",
        numbers.len()
    );
}

/// Returns the counts in the last line of the output of `counted`.
fn counts(stderr: &[u8]) -> (u64, u64) {
    let text = std::str::from_utf8(stderr).unwrap();
    let (written, dropped) = text
        .trim()
        .lines()
        .last()
        .unwrap_or_default()
        .split_once(' ')
        .unwrap_or_else(|| panic!("{text:?}"));
    (written.parse().unwrap(), dropped.parse().unwrap())
}

#[test]
fn a_full_disk_loses_every_line_and_counts_them() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(example("counted"))
        .args(["1000", "10"])
        .stdout(full)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(counts(&output.stderr), (0, 1000));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said.matches("ops_log: log_output_failed: stdout: ").count(),
        1,
        "{said}"
    );
}

/// A limit on the file size simulates a full disk.
#[test]
fn threads_that_fill_a_disk_leave_whole_lines_and_count_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let output = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 200; exec "$@""#, "sh"])
        .arg(example("counted"))
        .args(["2000", "700"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let (written, dropped) = counts(&output.stderr);
    let file = std::fs::read_to_string(&path).unwrap();
    // the last line is cut, unless the limit is at the end of a line
    let (whole, _) = file.rsplit_once('\n').unwrap();
    let numbers: std::collections::HashSet<u64> = whole
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64())
        .map(Option::unwrap)
        .collect();
    assert!(written > 0 && dropped > 0, "{written} {dropped}");
    assert_eq!(numbers.len() as u64, written);
    assert_eq!(written + dropped, 2000);
}

#[test]
fn a_closed_pipe_loses_the_lines_after_it_and_counts_them() {
    let mut child = Command::new(example("counted"))
        .args(["20000", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (written, dropped) = counts(&output.stderr);
    assert_eq!(written + dropped, 20_000);
    assert!(written > 0 && dropped > 0, "{written} {dropped}");
}

#[test]
fn a_reader_that_stalls_stops_nobody_and_gets_whole_lines_later() {
    for size in ["100", "10000"] {
        let mut child = Command::new(example("counted"))
            .args(["2000", size])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stalled = child.stdout.take().unwrap();
        // it ends although its output is not read
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let (written, dropped) = counts(&output.stderr);
        assert_eq!(written + dropped, 2000);
        assert!(written > 0 && dropped > 0, "{written} {dropped}");
        let mut text = String::new();
        stalled.read_to_string(&mut text).unwrap();
        let whole = text
            .lines()
            .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            .count();
        assert_eq!(
            whole as u64, written,
            "nobody read before the program ended"
        );
    }
}

#[test]
fn recent_lines_are_the_newest_oldest_first_and_follow_a_new_size() {
    let (pipeline, _) = crate::pipeline(|config| config.recent_lines(3), true);
    for n in 0..5 {
        info!(pipeline.root(), "kept", n = n);
    }
    let numbers = |lines: Vec<String>| -> Vec<String> {
        lines
            .iter()
            .map(|line| {
                line.rsplit(':')
                    .next()
                    .unwrap()
                    .trim_end_matches('}')
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(numbers(pipeline.recent(200)), ["2", "3", "4"]);
    assert_eq!(numbers(pipeline.recent(2)), ["3", "4"]);
    let after = |number| {
        let fresh = pipeline.recent_after(number);
        (fresh.last, numbers(fresh.lines))
    };
    assert_eq!(after(4), (5, vec!["4".to_owned()]));
    assert_eq!(after(5), (5, vec![]));
    assert_eq!(after(0).1, ["2", "3", "4"], "two were not kept");
    pipeline
        .configure(Config::new().stdout(false).recent_lines(2))
        .unwrap();
    assert_eq!(numbers(pipeline.recent(200)), ["3", "4"]);
    info!(pipeline.root(), "kept", n = 5);
    assert_eq!(numbers(pipeline.recent(200)), ["4", "5"]);
    pipeline
        .configure(Config::new().stdout(false).recent_lines(4))
        .unwrap();
    info!(pipeline.root(), "kept", n = 6);
    info!(pipeline.root(), "kept", n = 7);
    info!(pipeline.root(), "kept", n = 8);
    assert_eq!(numbers(pipeline.recent(200)), ["5", "6", "7", "8"]);
    pipeline
        .configure(Config::new().stdout(false).recent_lines(0))
        .unwrap();
    assert!(pipeline.recent(200).is_empty());
}

/// Interval after which a renamed file is reopened without a signal.
const LOOKED_AT: std::time::Duration = std::time::Duration::from_millis(250);

#[test]
fn a_file_is_opened_again_on_sighup() {
    // on a busy machine the file may be reopened before the signal arrives, which proves nothing
    assert!((0..100).any(|_| is_opened_again_on_sighup()));
}

/// Returns `false` if the file may have been reopened without the signal.
fn is_opened_again_on_sighup() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let looked = std::time::Instant::now();
    let pipeline = Pipeline::new(Config::new().stdout(false).file(&path)).unwrap();
    info!(pipeline.root(), "first");
    let rotated = dir.path().join("app.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    info!(pipeline.root(), "still_old");
    let is_there = path.exists();
    assert!(!is_there || looked.elapsed() >= LOOKED_AT);
    let pid = std::process::id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    // the signal is delivered before `kill` returns or soon after: lines are written until the file is there
    let deadline = looked + std::time::Duration::from_secs(60);
    while !path.exists() {
        assert!(std::time::Instant::now() < deadline, "never opened again");
        info!(pipeline.root(), "new_or_old");
    }
    let is_by_signal = looked.elapsed() < LOOKED_AT;
    info!(pipeline.root(), "in_the_new_one");
    let lines = |path| std::fs::read_to_string(path).unwrap().lines().count() as u64;
    assert_eq!(lines(&rotated) + lines(&path), pipeline.stats().written);
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("in_the_new_one")
    );
    is_by_signal
}

#[test]
fn many_threads_write_whole_lines_and_count_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let pipeline = Pipeline::new(Config::new().stdout(false).file(&path)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = pipeline.logger("threads").bind("thread", thread);
            scope.spawn(move || {
                for n in 0..500 {
                    info!(log, "threaded", n = n, text = "x".repeat(n));
                }
            });
        }
    });
    let text = std::fs::read_to_string(&path).unwrap();
    let parsed = text
        .lines()
        .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
    assert_eq!(parsed.count(), 4000);
    assert_eq!(
        (pipeline.stats().written, pipeline.stats().dropped),
        (4000, 0)
    );
}

/// Runs `counted` with a reader that starts to read after the program has logged all of its lines.
fn counted_with_a_late_reader(arguments: &[&str]) -> (u64, u64, String) {
    let mut child = Command::new(example("counted"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut late = child.stdout.take().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    // its first line reports that all lines are logged, its second one the counts
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert_eq!(line, "logged\n");
    let mut text = String::new();
    late.read_to_string(&mut text).unwrap();
    line.clear();
    errors.read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    let (written, dropped) = counts(line.as_bytes());
    (written, dropped, text)
}

#[test]
fn a_late_reader_gets_the_number_of_missing_lines() {
    let (written, dropped, text) = counted_with_a_late_reader(&["400", "1000", "late"]);
    assert!(
        dropped > 0 && written + dropped == 400,
        "{written} {dropped}"
    );
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "log_lines_lost", "{last}");
    assert_eq!(
        (&last["output"], &last["lines"]),
        (&"stdout".into(), &dropped.into())
    );
    assert_eq!(text.lines().count() as u64, written + 1);
}

#[test]
fn an_output_that_blocks_waits_for_its_reader_and_loses_nothing() {
    let mut child = Command::new(example("counted"))
        .args(["400", "1000", "blocking"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // longer than any budget, without reading
    let started = std::time::Instant::now();
    while started.elapsed() < ops_log::ERROR_STALL_BUDGET + ops_log::STALL_BUDGET {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(counts(&output.stderr), (400, 0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 400);
}

#[test]
fn errors_wait_longer_for_a_reader_than_other_lines() {
    // a busy machine may stall the reader, or this thread, for as long as a budget
    assert!((0..20).any(|_| an_error_waits_and_another_line_does_not()));
}

fn an_error_waits_and_another_line_does_not() -> bool {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    let pipeline = Pipeline::new(Config::new().stdout(false).file(path)).unwrap();
    while pipeline.stats().dropped == 0 {
        info!(pipeline.root(), "fills_the_pipe", text = "x".repeat(4000));
    }
    let before = pipeline.stats().dropped;
    let started = std::time::Instant::now();
    info!(pipeline.root(), "dropped_at_once");
    let at_once = started.elapsed() < ops_log::STALL_BUDGET;
    assert_eq!(pipeline.stats().dropped, before + 1);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        // gives time to the thread with a waiting error
        std::thread::yield_now();
        let mut chunk = vec![0; 1 << 20];
        while !text.contains("\"kept\"") {
            let len = reader.read(&mut chunk).unwrap();
            text.push_str(std::str::from_utf8(&chunk[..len]).unwrap());
            if len == 0 {
                break; // the error was dropped
            }
        }
        text
    });
    ops_log::error!(pipeline.root(), "kept");
    let has_waited = pipeline.stats().dropped == before + 1;
    if !at_once || !has_waited {
        drop((pipeline, writer));
        reading.join().unwrap();
        return false;
    }
    let text = reading.join().unwrap();
    let lost = text
        .lines()
        .find(|line| line.contains("log_lines_lost"))
        .unwrap();
    assert!(
        lost.ends_with(&format!("\"lines\":{}}}", before + 1)),
        "{lost}"
    );
    drop(writer);
    true
}

#[test]
fn a_path_that_stands_for_a_pipe_is_written_to_as_one() {
    let (reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    let pipeline = Pipeline::new(Config::new().stdout(false).file(path)).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..200 {
        info!(pipeline.root(), "nobody_reads", text = "x".repeat(4000));
    }
    // one budget in total, not one for each line
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    assert!(pipeline.stats().dropped > 0);
    drop((reader, writer));
}

#[test]
fn a_file_in_the_place_of_a_directory_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::write(&logs, "").unwrap();
    for path in [logs.join("app.log"), logs.join("api/app.log")] {
        let refused = Pipeline::new(Config::new().stdout(false).file(path)).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(refused.contains("Not a directory"), "{refused}");
    }
}

/// Python gives the program a terminal, and passes its output on.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_shows_nothing_more_stops_nobody() {
    const IN_TERMINAL: &str = "import pty, sys; pty.spawn(sys.argv[1:])";
    for size in ["100", "700"] {
        let command = format!("{} 2000 {size} 2>&3", example("counted").display());
        let mut terminal = Command::new("sh")
            .args(["-c", r#"exec python3 -c "$0" sh -c "$1" 3>&2"#])
            .args([IN_TERMINAL, &command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = terminal.stdout.take();
        let mut said = BufReader::new(terminal.stderr.take().unwrap());
        let (sender, line) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            sender.send(line).unwrap();
        });
        // it ends although its output is not read
        let line = line
            .recv_timeout(Duration::from_secs(60))
            .expect("it waits");
        let (written, dropped) = counts(line.as_bytes());
        assert_eq!(written + dropped, 2000);
        assert!(written > 0 && dropped > 0, "{written} {dropped}");
        drop(shown);
        terminal.kill().unwrap();
        terminal.wait().unwrap();
    }
}
