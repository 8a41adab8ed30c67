//! Other processes: the test binary that runs, started again in a role. It has a test `child::plays_its_role`, which does nothing
//! unless the process was started in one.
#![expect(clippy::unwrap_used, reason = "a test ends where its processes fail")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "OPS_TEST_CHILD_ROLE";
const DIR: &str = "OPS_TEST_CHILD_DIR";

/// The role of this process and its directory; `None` for one that runs all tests.
pub fn mine() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(DIR)?.into()))
}

/// Waits until the parent tells this process to go on; costs no processor meanwhile.
///
/// # Panics
///
/// Panics if standard input cannot be read.
pub fn told() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A process that is killed with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started; so does each call below if it fails.
    pub fn start(role: &str, dir: &Path) -> Self {
        Self::start_as(
            &mut Command::new(std::env::current_exe().unwrap()),
            role,
            dir,
        )
    }

    /// Starts one by another command, such as one that sets limits.
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
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for a line that starts like this; `None` if the process ends before. Returns the rest of the line.
    pub fn wait_for(&mut self, start: &str) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            // the test harness may have begun the line
            if let Some(at) = line.find(start) {
                return Some(line[at + start.len()..].trim().to_owned());
            }
            line.clear();
        }
        None
    }

    /// Ends a wait of the process for [`told`].
    pub fn tell(&mut self) {
        let told = self.child.stdin.as_mut().unwrap().write_all(b"\n");
        told.unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
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
