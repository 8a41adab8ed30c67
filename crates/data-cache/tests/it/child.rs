//! Other processes: this test binary, started again in a role.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "DATA_CACHE_CHILD_ROLE";
const DIR: &str = "DATA_CACHE_CHILD_DIR";

/// A process that is killed with this value.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(role: &str, dir: &Path) -> Self {
        Self::start_as(
            &mut Command::new(std::env::current_exe().unwrap()),
            role,
            dir,
        )
    }

    pub(crate) fn start_as(command: &mut Command, role: &str, dir: &Path) -> Self {
        let mut child = command
            .args([
                "--exact",
                "child::plays_its_role",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for a line that starts like this; `None` if the process ends before. Returns the rest of the line.
    pub(crate) fn wait_for(&mut self, start: &str) -> Option<String> {
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

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn succeeds(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing, unless this process was started in a role.
#[test]
fn plays_its_role() {
    let (Ok(role), Some(dir)) = (std::env::var(ROLE), std::env::var_os(DIR)) else {
        return;
    };
    let dir = Path::new(&dir);
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("store", step) => crate::faults::store_and_stop(dir, step),
        ("fill", _) => crate::faults::fill_the_disk(dir),
        ("cold", processes) => crate::processes::ask_cold(dir, processes.parse().unwrap()),
        ("hold", _) => crate::processes::compute_for_ever(dir),
        ("limits", role) => crate::memory::keep_within_limits(dir, role),
        ("scale-fill", count) => crate::scale::fill(dir, count),
        ("scale-measure", count) => crate::scale::measure(dir, count),
        ("weigh", _) => crate::memory::weigh(dir),
        ("count", _) => crate::metrics::count_http(dir),
        ("mix", seed) => crate::processes::mix(dir, seed.parse().unwrap()),
        #[cfg(feature = "shared")]
        ("replica", role) => crate::shared::replicas::ask_cold(dir, role),
        #[cfg(feature = "shared")]
        ("endless", _) => crate::shared::replicas::compute_for_ever(dir),
        ("flight-sql", "limit") => crate::flight_sql::failures::receive_too_much(dir),
        ("flight-sql", "slow") => crate::flight_sql::server::play(None),
        ("flight-sql", _) => crate::flight_sql::server::play(Some(20)),
        (other, _) => panic!("no such role: {other}"),
    }
}
