//! Follows the runbooks: causes the fault, runs the steps as printed, and checks that their output leads to the
//! conclusion of the page. If this machine does not permit a fault, the test reports that on standard error.

mod crash;
#[cfg(feature = "flight-sql")]
mod engine;
mod faulty;
mod kept;
mod machine;
mod page;
mod prometheus;
mod provider;
mod queries;
mod runs;
mod secrets;
#[cfg(feature = "shared")]
mod shared;
mod traces;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const KEY: (&str, &str) = ("X-API-Key", "kearney-registry-key");
const SOON: Duration = Duration::from_secs(60);

fn is_full() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1")
}

/// Repeats a step until its output contains `wanted`: scrapes, exports and log lines arrive a little later.
fn until(wanted: &str, step: impl FnMut() -> String) -> String {
    wait(wanted, step, |reported| reported.contains(wanted))
}

fn wait(what: &str, mut step: impl FnMut() -> String, is_it: impl Fn(&str) -> bool) -> String {
    let asked = Instant::now();
    loop {
        let reported = step();
        if is_it(&reported) {
            return reported;
        }
        assert!(asked.elapsed() < SOON, "{what}: {reported}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Writes a line for users of `--nocapture`.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "runbook {line}");
}

/// Returns the number at the end of the first line that starts with `start`.
fn number(reported: &str, start: &str) -> f64 {
    let line = reported.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start} in {reported}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn each_page_is_followed_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = std::fs::read_dir(folder.join("../../docs/runbooks")).unwrap();
    let pages: BTreeSet<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let sources = [
        include_str!("crash.rs"),
        include_str!("engine.rs"),
        include_str!("faulty.rs"),
        include_str!("kept.rs"),
        include_str!("machine.rs"),
        include_str!("provider.rs"),
        include_str!("queries.rs"),
        include_str!("runs.rs"),
        include_str!("secrets.rs"),
        include_str!("shared.rs"),
        include_str!("traces.rs"),
    ];
    let followed = sources.iter().flat_map(|source| {
        let calls = source.split("Page::read(\"").skip(1);
        calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
    });
    assert_eq!(followed.collect::<BTreeSet<_>>(), pages);
}
