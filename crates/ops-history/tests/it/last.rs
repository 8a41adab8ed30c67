//! The newest lines of each run, read from few files.

use ops_history::sql::named;

use crate::{LONG, Place, ask, number, rows, value};

/// Equivalent of `before-run` over the whole table.
const OF_ALL: &str = "SELECT timestamp, attributes, run FROM logs WHERE run < 3 AND timestamp >= \
                      (SELECT max(timestamp) FROM logs WHERE run < 3) - INTERVAL 1 HOUR ORDER BY timestamp DESC LIMIT 200";

#[test]
fn the_last_lines_before_a_run_are_those_of_the_whole_table() {
    let place = Place::new();
    let mut n = 0;
    for (run, hours) in [(1, 4), (2, 3), (3, 1)] {
        let history = place.open();
        for hour in 0..hours {
            for file in 0..3 {
                for line in 0..400 {
                    // every fifth line is late, so it may be in another file than its neighbors
                    let late = if line % 5 == 0 { 200 } else { 0 };
                    let second = run * 20_000 + hour * 3600 + 1200 + file * 400 + line - late;
                    number(&history, second, n);
                    n += 1;
                }
                assert!(history.flush(LONG));
            }
        }
        assert!(history.close(LONG));
    }
    let dirs = [place.dir()];
    let asked = named("before-run").unwrap().sql(Some("3")).unwrap();
    let found = ask(
        &dirs,
        &format!("SELECT make_timestamp(\"at\" * 1000), attributes, run FROM ({asked})"),
    );
    assert_eq!(found.rows.len(), 200);
    let sorted = |mut rows: Vec<Vec<serde_json::Value>>| {
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    };
    let of_all = ask(&dirs, OF_ALL);
    assert_eq!(sorted(rows(&found)), sorted(rows(&of_all)));
    // each run has its last lines, but not all lines
    let counts = ask(
        &dirs,
        "SELECT run, count(*) FROM last_lines GROUP BY run ORDER BY run",
    );
    for row in rows(&counts) {
        let lines = row[1].as_u64().unwrap();
        assert!((1000..=2400).contains(&lines), "{row:?}");
    }
    assert_eq!(value(&dirs, "SELECT count(*) FROM logs"), n);
    assert_eq!(
        value(&dirs, "SELECT count(DISTINCT run) FROM last_lines"),
        3
    );
}
