use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::served::{self, Home, Served};

const RUNS: &str = "/api/orchestrator/runs";
const KEY: (&str, &str) = ("X-API-Key", "kearney-registry-key");
/// Timeout, longer than a run takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn ask(served: &Served, body: &str) -> Value {
    let answer = served.post(RUNS, &[KEY], body);
    assert_eq!(answer.status, 202, "{}", answer.body);
    let run = answer.json();
    let location = format!("{RUNS}/{}", run["run_id"].as_str().unwrap());
    assert_eq!(answer.header("location"), location);
    run
}

fn id(run: &Value) -> &str {
    run["run_id"].as_str().unwrap()
}

/// Waits until the run has ended, and returns it.
fn ended(served: &Served, id: &str) -> Value {
    let asked = Instant::now();
    loop {
        let run = served.get(&format!("{RUNS}/{id}")).json();
        if !["queued", "running"].contains(&run["status"].as_str().unwrap()) {
            return run;
        }
        assert!(asked.elapsed() < SOON, "{run}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn orchestrate(home: &Home, arguments: &[&str]) -> Output {
    let mut program = home.program(&["orchestrate"]);
    program.args(arguments).stdout(Stdio::piped());
    program.stderr(Stdio::piped()).output().unwrap()
}

fn datasets(served: &Served) -> Value {
    served.get("/api/registry/datasets").json()["datasets"].clone()
}

#[test]
fn a_run_is_a_resource_with_states_and_what_it_published_is_registered() {
    let home = Home::new();
    let served = home.serve();
    let asked = ask(&served, r#"{"job": "delays", "client": "acme"}"#);
    assert_eq!(asked["status"], "queued");
    let run = ended(&served, id(&asked));
    assert_eq!(run["status"], "success", "{run}");
    let phases: Vec<_> = run["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["phase"])
        .collect();
    assert_eq!(phases, ["ingest", "profile", "analyze", "publish"]);
    let version = id(&run).as_bytes()[14];
    assert_eq!(version, b'7', "a UUID of version 7");
    let result = &run["result"];
    assert_eq!(result["name"], "acme/delays");
    assert!(datasets(&served).as_array().unwrap().contains(result));

    let file = home.path("data").join(result["file"].as_str().unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    let published: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(published["run_id"], run["run_id"]);
    let rows = published["rows"].as_array().unwrap();
    assert_eq!(rows.len() as u64, result["rows"].as_u64().unwrap());
    let flights: u64 = rows
        .iter()
        .map(|row| row["flights"].as_u64().unwrap())
        .sum();
    assert_eq!(
        flights,
        published["profile"]["flights"]["rows"].as_u64().unwrap()
    );

    // the next result replaces it
    let again = ask(&served, r#"{"job": "delays", "client": "acme"}"#);
    let again = ended(&served, id(&again));
    assert!(!file.exists());
    assert!(
        datasets(&served)
            .as_array()
            .unwrap()
            .contains(&again["result"])
    );
    assert_eq!(datasets(&served).as_array().unwrap().len(), 4);
}

#[test]
fn runs_are_paged_newest_first_and_outlive_a_restart() {
    let home = Home::new();
    let served = home.serve_and_load();
    for _ in 0..3 {
        let run = ask(&served, r#"{"job": "routes"}"#);
        ended(&served, id(&run));
    }
    // the first load is a run too
    let all = served.get(RUNS).json();
    let ids: Vec<String> = all["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| id(run).to_owned())
        .collect();
    assert_eq!((ids.len(), &all["next"]), (4, &Value::Null));
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    let mut paged = Vec::new();
    let mut next = format!("{RUNS}?limit=3&status=success");
    while !next.is_empty() {
        let page = served.get(&next).json();
        paged.extend(
            page["runs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|run| id(run).to_owned()),
        );
        next = page["next"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!(paged, ids);
    assert!(served.stop().success());
    let again = home.serve().get(RUNS).json();
    assert_eq!(again, all);

    let listed = home
        .program(&["runs", "--json", "--limit", "1"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["runs"][0], all["runs"][0]);
}

#[test]
fn a_full_queue_is_429_with_retry_after_and_no_server_error() {
    let served = Home::new().serve();
    let refused = loop {
        let answer = served.post(RUNS, &[KEY], r#"{"job": "delays"}"#);
        if answer.status != 202 {
            break answer;
        }
    };
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json()["status"], 429);
    let metrics = served.get("/metrics").body;
    let errors = metrics
        .lines()
        .filter(|line| line.starts_with("http_requests_total") && line.contains("status=\"5"));
    assert_eq!(errors.count(), 0, "{metrics}");
    // queued runs are cancelled at once, the running one soon
    let runs = served.get(&format!("{RUNS}?limit=100")).json();
    for run in runs["runs"].as_array().unwrap() {
        let path = format!("{RUNS}/{}", id(run));
        assert_eq!(served.delete(&path, &[]).status, 401);
        let answer = served.delete(&path, &[KEY]);
        match answer.status {
            200 => assert_eq!(answer.json()["status"], "cancelled"),
            202 => assert_eq!(answer.json()["status"], "running"),
            409 => {}
            other => panic!("{other} {}", answer.body),
        }
        let status = ended(&served, id(run))["status"].clone();
        assert!(
            ["cancelled", "success"].contains(&status.as_str().unwrap()),
            "{status}"
        );
    }
    let unknown = format!("{RUNS}/01890000-0000-7000-8000-000000000000");
    assert_eq!(served.delete(&unknown, &[KEY]).status, 404);
    let cancelled = served
        .get(&format!("{RUNS}?status=cancelled&limit=100"))
        .json();
    let counted = cancelled["runs"].as_array().unwrap().len();
    assert!(counted > 0);
    let series = format!("\norchestrator_runs_total{{status=\"cancelled\"}} {counted}\n");
    assert!(served.get("/metrics").body.contains(&series), "{series}");
}

#[test]
fn a_run_that_waits_is_cancelled_also_if_that_cannot_be_written_down() {
    let files = served::datasets();
    let home = Home::with_datasets(files.path());
    let served = home.serve();
    // the first run does not end, so the one after it stays queued
    let _ = give_nothing(&files);
    ask(&served, r#"{"job": "delays"}"#);
    let waits = ask(&served, r#"{"job": "routes"}"#);
    // the first run may create the directory again in between
    for turn in 0.. {
        let runs = home.path("data/runs");
        if std::fs::write(&runs, "").is_ok() {
            break;
        }
        std::fs::rename(&runs, home.path(&format!("data/elsewhere{turn}"))).unwrap();
    }
    let refused = served.post(RUNS, &[KEY], r#"{"job": "load"}"#);
    assert_eq!(refused.status, 500);
    assert_eq!(refused.json()["detail"], "cannot write the run");
    let path = format!("{RUNS}/{}", id(&waits));
    assert_eq!(served.get(&path).json()["status"], "queued");
    let cancelled = served.delete(&path, &[KEY]);
    assert_eq!(cancelled.status, 200, "{}", cancelled.body);
    assert_eq!(served.get(&path).json()["status"], "cancelled");
    let metrics = served.get("/metrics").body;
    assert!(metrics.contains("\norchestrator_runs_total{status=\"cancelled\"} 1\n"));
    let listed = served.get(&format!("{RUNS}?status=cancelled")).json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_directory_of_runs_that_was_removed_is_created_again() {
    let home = Home::new();
    let served = home.serve();
    std::fs::remove_dir_all(home.path("data/runs")).unwrap();
    let asked = ask(&served, r#"{"job": "delays"}"#);
    let run = ended(&served, id(&asked));
    assert_eq!(run["status"], "success", "{run}");
    let file = home.path(&format!("data/runs/{}.json", id(&asked)));
    let stored: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(stored, run);
    // without its data directory, the platform creates none that another one may use
    std::fs::rename(home.path("data"), home.path("moved")).unwrap();
    assert_eq!(served.post(RUNS, &[KEY], r#"{"job": "load"}"#).status, 500);
    assert!(!home.path("data").exists());
}

/// Returns a home over copies of the input files, with this `airports.csv`.
fn with_airports(airports: &str) -> (tempfile::TempDir, Home) {
    let files = served::datasets();
    std::fs::write(files.path().join("airports.csv"), airports).unwrap();
    let home = Home::with_datasets(files.path());
    (files, home)
}

const AIRPORTS: &str = "\
iata,name,city,state,country,latitude,longitude
SFO,San Francisco,San Francisco,CA,USA,+37.6,-122
SFO,San Francisco,Millbrae,CA,USA,37,-122
";

#[test]
fn a_file_of_airports_is_taken_as_what_it_means_or_not_at_all() {
    let (files, home) = with_airports(AIRPORTS);
    let served = home.serve();
    let near = || served.get("/api/airports?near=37.6,-122&limit=1");
    let before = near().body;
    let airport = &near().json()["airports"][0];
    assert_eq!(
        (&airport["latitude"], &airport["longitude"]),
        (&37.6.into(), &Value::from(-122.0))
    );
    for (wrong, why) in [
        (
            "iata,name,city,state,country,latitude,longitude\n",
            "the file has no rows",
        ),
        (&AIRPORTS.replace("+37.6", "n/a"), "latitude"),
        (&AIRPORTS.replace(",37,", ",\"37,6\","), "Line: 3"),
        ("iata,name\nSFO,San Francisco\n", "latitude"),
    ] {
        std::fs::write(files.path().join("airports.csv"), wrong).unwrap();
        let run = ended(&served, id(&ask(&served, r#"{"job": "load"}"#)));
        assert_eq!(run["status"], "failed", "{wrong}: {run}");
        assert!(
            run["error"].as_str().unwrap().contains(why),
            "{wrong}: {run}"
        );
        assert_eq!(near().body, before, "{wrong}");
    }
}

#[test]
fn a_code_that_is_twice_among_the_airports_doubles_no_flights() {
    let (_files, home) = with_airports(AIRPORTS);
    let served = home.serve();
    let flights = served.get("/api/flights/summary?origin=SFO").json()["flights"].clone();
    let run = ended(&served, id(&ask(&served, r#"{"job": "delays"}"#)));
    let file = home
        .path("data")
        .join(run["result"]["file"].as_str().unwrap());
    let published: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let rows = published["rows"].as_array().unwrap();
    let ours = rows.iter().find(|row| row["airport"] == "SFO").unwrap();
    assert_eq!(
        (&ours["flights"], &ours["city"]),
        (&flights, &"Millbrae".into())
    );
}

#[test]
fn a_file_that_is_replaced_by_one_of_its_length_and_time_is_loaded_again() {
    let (files, home) = with_airports(AIRPORTS);
    let served = home.serve();
    let path = files.path().join("airports.csv");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, AIRPORTS.replace("37.6", "37.7")).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    drop(file);
    let run = ended(&served, id(&ask(&served, r#"{"job": "load"}"#)));
    assert_eq!(run["status"], "success", "{run}");
    let near = served.get("/api/airports?near=37.7,-122&limit=1").json();
    assert_eq!(near["airports"][0]["latitude"], 37.7);
}

#[test]
fn a_directory_of_input_files_is_no_pattern() {
    let place = tempfile::tempdir().unwrap();
    let [meant, other] = ["d[12]*?", "d1xx"].map(|name| place.path().join(name));
    for (dir, latitude) in [(&meant, "+37.6"), (&other, "10")] {
        std::fs::create_dir(dir).unwrap();
        for name in ["flights-3m.parquet", "zipcodes.csv"] {
            std::fs::copy(served::extract().join(name), dir.join(name)).unwrap();
        }
        let airports = AIRPORTS.replace("+37.6", latitude);
        std::fs::write(dir.join("airports.csv"), airports).unwrap();
    }
    let served = Home::with_datasets(&meant).serve();
    let near = served.get("/api/airports?near=10,-122&limit=3").json();
    let latitudes = near["airports"].as_array().unwrap().iter();
    let latitudes: Vec<_> = latitudes.map(|one| &one["latitude"]).collect();
    assert_eq!(latitudes, [37.0, 37.6]);
}

#[test]
fn a_folder_on_the_way_to_input_files_is_no_column() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("origin=ABC/state=ZZ/county=1");
    std::fs::create_dir_all(&dir).unwrap();
    for name in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
        std::fs::copy(served::extract().join(name), dir.join(name)).unwrap();
    }
    let served = Home::with_datasets(&dir).serve();
    for (origin, is_there) in [("SFO", true), ("ABC", false)] {
        let path = format!("/api/flights/summary?origin={origin}");
        let flights = served.get(&path).json()["flights"].as_u64().unwrap();
        assert_eq!(flights > 0, is_there, "{origin}: {flights}");
    }
    let near = served.get("/api/airports?near=37.6,-122.4&limit=1").json();
    assert_eq!(near["airports"][0]["state"], "CA");
}

#[test]
fn a_run_whose_job_stands_in_the_address_is_refused() {
    let home = Home::new();
    let served = home.serve();
    let refused = served.post(&format!("{RUNS}?job=delays"), &[KEY], "");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["parameter"], "job");
}

/// Replaces a table's file with a pipe, on which a reader blocks until a writer opens it; returns its path and previous
/// content.
fn give_nothing(files: &tempfile::TempDir) -> (std::path::PathBuf, Vec<u8>) {
    let file = files.path().join("airports.csv");
    let airports = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    (file, airports)
}

#[test]
fn a_run_ends_only_after_the_work_of_its_agents() {
    let files = served::datasets();
    let home = Home::with_datasets(files.path());
    let served = home.serve();
    let (file, airports) = give_nothing(&files);
    let run = ask(&served, r#"{"job": "load"}"#);
    let (opened, is_open) = std::sync::mpsc::channel();
    std::thread::spawn(move || opened.send(std::fs::File::options().write(true).open(file)));
    let mut slow = is_open.recv_timeout(SOON).unwrap().unwrap();
    let path = format!("{RUNS}/{}", id(&run));
    assert_eq!(served.delete(&path, &[KEY]).status, 202);
    for _ in 0..50 {
        assert_eq!(served.get(&path).json()["status"], "running");
    }
    slow.write_all(&airports).unwrap();
    drop(slow);
    assert_eq!(ended(&served, id(&run))["status"], "cancelled");
}

#[test]
fn a_run_whose_file_is_broken_tries_again_fails_and_leaves_the_table_as_it_was() {
    let files = served::datasets();
    let home = Home::with_datasets(files.path());
    let served = home.serve();
    let before = served.get("/api/flights/summary?origin=SFO").body;
    std::fs::write(files.path().join("flights-3m.parquet"), "no parquet").unwrap();
    let run = ask(&served, r#"{"job": "delays"}"#);
    let run = ended(&served, id(&run));
    assert_eq!(
        (&run["status"], &run["phase"]),
        (&"failed".into(), &"ingest".into())
    );
    assert_eq!(run["retries"], 2);
    assert!(
        run["error"]
            .as_str()
            .unwrap()
            .contains("cannot load flights"),
        "{run}"
    );
    let metrics = served.get("/metrics").body;
    let retries =
        "\norchestrator_agent_retries_total{agent=\"flights_loader\",phase=\"ingest\"} 2\n";
    assert!(metrics.contains(retries), "{metrics}");
    assert!(metrics.contains("\norchestrator_runs_total{status=\"failed\"} 1\n"));
    assert_eq!(served.get("/api/flights/summary?origin=SFO").body, before);
    assert!(!datasets(&served).to_string().contains("delays"));

    // the file is complete again, and the next run loads it
    std::fs::copy(
        served::extract().join("flights-3m.parquet"),
        files.path().join("flights-3m.parquet"),
    )
    .unwrap();
    let run = ask(&served, r#"{"job": "delays"}"#);
    assert_eq!(ended(&served, id(&run))["status"], "success");
}

#[test]
fn the_command_line_runs_a_job_and_its_exit_code_says_how_it_ended() {
    let home = Home::new();
    let done = orchestrate(&home, &["--job", "delays", "--client", "acme", "--json"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        String::from_utf8_lossy(&done.stderr),
        "",
        "no progress on a pipe"
    );
    let run: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(run["status"], "success");
    // every line of the run has its id
    let lines: Vec<Value> = home
        .log_lines()
        .into_iter()
        .filter(|line| line["logger"] == "orchestrator" && line.get("run_id").is_some())
        .collect();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    for event in [
        "run_started",
        "phase_started",
        "agent_finished",
        "phase_finished",
        "run_finished",
    ] {
        assert!(events.contains(&event), "{event} is not in {events:?}");
    }
    for line in &lines {
        assert_eq!(
            (&line["run_id"], &line["client"]),
            (&run["run_id"], &"acme".into()),
            "{line}"
        );
        assert!(line["phase"].is_string(), "{line}");
        assert_eq!(line["trace_id"], run["trace_id"], "{line}");
    }

    std::fs::remove_dir_all(home.path("data/results")).unwrap();
    std::fs::create_dir(home.path("data/results")).unwrap();
    let mut unwritable = home.program(&["orchestrate", "--job", "delays"]);
    unwritable.arg("--mapbox-url").arg("http://example.com");
    let refused = unwritable.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(
        orchestrate(&home, &["--job", "nothing"]).status.code(),
        Some(2)
    );
    assert_eq!(
        orchestrate(&home, &["--job", "load", "--client", "A"])
            .status
            .code(),
        Some(2)
    );

    let broken = tempfile::tempdir().unwrap();
    for name in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
        std::fs::write(broken.path().join(name), "x").unwrap();
    }
    let broken = broken.path().to_str().unwrap();
    let failed = orchestrate(&home, &["--job", "load", "--datasets", broken]);
    assert_eq!(failed.status.code(), Some(1));
    let printed = String::from_utf8(failed.stderr).unwrap();
    assert!(
        printed.contains("ended with status failed") && printed.contains("flights"),
        "{printed}"
    );

    let served = home.serve();
    let taken = orchestrate(&home, &["--job", "load"]);
    assert_eq!(taken.status.code(), Some(1));
    let printed = String::from_utf8(taken.stderr).unwrap();
    assert!(printed.contains("another kearney-platform"), "{printed}");
    let runs = served.get(RUNS).json();
    let statuses: Vec<_> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        ["failed", "success"],
        "the data was there already"
    );
}

/// Kills the real process in each phase, runs the job again, and checks the results.
#[test]
fn killed_in_any_phase_the_run_is_interrupted_and_the_next_one_publishes_whole_results() {
    let home = Home::new();
    assert!(
        orchestrate(&home, &["--job", "delays", "--json"])
            .status
            .success()
    );
    for phase in ["ingest", "profile", "analyze", "publish"] {
        let killed = kill_in(&home, phase);
        let listed = || -> Value {
            let mut program = home.program(&["runs", "--json", &killed]);
            let listed = program.stdout(Stdio::piped()).output().unwrap();
            serde_json::from_slice(&listed.stdout).unwrap()
        };
        let lock = std::fs::File::open(home.path("data/.lock")).unwrap();
        lock.lock().unwrap();
        assert_eq!(
            listed()["status"],
            "running",
            "whoever has the lock may be at it"
        );
        drop(lock);
        let run = listed();
        assert_eq!(run["status"], "interrupted", "nobody is");
        assert_eq!(run["error"], "the process ended before the run finished");
        check_results(&home);

        let served = home.serve();
        let run = served.get(&format!("{RUNS}/{killed}")).json();
        assert_eq!(run["status"], "interrupted", "{run}");
        assert_eq!(run["phase"], phase, "{run}");
        let metrics = served.get("/metrics").body;
        assert!(metrics.contains("\norchestrator_runs_total{status=\"interrupted\"} 1\n"));
        check_results(&home);
        let files = std::fs::read_dir(home.path("data/results"))
            .unwrap()
            .count();
        assert_eq!(files, 1, "what does not count is swept");
        assert!(served.stop().success());

        let again = orchestrate(&home, &["--job", "delays", "--json"]);
        let again: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(again["status"], "success");
        assert_eq!(check_results(&home), again["run_id"]);
        let (killed, again) = (&run["status"], &again["status"]);
        let line = format!("killed in {phase}: {killed}, {files} whole result, then {again}");
        // for readers of the test output
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Starts runs until one was killed during this phase; returns its id.
fn kill_in(home: &Home, phase: &str) -> String {
    for _ in 0..500 {
        let log = home.path("logs/app.log");
        let seen = std::fs::metadata(&log).unwrap().len();
        let mut program = home.program(&["orchestrate", "--job", "delays"]);
        let mut child = program.stderr(Stdio::null()).spawn().unwrap();
        let id = loop {
            // checked before the last line is read: the process may end meanwhile
            let has_ended = child.try_wait().unwrap().is_some();
            let text = std::fs::read(&log).unwrap();
            let text =
                String::from_utf8_lossy(text.get(seen as usize..).unwrap_or_default()).into_owned();
            let started = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut started =
                started.filter(|line| line["event"] == "phase_started" && line["phase"] == phase);
            if let Some(line) = started.next() {
                break line["run_id"].as_str().unwrap().to_owned();
            }
            assert!(!has_ended, "it ended before {phase}: {text}");
            std::thread::yield_now();
        };
        // it may have ended
        let _ = child.kill();
        child.wait().unwrap();
        let record = std::fs::read(home.path("data/runs").join(format!("{id}.json"))).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        // it may have continued before it was killed
        if record["status"] == "running" && record["phase"] == phase {
            return id;
        }
    }
    panic!("no run could be killed in {phase}");
}

/// Asserts that the registry names one complete result; returns the run that published it.
fn check_results(home: &Home) -> Value {
    let registry = std::fs::read(home.path("data/registry.json")).unwrap();
    let registry: Value = serde_json::from_slice(&registry).unwrap();
    let datasets = registry["datasets"].as_array().unwrap();
    let names: Vec<_> = datasets
        .iter()
        .map(|dataset| dataset["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["flights", "airports", "zipcodes", "delays"]);
    let published = &datasets[3];
    let file = home.path("data").join(published["file"].as_str().unwrap());
    let result: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let rows = result["rows"].as_array().unwrap().len() as u64;
    assert_eq!(rows, published["rows"].as_u64().unwrap());
    assert_eq!(
        published["source"],
        format!("run {}", result["run_id"].as_str().unwrap())
    );
    result["run_id"].clone()
}

/// Returns the records of all runs on disk.
fn records(home: &Home) -> Vec<Value> {
    let files = std::fs::read_dir(home.path("data/runs")).unwrap();
    let read = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    read.map(|text| serde_json::from_slice(&text).unwrap())
        .collect()
}

/// Waits until the log has a matching line.
fn wait_for_line(home: &Home, wanted: impl Fn(&Value) -> bool) {
    let asked = Instant::now();
    let is_there = || {
        let text = std::fs::read_to_string(home.path("logs/app.log")).unwrap_or_default();
        let lines = text.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .any(|line| wanted(&line))
    };
    while !is_there() {
        assert!(asked.elapsed() < SOON, "the line does not come");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_stop_interrupts_the_run_in_flight_and_those_that_wait_in_the_log_and_on_disk() {
    let files = served::datasets();
    let home = Home::with_datasets(files.path());
    let served = home.serve();
    // each takes more than a second, as its agents make three attempts
    std::fs::write(files.path().join("zipcodes.csv"), "broken").unwrap();
    for _ in 0..4 {
        ask(&served, r#"{"job": "delays"}"#);
    }
    wait_for_line(&home, |line| line["event"] == "agent_retries");
    assert!(served.stop().success());
    let is_over = |run: &Value| run["status"] != "running" && run["status"] != "queued";
    let runs = records(&home);
    assert!(runs.iter().all(is_over), "{runs:#?}");
    let interrupted = runs.iter().filter(|run| run["status"] == "interrupted");
    let lines = home.log_lines();
    let count = |event: &str, status: Option<&str>| {
        let are = lines.iter().filter(|line| line["event"] == event);
        are.filter(|line| status.is_none_or(|status| line["status"] == status))
            .count()
    };
    assert_eq!(count("run_started", None), count("run_finished", None));
    assert_eq!(count("run_finished", Some("interrupted")), 1);
    assert_eq!(interrupted.count(), 1 + count("run_interrupted", None));
    let at = |event: &str| lines.iter().rposition(|line| line["event"] == event);
    assert!(at("run_started") < at("stopping"), "none begins afterwards");
    assert!(
        at("run_finished") < at("spans_flushed"),
        "its spans are sent"
    );
}

#[test]
fn a_stop_during_the_first_load_leaves_nothing_half_written() {
    let files = served::datasets();
    let home = Home::with_datasets(files.path());
    // the load takes more than a second, as its agent makes three attempts
    std::fs::write(files.path().join("zipcodes.csv"), "broken").unwrap();
    let mut program = home.launch();
    wait_for_line(&home, |line| line["event"] == "agent_retries");
    let id = program.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status();
    assert!(sent.unwrap().success());
    program.wait().unwrap();
    let names = std::fs::read_dir(home.path("data")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let drafts: Vec<String> = names.filter(|name| name.contains(".part")).collect();
    assert_eq!(drafts, <[String; 0]>::default());
    let lines = home.log_lines();
    let finished: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "run_finished")
        .collect();
    assert_eq!(finished.len(), 1, "{lines:#?}");
    assert_eq!(records(&home)[0]["status"], finished[0]["status"]);
}
