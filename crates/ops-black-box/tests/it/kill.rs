use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

use ops_black_box::{EndingKind, Kind};

use crate::{Place, child, is_full};

/// Age of the last line at the kill.
const FRESH: Duration = Duration::from_millis(10);

#[test]
fn killed_under_load_the_next_start_has_every_line_up_to_the_last_one_and_names_no_wrong_end() {
    let rounds = if is_full() { 1000 } else { 10 };
    let place = Place::new();
    let (mut fresh, mut ages, mut torn) = (0, Vec::new(), 0);
    for round in 0..rounds {
        let mut child = child::start(&place, "load");
        child::wait_for_lines(&place, &mut child, 50 + round % 400);
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
        // what a call returned from is there, whenever the kill came
        let written = fs::read(place.file().with_extension("written")).unwrap();
        let (written, _) = written.as_chunks::<8>();
        for (newest, written) in newest.into_iter().zip(written) {
            let written = u64::from_le_bytes(*written);
            // a thread that got no time for a whole lap has no line in the ring
            let is_lapped = newest.is_none() && reading.records[0].position > 0;
            assert!(
                is_lapped || newest.map_or(0, |newest| newest + 1) >= written,
                "round {round}: {newest:?} after {written} was written, {} torn",
                reading.torn
            );
        }
        let at = lines.map(|line| line.at).max().unwrap();
        let age = killed.duration_since(at).unwrap_or_default();
        fresh += usize::from(age <= FRESH);
        ages.push(age);
        torn += reading.torn;
    }
    ages.sort();
    let [median, most_of_them, most] =
        [rounds / 2, rounds * 99 / 100, rounds - 1].map(|at| ages[at]);
    // how old it is depends on the machine too, on which a process may get no time for longer
    let _ = writeln!(
        std::io::stderr(),
        "{rounds} kills: {fresh} last lines at most 10 ms old (median {median:?}, 99 % {most_of_them:?}, most {most:?}); \
         0 lines lost, 0 unreadable rings, 0 wrong ends, {torn} torn records skipped"
    );
    assert!(fresh * 2 > rounds, "{fresh} of {rounds}");
}
