//! The reference platform as the chores use it: built, started on free ports, asked, stopped by its own process id.

use crate::tools::{DATASETS, LIBDUCKDB};
use crate::workspace::{self, Scratch, target_dir};
use crate::{Result, command, setup};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// The first start loads three million flights; two cores need seconds, a busy machine more.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// More than the platform's own shutdown budget of 25 s.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);
const PACKAGE: &str = "kearney-platform";

pub(crate) enum Build<'a> {
    /// The platform alone, as a user builds it.
    Plain,
    /// With all tests and the given features of the whole workspace: shares every artefact with `cargo test`.
    WithTests { features: &'a str },
}

/// Builds the platform and says where the program is. Without a prebuilt engine, the engine is compiled too.
pub(crate) fn build(build: Build<'_>) -> Result<PathBuf> {
    let mut cargo = match build {
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
    if !engine_is_there() {
        println!(
            "no libduckdb of the pinned version: compiling the engine, about 25 minutes on two cores"
        );
        cargo.args(["--features", "kearney-platform/duckdb-bundled"]);
    }
    command::run(&mut cargo)?;
    Ok(target_dir().join("debug").join(PACKAGE))
}

fn engine_is_there() -> bool {
    let pointed_at = std::env::var_os("DUCKDB_LIB_DIR").map(PathBuf::from);
    pointed_at.is_some_and(|dir| workspace::root().join(dir).join("libduckdb.so").exists())
        || setup::folder_of(LIBDUCKDB).is_some()
}

/// The full data where `setup` could fetch it; without it the platform takes the extract that it carries.
pub(crate) fn datasets() -> Vec<OsString> {
    let folder = setup::folder_of(DATASETS);
    folder
        .map(|folder| vec!["--datasets".into(), folder.into()])
        .unwrap_or_default()
}

/// What the platform writes into its data directory once it is ready.
#[derive(Deserialize)]
struct Addresses {
    api: String,
}

/// A platform that serves until it is stopped or dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) api: String,
    _scratch: Scratch,
}

impl Served {
    /// Starts the program on free ports, with a data directory of its own, and waits until it is ready.
    pub(crate) fn start(binary: &PathBuf) -> Result<Self> {
        let scratch = Scratch::new("served")?;
        let data = scratch.path().join("data");
        let mut serve = command::program(binary);
        serve
            .current_dir(scratch.path())
            .args(["serve", "--port", "0", "--admin-port", "0"]);
        serve.arg("--data-dir").arg(&data);
        serve
            .arg("--config-dir")
            .arg(workspace::root().join("configs"));
        serve.args(datasets());
        println!("$ {}", command::shown(&serve));
        let mut child = serve
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", binary.display()))?;
        match wait_until_ready(&mut child, &data.join("addresses.json")) {
            Ok(addresses) => Ok(Self {
                child,
                api: addresses.api,
                _scratch: scratch,
            }),
            Err(cause) => {
                // it may be gone already; either way it must not outlive this
                let _ = child.kill().and_then(|()| child.wait());
                Err(cause)
            }
        }
    }

    /// The body of `GET <path>`; anything but 200 is an error.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let host = self.api.trim_start_matches("http://");
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(host)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            // HTTP/1.0: the answer is neither chunked nor kept open
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

    /// SIGTERM to this process alone; a clean stop exits with 0.
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
            // dropped on an error path: there is nobody left to tell
            let _ = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

fn wait_until_ready(child: &mut Child, file: &PathBuf) -> Result<Addresses> {
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
