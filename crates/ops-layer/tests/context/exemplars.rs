//! A real Prometheus with storage for exemplars: the traces in its exemplars are among the recent ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;

use crate::OPS;

/// Far longer than a scrape and a query take.
const PATIENCE: Duration = Duration::from_secs(60);
const REQUESTS: usize = 5;

struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn program() -> Option<std::path::PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = workspace.join(".tools/prometheus/usr/bin/prometheus");
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none(),
        "prometheus is required"
    );
    let skipped = "skipped: no prometheus at .tools/prometheus (cargo xtask setup)";
    let _ = writeln!(std::io::stdout(), "{skipped}");
    None
}

/// Returns the body of the response; empty while nothing listens.
fn fetch(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(body.unwrap_or_default().to_owned())
}

fn start(program: &Path, folder: &Path, service: SocketAddr) -> (Prometheus, SocketAddr) {
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: it\n    static_configs: [{{targets: ['{service}']}}]\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    // Prometheus does not report a port that it chose
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let child = Command::new(program)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .arg("--enable-feature=exemplar-storage")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Prometheus(child), address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_the_trace_of_a_request() {
    let Some(program) = program() else { return };
    let ops = &*OPS;
    let metrics = |request: Request| async move {
        let (parts, _) = request.into_parts();
        ops_layer::metrics::serve(&parts).await.map(Body::new)
    };
    let app = Router::new()
        .route("/users/{id}", get(|| async { "user" }))
        .route("/metrics", get(metrics))
        .layer(ops.http());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let found = tokio::task::spawn_blocking(move || {
        for _ in 0..REQUESTS {
            assert_eq!(fetch(service, "/users/7").unwrap(), "user");
        }
        let folder = tempfile::tempdir().unwrap();
        let (mut running, mut prometheus) = start(&program, folder.path(), service);
        let query = "/api/v1/query_exemplars?query=http_request_latency_seconds_bucket&start=0&end=9999999999";
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            // another process may take its port first
            if running.0.try_wait().unwrap().is_some() {
                (running, prometheus) = start(&program, folder.path(), service);
            }
            let answer = fetch(prometheus, query).unwrap_or_default();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
            let series = answer["data"].as_array().cloned().unwrap_or_default();
            let exemplars = series.iter().flat_map(|one| one["exemplars"].as_array().cloned());
            let exemplars = exemplars.flatten();
            let ids: Vec<String> = exemplars
                .filter_map(|one| Some(one["labels"]["trace_id"].as_str()?.to_owned()))
                .collect();
            if !ids.is_empty() {
                return ids;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Vec::new()
    })
    .await
    .unwrap();
    assert!(!found.is_empty(), "Prometheus has no exemplar");
    ops_layer::trace::global().unwrap().flush();
    let recent = ops_layer::trace::recent().recent;
    for id in &found {
        let trace = recent.iter().find(|trace| trace.trace_id == *id);
        let trace = trace.unwrap_or_else(|| unreachable!("{id} is not among the recent traces"));
        assert_eq!(trace.spans[0].name, "GET /users/{id}");
    }
}
