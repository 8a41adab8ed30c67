//! Lines that are lost, until the output recovers.

use super::healthy;
use crate::findings::Severity;
use crate::findings::state::State;

#[test]
fn lines_that_were_lost_until_the_output_took_them_again_ask_for_nothing_more() {
    let mut state = State::default();
    state.evaluate(healthy(595), Vec::new());
    let mut dropped = |seconds: u64, problem: &'static str, dropped: u64| {
        let mut snapshot = healthy(seconds);
        super::log(problem, dropped)(&mut snapshot);
        snapshot.log.as_mut().unwrap().written = seconds;
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        let mut findings = findings.into_iter();
        let dropped = findings.find(|finding| finding.id == "log_lines_dropped");
        let dropped = dropped.unwrap();
        (
            dropped.severity,
            dropped.action.starts_with("No action needed"),
        )
    };
    let full = "No space left on device (os error 28)";
    let (lasts, over) = ((Severity::Warning, false), (Severity::Info, true));
    for (seconds, problem, lost, right) in [
        (600, full, 5, lasts),
        (605, full, 9, lasts),
        (610, "", 9, lasts),
        (630, "", 9, lasts),
        (635, "", 9, over),
        (640, full, 9, lasts),
        (645, "", 10, lasts),
    ] {
        assert_eq!(dropped(seconds, problem, lost), right, "{seconds} s");
    }
}

#[test]
fn lines_that_stdout_lost_are_not_explained_by_a_file_that_was_renamed() {
    let findings = super::found(1, |snapshot| {
        super::log("Permission denied (os error 13)", 5)(snapshot);
        let lost = &mut snapshot.log.as_mut().unwrap().lost;
        lost.iter_mut().for_each(|(_, lost)| *lost = 5 - *lost);
    });
    let causes = findings.iter().map(|of| (of.id, of.explained_by));
    let right = [("log_file_not_writable", None), ("log_lines_dropped", None)];
    assert_eq!(causes.collect::<Vec<_>>(), right);
}
