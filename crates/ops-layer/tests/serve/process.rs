use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::child::ROLE;

/// Longer than any service of these tests needs to stop, on a busy machine.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// Service to be started, in its own folder.
pub(crate) struct Start {
    command: Command,
    folder: tempfile::TempDir,
}

/// Service that runs until it is stopped or dropped.
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

    /// Starts it through another program, which finally executes its last arguments.
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
        command
            .args(["--exact", "child::service", "--ignored", "--nocapture"])
            .env(ROLE, role);
        Self::prepared(command)
    }

    /// Starts an example of this package, which was built with the tests; its lines are JSON.
    pub(crate) fn example(name: &str) -> Self {
        let tests = std::env::current_exe().unwrap();
        let example = tests
            .ancestors()
            .nth(2)
            .unwrap()
            .join("examples")
            .join(name);
        assert!(example.exists(), "cargo build -p ops-layer --examples");
        Self::prepared(Command::new(example)).env("OPS_LOG_FORMAT", "json")
    }

    fn prepared(mut command: Command) -> Self {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if [
                "OTEL_",
                "OPS_",
                "AWS_",
                "RUST_LOG",
                "HOST",
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
            .current_dir(folder.path())
            .env("PORT", "0")
            .env("OPS_ADMIN_ADDR", "127.0.0.1:0")
            .env("OPS_SHUTDOWN_SECONDS", "20")
            // nothing listens there
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

    /// Removes a variable that is set by default.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Gives a socket to the program it is started through, as its stdin.
    pub(crate) fn stdin(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.command.stdin(Stdio::from(socket.into()));
        self
    }

    /// Gives a socket to the program it is started through, as its stderr.
    pub(crate) fn stderr(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.command.stderr(Stdio::from(socket.into()));
        self
    }

    /// Starts it and waits for a line that begins with `start`; returns the rest of that line.
    fn until(self, start: &str) -> (Child, tempfile::TempDir, String) {
        let (child, folder, line, _) = self.until_line(|line| line.strip_prefix(start));
        (child, folder, line)
    }

    /// Starts it and waits for a line that `wanted` accepts; returns that line, and the following ones.
    fn until_line(
        mut self,
        wanted: impl Fn(&str) -> Option<&str>,
    ) -> (Child, tempfile::TempDir, String, Receiver<String>) {
        let mut child = self.command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = stdout.find_map(|line| wanted(&line.unwrap()).map(str::to_owned));
        let (send, lines) = channel();
        // read to the end, so that the service never waits for its reader
        std::thread::spawn(move || {
            for line in stdout.map_while(Result::ok) {
                // the receiver may be gone
                let _ = send.send(line);
            }
        });
        let line = line.unwrap_or_else(|| panic!("it ended without the line that was waited for"));
        (child, self.folder, line, lines)
    }

    /// Starts an example and waits for the line with its addresses; returns the following lines, too.
    pub(crate) fn run_example(self, event: &str) -> (Process, Receiver<String>) {
        let event = format!("\"event\":\"{event}\"");
        let (child, folder, line, lines) =
            self.until_line(|line| line.contains(&event).then_some(line));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let at = |key: &str| {
            line[key]
                .as_str()
                .map_or(nowhere, |text| text.parse().unwrap())
        };
        let process = Process {
            child,
            folder,
            api: at("address"),
            admin: at("admin"),
        };
        (process, lines)
    }

    /// Runs it to completion; returns its standard output.
    pub(crate) fn output(mut self) -> (ExitStatus, String) {
        let output = self.command.output().unwrap();
        (output.status, String::from_utf8(output.stdout).unwrap())
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

    /// Starts a service whose start is refused; returns the reason.
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
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Sends SIGTERM and waits for the end; returns the lines of the log.
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Returns whether its folder has a file or folder of this name.
    #[cfg(any(feature = "cache", feature = "history"))]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
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
