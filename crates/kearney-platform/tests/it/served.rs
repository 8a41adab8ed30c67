use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Timeout, longer than the exporter's interval of a second, on a busy machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// A folder in which platforms are started one after the other.
#[derive(Clone)]
pub(crate) struct Home {
    folder: Arc<tempfile::TempDir>,
    datasets: Option<PathBuf>,
    collector: String,
    variables: Vec<(&'static str, &'static str)>,
}

/// A platform that serves until it is stopped, killed or dropped.
pub(crate) struct Served {
    child: Child,
    home: Home,
    /// Lines of the start block.
    pub(crate) block: Vec<String>,
    pub(crate) api: String,
    pub(crate) admin: String,
}

impl Home {
    /// Creates an empty folder; the platform serves the embedded extract.
    pub(crate) fn new() -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            datasets: None,
            // nothing listens there: no collector of this machine receives spans
            collector: "http://127.0.0.1:9".to_owned(),
            variables: Vec::new(),
        }
    }

    /// Creates a folder for a platform that sends spans to this endpoint.
    pub(crate) fn with_collector(endpoint: String) -> Self {
        Self {
            collector: endpoint,
            ..Self::new()
        }
    }

    /// Creates a folder for a platform that loads the files of this directory.
    pub(crate) fn with_datasets(dir: &Path) -> Self {
        Self {
            datasets: Some(dir.to_owned()),
            ..Self::new()
        }
    }

    /// Creates a folder for a platform with three million flights, if `cargo xtask setup` could fetch them.
    pub(crate) fn with_whole_data() -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/vega-datasets");
        let there = tools.join("flights-3m.parquet").exists();
        Self {
            datasets: there.then(|| tools.canonicalize().unwrap()),
            ..Self::new()
        }
    }

    /// Sets a variable of programs started from here on.
    pub(crate) fn set(&mut self, name: &'static str, value: &'static str) {
        self.variables.push((name, value));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the program in this folder, without variables that would change its behavior.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_kearney-platform"));
        program.current_dir(self.folder.path()).args(arguments);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let ours = [
                "OTEL_",
                "AWS_",
                "OPS_",
                "RUST_LOG",
                "REGISTRY_",
                "MAPBOX_",
                "KEARNEY_",
                "HOST",
                "PORT",
            ];
            if ours.iter().any(|start| name.starts_with(start)) {
                program.env_remove(name);
            }
        }
        program.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.collector);
        program.envs(self.variables.iter().copied());
        program.stdin(Stdio::null()).stdout(Stdio::null());
        program
    }

    /// Starts `serve` on free ports; it may not be ready yet.
    pub(crate) fn launch(&self) -> Child {
        let mut program = self.program(&["serve", "--port", "0", "--admin-port", "0"]);
        if let Some(datasets) = &self.datasets {
            program.arg("--datasets").arg(datasets);
        }
        program.stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts `serve` on this port with these options, and waits until it is ready.
    #[cfg(feature = "shared")]
    pub(crate) fn serve_at(&self, port: u16, options: &[&str]) -> Served {
        let mut program =
            self.program(&["serve", "--port", &port.to_string(), "--admin-port", "0"]);
        program.args(options).stderr(Stdio::piped());
        self.ready(program.spawn().unwrap())
    }

    /// Starts `serve`, and waits until it is ready. The first start in a folder finds the warehouse of the extract
    /// loaded, which saves half a second of processor time.
    pub(crate) fn serve(&self) -> Served {
        let data = self.path("data");
        let has_own = |(name, _): &(&str, _)| ["KEARNEY_SNAPSHOT", "KEARNEY_ENGINE"].contains(name);
        let reads_extract = self.datasets.is_none() && !self.variables.iter().any(has_own);
        if reads_extract && !data.exists() {
            DirBuilder::new().mode(0o700).create(&data).unwrap();
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(data.join("warehouse.duckdb")).unwrap();
            file.write_all(warehouse()).unwrap();
        }
        self.ready(self.launch())
    }

    /// Starts `serve`, which loads the warehouse if the folder has none, and waits until it is ready.
    pub(crate) fn serve_and_load(&self) -> Served {
        self.ready(self.launch())
    }

    /// Starts `serve` in a control group; `procs` is its file of process ids.
    pub(crate) fn serve_in(&self, procs: &Path) -> Served {
        let program = self.program(&[]);
        let mut shell = Command::new("sh");
        shell.current_dir(self.folder.path()).env_clear();
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                shell.env(name, value);
            }
        }
        let script = r#"echo $$ > "$0"; exec "$@""#;
        shell.arg("-c").arg(script).arg(procs);
        shell.arg(env!("CARGO_BIN_EXE_kearney-platform"));
        shell.args(["serve", "--port", "0", "--admin-port", "0"]);
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        self.ready(shell.stderr(Stdio::piped()).spawn().unwrap())
    }

    fn ready(&self, mut child: Child) -> Served {
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let block = read_block(&mut stderr);
        // the pipe is drained, so that the platform never blocks on it
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let at = |label: &str| -> String {
            let line = block.iter().find(|line| line.trim().starts_with(label));
            let line = line.unwrap_or_else(|| panic!("no {label} in {block:#?}"));
            let url = line.split_whitespace().last().unwrap();
            url.trim_end_matches('/').to_owned()
        };
        Served {
            api: at("API"),
            admin: at("admin"),
            home: self.clone(),
            block,
            child,
        }
    }

    /// Returns the JSON lines of the log so far, once its last line is complete.
    pub(crate) fn log_lines(&self) -> Vec<serde_json::Value> {
        let read = || std::fs::read_to_string(self.path("logs/app.log")).unwrap();
        let (asked, mut text) = (Instant::now(), read());
        while !text.ends_with('\n') && asked.elapsed() < SHOWN_WITHIN {
            std::thread::park_timeout(Duration::from_millis(5));
            text = read();
        }
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
            .collect()
    }
}

/// Returns the file of a warehouse with the embedded extract, which the first call loads.
pub(crate) fn warehouse() -> &'static [u8] {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let home = Home::new();
        let loaded = home.program(&["orchestrate", "--job", "load"]).status();
        assert!(loaded.unwrap().success());
        std::fs::read(home.path("data/warehouse.duckdb")).unwrap()
    });
    &FILE
}

/// Reads the lines up to the end of the start block.
fn read_block(stderr: &mut BufReader<ChildStderr>) -> Vec<String> {
    let mut block = Vec::new();
    for line in stderr.lines() {
        block.push(line.unwrap());
        if block.last().unwrap().trim().starts_with("stop ") {
            return block;
        }
    }
    panic!("the platform ended before it was ready: {block:#?}");
}

/// A response of any status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }
}

impl Served {
    /// Returns the folder in which it was started.
    #[cfg(feature = "shared")]
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&format!("{}{path}", self.api), headers)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        post(&format!("{}{path}", self.api), headers, body)
    }

    pub(crate) fn delete(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = agent().delete(format!("{}{path}", self.api));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.call().unwrap())
    }

    /// Changes the log level as the admin page does.
    pub(crate) fn change_level(&self, body: &str) -> Answer {
        let headers = [("content-type", "application/json"), ("x-ops-admin", "1")];
        post(&format!("{}/api/level", self.admin), &headers, body)
    }

    /// Sends a request to the admin page as its scripts do, with this token.
    pub(crate) fn ask_admin(&self, path: &str, token: &str, body: &str) -> Answer {
        let token = format!("Bearer {token}");
        let headers = [
            ("content-type", "application/json"),
            ("x-ops-admin", "1"),
            ("authorization", token.as_str()),
        ];
        post(&format!("{}{path}", self.admin), &headers, body)
    }

    /// Returns the state that the admin page shows.
    pub(crate) fn state(&self) -> serde_json::Value {
        get(&format!("{}/api/state", self.admin), &[]).json()
    }

    /// Returns a trace of the admin page, which shows it once the exporter's thread has processed it.
    pub(crate) fn trace(&self, id: &str) -> serde_json::Value {
        let asked = Instant::now();
        loop {
            let state = self.state();
            let traces = state["recent_traces"].as_array().unwrap();
            if let Some(found) = traces.iter().find(|trace| trace["trace_id"] == id) {
                return found.clone();
            }
            assert!(asked.elapsed() < SHOWN_WITHIN, "{id} is not in {state}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.child.wait().unwrap()
    }

    /// Sends SIGKILL: no destructor, no flush.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // it may have been stopped already
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

pub(crate) fn get(url: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = agent().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.call().unwrap())
}

fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = agent().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.send(body).unwrap())
}

pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

/// Returns the folder of the embedded extract.
pub(crate) fn extract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("extract")
}

/// Returns copies of the input files, which a test may break.
pub(crate) fn datasets() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    for name in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
        std::fs::copy(extract().join(name), files.path().join(name)).unwrap();
    }
    files
}
