//! Runbooks, followed: the thing is broken, the steps run as they are printed, and their answers lead to the conclusion that
//! the page draws. Those that take long, or need Prometheus, run with `OPS_TEST_FULL=1`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::mapbox_stand_in::{Behavior, StandIn, TOKEN};
use crate::served::{Home, Served, agent};

const KEY: (&str, &str) = ("X-API-Key", "kearney-registry-key");
const AREA: &str = "/api/isochrone?lat=37.6&lon=-122.4&minutes=10";
const SOON: Duration = Duration::from_secs(60);
/// Lines of an answer that is read at three in the morning.
const LINES_MAX: usize = 10;

fn is_full() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1")
}

/// A page of docs/runbooks.
struct Page {
    text: String,
    /// The commands of each numbered step.
    steps: BTreeMap<u32, Vec<String>>,
}

impl Page {
    fn read(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
        let text = std::fs::read_to_string(file.join(name)).unwrap();
        let (mut steps, mut step, mut script) = (BTreeMap::<u32, Vec<_>>::new(), 0, None);
        for line in text.lines() {
            let number = line
                .split_once(". ")
                .and_then(|(number, _)| number.parse().ok());
            match (&mut script, line.trim()) {
                (None, "```bash") => script = Some(String::new()),
                (Some(_), "```") => steps.entry(step).or_default().extend(script.take()),
                (Some(script), line) => *script += &format!("{line}\n"),
                (None, _) => step = number.unwrap_or(step),
            }
        }
        Self { text, steps }
    }

    /// Runs the commands of a step and returns their answer.
    fn step(&self, number: u32, scene: &Scene<'_>) -> String {
        self.steps[&number]
            .iter()
            .map(|script| scene.follow(script))
            .collect()
    }

    /// The page has this conclusion.
    fn concludes(&self, text: &str) {
        assert!(self.text.contains(text), "{text} is not in {}", self.text);
    }
}

/// Surroundings in which a page is followed.
struct Scene<'a> {
    home: &'a Home,
    served: Option<&'a Served>,
    prometheus: Option<&'a Prometheus>,
    variables: Vec<(&'static str, String)>,
}

impl<'a> Scene<'a> {
    fn of(home: &'a Home, served: &'a Served) -> Self {
        Self {
            home,
            served: Some(served),
            prometheus: None,
            variables: Vec::new(),
        }
    }

    /// In the platform's working directory and environment, with its program on the path.
    fn follow(&self, script: &str) -> String {
        let mut here = script.replace("cargo run -q -p kearney-platform --", "kearney-platform");
        if let Some(served) = self.served {
            here = here.replace("http://127.0.0.1:8000", &served.api);
            here = here.replace("http://127.0.0.1:8001", &served.admin);
        }
        let mut programs = vec![
            Path::new(env!("CARGO_BIN_EXE_kearney-platform"))
                .parent()
                .unwrap()
                .to_owned(),
        ];
        if let Some(prometheus) = self.prometheus {
            here = here.replace("http://127.0.0.1:9090", &prometheus.url);
            programs.push(tools("prometheus/usr/bin"));
        }
        let path = std::env::var_os("PATH").unwrap();
        let path =
            std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let model = self.home.program(&[]);
        let mut shell = Command::new("bash");
        shell
            .current_dir(self.home.path(""))
            .args(["-e", "-o", "pipefail", "-c", &here]);
        for (name, value) in model.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env("PATH", path).envs(self.variables.iter().cloned());
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(
            (1..=LINES_MAX).contains(&told.lines().count()),
            "{script} said {told}"
        );
        told
    }
}

fn tools(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_kearney-platform"));
    program.ancestors().nth(2).unwrap().join("tools").join(name)
}

/// A real Prometheus that scrapes a platform each second.
struct Prometheus {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// `None` where it is not there and need not be.
    fn start(served: &Served) -> Option<Self> {
        let program = tools("prometheus/usr/bin/prometheus");
        if !program.exists() {
            let required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
            assert!(!required, "{}: cargo xtask setup", program.display());
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let target = served.api.trim_start_matches("http://");
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: kearney-platform\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let address = free_port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            child,
            url: format!("http://{address}"),
            _folder: folder,
        };
        let asked = Instant::now();
        while !started.is_ready() {
            assert!(asked.elapsed() < SOON, "Prometheus is not ready");
        }
        Some(started)
    }

    fn is_ready(&self) -> bool {
        let answer = agent().get(format!("{}/-/ready", self.url)).call();
        answer.is_ok_and(|answer| answer.status() == 200)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// For programs that take no port 0: one that was free a moment ago.
fn free_port() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Asks a step again until its answer has this: what is scraped, exported or logged comes a little later.
fn until(wanted: &str, mut step: impl FnMut() -> String) -> String {
    let asked = Instant::now();
    loop {
        let told = step();
        if told.contains(wanted) {
            return told;
        }
        assert!(asked.elapsed() < SOON, "{wanted} is not in {told}");
    }
}

fn with_mapbox(mapbox: &StandIn) -> (Home, Served) {
    let mut home = Home::new();
    home.set("MAPBOX_ACCESS_TOKEN", TOKEN);
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    let served = home.serve();
    (home, served)
}

#[test]
fn runs_that_fail_lead_to_the_file_that_is_broken() {
    let files = tempfile::tempdir().unwrap();
    let extract = Path::new(env!("CARGO_MANIFEST_DIR")).join("extract");
    for name in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
        std::fs::copy(extract.join(name), files.path().join(name)).unwrap();
    }
    let home = Home::with_datasets(files.path());
    let served = home.serve();
    std::fs::write(files.path().join("zipcodes.csv"), "broken").unwrap();
    assert_eq!(
        served
            .post("/api/orchestrator/runs", &[KEY], r#"{"job": "delays"}"#)
            .status,
        202
    );

    let page = Page::read("orchestrator-success-low.md");
    let scene = Scene::of(&home, &served);
    let told = until(" failed ingest ", || page.step(1, &scene));
    assert!(told.contains("cannot load zipcodes"), "{told}");
    assert_eq!(page.step(2, &scene), "no such run\nno such run\n");
    assert!(page.step(3, &scene).contains("zipcodes_loader"));
    page.concludes(
        "`cannot load <table>`: the file of the table was replaced by one that is broken",
    );
}

#[test]
fn a_provider_that_refuses_leads_to_the_token() {
    let mapbox = StandIn::start();
    let mut home = Home::new();
    home.set("MAPBOX_ACCESS_TOKEN", "pk.another-token-0815");
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    let served = home.serve();
    assert_eq!(served.get(AREA).status, 502);

    let page = Page::read("isochrone-provider-failing.md");
    let scene = Scene::of(&home, &served);
    let told = page.step(1, &scene);
    assert_eq!(
        told,
        "isochrone_requests_total{provider=\"mapbox\",mode=\"driving\",status=\"http_4xx\"} 1\n"
    );
    assert_eq!(page.step(2, &scene), "mapbox_token: env\n");
    assert!(page.step(3, &scene).contains("does not accept the token"));
    page.concludes("- `http_4xx`: the token");
}

#[test]
fn traces_that_do_not_appear_lead_to_the_collector_that_is_not_there() {
    let home = Home::with_collector(format!("http://{}", free_port()));
    let served = home.serve();
    served.get("/api/flights/summary?origin=SFO");
    let page = Page::read("traces-not-appearing.md");
    let scene = Scene::of(&home, &served);
    let endpoint = home.program(&[]).get_envs().find_map(|(name, value)| {
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| value.unwrap().to_str().unwrap().to_owned())
    });
    let first = page.steps[&1][0].replace("http://127.0.0.1:4318", &endpoint.unwrap());
    assert_eq!(scene.follow(&first).trim(), "000");
    let told = until("trace_exporter_up 0", || page.step(2, &scene));
    assert!(told.contains("{kind=\"refused\"}"), "{told}");
    assert!(page.step(3, &scene).contains("tracer_initialized"));
    page.concludes("no collector at that endpoint");
}

#[test]
fn requests_that_fail_lead_to_their_route() {
    let mapbox = StandIn::start();
    mapbox.behave(Behavior::Nonsense);
    let (home, served) = with_mapbox(&mapbox);
    assert_eq!(served.get(AREA).status, 502);
    let page = Page::read("api-availability-burn.md");
    let scene = Scene::of(&home, &served);
    assert!(
        page.step(1, &scene)
            .contains("route=\"/api/isochrone\",method=\"GET\",status=\"502\"} 1")
    );
    assert!(page.step(2, &scene).contains("ready"));
    assert!(until("/api/isochrone", || page.step(3, &scene)).contains("trace_id"));
    page.concludes("- Only one route fails: its log lines carry route and trace id");
}

#[test]
fn a_queue_that_grows_leads_to_what_waits() {
    if !is_full() {
        return;
    }
    let home = Home::with_whole_data();
    let served = home.serve();
    let Some(prometheus) = Prometheus::start(&served) else {
        return;
    };
    let page = Page::read("orchestrator-queue-growing.md");
    let mut scene = Scene::of(&home, &served);
    scene.prometheus = Some(&prometheus);
    let mut told = String::new();
    let asked = Instant::now();
    while !told.contains("orchestrator_runs_in_flight 1") || !told.contains("queue_depth 1") {
        assert!(asked.elapsed() < SOON, "{told}");
        while served
            .post("/api/orchestrator/runs", &[KEY], r#"{"job": "delays"}"#)
            .status
            == 202
        {}
        told = page.step(1, &scene);
    }
    assert!(page.step(3, &scene).contains(" delays - queued - "));
    until("phase=\"ingest\"", || page.step(2, &scene));
    page.concludes("answers 429 with `Retry-After`");
}

#[test]
fn latency_leads_to_the_provider_that_hangs() {
    if !is_full() {
        return;
    }
    let mapbox = StandIn::start();
    mapbox.behave(Behavior::Hangs);
    let (home, served) = with_mapbox(&mapbox);
    let Some(prometheus) = Prometheus::start(&served) else {
        return;
    };
    let page = Page::read("high-api-latency.md");
    let mut scene = Scene::of(&home, &served);
    scene.prometheus = Some(&prometheus);
    served.get("/api/flights/summary?origin=SFO");
    let slowest = until("/api/isochrone", || {
        served.get(AREA);
        page.step(1, &scene)
    });
    assert!(
        slowest.lines().next().unwrap().contains("/api/isochrone"),
        "{slowest}"
    );
    assert!(!page.step(2, &scene).is_empty());
    assert!(page.step(3, &scene).contains("=> "));
    let failures = page.step(4, &scene);
    assert!(
        failures.contains("{} => ") && !failures.contains("=> 0 "),
        "{failures}"
    );
    page.concludes("- The provider fails or is slow");
}

#[test]
fn misses_and_slow_queries_lead_to_their_reason_and_statement() {
    if !is_full() {
        return;
    }
    let home = Home::new();
    std::fs::create_dir(home.path("configs")).unwrap();
    let text = "query_cache: {slow_query_ms: 1}\n";
    std::fs::write(home.path("configs/cache.yaml"), text).unwrap();
    let served = home.serve();
    let Some(prometheus) = Prometheus::start(&served) else {
        return;
    };
    let mut scene = Scene::of(&home, &served);
    scene.prometheus = Some(&prometheus);
    let page = Page::read("cache-miss-rate-elevated.md");
    let mut turn = 0;
    let why = until("reason=\"absent\"", || {
        turn += 1;
        served.get(&format!("/api/airports?near=37.{turn},-122&limit=3"));
        page.step(1, &scene)
    });
    assert!(why.lines().count() <= 6, "{why}");
    page.step(2, &scene);
    assert!(until("reason=", || page.step(3, &scene)).contains("invalidated"));
    assert!(page.step(4, &scene).contains("entries: "));
    page.concludes("`absent`: never asked before");

    let page = Page::read("duckdb-slow.md");
    until("query_type=\"SELECT\"", || page.step(1, &scene));
    assert!(until("FROM airports", || page.step(2, &scene)).contains("\"duration_ms\":"));
    assert!(page.step(3, &scene).contains("=> 0 "), "no query failed");
}

#[test]
fn a_secret_that_is_missing_leads_to_each_source_and_aws_has_it_in_the_end() {
    let mut home = Home::new();
    let page = Page::read("secrets-not-loading.md");
    {
        let mut scene = Scene {
            home: &home,
            served: None,
            prometheus: None,
            variables: Vec::new(),
        };
        assert!(
            page.step(1, &scene)
                .starts_with("MAPBOX_ACCESS_TOKEN: missing\n")
        );
        assert!(
            page.step(2, &scene)
                .contains("not asked: nothing here hints at AWS")
        );
        assert_eq!(page.step(3, &scene), "none\n");
        page.concludes("| `not asked: nothing here hints at AWS` | give credentials");
        scene
            .variables
            .push(("MAPBOX_ACCESS_TOKEN", TOKEN.to_owned()));
        assert_eq!(page.step(1, &scene), "MAPBOX_ACCESS_TOKEN: env\n");
        assert_eq!(page.step(3, &scene), "MAPBOX_ACCESS_TOKEN\n");
    }
    let server = tools("python/bin/moto_server");
    let has_client = Command::new("aws")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_full() || !server.exists() || !has_client {
        return;
    }
    let address = free_port();
    let moto = Command::new(server)
        .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _moto = Stopped(moto);
    let asked = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(asked.elapsed() < SOON, "moto does not listen");
        std::thread::yield_now();
    }
    for (name, value) in [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
    ] {
        home.set(name, value.leak());
    }
    let scene = Scene {
        home: &home,
        served: None,
        prometheus: None,
        variables: Vec::new(),
    };
    // as the overview puts them there
    scene.follow(&format!("aws ssm put-parameter --name /kearney-platform/prod/mapbox_token --value {TOKEN} --type SecureString"));
    scene.follow("aws secretsmanager create-secret --name kearney-platform/prod/registry_api_key --secret-string planted-value-5");
    let told = page.step(4, &scene);
    assert!(
        told.contains("/kearney-platform/prod/mapbox_token"),
        "{told}"
    );
    assert!(
        !told.contains(TOKEN) && !told.contains("planted-value-5"),
        "{told}"
    );
    assert_eq!(page.step(1, &scene), "MAPBOX_ACCESS_TOKEN: aws_ssm\n");
}

/// A program that is stopped when dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn a_metrics_endpoint_that_is_gone_leads_to_the_process() {
    let home = Home::new();
    let served = home.serve();
    let page = Page::read("metrics-endpoint-returns-404.md");
    let scene = Scene::of(&home, &served);
    assert_eq!(page.step(1, &scene).trim(), "200");
    assert!(!page.step(2, &scene).is_empty());
    // another program, at the address that is scraped
    let mapbox = StandIn::start();
    let other = page.steps[&1][0].replace(
        "http://127.0.0.1:8000/metrics",
        &format!("{}/x", mapbox.url),
    );
    assert_ne!(scene.follow(&other).trim(), "200");
    page.concludes("- Nothing: the process is not there, or listens elsewhere");
}

#[test]
fn few_file_descriptors_lead_to_the_limit() {
    let home = Home::new();
    let served = home.serve();
    let page = Page::read("file-descriptors-low.md");
    let scene = Scene::of(&home, &served);
    let open = |told: &str| -> f64 {
        let line = told
            .lines()
            .find(|line| line.starts_with("process_open_fds "))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let before = open(&page.step(1, &scene));
    let address = served.api.trim_start_matches("http://");
    let held: Vec<_> = (0..50)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    let asked = Instant::now();
    while open(&page.step(1, &scene)) < before + 40.0 {
        assert!(asked.elapsed() < SOON);
    }
    assert!(page.step(1, &scene).contains("process_max_fds "));
    assert!(page.step(2, &scene).starts_with("http_requests_in_flight "));
    page.concludes("raise the limit (`ulimit -n`");
    drop(held);
}
