use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use ops_black_box::{BlackBox, EndingKind, Kind};

use crate::{Place, child};

#[test]
fn a_run_that_was_shut_down_is_clean_and_says_by_which_signal() {
    let place = Place::new();
    assert!(child::run(&place, "stop").success());
    let last = place.next_start();
    assert_eq!(last.reading.ending.kind, EndingKind::Clean);
    assert_eq!(last.reading.ending.signal, Some(15), "the first one counts");
    assert_eq!(
        last.reading.ending.how,
        "it shut down cleanly after SIGTERM"
    );
    assert_eq!(last.kept, place.kept("clean"));
    assert_eq!(last.reading.service, "shop");
}

#[test]
fn a_kill_without_evidence_is_unknown_also_in_the_middle_of_a_stop() {
    let place = Place::new();
    let mut child = child::start(&place, "hang");
    child::wait_for_lines(&place, &mut child, 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let last = place.next_start();
    assert_eq!(last.reading.ending.kind, EndingKind::Unknown);
    assert!(
        last.reading.ending.how.contains("SIGKILL"),
        "{:?}",
        last.reading.ending
    );
    assert_eq!(last.kept, place.kept("1"));

    let place = Place::new();
    let mut child = child::start(&place, "stop and hang");
    child::wait_for_lines(&place, &mut child, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let ending = place.next_start().reading.ending;
    assert_eq!(ending.kind, EndingKind::Unknown);
    assert!(
        ending
            .how
            .contains("during a shutdown that SIGTERM had requested"),
        "{ending:?}"
    );
}

#[test]
fn sigabrt_is_aborted_also_after_a_clean_end() {
    let place = Place::new();
    let status = child::run(&place, "abort");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(6)
    );
    let ending = place.next_start().reading.ending;
    assert_eq!((ending.kind, ending.signal), (EndingKind::Aborted, Some(6)));

    assert!(!child::run(&place, "abort after the end").success());
    let ending = place.next_start().reading.ending;
    assert_eq!(ending.kind, EndingKind::Aborted);
    assert!(ending.how.contains("after a clean shutdown"), "{ending:?}");
}

#[test]
fn sigabrt_after_that_of_a_forked_child_is_aborted() {
    let place = Place::new();
    assert!(!child::run(&place, "abort after a child did").success());
    let ending = place.next_start().reading.ending;
    assert_eq!(ending.kind, EndingKind::Aborted, "{ending:?}");
}

#[test]
fn sigabrt_after_another_start_in_the_process_is_aborted() {
    let place = Place::new();
    assert!(!child::run(&place, "abort after another start").success());
    let ending = place.next_start().reading.ending;
    assert_eq!(ending.kind, EndingKind::Aborted, "{ending:?}");
}

#[test]
fn an_abort_that_somebody_sent_ends_the_process_as_before() {
    let place = Place::new();
    let mut child = child::start(&place, "hang");
    child::wait_for_lines(&place, &mut child, 1);
    let sent = Command::new("kill")
        .args(["-ABRT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(6)
    );
    assert_eq!(place.next_start().reading.ending.kind, EndingKind::Aborted);
}

#[test]
fn a_panic_in_a_thread_is_in_the_box_without_the_secret_and_ends_nothing() {
    let place = Place::new();
    assert!(child::run(&place, "panic in a thread").success());
    let last = place.next_start();
    assert_eq!(last.reading.ending.kind, EndingKind::Clean);
    let panic = last.reading.panic.unwrap();
    assert_eq!(panic.message, "the key is ***");
    assert_eq!(panic.thread.as_deref(), Some("worker"));
    assert!(panic.location.unwrap().contains("child.rs"));
    assert!(!panic.is_main && !panic.aborts);
    assert!(panic.backtrace.unwrap().contains("runs_as_a_child"));
    let bytes = fs::read(&last.kept).unwrap();
    assert!(!bytes.windows(10).any(|part| part == b"canary-5d1"));
    assert!(
        last.reading
            .records
            .iter()
            .any(|one| one.kind == Kind::Backtrace)
    );
}

#[test]
fn a_panic_that_cannot_be_caught_ended_the_run() {
    let place = Place::new();
    assert!(!child::run(&place, "panic twice").success());
    let ending = place.next_start().reading.ending;
    assert_eq!(ending.kind, EndingKind::Panicked, "{ending:?}");
    assert!(ending.how.contains("cannot be caught"), "{ending:?}");
}

#[test]
fn a_long_panic_is_shortened_to_what_a_small_ring_holds_and_has_its_backtrace() {
    let place = Place::new();
    assert!(child::run(&place, "long panic").success());
    let reading = place.next_start().reading;
    let panic = reading.panic.unwrap();
    assert!(panic.message.starts_with("\u{1}\"ä\u{1}\"ä"));
    let found = reading.records.iter().find(|one| one.kind == Kind::Panic);
    let length = found.unwrap().text.len();
    assert!((8 * 1024..=16 * 1024).contains(&length), "{length} bytes");
    assert!(panic.backtrace.unwrap().contains("panic"));
}

#[test]
fn a_later_sign_of_life_clears_the_sigabrt_mark() {
    // written by a forked child that aborted
    let aborts = |place: &Place| {
        let file = fs::OpenOptions::new().write(true).open(place.file());
        file.unwrap().write_all_at(b"X", 704).unwrap();
    };
    let ending = |then: fn(&BlackBox)| {
        let place = Place::new();
        let black_box = place.open();
        aborts(&place);
        then(&black_box);
        drop(black_box);
        place.next_start().reading.ending.kind
    };
    assert_eq!(ending(|_| ()), EndingKind::Aborted);
    let beat = |black_box: &BlackBox| black_box.beat(SystemTime::now(), b"{}");
    assert_eq!(ending(beat), EndingKind::Unknown);
    assert_eq!(ending(BlackBox::close), EndingKind::Clean);
    assert_eq!(ending(BlackBox::exiting), EndingKind::Exited);
}

/// Creates a control group with this memory limit; `None` if that is not possible here.
fn memory_group(name: &str, bytes: u64) -> Option<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let (folder, limits) = match root.join("cgroup.controllers").exists() {
        true => (root.join(name), &["memory.max"][..]),
        false => (
            root.join("memory").join(name),
            &["memory.limit_in_bytes"][..],
        ),
    };
    let made = fs::create_dir(&folder).is_ok()
        && limits
            .iter()
            .all(|limit| fs::write(folder.join(limit), bytes.to_string()).is_ok());
    made.then_some(folder)
}

#[test]
fn oom_kill_is_detected_by_the_cgroup_counter() {
    let name = format!("ops-black-box-{}", std::process::id());
    let Some(group) = memory_group(&name, 64 << 20) else {
        let _ = writeln!(
            std::io::stderr(),
            "no control group can be made here: not tested"
        );
        return;
    };
    let place = Place::new();
    // the shell enters the group, then executes the program
    let program = std::env::current_exe().unwrap();
    let enter = format!(
        "echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"",
        group.display()
    );
    let status = Command::new("sh")
        .args(["-c", &enter])
        .arg(program)
        .args(["--exact", "child::runs_as_a_child", "--nocapture"])
        .env("BLACK_BOX_OF_CHILD", place.file())
        .env("DEED_OF_CHILD", "eat")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    // a start in another group has no evidence
    let elsewhere = ops_black_box::read_here(place.file()).unwrap();
    assert_eq!(elsewhere.ending.kind, EndingKind::Unknown);
    // a start in the same group has it
    let status = Command::new("sh")
        .args(["-c", &enter])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child::runs_as_a_child", "--nocapture"])
        .env("BLACK_BOX_OF_CHILD", place.file())
        .env("DEED_OF_CHILD", "stop")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    let _ = fs::remove_dir(&group);
    assert!(status.success());
    let kept = crate::read(&place.kept("1")).unwrap();
    assert_eq!(
        kept.ending.kind,
        EndingKind::OutOfMemory,
        "{:?}",
        kept.ending
    );
    assert!(
        kept.ending.how.contains("rose from 0 to 1"),
        "{:?}",
        kept.ending
    );
    assert!(kept.records.last().unwrap().text.contains("eaten"));
}
