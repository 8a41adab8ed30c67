//! Command, doctor and admin page after a real crash.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{CANARY, send_canary};
use crate::served::Home;

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program = home.program(arguments);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn after_a_kill_the_doctor_the_command_and_the_page_say_how_it_ended_and_hold_no_secret() {
    let mut home = Home::new();
    let folder = home.path("box");
    std::fs::create_dir(&folder).unwrap();
    home.set("OPS_BLACK_BOX", "box");
    home.set("REGISTRY_API_KEY", CANARY);
    let served = home.serve();
    for month in 1..4 {
        let path = format!("/api/flights/summary?origin=SFO&month={month}");
        assert_eq!(served.get(&path).status, 200);
    }
    send_canary(&served, "a");
    served.kill();

    // not restarted yet: the doctor reads the box of a dead process
    let doctor = run(&home, &["doctor", "--json"]);
    let diagnosis: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let findings = diagnosis["findings"].as_array().unwrap();
    let crashed = findings
        .iter()
        .find(|one| one["id"] == "last_run_crashed")
        .unwrap();
    assert!(
        crashed["seen"]
            .as_str()
            .unwrap()
            .contains("it recorded no end and ended abruptly"),
        "{crashed}"
    );
    assert!(
        crashed["action"]
            .as_str()
            .unwrap()
            .contains("black-box box/kearney-platform-api.box"),
        "{crashed}"
    );

    let shown = run(&home, &["black-box", "box/kearney-platform-api.box"]);
    let shown = text(&shown);
    assert!(
        shown.contains("end        unknown: it recorded no end"),
        "{shown}"
    );
    assert!(shown.contains("request_completed"), "{shown}");
    assert!(
        shown.contains("[span     ] {\"name\":\"POST /api/registry/models\""),
        "{shown}"
    );

    let again = home.serve();
    // rules run a moment after the start
    let started = Instant::now();
    let state = loop {
        let state = again.state();
        if state["findings"][0].is_object() || started.elapsed() > Duration::from_secs(60) {
            break state;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_eq!(state["last_run"]["ending"], "unknown", "{state:#}");
    let records = state["last_run"]["records"].as_array().unwrap();
    assert!(records.iter().any(|one| one["name"] == "request_completed"));
    let found = state["findings"].as_array().unwrap().iter();
    assert_eq!(
        found.filter(|one| one["id"] == "last_run_crashed").count(),
        1,
        "{state:#}"
    );
    assert!(again.stop().success());

    let json = run(
        &home,
        &["black-box", "--json", "box/kearney-platform-api.box.1"],
    );
    let reading: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        reading["ending"]["kind"], "unknown",
        "the verdict of the start after it"
    );
    assert_eq!(reading["service"], "kearney-platform-api");
    let doctor = text(&run(&home, &["doctor"]));
    assert!(
        doctor.contains("clean: it shut down cleanly after SIGTERM"),
        "{doctor}"
    );

    for printed in [shown, doctor, state.to_string(), text(&json)] {
        assert!(!printed.contains(CANARY), "{printed}");
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let mut parts = bytes.windows(CANARY.len());
        assert!(
            !parts.any(|part| part == CANARY.as_bytes()),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_command_says_why_a_file_is_no_black_box_and_moves_no_terminal() {
    let home = Home::new();
    std::fs::write(home.path("notes"), "a diary").unwrap();
    let refused = run(&home, &["black-box", "notes"]);
    assert_eq!(refused.status.code(), Some(1));
    let printed = text(&refused);
    assert!(
        printed.contains("cannot read the black box: notes: not a black box"),
        "{printed}"
    );
    let absent = text(&run(&home, &["black-box", "nowhere"]));
    assert!(
        absent.contains("nowhere: cannot open the file: No such file"),
        "{absent}"
    );
    // the box of another program, with content that it wrote
    let wrote = "import sys,zlib,struct";
    let has_python = Command::new("python3").args(["-c", wrote]).status();
    if has_python.is_ok_and(|status| status.success()) {
        forged_lines(&home);
    }
}

/// Tests a file written by another program after the description of the format, with a line that would clear a
/// terminal.
fn forged_lines(home: &Home) {
    const WRITER: &str = r#"
import struct, sys, zlib
MASK = (1 << 64) - 1
run, ring = 77, 65536
head = bytearray(4096)
struct.pack_into("<8sIIQQQQ", head, 0, b"OPSBBOX\n", 1, 4096, ring, run, 4242, 1763000000 * 10**9)
head[80:84] = struct.pack("<I", 5); head[88:93] = b"other"
struct.pack_into("<I", head, 248, zlib.crc32(bytes(head[:248])))
data = bytearray(ring)
position = 0
for number, text in enumerate([b'{"event":"\x1b[2J"}', b"\x1b]0;owned\x07", b'{"level":"info","event":"fine"}']):
    at = 1763000001 * 10**9 + number
    kind = len(text) | (1 + number % 2) << 24
    mixed = run
    for word in (position, at, kind):
        mixed = ((mixed ^ word) * 0x9e3779b97f4a7c15) & MASK
        mixed = (mixed << 32 | mixed >> 32) & MASK
    check = zlib.crc32(text, mixed & 0xffffffff)
    record = struct.pack("<QIIQ", position, kind, check, at) + text + bytes(-len(text) % 8)
    data[position:position + len(record)] = record
    position += len(record)
struct.pack_into("<Q", head, 512, position)
open(sys.argv[1], "wb").write(bytes(head) + bytes(data))
"#;
    let wrote = Command::new("python3")
        .args(["-c", WRITER])
        .arg(home.path("other.box"))
        .status();
    assert!(wrote.unwrap().success());
    let shown = text(&run(home, &["black-box", "other.box"]));
    assert!(shown.contains("other, process 4242"), "{shown}");
    assert!(shown.contains("3 records; 0 older records"), "{shown}");
    assert!(
        shown.contains("event=fine") || shown.contains("fine"),
        "{shown}"
    );
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\u{7}'),
        "{shown}"
    );
}

#[test]
fn an_engine_that_cannot_be_used_is_no_crash() {
    let mut home = Home::new();
    std::fs::create_dir(home.path("box")).unwrap();
    home.set("OPS_BLACK_BOX", "box");
    let refused = run(&home, &["serve", "--engine", "nonsense"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    let shown = run(&home, &["black-box", "box/kearney-platform-api.box"]);
    let shown = text(&shown);
    assert!(shown.contains("end        clean:"), "{shown}");

    // the next start reports a crash that happened before the failed start
    home.serve().kill();
    run(&home, &["serve", "--engine", "nonsense"]);
    let shown = run(&home, &["black-box", "box/kearney-platform-api.box"]);
    let shown = text(&shown);
    assert!(shown.contains("end        unknown:"), "{shown}");
}
