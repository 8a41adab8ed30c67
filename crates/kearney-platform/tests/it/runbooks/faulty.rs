use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use ops_layer::{Config, metrics};

use super::page::{Page, Scene};
use super::{SOON, note, number, until, wait};
use crate::served::{self, Home};

/// Name of the variable that marks the process of [`service`].
const ROLE: &str = "KEARNEY_TEST_FAULTY_SERVICE";
/// Longer than any test runs.
const BLOCKED_FOR: Duration = Duration::from_secs(120);

metrics::define! {
    /// Counts by what should be no label: there is one value for each place.
    pub counter faulty_places_total { place: &'static str }
}

fn router() -> Router {
    Router::new()
        .route("/panic", get(panics))
        .route("/places", get(places))
        .route("/block", get(blocks))
}

async fn panics() {
    panic!("this handler panics on purpose")
}

async fn places() {
    for place in 0..250_u32 {
        faulty_places_total(place.to_string().leak()).inc();
    }
}

/// Blocks a worker of the runtime, which a handler must not do.
async fn blocks() {
    std::thread::sleep(BLOCKED_FOR);
}

/// Runs a service with faults that the platform does not have, in a separate process.
#[test]
#[ignore = "the service that other tests start"]
fn service() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = Config::new("faulty").stdout(false).log_file("logs/app.log");
        let ops = ops_layer::init(config).unwrap();
        // a router without the routes of a service, as an application may serve by mistake
        let bare = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bare_at = bare.local_addr().unwrap();
        let answers = Router::new().route("/healthz", get(|| async { "ok\n" }));
        ops_layer::spawn(async move { axum::serve(bare, answers).await });
        let served = ops.serve(router()).port(0).on_listening(move |bound| {
            let admin = bound.admin.unwrap();
            let addresses = format!(
                r#"{{"api":"http://{}","admin":"http://{admin}","bare":"http://{bare_at}"}}"#,
                bound.api
            );
            std::fs::create_dir_all("data").unwrap();
            std::fs::write("data/draft", addresses).unwrap();
            std::fs::rename("data/draft", "data/addresses.json").unwrap();
        });
        served.admin_addr(([127, 0, 0, 1], 0).into()).await.unwrap();
    });
}

/// The service; stopped on drop.
struct Faulty {
    child: Child,
    api: String,
    admin: String,
    bare: String,
}

impl Faulty {
    fn start(home: &Home) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "runbooks::faulty::service", "--ignored"]);
        program.arg("--nocapture").current_dir(home.path(""));
        for (name, value) in home.program(&[]).get_envs() {
            match value {
                Some(value) => program.env(name, value),
                None => program.env_remove(name),
            };
        }
        program.env(ROLE, "1").env("OTEL_TRACES_EXPORTER", "none");
        program.stdin(Stdio::null()).stdout(Stdio::null());
        let child = program.stderr(Stdio::null()).spawn().unwrap();
        let (asked, file) = (Instant::now(), home.path("data/addresses.json"));
        while !file.exists() {
            assert!(asked.elapsed() < SOON, "the service does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let text = std::fs::read(file).unwrap();
        let addresses: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let [api, admin, bare] =
            ["api", "admin", "bare"].map(|name| addresses[name].as_str().unwrap().to_owned());
        Self {
            child,
            api,
            admin,
            bare,
        }
    }

    fn scene<'a>(&self, home: &'a Home) -> Scene<'a> {
        let addresses = (self.api.clone(), self.admin.clone());
        Scene::at(home, addresses, self.child.id())
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn faults_of_the_code_lead_to_their_place() {
    let home = Home::new();
    let faulty = Faulty::start(&home);
    let scene = faulty.scene(&home);

    let page = Page::read("panics.md");
    assert_eq!(number(&page.step(1, &scene), "panics_total"), 0.0);
    assert_eq!(
        served::get(&format!("{}/panic", faulty.api), &[]).status,
        500
    );
    assert_eq!(number(&page.step(1, &scene), "panics_total"), 1.0);
    let printed = page.step(2, &scene);
    assert!(printed.contains("route=\"/panic\""), "{printed}");
    let printed = until("this handler panics on purpose", || page.step(3, &scene));
    assert!(
        printed.contains("runbooks/faulty.rs"),
        "its place: {printed}"
    );
    page.concludes("- A panic is a fault of the code: its message and place are in the log");

    let page = Page::read("cardinality-overflow.md");
    assert_eq!(page.step(1, &scene), "none\n");
    served::get(&format!("{}/places", faulty.api), &[]);
    let printed = page.step(1, &scene);
    let series = r#"ops_metrics_overflow_total{metric="faulty_places_total",label="place"} 50"#;
    assert!(printed.starts_with(series), "{printed}");
    let printed = until("faulty_places_total", || page.step(2, &scene));
    assert!(
        printed.contains("200"),
        "the first value that was refused: {printed}"
    );
    let printed = page.step(3, &scene);
    assert!(
        printed.starts_with("ops_metrics_series{metric=\"faulty_places_total\"} 201"),
        "{printed}"
    );
    page.concludes("- Give the label a closed set of values");

    metrics_that_are_not_there(&home, faulty);
}

fn metrics_that_are_not_there(home: &Home, faulty: Faulty) {
    let page = Page::read("metrics-endpoint-returns-404.md");
    let scene = faulty.scene(home);
    assert_eq!(page.step(1, &scene), "200\n");
    let bare = Scene::at(home, (faulty.bare.clone(), faulty.admin.clone()), 0);
    assert_eq!(page.step(1, &bare), "404\n");
    assert_eq!(page.step(2, &bare), "ok\n");
    page.concludes("- 404: the router has no route that calls `ops_metrics::serve`");
    let statuses = crowd(&page, &scene);
    assert!(statuses.contains("503"), "{statuses}");
    page.concludes("- 503 and `too many scrapes are waiting`: fewer scrapers");
    drop(faulty);
    assert_eq!(page.step(1, &scene), "000\n");
    assert_eq!(page.step(2, &scene), "no answer\n");
    page.concludes("- Nothing: the process is not there, or listens elsewhere");
}

/// Returns the output of the first step while more scrapers connect than are admitted.
fn crowd(page: &Page, scene: &Scene<'_>) -> String {
    let scripts = vec![page.steps[&1][0].trim_end(); 24].join(" & ");
    let counted = format!("({scripts} & wait) | sort | uniq -c");
    wait(
        "a scrape is refused",
        || scene.follow(&counted),
        |printed| printed.contains("503"),
    )
}

#[test]
fn workers_that_are_blocked_lead_to_the_call_that_blocks_them() {
    let home = Home::new();
    let faulty = Faulty::start(&home);
    let (page, scene) = (Page::read("workers-blocked.md"), faulty.scene(&home));
    let address = faulty.api.trim_start_matches("http://");
    let blocked: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    let printed = until("CRITICAL workers_blocked", || page.step(1, &scene));
    assert!(printed.contains("has run a new task for"), "{printed}");
    assert!(
        !printed.contains("because of"),
        "it is the cause: {printed}"
    );
    let throttled = page.step(2, &scene);
    assert!(
        throttled.contains("cgroup_cpu_throttled_periods_total"),
        "{throttled}"
    );
    if super::is_full() && Command::new("gdb").arg("--version").output().is_ok() {
        let printed = page.step(3, &scene);
        assert!(
            printed.contains("tokio-rt") && printed.contains("sleep"),
            "{printed}"
        );
    } else {
        page.leave(3, "a debugger takes long, and may not be here");
    }
    page.concludes("- A call that waits (file, lock, `std::thread::sleep`");
    note(&format!(
        "workers-blocked.md: {}",
        printed.lines().next().unwrap_or_default()
    ));
    drop(blocked);
}
