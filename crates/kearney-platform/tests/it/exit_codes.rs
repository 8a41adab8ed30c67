//! The table of exit codes in the README, row by row, and the output of a command on a terminal.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::served::Home;

const SOON: Duration = Duration::from_secs(60);

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program = home.program(arguments);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.output().unwrap()
}

fn code(home: &Home, arguments: &[&str]) -> i32 {
    run(home, arguments).status.code().unwrap()
}

/// Returns a folder with input from which no table can be loaded: agents make three attempts, which takes more than a
/// second.
fn with_broken_input() -> Home {
    let home = Home::new();
    std::fs::create_dir(home.path("input")).unwrap();
    for name in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
        std::fs::write(home.path("input").join(name), "x").unwrap();
    }
    home
}

/// Waits until an agent retries.
fn wait_for_a_retry(home: &Home) {
    let asked = Instant::now();
    loop {
        let log = std::fs::read_to_string(home.path("logs/app.log")).unwrap_or_default();
        if log.contains("\"event\":\"agent_retries\"") {
            return;
        }
        assert!(asked.elapsed() < SOON, "{log}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn each_exit_code_has_the_one_meaning_that_the_readme_gives_it() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.unwrap();
    let table = readme.split("| exit code | meaning |").nth(1).unwrap();
    let codes = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let codes: Vec<&str> = codes
        .map(|line| line.split('|').nth(1).unwrap().trim())
        .collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4", "130, 143"]);

    let home = with_broken_input();
    let none = ["doctor", "--admin", "http://127.0.0.1:1"];
    for (arguments, right) in [
        (&["orchestrate", "--job", "load"][..], 0),
        (&["runs"], 0),
        (
            &[
                "orchestrate",
                "--job",
                "load",
                "--datasets",
                "input",
                "--data-dir",
                "other",
            ],
            1,
        ),
        (&["secrets", "source", "nosuch"], 1),
        (&["runs", "--data-dir", "nowhere"], 1),
        (&["runs", "01890000-0000-7000-8000-000000000000"], 1),
        (&["cache", "stats", "--data-dir", "nowhere"], 1),
        (&["logs", "nowhere"], 1),
        (&["healthcheck", "--port", "1"], 1),
        (
            &[
                "doctor",
                "--bundle",
                "nowhere/b.tar.gz",
                "--admin",
                "http://127.0.0.1:1",
            ],
            1,
        ),
        (&["orchestrate", "--job", "nothing"], 2),
        (&["runs", "--limit", "0"], 2),
        (&["runs", "--status", "good"], 2),
        (&["nothing"], 2),
        (&[], 2),
        (&none, 4),
    ] {
        assert_eq!(code(&home, arguments), right, "{arguments:?}");
    }
    // an unreachable collector is a warning
    let served = home.serve();
    let doctor = ["doctor", "--admin", &served.admin];
    let asked = Instant::now();
    while code(&home, &doctor) != 3 {
        assert!(asked.elapsed() < SOON, "{:?}", run(&home, &doctor));
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert!(served.stop().success());
}

/// Sends this signal to a run while its agent retries; returns the result.
fn signalled(signal: &str) -> (Home, Output) {
    let home = with_broken_input();
    let mut program = home.program(&["orchestrate", "--job", "delays", "--json"]);
    program.args(["--datasets", "input"]).stdout(Stdio::piped());
    let child = program.stderr(Stdio::piped()).spawn().unwrap();
    wait_for_a_retry(&home);
    let id = child.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status();
    assert!(sent.unwrap().success());
    (home, child.wait_with_output().unwrap())
}

#[test]
fn a_run_that_a_signal_cancels_ends_with_the_code_of_the_signal() {
    // on a busy machine, the run may fail before the signal arrives
    let in_time = |signal| {
        let mut ends = (0..5).map(|_| signalled(signal));
        ends.find_map(|(home, ended)| {
            let run: Value = serde_json::from_slice(&ended.stdout).unwrap();
            (run["status"] != "failed").then_some((home, ended, run))
        })
    };
    for (signal, right) in [("-INT", 130), ("-TERM", 143)] {
        let (home, ended, run) = in_time(signal).expect("each run has failed");
        assert_eq!(ended.status.code(), Some(right), "{ended:?}");
        assert_eq!(run["status"], "cancelled");
        let printed = String::from_utf8(ended.stderr).unwrap();
        assert!(printed.contains("ended with status cancelled"), "{printed}");
        // recorded as such
        let listed = self::run(&home, &["runs", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(listed["runs"][0], run);
    }
}

/// Runs this shell line on a separate terminal; returns its output and the exit code of `script`, which is that of the
/// line. `None` if `script` is not installed.
fn on_a_terminal(
    home: &Home,
    line: &str,
    meanwhile: impl FnOnce(&mut dyn Write),
) -> Option<(String, i32)> {
    let program = env!("CARGO_BIN_EXE_kearney-platform");
    let mut script = Command::new("script");
    for (name, value) in home.program(&[]).get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
        .current_dir(home.path(""))
        .env("SHELL", "/bin/sh")
        .env("PLATFORM", program);
    script.args(["-qefc", &format!("exec \"$PLATFORM\" {line}"), "/dev/null"]);
    script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        let _ = writeln!(
            std::io::stderr(),
            "nothing was shown on a terminal: there is no script(1)"
        );
        return None;
    };
    let mut keys = child.stdin.take().unwrap();
    meanwhile(&mut keys);
    // closing it would send Ctrl-D
    let ended = child.wait_with_output().unwrap();
    drop(keys);
    Some((
        String::from_utf8(ended.stdout).unwrap(),
        ended.status.code().unwrap(),
    ))
}

#[test]
fn a_terminal_shows_each_agent_and_phase_and_a_file_has_the_document_alone() {
    let home = Home::new();
    let line = "orchestrate --job delays --json > run.json";
    let Some((shown, code)) = on_a_terminal(&home, line, |_| {}) else {
        return;
    };
    assert_eq!(code, 0, "{shown}");
    let lines: Vec<&str> = shown
        .lines()
        .map(|line| line.split(" after ").next().unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "  ingest   flights_loader done",
            "  ingest   airports_loader done",
            "  ingest   zipcodes_loader done",
            "  ingest   done",
            "  profile  profiler done",
            "  profile  done",
            "  analyze  analyst done",
            "  analyze  done",
            "  publish  publisher done",
            "  publish  done",
        ],
        "{shown}"
    );
    let run = std::fs::read(home.path("run.json")).unwrap();
    let run: Value = serde_json::from_slice(&run).unwrap();
    assert_eq!(run["status"], "success");
}

#[test]
fn ctrl_c_on_a_terminal_cancels_the_run_and_says_so() {
    let cancelled = || {
        let home = with_broken_input();
        let line = "orchestrate --job delays --datasets input";
        on_a_terminal(&home, line, |keys| {
            wait_for_a_retry(&home);
            // the run may have failed already, which closes its terminal
            let _ = keys.write_all(b"\x03").and_then(|()| keys.flush());
        })
    };
    // on a busy machine, the run may fail before Ctrl-C arrives
    let mut ends = (0..5).map(|_| cancelled());
    let is_in_time = |(shown, _): &(String, i32)| !shown.contains("ended with status failed");
    let ended = ends.find(|ended| ended.as_ref().is_none_or(is_in_time));
    let Some((shown, code)) = ended.expect("each run has failed") else {
        return;
    };
    assert_eq!(code, 130, "{shown}");
    assert!(
        shown.contains("ingest   failed: the run was cancelled"),
        "{shown}"
    );
    assert!(shown.contains("ended with status cancelled"), "{shown}");
}

#[test]
fn a_full_standard_error_does_not_change_the_exit_code() {
    let home = Home::new();
    std::fs::write(home.path("file"), "").unwrap();
    for arguments in [
        &["orchestrate", "--job", "load", "--data-dir", "file"][..],
        &[
            "doctor",
            "--bundle",
            "nowhere/b",
            "--admin",
            "http://127.0.0.1:1",
        ],
    ] {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let ended = home.program(arguments).stderr(full).status().unwrap();
        assert_eq!(ended.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn runs_that_cannot_be_read_are_named_on_stderr_and_the_document_stays_whole() {
    let home = Home::new();
    assert_eq!(code(&home, &["orchestrate", "--job", "load"]), 0);
    let runs = home.path("data/runs");
    std::fs::write(runs.join("01890000-0000-7000-8000-000000000000.json"), "{").unwrap();
    let mut whole = std::fs::read_dir(&runs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let whole = whole
        .find(|path| std::fs::metadata(path).unwrap().len() > 1)
        .unwrap();
    let mut record: Value = serde_json::from_slice(&std::fs::read(whole).unwrap()).unwrap();
    record["run_id"] = "01890000-0000-7000-8000-00000000aaaa".into();
    record["status"] = "failed".into();
    record["error"] = "first\nsecond \u{1b}[31mred".into();
    let other = runs.join("01890000-0000-7000-8000-00000000aaaa.json");
    std::fs::write(other, record.to_string()).unwrap();

    let listed = run(&home, &["runs", "--json"]);
    assert!(listed.status.success());
    let document: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(document["runs"].as_array().unwrap().len(), 2);
    let printed = String::from_utf8(listed.stderr).unwrap();
    assert!(
        printed.contains("cannot read data/runs/01890000-0000-7000-8000-000000000000.json"),
        "{printed}"
    );
    // one line each, regardless of the text of the error
    let listed = run(&home, &["runs"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("first second \\u001b[31mred") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
}

#[test]
fn a_copy_beside_the_file_of_a_run_is_not_taken_for_the_run() {
    let home = Home::new();
    assert_eq!(code(&home, &["orchestrate", "--job", "load"]), 0);
    let runs = home.path("data/runs");
    let file = std::fs::read_dir(&runs).unwrap().next().unwrap();
    let file = file.unwrap().path();
    let whole = std::fs::read_to_string(&file).unwrap();
    // a copy taken while the run was in progress; a directory lists its files in any order
    let before = whole.replace("\"success\"", "\"running\"");
    for name in ["0.json", "copy.json", "z.json"] {
        std::fs::write(runs.join(name), &before).unwrap();
    }
    assert_eq!(code(&home, &["orchestrate", "--job", "routes"]), 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    let listed = run(&home, &["runs"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(text.matches(" success ").count(), 2, "{text}");
    let printed = String::from_utf8(listed.stderr).unwrap();
    let id = file.file_stem().unwrap().to_string_lossy();
    let why = format!(
        "cannot read data/runs/copy.json: the file holds run {id}, which does not match its name"
    );
    assert!(printed.contains(&why), "{printed}");
}

#[test]
fn credentials_of_a_url_are_in_no_message_of_a_command() {
    let home = Home::new();
    let url = "http://user:hunter2@127.0.0.1:1";
    let with_query = "http://127.0.0.1:1/?access_token=hunter2";
    for (arguments, right) in [
        (&["serve", "--mapbox-url", url][..], 2),
        (&["serve", "--mapbox-url", with_query], 2),
        (&["cache", "stats", "--admin", url], 1),
        (&["sql", "SELECT 1", "--admin", url], 1),
        (&["serve"], 2),
    ] {
        let mut program = home.program(arguments);
        let output = program.env("KEARNEY_MAPBOX_URL", url).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(
            output.status.code(),
            Some(right),
            "{arguments:?}: {printed}"
        );
        assert!(printed.contains("127.0.0.1:1"), "{arguments:?}: {printed}");
        assert!(!printed.contains("hunter2"), "{arguments:?}: {printed}");
    }
}

#[test]
fn an_invalid_port_is_an_error_and_no_other_port_is_used() {
    let home = Home::new();
    let ports = ["65536", "80010", "0", "-1", "0x50", ""];
    let addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    // the host occurs in the port too
    let others = ["0:80010", "u:p@127.0.0.1:80010", "http://[::1]:80010/"].map(str::to_owned);
    for address in addresses.into_iter().chain(others) {
        for command in [
            &["cache", "stats", "--admin", &address][..],
            &["cache", "clear", "--admin", &address],
            &["sql", "SELECT 1", "--admin", &address],
        ] {
            let output = run(&home, command);
            let printed = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?}: {printed}");
            let why = "invalid port; expected a number from 1 to 65535";
            assert!(printed.contains(why), "{command:?}: {printed}");
        }
    }
}
