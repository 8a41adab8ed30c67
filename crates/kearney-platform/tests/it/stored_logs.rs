//! `logs`: stored lines are selected, followed, and printed; unreadable input is reported.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::served::Home;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program = home.program(&[&["logs"], arguments].concat());
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.output().unwrap()
}

/// Returns standard output, standard error and exit code of the command.
fn output_parts(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (text(output.stdout), text(output.stderr), code)
}

/// Runs the command with this standard input, which ends.
fn piped(home: &Home, arguments: &[&str], input: &[u8]) -> (String, String, i32) {
    let mut program = home.program(&[&["logs"], arguments].concat());
    let mut child = started(program.stdin(Stdio::piped()).stderr(Stdio::piped()));
    child.stdin.take().unwrap().write_all(input).unwrap();
    output_parts(child.wait_with_output().unwrap())
}

fn started(program: &mut Command) -> Child {
    program.stdout(Stdio::piped()).spawn().unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

const ONE: &str = "{\"event\":\"one\"}\n";
const TWO: &str = "{\"event\":\"two\"}\n";
const BOTH: &str = " [         ] one\n [         ] two\n";

#[test]
fn stored_lines_are_selected_and_printed_for_people() {
    let home = Home::new();
    let line = |second: u32, level: &str, rest: &str| {
        format!(
            r#"{{"timestamp":"2025-01-15T10:30:{second:02}.000Z","level":"{level}","logger":"api",{rest}}}"#
        )
    };
    let older = line(0, "info", r#""event":"started","port":8000"#);
    let newer = [
        line(
            1,
            "error",
            &format!(r#""event":"save_failed","trace_id":"{TRACE}","error":"disk \"full\"""#),
        ),
        "thread 'main' panicked \u{1b}[31m".to_owned(),
        line(
            2,
            "info",
            &format!(r#""event":"request_completed","trace_id":"{TRACE}","status":503"#),
        ),
    ];
    std::fs::create_dir_all(home.path("logs")).unwrap();
    std::fs::write(home.path("logs/app.log.1"), format!("{older}\n")).unwrap();
    std::fs::write(home.path("logs/app.log"), newer.join("\n")).unwrap();
    let shown = |arguments: &[&str]| {
        let output = run(&home, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let started = "2025-01-15 10:30:00 [info     ] started [api]  port=8000\n";
    let failed = format!(
        "2025-01-15 10:30:01 [error    ] save_failed [api]  trace_id={TRACE} error=\"disk \\\"full\\\"\"\n"
    );
    let completed = format!(
        "2025-01-15 10:30:02 [info     ] request_completed [api]  trace_id={TRACE} status=503\n"
    );
    let panicked = "thread 'main' panicked \\u001b[31m\n";
    assert_eq!(
        shown(&[]),
        [started, &failed, panicked, &completed].concat()
    );
    assert_eq!(shown(&["--level", "error"]), failed);
    let both = [failed.as_str(), &completed].concat();
    for id in [
        TRACE,
        &TRACE.to_uppercase(),
        &format!("00-{TRACE}-00f067aa0ba902b7-01"),
    ] {
        assert_eq!(shown(&["--trace-id", id]), both);
    }
    for field in ["status=503", "event=request_completed"] {
        assert_eq!(shown(&["--field", field]), completed);
    }
    assert_eq!(
        shown(&["--field", "level=error", "--field", "logger=api"]),
        failed
    );
    assert_eq!(shown(&["--text", "panicked"]), panicked);
    for (since, until) in [
        ("2025-01-15T10:30:01Z", "2025-01-15T10:30:02Z"),
        ("2025-01-15T12:30:00.5+02:00", "2025-01-15 10:30:01.001"),
    ] {
        assert_eq!(shown(&["--since", since, "--until", until]), failed);
    }
    assert_eq!(shown(&["--until", "2025-01-15"]), "");
    for ago in ["10m", "-10m"] {
        assert_eq!(shown(&["--since", ago]), "");
        assert_eq!(
            shown(&["--until", ago]),
            [started, &failed, &completed].concat()
        );
    }
    assert_eq!(
        shown(&["--json", "--text", "started"]),
        format!("{older}\n")
    );
}

#[test]
fn conditions_that_can_never_be_met_are_refused() {
    let home = Home::new();
    for (arguments, part) in [
        (["--since", "yesterday"], "2025-01-15T10:30:00Z"),
        (["--since", "2025-01-15T10:30:60Z"], "2025-01-15T10:30:00Z"),
        (["--until", "2025-02-30"], "2025-01-15"),
        (["--level", "loud"], "critical"),
        (["--trace-id", "nonsense"], "32 hexadecimal digits"),
        (["--field", "status"], "KEY=VALUE"),
        (["--field", "=503"], "KEY=VALUE"),
    ] {
        let (shown, warnings, code) = output_parts(run(&home, &arguments));
        assert_eq!((shown.as_str(), code), ("", 2), "{arguments:?}: {warnings}");
        assert!(warnings.contains(part), "{warnings}");
    }
}

#[test]
fn standard_input_is_read_to_its_end_also_if_it_is_followed() {
    let home = Home::new();
    for arguments in [&["-"][..], &["-f", "-"]] {
        let answer = piped(&home, arguments, b"{\"event\":\"piped\"}\nlast");
        let right = " [         ] piped\nlast\n".to_owned();
        assert_eq!(answer, (right, String::new(), 0), "{arguments:?}");
    }
}

#[test]
fn a_line_of_a_pipe_is_printed_before_the_next_one_comes() {
    let home = Home::new();
    for arguments in [&["logs", "-"][..], &["logs", "-f", "-"]] {
        let mut program = home.program(arguments);
        let mut child = started(program.stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(ONE.as_bytes()).unwrap();
        let mut shown = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut shown).unwrap();
        assert_eq!(shown, " [         ] one\n");
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_follower_ends_when_nobody_reads_it() {
    let home = Home::new();
    std::fs::write(home.path("app.log"), ONE).unwrap();
    let mut program = home.program(&["logs", "-f", "app.log"]);
    let mut child = started(&mut program);
    let mut shown = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut shown).unwrap();
    assert_eq!(shown, " [         ] one\n");
    drop(stdout);
    let mut file = std::fs::File::options();
    let mut file = file.append(true).open(home.path("app.log")).unwrap();
    // not one line: a process that another test starts at this moment may still have the reader's end of the pipe
    let asked = Instant::now();
    let status = loop {
        file.write_all(TWO.as_bytes()).unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(60));
        std::thread::park_timeout(Duration::from_millis(50));
    };
    assert!(status.success());
}

#[test]
fn the_log_file_is_the_one_of_the_platform() {
    let mut home = Home::new();
    std::fs::write(home.path("a.log"), ONE).unwrap();
    std::fs::write(home.path("b.log"), TWO).unwrap();
    home.set("KEARNEY_LOG_FILE", "a.log");
    let shown = |arguments: &[&str]| output_parts(run(&home, arguments)).0;
    assert_eq!(shown(&[]), " [         ] one\n");
    assert_eq!(shown(&["--log-file", "b.log"]), " [         ] two\n");
    assert_eq!(shown(&["b.log"]), " [         ] two\n");
    let (shown, warnings, code) = output_parts(run(&home, &["--log-file", "None"]));
    assert_eq!((shown.as_str(), code), ("", 1));
    assert!(
        warnings.contains("KEARNEY_LOG_FILE") && warnings.contains("- for standard input"),
        "{warnings}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_hides_no_other_one() {
    let home = Home::new();
    std::fs::write(home.path("app.log.1"), ONE).unwrap();
    std::fs::write(home.path("app.log"), TWO).unwrap();
    std::fs::create_dir(home.path("app.log.2")).unwrap();
    let answer = output_parts(run(&home, &["app.log"]));
    assert_eq!(answer, (BOTH.to_owned(), String::new(), 0));
    // like app.log* in a shell: each file once
    let named = output_parts(run(&home, &["app.log", "app.log.1"]));
    assert_eq!(named, (BOTH.to_owned(), String::new(), 0));
    let (shown, warnings, code) = output_parts(run(&home, &["nowhere", "app.log.2", "app.log"]));
    assert_eq!((shown.as_str(), code), (BOTH, 1));
    let warnings: Vec<&str> = warnings.lines().collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("nowhere") && warnings[1].contains("app.log.2"),
        "{warnings:?}"
    );
    let (_, warnings, code) = output_parts(run(&home, &["-f", "nowhere"]));
    assert!(code == 1 && warnings.contains("nowhere"), "{warnings}");
}

#[test]
fn compressed_files_are_read_or_refused_with_what_helps() {
    let home = Home::new();
    // two parts, like files that were appended to each other
    let bytes = [gzip(ONE), gzip(TWO)].concat();
    std::fs::write(home.path("app.log.3.gz"), &bytes).unwrap();
    let right = (BOTH.to_owned(), String::new(), 0);
    assert_eq!(output_parts(run(&home, &["app.log.3.gz"])), right);
    assert_eq!(piped(&home, &["-"], &bytes), right);
    let (shown, warnings, code) = piped(&home, &["-"], &bytes[..bytes.len() - 9]);
    assert_eq!(
        (shown.lines().next(), code),
        (BOTH.lines().next(), 1),
        "{warnings}"
    );
    let (_, warnings, code) = output_parts(run(&home, &["-f", "app.log.3.gz"]));
    assert_eq!(code, 1);
    assert!(
        warnings.contains("zcat app.log.3.gz | kearney-platform logs -"),
        "{warnings}"
    );
    std::fs::write(home.path("app.log.zst"), b"\x28\xb5\x2f\xfd").unwrap();
    let (shown, warnings, code) = output_parts(run(&home, &["app.log.zst"]));
    assert_eq!((shown.as_str(), code), ("", 1));
    assert!(warnings.contains("zstdcat app.log.zst |"), "{warnings}");
}

#[test]
fn lines_that_cannot_be_judged_are_reported_once() {
    let home = Home::new();
    let long = format!("{{\"event\":\"{}\"}}\n", "x".repeat(9 * 1024 * 1024));
    let input = format!("\u{feff}{ONE}\0\0\0{TWO}a stack trace\nand more\r{long}");
    let (shown, warnings, code) = piped(&home, &["--field", "event=two", "-"], input.as_bytes());
    assert_eq!((shown.as_str(), code), (" [         ] two\n", 0));
    assert_eq!(
        warnings,
        "kearney-platform: skipped: 3 lines that are not JSON\n\
         kearney-platform: lines truncated to 8 MiB: 1\n"
    );
    let (shown, warnings, _) = piped(
        &home,
        &["--json", "-"],
        format!("{ONE}trace\n\n").as_bytes(),
    );
    assert_eq!(shown, ONE);
    assert_eq!(
        warnings,
        "kearney-platform: skipped: 1 line that is not JSON\n"
    );
    let timeless = b"{\"timestamp\":null,\"event\":\"e\"}\n";
    let (shown, warnings, code) = piped(&home, &["--since", "2025-01-15", "-"], timeless);
    assert_eq!((shown.as_str(), code), ("", 0));
    assert_eq!(
        warnings,
        "kearney-platform: skipped: 1 line without a valid time\n"
    );
}
