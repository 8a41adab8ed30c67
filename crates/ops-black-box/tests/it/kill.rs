use std::io::Write;
use std::time::{Duration, SystemTime};

use ops_black_box::{EndingKind, Kind};

use crate::{Place, child, is_full};

/// Maximum age of the last line at the kill, if the process gets processor time.
const FRESH: Duration = Duration::from_millis(10);

#[test]
fn killed_under_load_the_next_start_has_every_line_up_to_the_last_one_and_names_no_wrong_end() {
    let rounds = if is_full() { 1000 } else { 10 };
    let place = Place::new();
    let (mut fresh, mut ages, mut torn, mut behind) = (0, Vec::new(), 0, 0);
    for round in 0..rounds {
        let mut child = child::start(&place, "load");
        child::wait_for_lines(&place, &mut child, 50 + round % 400);
        // each thread still writes at the time of the kill
        child::wait_for_calls(&place, &mut child);
        let killed = SystemTime::now();
        child.kill().unwrap();
        child.wait().unwrap();
        let last = place.next_start();
        let reading = &last.reading;
        assert_eq!(reading.process, u64::from(child.id()));
        let how = &reading.ending.how;
        assert_eq!(reading.ending.kind, EndingKind::Unknown, "{how}");
        let lines = reading.records.iter();
        let lines = lines.filter(|one| one.kind == Kind::Line);
        let mut newest = [None; child::THREADS];
        for line in lines.clone() {
            let json: serde_json::Value = serde_json::from_str(&line.text).unwrap();
            if let Some(thread) = json["thread"].as_u64() {
                newest[usize::try_from(thread).unwrap()] = json["number"].as_u64();
            }
        }
        // lines whose call returned are there, whenever the kill came
        let words = child::returned(&place);
        let mut returned = SystemTime::UNIX_EPOCH;
        for (newest, words) in newest.into_iter().zip(words.chunks(2)) {
            let written = words[0];
            returned = returned.max(SystemTime::UNIX_EPOCH + Duration::from_nanos(words[1]));
            // a thread that got no processor time for a whole lap has no line in the ring
            let is_lapped = newest.is_none() && reading.records[0].position > 0;
            assert!(
                is_lapped || newest.map_or(0, |newest| newest + 1) >= written,
                "round {round}: {newest:?} after {written} was written, {} torn",
                reading.torn
            );
        }
        // the newest line is that of the last call that returned, or of one that was about to return
        let at = lines.map(|line| line.at).max().unwrap();
        behind += usize::from(at < returned);
        let age = killed.duration_since(at).unwrap_or_default();
        fresh += usize::from(age <= FRESH);
        ages.push(age);
        torn += reading.torn;
    }
    ages.sort();
    let [median, most_of_them, most] =
        [rounds / 2, rounds * 99 / 100, rounds - 1].map(|at| ages[at]);
    // a process without processor time writes no line: no line is lost
    let share = fresh as f64 * 100.0 / rounds as f64;
    let _ = writeln!(
        std::io::stderr(),
        "{rounds} kills: {} last lines are at least as new as that of the last call that returned, {behind} are older; \
         {fresh} ({share:.1} %) were at most 10 ms old at the kill, the others are of processes that had returned from no call \
         for longer (median {median:?}, 99 % {most_of_them:?}, most {most:?}); \
         0 lines lost, 0 unreadable rings, 0 wrong ends, {torn} torn records skipped",
        rounds - behind,
    );
    assert_eq!(behind, 0);
}
