//! A log file that cannot fill the disk.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use ops_log::{Config, Output, Pipeline, Rotation, info};

use crate::Written;

fn events(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn numbers(path: &Path) -> Vec<u64> {
    events(path)
        .iter()
        .filter_map(|line| line["n"].as_u64())
        .collect()
}

/// Logs until the condition is true.
fn log_until(pipeline: &Pipeline, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < deadline, "never happened");
        info!(pipeline.root(), "waiting");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_is_rotated_by_size_and_its_oldest_lines_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let config = Config::new()
        .stdout(false)
        .rotation(Rotation::new(2_000, 3))
        .file(&path);
    let pipeline = Pipeline::new(config).unwrap();
    for n in 0..200 {
        info!(pipeline.root(), "numbered", n = n);
    }
    let name = |number: u32| dir.path().join(format!("app.log.{number}"));
    let mut kept = Vec::new();
    for path in [name(2), name(1), path.clone()] {
        let len = fs::metadata(&path).unwrap().len();
        assert!(len <= 2_000, "{len}");
        kept.extend(numbers(&path));
    }
    assert!(!name(3).exists());
    assert_eq!(*kept.last().unwrap(), 199);
    assert!(
        kept.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{kept:?}"
    );
    assert!(kept.len() > 40, "{kept:?}");
    assert_eq!(
        (pipeline.stats().written, pipeline.stats().dropped),
        (200, 0)
    );
}

#[cfg(unix)]
#[test]
fn a_link_stays_where_it_is_and_the_file_behind_it_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let (link, disk) = (dir.path().join("app.log"), dir.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    std::os::unix::fs::symlink("disk/linked.log", &link).unwrap();
    let config = Config::new()
        .stdout(false)
        .rotation(Rotation::new(2_000, 3))
        .file(&link);
    let pipeline = Pipeline::new(config).unwrap();
    for n in 0..200 {
        info!(pipeline.root(), "numbered", n = n);
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let names = |path: &Path| {
        let entries = fs::read_dir(path).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(dir.path()), ["app.log", "disk"]);
    let rotated = ["linked.log", "linked.log.1", "linked.log.2"];
    assert_eq!(names(&disk), rotated);
    // a reader of the link finds all of them
    let files = ops_log::reader::with_rotated(&link);
    let found: Vec<u64> = files.iter().flat_map(|file| numbers(file)).collect();
    assert_eq!((files.len(), found.last()), (3, Some(&199)));
    assert!(found.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn a_rotation_is_on_unless_it_is_switched_off_and_counts_what_is_there() {
    assert_eq!(Rotation::default().max_bytes(), Some(64 * 1024 * 1024));
    assert_eq!(Rotation::default().files(), 4);
    assert_eq!(Rotation::default().to_string(), "64MiB x 4");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let sized = |len: u64| fs::File::create(&path).unwrap().set_len(len).unwrap();
    // a sparse file takes no space on disk
    sized(64 * 1024 * 1024 - 10);
    info!(
        Pipeline::new(Config::new().stdout(false).file(&path))
            .unwrap()
            .root(),
        "rotated"
    );
    assert!(fs::metadata(&path).unwrap().len() < 1_000);
    assert!(dir.path().join("app.log.1").exists());
    fs::remove_file(dir.path().join("app.log.1")).unwrap();
    sized(64 * 1024 * 1024 - 10);
    let off = Config::new()
        .stdout(false)
        .rotation(Rotation::off())
        .file(&path);
    info!(Pipeline::new(off).unwrap().root(), "appended");
    assert!(fs::metadata(&path).unwrap().len() > 64 * 1024 * 1024);
    assert!(!dir.path().join("app.log.1").exists());
}

#[test]
fn a_rotation_is_parsed_and_invalid_text_is_refused() {
    for (text, rotation) in [
        ("off", Rotation::off()),
        (" 64MiB x 4 ", Rotation::new(64 << 20, 4)),
        ("1gibx2", Rotation::new(1 << 30, 2)),
        ("512 KiB x 1", Rotation::new(512 << 10, 1)),
        ("100B x 9", Rotation::new(100, 9)),
    ] {
        assert_eq!(text.parse::<Rotation>().unwrap(), rotation, "{text}");
        assert_eq!(rotation.to_string().parse::<Rotation>().unwrap(), rotation);
    }
    for wrong in [
        "",
        "on",
        "64",
        "64MiB",
        "64MB x 4",
        "0MiB x 4",
        "1MiB x 0",
        "-1B x 1",
        "99999999999GiB x 1",
        "1MiB x 5000",
    ] {
        let error = wrong.parse::<Rotation>().unwrap_err().to_string();
        assert!(
            error.contains("expected a size and a number of files"),
            "{error}"
        );
    }
    let config = "rotation: 1MiB x 0";
    let error = serde_yaml::from_str::<Config>(config)
        .unwrap_err()
        .to_string();
    assert!(error.contains("invalid rotation \"1MiB x 0\""), "{error}");
}

#[test]
fn several_pipelines_with_one_file_rotate_it_once_each_time_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let open = || {
        let config = Config::new()
            .stdout(false)
            .rotation(Rotation::new(20_000, 1_000))
            .file(&path);
        Pipeline::new(config).unwrap()
    };
    let pipelines = [open(), open(), open()];
    std::thread::scope(|scope| {
        for (thread, pipeline) in (0_u64..).zip(&pipelines) {
            scope.spawn(move || {
                for n in 0..1_000 {
                    info!(pipeline.root(), "numbered", n = thread * 1_000 + n);
                }
            });
        }
    });
    let mut all: Vec<u64> = fs::read_dir(dir.path())
        .unwrap()
        .flat_map(|entry| numbers(&entry.unwrap().path()))
        .collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..3_000), "{} lines", all.len());
}

#[test]
fn threads_rotate_a_file_once_each_time_and_lose_nothing() {
    const LIMIT: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let config = Config::new().stdout(false).file(&path);
    let pipeline = Pipeline::new(config.rotation(Rotation::new(LIMIT, 1_000))).unwrap();
    std::thread::scope(|scope| {
        for thread in 0_u64..4 {
            let log = pipeline.root();
            scope.spawn(move || {
                for n in 0..2_000 {
                    info!(log, "numbered", n = thread * 2_000 + n);
                }
            });
        }
    });
    let mut all = numbers(&path);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let older = entry.unwrap().path();
        if older != path {
            let length = older.metadata().unwrap().len();
            assert!((LIMIT - 200..=LIMIT).contains(&length), "{length}");
            all.extend(numbers(&older));
        }
    }
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..8_000), "{} lines", all.len());
}

#[test]
fn a_deleted_or_renamed_file_is_made_again_without_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs/app.log");
    let pipeline = Pipeline::new(Config::new().stdout(false).file(&path)).unwrap();
    info!(pipeline.root(), "first");
    fs::remove_file(&path).unwrap();
    log_until(&pipeline, || path.exists());
    fs::rename(&path, dir.path().join("moved.log")).unwrap();
    log_until(&pipeline, || path.exists());
    fs::remove_dir_all(dir.path().join("logs")).unwrap();
    log_until(&pipeline, || path.exists());
    info!(pipeline.root(), "last", n = 1);
    assert_eq!(numbers(&path), [1]);
    assert_eq!(pipeline.stats().dropped, 0);
}

#[test]
fn a_file_that_was_emptied_is_filled_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let config = Config::new()
        .stdout(false)
        .rotation(Rotation::new(4_000, 2))
        .file(&path);
    let pipeline = Pipeline::new(config).unwrap();
    for n in 0..30 {
        info!(pipeline.root(), "before", n = n);
    }
    fs::File::create(&path).unwrap();
    info!(pipeline.root(), "after", n = 99);
    assert_eq!(numbers(&path), [99]);
}

#[test]
fn a_file_that_cannot_be_reopened_is_reported_once_and_retried() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, path) = (dir.path().join("logs"), dir.path().join("logs/app.log"));
    let people = Written::default();
    let config = Config::new()
        .stdout(false)
        .output(Output::writer(people.clone()).json(true))
        .file(&path);
    let pipeline = Pipeline::new(config).unwrap();
    info!(pipeline.root(), "first");
    // the directory becomes a file: root is not stopped by permissions
    fs::remove_dir_all(&logs).unwrap();
    fs::write(&logs, "in the way").unwrap();
    let warnings = || {
        let lines = people.lines();
        lines
            .iter()
            .filter(|line| line.contains("log_file_not_reopened"))
            .count()
    };
    log_until(&pipeline, || warnings() > 0);
    let since = Instant::now();
    log_until(&pipeline, || since.elapsed() > Duration::from_millis(600));
    assert_eq!(warnings(), 1);
    let recent = pipeline.recent(200).concat();
    assert!(people.lines().concat().contains(&format!(
        r#""logger":"ops_log","event":"log_file_not_reopened","output":"{}","error":""#,
        path.display()
    )));
    let _ = recent;
    fs::remove_file(&logs).unwrap();
    log_until(&pipeline, || path.exists());
    info!(pipeline.root(), "last", n = 1);
    assert_eq!(numbers(&path), [1]);
    assert_eq!(warnings(), 1);
}

#[test]
fn a_file_that_cannot_be_rotated_is_reported_once_and_never_longer_than_all_files_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    // a file cannot replace a directory that is not empty
    fs::create_dir_all(dir.path().join("app.log.1/x")).unwrap();
    let people = Written::default();
    let config = Config::new()
        .stdout(false)
        .rotation(Rotation::new(1_000, 2))
        .output(Output::writer(people.clone()).json(true))
        .file(&path);
    let pipeline = Pipeline::new(config).unwrap();
    for n in 0..200 {
        info!(pipeline.root(), "numbered", n = n);
        assert!(fs::metadata(&path).unwrap().len() < 2_300);
    }
    let lines = people.lines().concat();
    assert_eq!(lines.matches("log_file_not_rotated").count(), 1, "{lines}");
    assert_eq!(*numbers(&path).last().unwrap(), 199);
}

#[test]
fn a_file_whose_lock_another_process_holds_is_never_longer_than_all_files_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let people = Written::default();
    let config = Config::new()
        .stdout(false)
        .rotation(Rotation::new(1_000, 2))
        .output(Output::writer(people.clone()).json(true))
        .file(&path);
    let pipeline = Pipeline::new(config).unwrap();
    let held = fs::File::open(&path).unwrap();
    held.lock().unwrap();
    for n in 0..200 {
        info!(pipeline.root(), "numbered", n = n);
        assert!(fs::metadata(&path).unwrap().len() < 2_300);
    }
    let lines = people.lines().concat();
    assert_eq!(lines.matches("log_file_not_rotated").count(), 1, "{lines}");
    assert!(lines.contains("another process holds the lock"), "{lines}");
    assert_eq!(*numbers(&path).last().unwrap(), 199);
}

#[test]
fn a_file_behind_a_name_of_the_system_is_neither_renamed_nor_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("out.log"), dir.path().join("stdout"));
    let out = fs::File::create(&path).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&out);
    std::os::unix::fs::symlink(format!("/dev/fd/{number}"), &link).unwrap();
    let config = Config::new()
        .stdout(false)
        .rotation(Rotation::new(1_000, 2))
        .file(&link);
    let pipeline = Pipeline::new(config).unwrap();
    for n in 0..100 {
        info!(pipeline.root(), "numbered", n = n);
    }
    assert_eq!(numbers(&path), (0..100).collect::<Vec<_>>());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Writer that refuses lines for a while.
struct Full(Written, std::sync::Arc<std::sync::atomic::AtomicBool>);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_one_warning_and_later_a_line_with_the_number_that_was_lost() {
    let is_full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (disk, other) = (Written::default(), Written::default());
    let config = Config::new()
        .stdout(false)
        .service_name("api")
        .clock(crate::sample_time)
        .output(Output::writer(Full(disk.clone(), is_full.clone())).json(true))
        .output(Output::writer(other.clone()).color(false));
    let pipeline = Pipeline::new(config).unwrap();
    info!(pipeline.root(), "before");
    is_full.store(true, std::sync::atomic::Ordering::Relaxed);
    for n in 0..7 {
        info!(pipeline.root(), "lost", n = n);
    }
    is_full.store(false, std::sync::atomic::Ordering::Relaxed);
    info!(pipeline.root(), "after");
    let lines = disk.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        lines[1],
        "{\"timestamp\":\"2025-01-15T10:30:00.123Z\",\"level\":\"warning\",\"logger\":\"ops_log\",\"event\":\"log_lines_lost\",\"output\":\"writer\",\"lines\":7}\n"
    );
    let message: Vec<String> = other
        .lines()
        .into_iter()
        .filter(|line| line.contains("log_output_failed"))
        .collect();
    assert_eq!(
        message,
        [
            "2025-01-15 10:30:00 [warning  ] log_output_failed  output=writer error=\"no storage space\"\n"
        ]
    );
    assert_eq!((pipeline.stats().written, pipeline.stats().dropped), (2, 7));
    assert!(
        pipeline
            .recent(20)
            .iter()
            .any(|line| line.contains("log_output_failed"))
    );
}

#[test]
fn a_pipe_without_a_reader_stops_nobody_and_its_reader_gets_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let pipeline = Pipeline::new(Config::new().stdout(false).file(&path)).unwrap();
    let started = Instant::now();
    info!(pipeline.root(), "nobody_reads");
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(pipeline.stats().dropped, 1);
    let reader = path.clone();
    let reading = std::thread::spawn(move || {
        let (mut pipe, mut text, mut chunk) =
            (fs::File::open(reader).unwrap(), String::new(), [0; 4096]);
        while !text.contains("waiting") {
            let len = pipe.read(&mut chunk).unwrap();
            text.push_str(std::str::from_utf8(&chunk[..len]).unwrap());
        }
        text
    });
    log_until(&pipeline, || reading.is_finished());
    let text = reading.join().unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.contains("log_lines_lost") && !first.contains("\"lines\":0"),
        "{first}"
    );
}

#[test]
fn a_pipe_that_is_removed_is_not_made_again_as_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let make = || {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
    };
    let read = |until: &'static str| {
        let path = path.clone();
        std::thread::spawn(move || {
            let (mut pipe, mut text) = (fs::File::open(path).unwrap(), String::new());
            let mut chunk = [0; 4096];
            while !text.contains(until) {
                let len = pipe.read(&mut chunk).unwrap();
                text.push_str(std::str::from_utf8(&chunk[..len]).unwrap());
            }
            text
        })
    };
    make();
    let pipeline = Pipeline::new(Config::new().stdout(false).file(&path)).unwrap();
    let reading = read("waiting");
    log_until(&pipeline, || reading.is_finished());
    // like a systemd unit that removes its pipe when it stops
    fs::remove_file(&path).unwrap();
    let started = Instant::now();
    log_until(&pipeline, || {
        started.elapsed() > Duration::from_millis(1200)
    });
    assert!(!path.exists());
    make();
    let reading = read("log_lines_lost");
    log_until(&pipeline, || reading.is_finished());
}
