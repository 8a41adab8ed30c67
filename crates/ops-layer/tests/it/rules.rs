use std::time::{Duration, Instant};

use ops_layer::{Finding, Severity, diagnose};

use crate::OPS;

/// Longer than two intervals of the evaluations plus the delay of a busy machine.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn rules_of_the_application_are_heard_and_one_that_panics_is_a_finding() {
    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return; // waits for evaluations
    }
    OPS.add_rule("queue_growing", || {
        let finding = Finding::new("queue_growing", Severity::Warning).seen("40 jobs wait");
        Some(finding.means("Jobs are late.").action("Add a worker."))
    });
    OPS.add_rule("broken", || panic!("on purpose"));
    let added = Instant::now();
    loop {
        let found = diagnose();
        let of = |id: &str| found.iter().find(|finding| finding.id == id);
        if let (Some(queue), Some(broken)) = (of("queue_growing"), of("rule_failing")) {
            assert_eq!(queue.seen, "40 jobs wait");
            assert_eq!(broken.seen, "rule broken: it panicked");
            assert_eq!(OPS.diagnose().len(), found.len());
            return;
        }
        assert!(added.elapsed() < FOUND_WITHIN, "{found:#?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}
