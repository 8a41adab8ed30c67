//! Child processes for tests: runs the current test binary again in a role. The binary needs a test
//! `child::plays_its_role`, which returns at once unless the process was started in a role.
#![expect(clippy::unwrap_used, reason = "a test ends where its processes fail")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "OPS_TEST_CHILD_ROLE";
const DIR: &str = "OPS_TEST_CHILD_DIR";

/// Returns the role of this process and its directory; `None` for the process that runs all tests.
pub fn mine() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(DIR)?.into()))
}

/// Waits for a signal of the parent process without using the processor.
///
/// # Panics
///
/// Panics if standard input cannot be read.
pub fn wait_for_parent() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A child process; killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the test binary in a role.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started; each call below panics if it fails.
    pub fn start(role: &str, dir: &Path) -> Self {
        Self::start_as(
            &mut Command::new(std::env::current_exe().unwrap()),
            role,
            dir,
        )
    }

    /// Starts the role with another command, such as one that sets limits.
    pub fn start_as(command: &mut Command, role: &str, dir: &Path) -> Self {
        let mut child = command
            .args([
                "--exact",
                "child::plays_its_role",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // shows why it failed
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for a line with this start, and returns the rest of the line; `None` if the process ends first.
    pub fn wait_for(&mut self, start: &str) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            // the test harness may have printed the start of the line
            if let Some(at) = line.find(start) {
                return Some(line[at + start.len()..].trim().to_owned());
            }
            line.clear();
        }
        None
    }

    /// Ends the process's wait in [`wait_for_parent`].
    pub fn resume(&mut self) {
        let message = self.child.stdin.as_mut().unwrap().write_all(b"\n");
        message.unwrap();
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the process to end; panics unless it succeeded.
    pub fn succeeds(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
