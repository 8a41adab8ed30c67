use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::served::{Home, get};

const SUMMARY: &str = "/api/flights/summary?origin=SFO&month=1";

/// Kills the load once after each of its agents.
#[test]
fn killed_after_any_agent_of_the_first_load_the_next_start_serves_all_of_the_data() {
    let expected = Home::with_whole_data().serve().get(SUMMARY).body;
    for agent in ["flights_loader", "airports_loader", "zipcodes_loader"] {
        let home = Home::with_whole_data();
        kill_after(&home, agent);
        let served = home.serve();
        assert_eq!(served.get(SUMMARY).body, expected, "killed after {agent}");
        assert_eq!(drafts(&home), <[String; 0]>::default());
        assert_eq!(served.get("/readyz").status, 200);
        assert!(served.stop().success());
    }
    // also in the middle of a phase: so far there is only a draft
    let home = (0..50).find_map(|_| killed_while_it_loads());
    let home = home.expect("it was never killed while it loaded");
    assert_eq!(home.serve().get(SUMMARY).body, expected);
}

/// Kills a first load while there is a draft; `None` if the load was complete by then.
fn killed_while_it_loads() -> Option<Home> {
    let home = Home::with_whole_data();
    let is_whole = || home.path("data/warehouse.duckdb").exists();
    let mut child = home.launch();
    while drafts(&home).is_empty() && !is_whole() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it loaded"
        );
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    (!is_whole()).then_some(home)
}

/// Returns the names of incomplete files in the data directory.
fn drafts(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path("data")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".part")).collect()
}

fn kill_after(home: &Home, agent: &str) {
    let mut program = home.launch();
    // stdout is for reading; the log file has the same lines as JSON
    let log = home.path("logs/app.log");
    let finished = format!("\"agent\":\"{agent}\"");
    loop {
        assert!(
            program.try_wait().unwrap().is_none(),
            "it ended before {agent}"
        );
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if text
            .lines()
            .any(|line| line.contains("agent_finished") && line.contains(&finished))
        {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn killed_under_load_it_serves_again_with_nothing_lost_and_nothing_corrupt() {
    let home = Home::new();
    let expected = {
        let served = home.serve();
        let body = served.get(SUMMARY).body;
        assert!(served.stop().success());
        body
    };
    for round in 0..3 {
        let served = home.serve();
        let (answered, accepted) = load_until_killed(served, round);
        assert!(answered > 0);
        let again = home.serve();
        assert_eq!(again.get(SUMMARY).body, expected);
        let models = again.get("/api/registry/models").json();
        let names: Vec<&str> = models["models"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["name"].as_str().unwrap())
            .collect();
        for number in 0..accepted {
            let name = format!("model-{round}-{number}");
            assert!(
                names.contains(&name.as_str()),
                "{name} was accepted and is lost"
            );
        }
        assert!(again.stop().success());
        // if the process is killed during a write, the kernel cuts the write at the end of a page
        assert!(cut_lines(&home) <= round as usize + 1);
    }
}

/// Returns the number of incomplete lines of the log.
fn cut_lines(home: &Home) -> usize {
    let text = std::fs::read_to_string(home.path("logs/app.log")).unwrap();
    let is_cut = |line: &&str| {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_err()
    };
    text.lines().filter(is_cut).count()
}

/// Runs readers on several threads and a writer here; kills the platform after 20 accepted writes and a response.
/// Returns the numbers of responses and of accepted writes.
fn load_until_killed(served: crate::served::Served, round: u32) -> (u32, u32) {
    let answered = AtomicU32::new(0);
    let killed = AtomicBool::new(false);
    let api = served.api.clone();
    std::thread::scope(|scope| {
        for thread in 0..3_u32 {
            let (api, answered, killed) = (&api, &answered, &killed);
            scope.spawn(move || {
                for number in 0.. {
                    let month = (number + thread) % 12 + 1;
                    let url = format!("{api}/api/flights/summary?origin=LAX&month={month}");
                    let answer = std::panic::catch_unwind(|| get(&url, &[]));
                    if killed.load(Ordering::Relaxed) {
                        return;
                    }
                    assert_eq!(answer.unwrap().status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut accepted = 0;
        while accepted < 20 || answered.load(Ordering::Relaxed) == 0 {
            let model = format!(r#"{{"name": "model-{round}-{accepted}", "version": "1"}}"#);
            let answer = served.post(
                "/api/registry/models",
                &[("X-API-Key", "kearney-registry-key")],
                &model,
            );
            assert_eq!(answer.status, 201);
            accepted += 1;
        }
        killed.store(true, Ordering::Relaxed);
        served.kill();
        (answered.load(Ordering::Relaxed), accepted)
    })
}

#[test]
fn a_second_platform_on_the_same_data_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let first = home.serve();
    let mut second = home.launch();
    let printed: Vec<String> = BufReader::new(second.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .collect();
    assert!(!second.wait().unwrap().success());
    assert!(
        printed
            .join("\n")
            .contains("--data-dir data: in use by another"),
        "{printed:#?}"
    );
    assert_eq!(first.get(SUMMARY).status, 200);
}
