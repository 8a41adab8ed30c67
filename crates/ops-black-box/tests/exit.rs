//! Ends of a process that its main thread decides: this program runs itself, and ends as a variable says.
#![cfg(unix)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use ops_black_box::{Config, EndingKind, Reading};

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
        other => panic!("{other} is no deed"),
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
    assert!(last.ending.how.contains("SIGTERM had asked"));
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
