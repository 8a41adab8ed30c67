use std::time::Duration;

use ops_history::{History, Step, export, inventory, prune};
use serde_json::json;

use crate::{Clocks, LONG, Place, ask, at, is_full, number, numbers, rows, value, wait_for};

/// Writes three files of one row each.
fn three(place: &Place) {
    let history = place.open();
    for n in 0..3 {
        number(&history, n, n);
        assert!(history.flush(LONG));
    }
    assert!(history.close(LONG));
}

#[test]
fn torn_forged_and_foreign_files_are_left_out_with_a_reason_and_left_alone() {
    let place = Place::new();
    three(&place);
    let folder = place.dir().join("logs");
    let names = place.names("logs");
    let whole = std::fs::read(folder.join(&names[0])).unwrap();
    // torn: the end is missing; forged: a wrong size, table or version
    std::fs::write(folder.join(&names[1]), &whole[..whole.len() - 20]).unwrap();
    let other = names[0].replace("_00000001-00000001", "_00000007-00000007");
    std::fs::write(folder.join(&other), b"PAR1 nothing of it PAR1").unwrap();
    let spans = place.dir().join("spans").join(&names[0]);
    std::fs::write(&spans, &whole).unwrap();
    // a name that claims to cover all of the hour
    let claims = names[0].replace("_00000001-00000001", "_00000001-99999999");
    std::fs::write(folder.join(&claims), b"").unwrap();
    std::fs::write(folder.join("notes.txt"), b"mine").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join(names[0].replace("T10", "T11"))).unwrap();

    let answer = ask(&[place.dir()], "SELECT count(*) FROM logs");
    assert_eq!((rows(&answer)[0][0].clone(), answer.files), (json!(2), 2));
    assert_eq!(answer.skipped.len(), 4, "{:?}", answer.skipped);
    let history = place.open();
    wait_for("a look", || history.stats().unreadable.len() == 4);
    let reasons = history.stats().unreadable.join("\n");
    assert!(
        reasons.contains("the columns do not match table Spans"),
        "{reasons}"
    );
    number(&history, 9, 9);
    assert!(history.close(LONG));
    assert_eq!(history.stats().stopped, None);
    assert_eq!(numbers(&[place.dir()]), [0, 2, 9]);
    for name in [&names[1], &other, &claims, "notes.txt"] {
        assert!(folder.join(name).exists(), "{name}");
    }
}

#[test]
fn a_file_with_a_good_footer_and_bad_pages_is_left_out_and_hides_nothing() {
    let place = Place::new();
    three(&place);
    let path = place.first_file("logs");
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4).take(40) {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, &bytes).unwrap();
    let found = inventory(&[place.dir()], true).unwrap();
    assert!(
        found.skipped[0].ends_with("checksum mismatch"),
        "{:?}",
        found.skipped
    );
    assert_eq!(found.tables[0].files, 2);
    // the engine fails on this file; the result has the rows of the others
    let answer = ask(
        &[place.dir()],
        "SELECT count(timestamp + INTERVAL 1 SECOND) FROM logs",
    );
    assert_eq!(rows(&answer)[0][0], json!(2));
    assert_eq!(answer.skipped.len(), 1);
    // it is not merged either
    let history = place.open();
    wait_for("a merge that fails", || {
        !history.stats().unreadable.is_empty()
    });
    assert!(history.close(LONG));
    assert!(path.exists());
}

#[test]
fn rows_left_by_an_interrupted_merge_count_once() {
    let place = Place::new();
    three(&place);
    let copy = Place::new();
    std::fs::create_dir_all(copy.dir()).unwrap();
    std::fs::create_dir_all(copy.dir().join("logs")).unwrap();
    for name in place.names("logs") {
        let from = place.dir().join("logs").join(&name);
        std::fs::copy(from, copy.dir().join("logs").join(&name)).unwrap();
    }
    let history = place.open();
    wait_for("the merge", || place.names("logs").len() == 1);
    assert!(history.close(LONG));
    // the merged file beside its sources, and a second directory with the merged file
    let merged = &place.names("logs")[0];
    std::fs::copy(
        place.first_file("logs"),
        copy.dir().join("logs").join(merged),
    )
    .unwrap();
    assert_eq!(copy.names("logs").len(), 4);
    assert_eq!(numbers(&[copy.dir()]), [0, 1, 2]);
    assert_eq!(numbers(&[place.dir(), copy.dir(), place.dir()]), [0, 1, 2]);
    drop(history);
    let next = History::open(copy.config()).unwrap();
    wait_for("the rest", || copy.names("logs").len() == 1);
    assert!(next.close(LONG));
    assert_eq!(numbers(&[copy.dir()]), [0, 1, 2]);
}

#[test]
fn lines_of_restarts_and_of_two_replicas_are_counted_once() {
    let (one, two) = (Place::new(), Place::new());
    for run in 0..3 {
        for (place, first) in [(&one, 0), (&two, 1000)] {
            let history = place.open();
            for n in 0..100 {
                number(&history, run * 100 + n, first + run * 100 + n);
            }
            assert!(history.close(LONG));
        }
    }
    let dirs = [one.dir(), two.dir()];
    let expected: Vec<u64> = (0..300).chain(1000..1300).collect();
    assert_eq!(numbers(&dirs), expected);
    let runs = ask(
        &dirs,
        "SELECT count(*), count(DISTINCT service_instance_id) FROM logs GROUP BY run ORDER BY run",
    );
    assert_eq!(json!(rows(&runs)), json!([[200, 2], [200, 2], [200, 2]]));
}

#[test]
fn old_files_are_removed_but_not_after_a_clock_step() {
    let place = Place::new();
    let clocks = Clocks::default();
    clocks.set(0, 0);
    let history = History::open(clocks.configure(place.config())).unwrap();
    let touch = |n: u64| {
        number(&history, n, n);
        assert!(history.flush(LONG));
    };
    let tidied = |n: u64| {
        // the first check may have started before the clocks were set, the second one did not
        for n in [n, n + 1] {
            let before = history.stats().looks;
            touch(n);
            wait_for("a look", || history.stats().looks > before);
        }
    };
    touch(0);
    let day = 24 * 3600;
    // a year ahead by a step: nothing is removed
    clocks.set(365 * day, 10);
    tidied(365 * day);
    clocks.set(365 * day + 300, 310);
    tidied(365 * day + 300);
    assert_eq!(numbers(&[place.dir()])[0], 0);
    // back: nothing is removed, and files of the future stay
    clocks.set(900, 900);
    tidied(900);
    clocks.set(1600, 1600);
    tidied(1600);
    let year = 365 * day;
    let future = [year, year + 1, year + 300, year + 301];
    let now = [0, 900, 901, 1600, 1601];
    assert_eq!(numbers(&[place.dir()]), [&now[..], &future].concat());
    // a day later, older files are removed
    clocks.set(2 * day, 2 * day);
    touch(2 * day);
    wait_for("the removal", || numbers(&[place.dir()])[0] == 2 * day);
    assert_eq!(numbers(&[place.dir()]), [&[2 * day][..], &future].concat());
    assert!(history.close(LONG));
}

#[test]
fn the_bytes_are_bounded_and_the_oldest_files_go_first() {
    let place = Place::new();
    let history = History::open(place.config().max_bytes(1 << 20)).unwrap();
    let mut state = 1_u64;
    let mut noise = || {
        let words = (0..6000).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            format!("{:08x}", state >> 32)
        });
        words.collect::<String>()
    };
    let size = || {
        inventory(&[place.dir()], false)
            .unwrap()
            .tables
            .iter()
            .map(|held| held.bytes)
            .sum::<u64>()
    };
    for n in 0..60 {
        let json = format!(r#"{{"event":"counted","n":{n},"text":"{}"}}"#, noise());
        history.line(at(n), json.as_bytes());
        assert!(history.flush(LONG));
    }
    wait_for("the removal", || size() <= 1 << 20);
    assert!(history.close(LONG));
    let left = numbers(&[place.dir()]);
    assert_eq!(left.last(), Some(&59));
    assert!(
        left[0] > 0 && left.is_sorted_by(|a, b| a + 1 == *b),
        "{left:?}"
    );
    assert_eq!(
        value(&[place.dir()], "SELECT count(*) FROM spans"),
        json!(0)
    );
}

#[test]
fn hours_are_copied_and_removed_as_a_whole() {
    let (place, copy) = (Place::new(), Place::new());
    let history = place.open();
    for n in 0..4 {
        number(&history, n * 3600, n);
    }
    assert!(history.close(LONG));
    let dirs = [place.dir()];
    let copied = export(&dirs, &copy.dir(), at(3600), at(3 * 3600)).unwrap();
    assert_eq!(copied.files, 2);
    assert_eq!(numbers(&[copy.dir()]), [1, 2]);
    assert_eq!(
        export(&dirs, &copy.dir(), at(3600), at(3 * 3600))
            .unwrap()
            .files,
        0
    );
    // both directories together: each row once
    assert_eq!(numbers(&[place.dir(), copy.dir()]), [0, 1, 2, 3]);
    assert_eq!(
        prune(&copy.dir(), Duration::from_secs(u64::MAX / 4))
            .unwrap()
            .files,
        0
    );
    let removed = prune(&copy.dir(), Duration::ZERO).unwrap().files;
    assert_eq!(removed, 2);
}

#[test]
fn several_exports_to_one_directory_at_once_do_not_disturb_each_other() {
    let (place, copy) = (Place::new(), Place::new());
    let history = place.open();
    for n in 0..12 {
        number(&history, n * 3600, n);
    }
    assert!(history.close(LONG));
    let dirs = [place.dir()];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| export(&dirs, &copy.dir(), at(0), at(24 * 3600)).unwrap());
        }
    });
    assert_eq!(numbers(&[copy.dir()]), (0..12).collect::<Vec<_>>());
    let left = std::fs::read_dir(copy.dir().join("logs")).unwrap().count();
    assert_eq!(left, 12, "drafts are left");
}

/// A directory, and an action that runs before it is listed.
struct Listed<'a>(std::path::PathBuf, &'a dyn Fn());

impl AsRef<std::path::Path> for Listed<'_> {
    fn as_ref(&self) -> &std::path::Path {
        self.1();
        &self.0
    }
}

#[test]
fn an_export_during_a_merge_copies_the_merged_file() {
    let (place, other, copy) = (Place::new(), Place::new(), Place::new());
    three(&place);
    assert!(other.open().close(LONG));
    let merge = || {
        let history = place.open();
        wait_for("the merge", || place.names("logs").len() == 1);
        assert!(history.close(LONG));
    };
    // the files of the first directory are listed by then, but not copied yet
    let dirs = [Listed(place.dir(), &|| ()), Listed(other.dir(), &merge)];
    let copied = export(&dirs, &copy.dir(), at(0), at(3600)).unwrap();
    assert_eq!(copied.files, 1);
    assert_eq!(numbers(&[copy.dir()]), [0, 1, 2]);
}

#[test]
fn a_file_that_somebody_else_removed_counts_as_removed() {
    let place = Place::new();
    three(&place);
    let first = place.first_file("logs");
    let config = place.config().on_step(move |step| match step {
        Step::Merged => std::fs::remove_file(&first),
        _ => Ok(()),
    });
    let history = History::open(config).unwrap();
    // the first check merges the files of the previous run
    wait_for("a look", || history.stats().looks > 0);
    let stats = history.stats();
    assert_eq!((stats.untidy, stats.merges), (None, 1));
    assert_eq!(place.names("logs").len(), 1);
    assert!(history.close(LONG));
    assert_eq!(numbers(&[place.dir()]), [0, 1, 2]);
}

#[test]
fn an_hour_is_current_by_the_clock_even_with_files_of_a_later_hour() {
    let place = Place::new();
    let clocks = Clocks::default();
    clocks.set(3610, 0);
    let history = History::open(clocks.configure(place.config())).unwrap();
    let mut offered = 0;
    let mut touch = |second: u64| {
        let before = history.stats().looks;
        number(&history, second, offered);
        offered += 1;
        assert!(history.flush(LONG));
        wait_for("a look", || history.stats().looks > before);
    };
    touch(3610);
    // the clock was an hour ahead
    for second in 10..16 {
        clocks.set(second, second);
        touch(second);
    }
    assert_eq!(history.stats().merges, 0);
    clocks.set(3620, 3620);
    touch(3620);
    touch(3621);
    wait_for("the merge", || history.stats().merges == 1);
    assert!(history.close(LONG));
    assert_eq!(numbers(&[place.dir()]), (0..offered).collect::<Vec<_>>());
}

/// Damages the first page of a file, and makes its checksum that of the damaged bytes.
fn forge(path: &std::path::Path) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let footer = reader.metadata().file_metadata();
    let value = |key: &str| {
        let mut pairs = footer.key_value_metadata().unwrap().iter();
        let pair = pairs.find(|pair| pair.key == key).unwrap();
        pair.value.clone().unwrap()
    };
    let checked: usize = value("ops_history.checked_bytes").parse().unwrap();
    let before = value("ops_history.crc32").into_bytes();
    let mut bytes = std::fs::read(path).unwrap();
    for byte in bytes.iter_mut().skip(4).take(40) {
        *byte ^= 0x5a;
    }
    let after = format!("{:08x}", crc32fast::hash(&bytes[..checked]));
    let mut places = bytes[checked..].windows(before.len());
    let place = checked + places.position(|part| part == before).unwrap();
    bytes[place..place + before.len()].copy_from_slice(after.as_bytes());
    std::fs::write(path, &bytes).unwrap();
}

#[test]
fn a_file_with_bad_pages_and_a_forged_checksum_keeps_no_other_file_from_being_merged() {
    let place = Place::new();
    three(&place);
    let forged = place.first_file("logs");
    forge(&forged);
    let found = inventory(&[place.dir()], true).unwrap();
    assert_eq!(found.skipped, [""; 0], "its checksum is right");
    let history = place.open();
    wait_for("a merge that fails", || {
        !history.stats().unreadable.is_empty()
    });
    number(&history, 9, 9);
    assert!(history.flush(LONG));
    // the forged file, the merged one, and the new one
    wait_for("the merge", || place.names("logs").len() == 3);
    assert!(history.close(LONG));
    assert_eq!(history.stats().untidy, None);
    assert!(forged.exists());
    let found = numbers(&[place.dir()]);
    assert!(found.ends_with(&[1, 2, 9]), "{found:?}");
}

#[test]
fn a_file_that_is_torn_or_changed_at_any_byte_is_left_out_and_harms_nothing() {
    let place = Place::new();
    three(&place);
    let path = place.first_file("logs");
    let whole = std::fs::read(&path).unwrap();
    let dirs = [place.dir()];
    let is_left_out = |bytes: &[u8], what: String| {
        std::fs::write(&path, bytes).unwrap();
        let found = inventory(&dirs, true).unwrap();
        let held = &found.tables[0];
        assert_eq!(
            (held.files, held.rows, found.skipped.len()),
            (2, 2, 1),
            "{what}"
        );
    };
    let step = if is_full() { 1 } else { 13 };
    for length in (0..whole.len()).step_by(step) {
        is_left_out(&whole[..length], format!("torn after {length} bytes"));
    }
    let mut harmless = 0;
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        let found = inventory(&dirs, true).unwrap();
        // a changed byte of the footer that does not affect the rows
        harmless += usize::from(found.skipped.is_empty());
        assert!((2..=3).contains(&found.tables[0].files), "{at}");
    }
    assert!(harmless * step < whole.len() / 2, "{harmless}");
    // queries over such files return the remaining rows
    for length in (0..whole.len()).step_by(whole.len() / 5) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(numbers(&dirs), [1, 2], "torn after {length} bytes");
    }
}
