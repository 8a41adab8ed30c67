use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::SOON;
use crate::served::{Served, agent};

pub(super) fn tools(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_kearney-platform"));
    program.ancestors().nth(2).unwrap().join("tools").join(name)
}

/// A real Prometheus that scrapes a platform every second.
pub(super) struct Prometheus {
    child: Child,
    pub(super) url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts Prometheus; `None` if it is not installed and not required.
    pub(super) fn start(served: &Served) -> Option<Self> {
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
        std::fs::write(&file, &config).unwrap();
        let asked = Instant::now();
        let mut started = Self::listen(&program, folder);
        while !started.is_ready() {
            // another process may take its port first
            if started.child.try_wait().unwrap().is_some() {
                let folder = tempfile::tempdir().unwrap();
                std::fs::write(folder.path().join("prometheus.yml"), &config).unwrap();
                started = Self::listen(&program, folder);
            }
            assert!(asked.elapsed() < SOON, "Prometheus is not ready");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Some(started)
    }

    /// Starts Prometheus with the configuration in this folder.
    fn listen(program: &Path, folder: tempfile::TempDir) -> Self {
        let address = free_port();
        let [file, data] = ["prometheus.yml", "tsdb"].map(|name| folder.path().join(name));
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            url: format!("http://{address}"),
            _folder: folder,
        }
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

/// Returns a port that was free a moment ago, for programs that do not accept port 0.
fn free_port() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
