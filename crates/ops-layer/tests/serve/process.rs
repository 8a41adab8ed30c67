use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::child::ROLE;

/// More than any service of these tests needs to stop, on a busy machine.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// A service that is about to be started, in a folder of its own.
pub(crate) struct Start {
    command: Command,
    folder: tempfile::TempDir,
}

/// A service that runs until it is stopped or dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Start {
    pub(crate) fn new(role: &str) -> Self {
        Self::through(&[], role)
    }

    /// Starts it through another program, which ends by executing its last arguments.
    pub(crate) fn through(before: &[&str], role: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = match before.split_first() {
            None => Command::new(&program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if [
                "OTEL_",
                "OPS_",
                "RUST_LOG",
                "LISTEN_",
                "NOTIFY_",
                "WATCHDOG_",
            ]
            .iter()
            .any(|start| name.starts_with(start))
            {
                command.env_remove(name);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        command
            .args(["--exact", "child::service", "--ignored", "--nocapture"])
            .current_dir(folder.path())
            .env(ROLE, role)
            .env("PORT", "0")
            .env("OPS_ADMIN_ADDR", "127.0.0.1:0")
            .env("OPS_SHUTDOWN_SECONDS", "20")
            // nobody listens there
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self { command, folder }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// Starts it and waits for a line that begins so; returns the rest of that line.
    fn until(mut self, start: &str) -> (Child, tempfile::TempDir, String) {
        let mut child = self.command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = stdout.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix(start).map(str::to_owned)
        });
        // read to its end, so that the service never waits for its reader
        std::thread::spawn(move || stdout.for_each(drop));
        let line = line.unwrap_or_else(|| panic!("the service ended without {start}"));
        (child, self.folder, line)
    }

    pub(crate) fn serve(self) -> Process {
        let (child, folder, line) = self.until("addresses ");
        let (api, admin) = line.split_once(' ').unwrap();
        Process {
            child,
            folder,
            api: api.parse().unwrap(),
            admin: admin.parse().unwrap(),
        }
    }

    pub(crate) fn work(self) -> Process {
        let (child, folder, _) = self.until("working");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Process {
            child,
            folder,
            api: nowhere,
            admin: nowhere,
        }
    }

    /// Starts a service that refuses to start; returns the reason.
    pub(crate) fn refused(self) -> String {
        let (mut child, _folder, line) = self.until("refused ");
        assert_eq!(child.wait().unwrap().code(), Some(1));
        line
    }
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.log());
            }
            assert!(
                asked.elapsed() < STOPPED_WITHIN,
                "it does not stop: {}",
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// SIGTERM, and the end; returns the lines of the log.
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ended()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("app.log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it may be stopped already
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
