//! Faults in a platform that serves under load: within a minute the first finding is the cause, on the admin page and
//! in `doctor`. Three of them run by default, all with `OPS_TEST_FULL=1`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::mapbox_stand_in::{Behavior, StandIn, TOKEN};
use crate::served::{Home, Served};

const FOUND_WITHIN: Duration = Duration::from_secs(60);
pub(crate) const CANARY: &str = "canary-7f3a9c51d2e84b60";

/// Sends the canary, which is the API key of this platform, as a parameter and in the header of a request that
/// registers a model.
pub(crate) fn send_canary(served: &Served, model: &str) {
    // rejected, but possibly logged
    served.get(&format!("/api/flights/summary?origin=SFO&token={CANARY}"));
    let model = format!(r#"{{"name": "{model}", "version": "1"}}"#);
    let headers = [("X-API-Key", CANARY)];
    let answer = served.post("/api/registry/models", &headers, &model);
    assert_eq!(answer.status, 201);
}

fn is_full() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1")
}

/// Waits until this finding is the first one; returns the number of seconds.
fn first(served: &Served, id: &str, load: impl Fn(&Served, u64)) -> f64 {
    let started = Instant::now();
    for round in 0.. {
        load(served, round);
        let state = served.state();
        let findings = state["findings"].as_array().cloned().unwrap_or_default();
        let ids: Vec<_> = findings
            .iter()
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        if ids.first() == Some(&id) {
            return started.elapsed().as_secs_f64();
        }
        assert!(
            started.elapsed() < FOUND_WITHIN,
            "{id} is not first: {findings:#?}"
        );
        std::thread::park_timeout(Duration::from_millis(300));
    }
    unreachable!("the loop ends by itself")
}

fn requests(served: &Served, round: u64) {
    for month in 1..4 {
        let path = format!(
            "/api/flights/summary?origin=SFO&month={}",
            (round + month) % 12 + 1
        );
        served.get(&path);
    }
}

/// Runs `doctor` against the running platform; returns the ids of its findings, its exit code and its output.
fn doctor(home: &Home, served: &Served) -> (Vec<String>, i32, String) {
    let mut program = home.program(&["doctor", "--json", "--admin", &served.admin]);
    let output = program
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let diagnosis: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    let findings = diagnosis["findings"].as_array().unwrap();
    for finding in findings {
        for field in ["seen", "means", "action", "tried", "answer"] {
            assert_ne!(finding[field], "", "{field} of {finding}");
        }
    }
    let ids = findings
        .iter()
        .map(|finding| finding["id"].as_str().unwrap().to_owned());
    (ids.collect(), output.status.code().unwrap(), text)
}

/// Asserts that the cause comes first on the page and in `doctor`.
fn assert_found(home: &Home, served: &Served, id: &str, load: impl Fn(&Served, u64)) {
    let seconds = first(served, id, load);
    let (ids, code, text) = doctor(home, served);
    assert_eq!(ids.first().map(String::as_str), Some(id), "{text}");
    assert!(code == 3 || code == 4, "{code}");
    assert!(!text.contains(CANARY), "{text}");
    // for the table of a full run
    let mut stderr = std::io::stderr();
    let _ = writeln!(
        stderr,
        "fault {id}: first on the page after {seconds:.0} s, first from doctor"
    );
}

/// Starts a server that answers each request with these bytes, or never.
fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Some(answer) = answer else {
                silent.push(stream);
                continue;
            };
            std::thread::spawn(move || {
                // closed with unread bytes, it would be reset before the client reads the answer
                read_request(&stream)?;
                stream.write_all(answer.as_bytes())
            });
        }
    });
    url
}

/// Reads a request with its body, whose parts may arrive at any time.
pub(crate) fn read_request(stream: &TcpStream) -> std::io::Result<()> {
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    Ok(())
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Returns a home for a platform that uses this AWS endpoint.
fn with_aws(endpoint: String) -> Home {
    let mut home = Home::new();
    home.set("AWS_ENDPOINT_URL", leak(endpoint));
    home.set("AWS_REGION", "eu-central-1");
    home.set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    home.set("AWS_SECRET_ACCESS_KEY", CANARY);
    home.set("OPS_SECRETS_AWS", "on");
    home.set("OTEL_TRACES_EXPORTER", "none");
    home
}

const DENIED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\ncontent-length: 58\r\n\r\n{\"__type\":\"AccessDeniedException\",\"message\":\"not allowed\"}";
const THROTTLED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\ncontent-length: 53\r\n\r\n{\"__type\":\"ThrottlingException\",\"message\":\"Rate ...\"}";
const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

fn quiet() -> Home {
    let mut home = Home::new();
    home.set("OTEL_TRACES_EXPORTER", "none");
    home
}

#[test]
fn aws_that_denies_is_the_first_finding() {
    let home = with_aws(server(Some(DENIED)));
    let served = home.serve();
    assert_found(&home, &served, "aws_denied", requests);
}

#[test]
fn a_required_secret_that_is_missing_is_the_first_finding() {
    let mut home = quiet();
    home.set("OPS_ENV", "production");
    home.set("OPS_SECRETS_AWS", "off");
    let served = home.serve();
    assert_found(&home, &served, "required_secret_missing", requests);
}

#[test]
fn a_log_file_that_cannot_be_written_is_the_first_finding() {
    let home = quiet();
    let served = home.serve();
    std::fs::remove_dir_all(home.path("logs")).unwrap();
    // a file in place of the directory stops root too
    std::fs::write(home.path("logs"), "").unwrap();
    assert_found(&home, &served, "log_file_not_writable", requests);
}

#[test]
fn aws_that_throttles_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let home = with_aws(server(Some(THROTTLED)));
    let served = home.serve();
    assert_found(&home, &served, "aws_throttled", requests);
}

#[test]
fn a_collector_that_hangs_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let home = Home::with_collector(server(None));
    let served = home.serve();
    assert_found(&home, &served, "collector_hung", requests);
}

#[test]
fn a_collector_that_refuses_credentials_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let mut home = Home::with_collector(server(Some(UNAUTHORIZED)));
    home.set(
        "OTEL_EXPORTER_OTLP_HEADERS",
        leak(format!("authorization=Bearer%20{CANARY}")),
    );
    let served = home.serve();
    assert_found(&home, &served, "collector_credentials", requests);
}

/// A separate file system; `None` if mounting is not permitted.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn over(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
            .arg(path)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let home = quiet();
    let Some(_mounted) = Mounted::over(&home.path("")) else {
        return;
    };
    let served = home.serve();
    // filled to the last byte: the write ends with an error
    let mut file = std::fs::File::create(home.path("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    assert_found(&home, &served, "disk_full", requests);
}

/// Creates a control group (version 1 or 2); `None` if the machine does not permit it.
pub(crate) fn group(controller: &str) -> Option<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!("ops-test-{process}-{count}-{controller}");
    let root = Path::new("/sys/fs/cgroup");
    let path = [root.join(controller).join(&name), root.join(&name)]
        .into_iter()
        .find(|path| {
            path.parent().is_some_and(Path::exists) && std::fs::create_dir(path).is_ok()
        })?;
    let file = match controller {
        "cpu" => ["cpu.cfs_quota_us", "cpu.max"],
        _ => ["memory.limit_in_bytes", "memory.max"],
    };
    file.iter()
        .any(|file| path.join(file).exists())
        .then_some(path)
}

pub(crate) fn set(path: &Path, files: [&str; 2], text: &str) {
    let file = files
        .iter()
        .map(|file| path.join(file))
        .find(|file| file.exists());
    std::fs::write(file.unwrap(), text).unwrap();
}

/// Returns the bytes that the processes of a control group cannot free.
pub(crate) fn working_set(path: &Path) -> u64 {
    let read = |names: [&str; 2]| -> String {
        let files = names.iter().map(|name| path.join(name));
        files
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .next()
            .unwrap()
    };
    let usage: u64 = read(["memory.usage_in_bytes", "memory.current"])
        .trim()
        .parse()
        .unwrap();
    let stat = read(["memory.stat", "memory.stat"]);
    let inactive = stat.lines().find_map(|line| {
        let line = line.strip_prefix("total_").unwrap_or(line);
        line.strip_prefix("inactive_file ")?.parse::<u64>().ok()
    });
    usage - inactive.unwrap_or(0)
}

#[test]
fn throttling_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let Some(path) = group("cpu") else { return };
    let home = quiet();
    let served = home.serve();
    std::fs::write(path.join("cgroup.procs"), served.id().to_string()).unwrap();
    let quota = if path.join("cpu.max").exists() {
        "15000 100000"
    } else {
        "15000"
    };
    set(&path, ["cpu.cfs_quota_us", "cpu.max"], quota);
    assert_found(&home, &served, "cpu_throttled", |served, round| {
        for n in 0..20 {
            served.get(&format!(
                "/api/airports?near={}.{n},-100.{round}&limit=50",
                30 + n % 10
            ));
        }
    });
    drop(served);
    let _ = std::fs::remove_dir(path);
}

#[test]
fn memory_near_its_limit_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let Some(path) = group("memory") else { return };
    let home = quiet();
    let served = home.serve_in(&path.join("cgroup.procs"));
    requests(&served, 0);
    let working_set = working_set(&path);
    set(
        &path,
        ["memory.limit_in_bytes", "memory.max"],
        &(working_set * 100 / 94).to_string(),
    );
    assert_found(&home, &served, "memory_near_limit", |_, _| {});
    drop(served);
    let _ = std::fs::remove_dir(path);
}

/// Threads of the runtime that the kernel does not schedule, as if each were stuck in a blocking call; they continue
/// when this is dropped.
struct Frozen(PathBuf);

impl Frozen {
    /// Freezes the workers; `None` if the machine cannot freeze single threads.
    fn workers(served: &Served) -> Option<Self> {
        let name = format!("ops-test-{}-workers", std::process::id());
        let folder = Path::new("/sys/fs/cgroup/freezer").join(name);
        std::fs::create_dir(&folder).ok()?;
        let frozen = Self(folder);
        for task in std::fs::read_dir(format!("/proc/{}/task", served.id())).unwrap() {
            let task = task.unwrap();
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.trim() == "tokio-rt-worker" {
                let id = task.file_name();
                std::fs::write(frozen.0.join("tasks"), id.to_str().unwrap()).unwrap();
            }
        }
        std::fs::write(frozen.0.join("freezer.state"), "FROZEN").unwrap();
        Some(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("freezer.state"), "THAWED");
        // a thread that is still thawing cannot be moved out of the group
        for _ in 0..100 {
            let tasks = std::fs::read_to_string(self.0.join("tasks")).unwrap_or_default();
            for task in tasks.lines() {
                let _ = std::fs::write("/sys/fs/cgroup/freezer/tasks", task);
            }
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

#[test]
fn workers_that_are_all_blocked_are_the_first_finding() {
    if !is_full() {
        return;
    }
    let home = quiet();
    let served = home.serve();
    // under load: enough concurrent requests for each worker to run
    for round in 0..20 {
        requests(&served, round);
    }
    let Some(frozen) = Frozen::workers(&served) else {
        return;
    };
    let address = served.api.trim_start_matches("http://");
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(b"GET /api/flights/summary?origin=SFO HTTP/1.1\r\nhost: x\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    assert_found(&home, &served, "workers_blocked", |_, _| {});
    drop(frozen);
    // it continues
    assert_eq!(served.get("/api/flights/summary?origin=SFO").status, 200);
    drop(asking);
}

#[test]
fn a_cache_that_collapsed_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let home = quiet();
    let served = home.serve();
    for round in 0..100 {
        requests(&served, round);
    }
    assert_found(&home, &served, "cache_hit_collapsed", |served, round| {
        for n in 0..6 {
            served.get(&format!(
                "/api/airports?near=3{n}.{round},-10{n}.{round}&limit=5"
            ));
        }
    });
}

#[test]
fn a_provider_that_fails_is_the_first_finding() {
    if !is_full() {
        return;
    }
    let provider = StandIn::start();
    provider.behave(Behavior::Broken);
    let mut home = quiet();
    home.set("MAPBOX_ACCESS_TOKEN", TOKEN);
    home.set("KEARNEY_MAPBOX_URL", leak(provider.url.clone()));
    let served = home.serve();
    assert_found(&home, &served, "provider_failing", |served, round| {
        for n in 0..4 {
            let place = format!("lat=3{n}.{round}&lon=-10{n}.{round}");
            served.get(&format!("/api/isochrone?{place}&minutes=10&mode=walking"));
        }
    });
}

#[test]
fn a_healthy_platform_under_load_has_no_findings_and_no_canary_anywhere() {
    let mut home = Home::with_collector(server(Some(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    )));
    home.set("REGISTRY_API_KEY", CANARY);
    home.set(
        "OTEL_EXPORTER_OTLP_HEADERS",
        leak(format!("x-api-key={CANARY}")),
    );
    std::fs::write(
        home.path(".env"),
        format!("MAPBOX_ACCESS_TOKEN={CANARY}-dotenv\n"),
    )
    .unwrap();
    let served = home.serve_and_load();
    let started = Instant::now();
    let seconds = std::env::var("OPS_TEST_HEALTHY_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    let lasts = Duration::from_secs(seconds.unwrap_or(if is_full() { 60 } else { 8 }));
    let mut rounds = 0_u64;
    while started.elapsed() < lasts {
        // no If-None-Match, a key in a header, a canary as a parameter that reaches SQL
        requests(&served, rounds);
        served.get_with(
            "/api/airports?near=37.6,-122.4&limit=10",
            &[("x-api-key", CANARY)],
        );
        served.get(&format!("/api/flights/summary?origin={CANARY}"));
        served.get("/readyz");
        served.get("/metrics");
        // an aborted download
        let address = served.api.trim_start_matches("http://");
        let mut half = TcpStream::connect(address).unwrap();
        half.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let _ = half.read(&mut [0; 64]).unwrap();
        drop(half);
        let findings = served.state()["findings"].clone();
        assert_eq!(findings, serde_json::json!([]), "round {rounds}");
        rounds += 1;
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let bundle = home.path("bundle.tar.gz");
    let mut program = home.program(&["doctor", "--admin", &served.admin, "--bundle"]);
    let output = program
        .arg(&bundle)
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("no findings") && !text.contains(CANARY),
        "{text}"
    );
    assert!(!served.state().to_string().contains(CANARY));
    assert_no_canary(
        &bundle,
        &[
            "state.json",
            "metrics.txt",
            "log.jsonl",
            "settings.txt",
            "secrets.json",
        ],
    );
    // the process is dead, its disk is still there
    drop(served);
    let output = home
        .program(&["doctor", "--bundle"])
        .arg(&bundle)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_no_canary(&bundle, &["log.jsonl", "findings.txt"]);
    assert_no_canary_in_a_profile(home);
}

/// Asserts that a CPU profile under load has names of functions, and no value known to the process.
fn assert_no_canary_in_a_profile(mut home: Home) {
    home.set("OPS_ADMIN_TOKEN", "a-token-of-16-chars-or-more");
    home.set("OPS_ADMIN_PROFILE", "on");
    let served = home.serve();
    let url = format!("{}/debug/pprof/profile?seconds=1", served.admin);
    let profile = || {
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                let token = "Bearer a-token-of-16-chars-or-more";
                let asked = crate::served::agent()
                    .get(&url)
                    .header("authorization", token)
                    .call();
                asked.unwrap().body_mut().read_to_vec().unwrap()
            });
            while !taken.is_finished() {
                served.get_with(
                    "/api/flights/summary?origin=SFO",
                    &[("x-api-key", CANARY), ("cache-control", "no-cache")],
                );
                served.get(&format!("/api/flights/summary?origin={CANARY}"));
            }
            taken.join().unwrap()
        })
    };
    // on a busy machine, a second may contain too few samples
    let has_names = (0..20).any(|_| {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(profile().as_slice())
            .read_to_end(&mut text)
            .unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(CANARY));
        text.contains("kearney_platform::")
    });
    assert!(has_names);
}

/// Asserts that everything in the archive is readable, only by this user, and does not contain the canary.
pub(crate) fn assert_no_canary(bundle: &Path, wanted: &[&str]) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        bundle.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = |arguments: &[&str]| {
        let output = Command::new("tar")
            .args(arguments)
            .arg(bundle)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let names = text(&["-tzf"]);
    assert!(names.starts_with("doctor/index.html\n"), "{names}");
    for name in wanted {
        assert!(names.contains(name), "{name} is not in {names}");
    }
    let all = text(&["-xzOf"]);
    let at = all.find(CANARY);
    assert_eq!(at.map(|at| &all[at.saturating_sub(300)..at]), None);
}

#[test]
fn doctor_ends_clearly_whatever_is_at_the_address() {
    let home = quiet();
    let rows = [
        ("http://127.0.0.1:1".to_owned(), "process_not_running"),
        (server(None), "process_hung"),
        (server(Some(UNAUTHORIZED)), "admin_token_refused"),
        (
            server(Some(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
            )),
            "wrong_admin_address",
        ),
        (
            server(Some("SSH-2.0-OpenSSH_9.6\r\n")),
            "wrong_admin_address",
        ),
        ("no address".to_owned(), "wrong_admin_address"),
    ];
    for (address, right) in rows {
        let started = Instant::now();
        let mut program = home.program(&["doctor", "--json", "--admin", &address]);
        let output = program
            .stdout(std::process::Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4), "{address}");
        let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            diagnosis["findings"][0]["id"], right,
            "{address}: {diagnosis:#}"
        );
        assert!(started.elapsed() < FOUND_WITHIN);
    }
}

#[test]
fn doctor_asks_the_api_of_the_platform_whose_page_was_named() {
    let home = quiet();
    let served = home.serve();
    // a folder in which another platform was killed
    let elsewhere = quiet();
    elsewhere.serve().kill();
    for home in [&elsewhere, &quiet()] {
        let (ids, code, text) = doctor(home, &served);
        assert!(!ids.iter().any(|id| id.starts_with("api_")), "{text}");
        assert_ne!(code, 4, "{text}");
        let asked = format!("GET {}/metrics", served.api);
        assert!(text.contains(&asked), "{text}");
    }
}

#[test]
fn doctor_of_a_directory_that_no_platform_used_takes_no_page_for_its_own() {
    let home = quiet();
    let served = home.serve();
    let elsewhere = quiet();
    let asked = |home: &Home, dir: &str| {
        let mut program = home.program(&["doctor", "--json", "--data-dir", dir]);
        program.env("OPS_ADMIN_ADDR", &served.admin);
        let output = program.stdout(std::process::Stdio::piped()).output();
        let output = output.unwrap();
        let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let first = diagnosis["findings"][0].clone();
        (first, output.status.code().unwrap())
    };
    for (home, dir) in [(&home, "dota"), (&elsewhere, "data")] {
        let (first, code) = asked(home, dir);
        assert_eq!(first["id"], "another_platform_answers", "{first}");
        let text = |key: &str| first[key].as_str().unwrap();
        let (seen, action) = (text("seen"), text("action"));
        assert!(
            seen.ends_with("the lock of the data directory is absent"),
            "{seen}"
        );
        assert!(action.starts_with("Set the right directory"), "{action}");
        // another platform may use a directory that is not visible here
        assert_eq!(code, 3);
    }
    let (first, code) = asked(&home, "data");
    assert_ne!(first["id"], "another_platform_answers", "{first}");
    assert_ne!(code, 4, "{first}");
}

#[test]
fn a_question_that_was_refused_is_not_ok_although_its_cause_is_known() {
    let home = quiet();
    home.serve().kill();
    let mut program = home.program(&["doctor", "--json"]);
    program.stdout(std::process::Stdio::piped());
    let output = program.output().unwrap();
    let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried = diagnosis["tried"].as_array().unwrap();
    let refused = |tried: &&serde_json::Value| {
        let tried = tried["tried"].as_str().unwrap();
        tried.starts_with("GET ") && tried.ends_with("/metrics")
    };
    let refused = tried.iter().find(refused).unwrap();
    assert_eq!(refused["ok"], false, "{refused}");
    // the next process that takes the directory removes the stale address
    assert!(home.path("data/addresses.json").exists());
    let orchestrated = home
        .program(&["orchestrate", "--job", "delays"])
        .status()
        .unwrap();
    assert!(orchestrated.success());
    assert!(!home.path("data/addresses.json").exists());
}
