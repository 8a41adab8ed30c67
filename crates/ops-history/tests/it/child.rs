use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use ops_history::{Config, History, Step};

use crate::{LONG, number};

const DIR: &str = "HISTORY_OF_CHILD";
const STEP: &str = "STEP_OF_CHILD";
const TIMES: &str = "TIMES_OF_CHILD";

/// All steps.
pub(crate) const STEPS: &[Step] = &[
    Step::Created,
    Step::HalfWritten,
    Step::Written,
    Step::Synced,
    Step::Named,
    Step::Published,
    Step::Merged,
    Step::SourceRemoved,
];

/// Runs this test program again as a child that writes numbered lines until it is killed, or aborts at the n-th
/// occurrence of a step.
pub(crate) fn start(dir: &Path, step: Option<(Step, u64)>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let (step, times) = step.map_or((String::new(), 0), |(step, n)| (format!("{step:?}"), n));
    command
        .args(["--exact", "child::writes_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .env(STEP, step)
        .env(TIMES, times.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns at once unless this process is the child of another test.
#[test]
fn writes_until_it_is_killed() {
    let (Some(dir), Ok(step)) = (std::env::var_os(DIR), std::env::var(STEP)) else {
        return;
    };
    let times: u64 = std::env::var(TIMES).unwrap().parse().unwrap();
    let seen = std::sync::atomic::AtomicU64::new(0);
    let config = Config::new(dir, "shop").every(LONG).on_step(move |at| {
        if format!("{at:?}") == step {
            let before = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if before + 1 == times {
                // like kill -9: nothing is cleaned up
                std::process::abort();
            }
        }
        Ok(())
    });
    let history = History::open(config).unwrap();
    let published = history.dir().join("published");
    for n in 0_u64.. {
        number(&history, n / 100, n);
        if n % 100 == 99 {
            assert!(history.flush(LONG));
            // all lines up to this one are in files
            std::fs::write(&published, (n + 1).to_string()).unwrap();
        }
        assert!(n < 1_000_000, "nobody killed it at {:?}", SystemTime::now());
    }
}
