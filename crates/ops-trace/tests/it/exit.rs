//! A process whose collector does not work exits in time.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ops_trace::span;
use ops_trace::testing::{Answer, Collector};

const ENDPOINT: &str = "OPS_TRACE_TEST_EXIT_ENDPOINT";
const BUDGET: Duration = Duration::from_secs(1);

/// Body of the process that is started below; not a test of its own.
#[test]
fn child() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        return;
    };
    let tracer = ops_trace::init_tracer("child", &endpoint).unwrap();
    for _ in 0..5_000 {
        drop(span!("work", n = 1));
    }
    println!("\nstopping");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let stats = runtime.block_on(tracer.shutdown(BUDGET));
    crate::assert_balanced(&stats);
    println!(
        "\nstats {} {} {}",
        stats.ended_sampled, stats.exported, stats.queued
    );
}

/// Body of another process; not a test of its own.
#[test]
fn console_child() {
    if std::env::var("OTEL_TRACES_EXPORTER").as_deref() != Ok("console") {
        return;
    }
    let tracer = ops_trace::init(ops_trace::Config::new("child")).unwrap();
    span!("outer", text = "a b").in_scope(|_| span!("inner").in_scope(|s| s.set_error("odd")));
    tracer.shutdown_blocking(BUDGET);
}

#[test]
fn the_console_exporter_writes_one_line_for_each_span() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exit::console_child", "--nocapture"])
        .env("OTEL_TRACES_EXPORTER", "console")
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = output
        .lines()
        .filter(|line| line.contains("trace="))
        .collect();
    assert_eq!(lines.len(), 2, "{output}");
    assert!(lines[0].contains("\"inner\"") && lines[0].contains(" ERROR error.type=\"odd\""));
    assert!(
        lines[1].contains("parent=0000000000000000 \"outer\""),
        "{}",
        lines[1]
    );
    assert!(lines[1].ends_with(" text=\"a b\""), "{}", lines[1]);
}

/// Returns the duration of the process's shutdown, and its counts.
fn run(endpoint: &str) -> (Duration, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exit::child", "--nocapture"])
        .env(ENDPOINT, endpoint)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stopping, mut stats) = (None, String::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "stopping" {
            stopping = Some(Instant::now());
        } else if line.starts_with("stats") {
            stats = line;
        }
    }
    assert!(child.wait().unwrap().success());
    (stopping.expect("it got as far").elapsed(), stats)
}

#[test]
fn the_process_exits_within_its_budget_and_a_second_whatever_the_collector_does() {
    let answers = [
        ("accepts", Some(Answer::Accept)),
        ("refused", None),
        ("hangs", Some(Answer::Hang)),
        (
            "slow",
            Some(Answer::AcceptAfter(Duration::from_millis(700))),
        ),
        ("503 for ever", Some(Answer::Status(503))),
        ("404", Some(Answer::Status(404))),
        ("black hole", None),
    ];
    std::thread::scope(|scope| {
        for (name, answer) in answers {
            scope.spawn(move || {
                let collector = Collector::start().unwrap();
                let endpoint = match &answer {
                    Some(answer) => {
                        collector.answer(answer.clone());
                        collector.endpoint()
                    }
                    // an unused private network: packets are lost, or there is no route
                    None if name == "black hole" => "http://10.255.255.1:4318".to_owned(),
                    None => "http://127.0.0.1:1".to_owned(),
                };
                crate::assert_within(BUDGET + Duration::from_secs(1), || {
                    let (took, stats) = run(&endpoint);
                    println!("{name}: {took:.1?}, {stats}");
                    assert!(stats.starts_with("stats 5000 "), "{name}: {stats}");
                    assert!(
                        stats.ends_with(" 0"),
                        "{name}: nothing is left uncounted: {stats}"
                    );
                    took
                });
            });
        }
    });
}
