//! Process ends decided by the main thread: this program runs itself, and ends as a variable requests.
#![cfg(unix)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use ops_black_box::{BlackBox, Config, EndingKind, Kind, Reading};

const BOX: &str = "BLACK_BOX_OF_CHILD";
const DEED: &str = "DEED_OF_CHILD";

fn main() {
    match (std::env::var_os(BOX), std::env::var(DEED)) {
        (Some(path), Ok(deed)) => end(Path::new(&path), &deed),
        _ => judge(),
    }
}

fn end(path: &Path, deed: &str) {
    let black_box = ops_black_box::open(&Config::new(path, "shop")).black_box;
    let black_box = black_box.unwrap();
    black_box.watch_process(|_| None).unwrap();
    match deed {
        "return" => {}
        "exit" => std::process::exit(3),
        "panic" => panic!("nothing goes any more"),
        "close and exit" => {
            black_box.close();
            std::process::exit(4)
        }
        "second signal" => {
            black_box.stopping(Some(15));
            black_box.exiting();
            std::process::exit(143)
        }
        "panic, then a worker" => {
            // it waits for the main thread, whose channel closes
            let (work, wait) = mpsc::channel::<()>();
            let worker = std::thread::spawn(move || wait.recv().unwrap());
            let _joins = Joins(Some(work), Some(worker));
            panic!("nothing goes any more")
        }
        "caught, then a signal" => {
            let caught = std::panic::catch_unwind(|| panic!("of a handler"));
            assert!(caught.is_err());
            black_box.stopping(Some(15));
            std::process::exit(143)
        }
        "many caught" => {
            // a backtrace for each of thousands per second would be expensive
            for _ in 0..20 {
                drop(std::panic::catch_unwind(|| panic!("of a handler")));
                drop(std::thread::spawn(|| panic!("of a worker")).join());
            }
            black_box.close();
        }
        "signal, then a panic" => {
            black_box.stopping(Some(15));
            panic!("while it stops")
        }
        "panic that takes long to unwind" | "panic of long before" => {
            let seconds = if deed == "panic of long before" {
                120
            } else {
                8
            };
            let panic = br#"{"message":"nothing goes any more","location":null,"thread":"main","is_main":true,"aborts":false}"#;
            let at = SystemTime::now() - Duration::from_secs(seconds);
            black_box.record(Kind::Panic, at, panic);
            std::process::exit(101)
        }
        "panic that asks for a stop" => {
            let _stops = Stops(black_box);
            panic!("nothing goes any more")
        }
        other => panic!("{other} is no deed"),
    }
}

struct Joins(Option<mpsc::Sender<()>>, Option<JoinHandle<()>>);

impl Drop for Joins {
    fn drop(&mut self) {
        drop(self.0.take());
        assert!(self.1.take().unwrap().join().is_err());
    }
}

struct Stops(BlackBox);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stopping(None);
    }
}

fn judge() {
    let (status, last) = run("return");
    assert!(status.success());
    assert_eq!(last.ending.kind, EndingKind::Exited);
    assert_eq!(last.ending.how, "it exited without a shutdown");

    let (status, last) = run("exit");
    assert_eq!(status.code(), Some(3));
    assert_eq!(last.ending.kind, EndingKind::Exited);

    let (status, last) = run("panic");
    assert_eq!(status.code(), Some(101));
    assert_eq!(last.ending.kind, EndingKind::Panicked);
    assert!(last.ending.how.ends_with("nothing goes any more"));
    let panic = last.panic.unwrap();
    assert!(panic.is_main && panic.backtrace.is_some());

    let (status, last) = run("close and exit");
    assert_eq!(status.code(), Some(4));
    assert_eq!(last.ending.kind, EndingKind::Clean);

    let (status, last) = run("second signal");
    assert_eq!(status.code(), Some(143));
    assert_eq!(last.ending.kind, EndingKind::Exited);
    assert!(last.ending.how.contains("requested by SIGTERM"));

    let (status, last) = run("panic, then a worker");
    assert_eq!(status.code(), Some(101));
    assert_eq!(last.ending.kind, EndingKind::Panicked, "{last:?}");
    assert!(last.ending.how.ends_with("nothing goes any more"));
    let panic = last.panic.unwrap();
    assert!(panic.is_main, "the one that ended it is shown: {panic:?}");
    assert_eq!(panic.message, "nothing goes any more");
    let panics = last.records.iter().filter(|one| one.kind == Kind::Panic);
    assert_eq!(panics.count(), 2);

    let (_, last) = run("caught, then a signal");
    assert_eq!(last.ending.kind, EndingKind::Exited, "{last:?}");
    assert_eq!(
        last.ending.how,
        "it exited before the shutdown requested by SIGTERM was complete; its main thread had panicked before: of a handler"
    );

    let (_, last) = run("many caught");
    let count = |kind| last.records.iter().filter(|one| one.kind == kind).count();
    assert_eq!(count(Kind::Panic), 40);
    assert_eq!(count(Kind::Backtrace), 2, "one of main, one of others");

    let (_, last) = run("signal, then a panic");
    assert_eq!(last.ending.kind, EndingKind::Panicked, "{last:?}");

    // as with a runtime that waits for a query when it is dropped
    let (_, last) = run("panic that takes long to unwind");
    assert_eq!(last.ending.kind, EndingKind::Exited, "{last:?}");
    let how = &last.ending.how;
    assert!(
        how.starts_with("it exited without a shutdown, ")
            && how.ends_with(" s after its main thread had panicked: nothing goes any more"),
        "{how}"
    );
    let (_, last) = run("panic of long before");
    assert_eq!(last.ending.how, "it exited without a shutdown");

    let (_, last) = run("panic that asks for a stop");
    assert_eq!(last.ending.kind, EndingKind::Panicked, "{last:?}");
}

fn run(deed: &str) -> (ExitStatus, Reading) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("shop.box");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(BOX, &path)
        .env(DEED, deed)
        .stderr(Stdio::null());
    let status = command.status().unwrap();
    let opened = ops_black_box::open(&Config::new(&path, "shop"));
    (status, opened.last_run.unwrap().reading)
}
