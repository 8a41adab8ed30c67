//! Reference platform for the tasks: builds it, starts it on free ports, sends requests, and stops it by its process
//! id.

use crate::tools::DATASETS;
use crate::workspace::{self, Scratch, target_dir};
use crate::{Result, command, setup};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Timeout for readiness: the first start loads three million flights, which takes seconds on two cores, and longer on
/// a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// Timeout for the stop, longer than the platform's shutdown budget of 25 s.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);
const PACKAGE: &str = "kearney-platform";

pub(crate) enum Build<'a> {
    /// The platform alone, as a user builds it.
    Plain,
    /// An optimized build of the platform alone, for measurements.
    Release,
    /// All tests and the given features of the whole workspace, so that every artifact is shared with `cargo test`.
    WithTests { features: &'a str },
}

/// Builds the platform and returns the path of the program.
///
/// # Errors
///
/// Fails without a prebuilt libduckdb: it is compiled only on request.
pub(crate) fn build(build: Build<'_>) -> Result<PathBuf> {
    let mut folder = "debug";
    let mut cargo = match build {
        Build::Release => {
            folder = "release";
            command::cargo(["build", "--release", "--package", PACKAGE])
        }
        Build::Plain => command::cargo(["build", "--package", PACKAGE]),
        Build::WithTests { features } => command::cargo([
            "build",
            "--workspace",
            "--bins",
            "--tests",
            "--features",
            features,
        ]),
    };
    if !setup::duckdb_is_installed() {
        return Err(setup::missing_duckdb_message(&[]));
    }
    command::run(&mut cargo)?;
    Ok(target_dir().join(folder).join(PACKAGE))
}

/// Returns the option for the complete data if `setup` could fetch it; otherwise the platform uses its embedded
/// extract.
pub(crate) fn datasets() -> Vec<OsString> {
    let folder = setup::folder_of(DATASETS);
    folder
        .map(|folder| vec!["--datasets".into(), folder.into()])
        .unwrap_or_default()
}

/// Copies the input files to `folder`, so that they can be changed while the platform runs.
pub(crate) fn copy_datasets(folder: &Path) -> Result<()> {
    let extract = workspace::root().join("crates/kearney-platform/extract");
    let from = setup::folder_of(DATASETS).unwrap_or(extract);
    let copied = std::fs::create_dir_all(folder).and_then(|()| {
        for name in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
            std::fs::copy(from.join(name), folder.join(name))?;
        }
        Ok(())
    });
    copied.map_err(|e| {
        format!(
            "cannot copy {} to {}: {e}",
            from.display(),
            folder.display()
        )
    })
}

/// Content of the file that the platform writes to its data directory once it is ready.
#[derive(Deserialize)]
struct Addresses {
    api: String,
    admin: String,
}

/// A platform that serves until it is stopped or dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) api: String,
    pub(crate) admin: String,
    /// Working directory with `data` and `logs`.
    pub(crate) folder: PathBuf,
    /// Path of the program.
    pub(crate) program: PathBuf,
    _scratch: Scratch,
}

impl Served {
    /// Starts the program with the configuration and the data of this checkout, and waits until it is ready.
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        Self::prepared(binary, |_| {})
    }

    /// Starts it as [`start`](Self::start) does, with spans sent to this collector, and a history.
    pub(crate) fn traced(binary: &Path, collector: &str) -> Result<Self> {
        Self::prepared(binary, |program| {
            program
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
                .env("OPS_HISTORY_DIR", "history");
        })
    }

    /// Starts it as [`start`](Self::start) does, with the changes that `prepare` makes to the command.
    pub(crate) fn prepared(binary: &Path, prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        let scratch = Scratch::new("served")?;
        let datasets = scratch.path().join("datasets");
        copy_datasets(&datasets)?;
        let mut program = command::program(binary);
        program
            .arg("serve")
            .env("KEARNEY_CONFIG_DIR", workspace::root().join("configs"))
            .arg("--datasets")
            .arg(&datasets);
        prepare(&mut program);
        Self::launch(program, scratch)
    }

    /// Starts the program on free ports, in a separate folder with all its files.
    fn launch(mut program: Command, scratch: Scratch) -> Result<Self> {
        let data = scratch.path().join("data");
        program
            .current_dir(scratch.path())
            .args(["--port", "0", "--admin-port", "0", "--data-dir"])
            .arg(&data);
        Self::spawn(program, &data, scratch)
    }

    /// Starts a program that serves and writes its addresses to this folder, and waits until it is ready.
    pub(crate) fn spawn(mut program: Command, data: &Path, scratch: Scratch) -> Result<Self> {
        println!("$ {}", command::shown(&program));
        let mut child = program
            .spawn()
            .map_err(|e| format!("cannot start the platform: {e}"))?;
        match wait_until_ready(&mut child, &data.join("addresses.json")) {
            Ok(addresses) => Ok(Self {
                child,
                api: addresses.api,
                admin: addresses.admin,
                folder: scratch.path().to_owned(),
                program: program.get_program().into(),
                _scratch: scratch,
            }),
            Err(cause) => {
                // it may have ended already; in any case it must not outlive this call
                let _ = child.kill().and_then(|()| child.wait());
                Err(cause)
            }
        }
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the body of `GET <path>`; any status other than 200 is an error.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let host = self.api.trim_start_matches("http://");
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(host)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            // HTTP/1.0: the response is neither chunked nor kept open
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|e| format!("GET {}{path}: {e}", self.api))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) == Some("200") {
            Ok(body.to_owned())
        } else {
            Err(format!("GET {path}: {status}"))
        }
    }

    /// Sends SIGTERM to this process; fails unless it exits with 0.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|e| format!("cannot signal the platform: {e}"))?;
        let status = wait_for_end(&mut self.child)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("after SIGTERM the platform ended with {status}"))
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // dropped on an error path: a failure here cannot be reported
            let _ = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

fn wait_until_ready(child: &mut Child, file: &Path) -> Result<Addresses> {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            return serde_json::from_str(&text)
                .map_err(|e| format!("cannot read {}: {e}", file.display()));
        }
        if let Some(status) = child
            .try_wait()
            .map_err(|e| format!("cannot wait for the platform: {e}"))?
        {
            return Err(format!(
                "the platform ended with {status} before it was ready"
            ));
        }
        if started.elapsed() > READY_WITHIN {
            return Err(format!(
                "the platform was not ready within {} s",
                READY_WITHIN.as_secs()
            ));
        }
        std::thread::sleep(POLL);
    }
}

fn wait_for_end(child: &mut Child) -> Result<ExitStatus> {
    let asked = Instant::now();
    while asked.elapsed() < STOPPED_WITHIN {
        if let Some(status) = child
            .try_wait()
            .map_err(|e| format!("cannot wait for the platform: {e}"))?
        {
            return Ok(status);
        }
        std::thread::sleep(POLL);
    }
    Err(format!(
        "the platform did not stop within {} s after SIGTERM",
        STOPPED_WITHIN.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Imitates the platform towards its parent: addresses when ready, HTTP, exit code 0 after SIGTERM.
    const STAND_IN: &str = r#"
import http.server, json, os, signal, sys
if "fail" in sys.argv:
    sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"up 1\n")
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
code = 4 if "unclean" in sys.argv else 0
signal.signal(signal.SIGTERM, lambda *args: os._exit(code))
data = sys.argv[sys.argv.index("--data-dir") + 1]
os.makedirs(data)
with open(data + "/fresh", "w") as file:
    json.dump({"api": "http://127.0.0.1:%d" % server.server_port, "admin": "-"}, file)
os.rename(data + "/fresh", data + "/addresses.json")
server.serve_forever()
"#;

    fn launch(behavior: &str) -> Result<Served> {
        let mut python = command::program("python3");
        python.args(["-c", STAND_IN, behavior]);
        Served::launch(python, Scratch::new(&format!("test-served-{behavior}"))?)
    }

    #[test]
    fn a_served_platform_is_asked_and_stopped_cleanly() {
        let served = launch("normal").unwrap();
        assert_eq!(served.get("/metrics").unwrap(), "up 1\n");
        assert!(served.get("/absent").unwrap_err().contains("404"));
        served.stop().unwrap();
    }

    #[test]
    fn an_end_before_readiness_is_an_error_with_the_exit_code() {
        let complaint = launch("fail").err().unwrap();
        assert!(
            complaint.contains("exit status: 3") && complaint.contains("before it was ready"),
            "{complaint}"
        );
    }

    #[test]
    fn an_unclean_stop_is_an_error() {
        let complaint = launch("unclean").unwrap().stop().unwrap_err();
        assert!(complaint.contains("exit status: 4"), "{complaint}");
    }
}
