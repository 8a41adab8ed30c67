use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::SystemTime;

use ops_black_box::{Config, EndingKind, ErrorKind, open};

use crate::{Place, child, read, texts};

#[test]
fn the_file_has_all_of_its_space_and_is_for_its_user_alone() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let black_box = place.open();
    assert_eq!(black_box.path(), place.file());
    let found = fs::metadata(place.file()).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(found.len(), 4096 + 64 * 1024);
    assert!(
        found.blocks() * 512 >= found.len(),
        "{} blocks",
        found.blocks()
    );
    assert_eq!(place.names(), ["shop.box", "shop.box.lock"]);
}

#[test]
fn a_file_that_was_renamed_replaced_or_removed_is_not_in_place() {
    let place = Place::new();
    let black_box = place.open();
    assert!(black_box.is_in_place());
    let moved = place.folder.path().join("moved");
    fs::rename(place.file(), &moved).unwrap();
    assert!(!black_box.is_in_place());
    fs::copy(&moved, place.file()).unwrap();
    assert!(!black_box.is_in_place());
    fs::rename(&moved, place.file()).unwrap();
    assert!(black_box.is_in_place());
    fs::remove_file(place.file()).unwrap();
    assert!(!black_box.is_in_place());
}

#[test]
fn a_folder_gets_a_file_of_the_service() {
    let place = Place::new();
    let config = Config::new(place.folder.path(), "../sho/p");
    assert_eq!(config.file(), place.folder.path().join("shop.box"));
}

#[test]
fn services_with_names_in_other_scripts_have_files_of_their_own() {
    let place = Place::new();
    let long = "店".repeat(200);
    let names = ["商店", "支付", "магазин", "café", "caf", &long];
    let opened: Vec<_> = names
        .iter()
        .map(|name| {
            let config = Config::new(place.folder.path(), *name).ring_bytes(64 * 1024);
            open(&config).black_box.unwrap()
        })
        .collect();
    let file = |name: &str| place.folder.path().join(name);
    assert_eq!(opened[0].path(), file("商店.box"));
    assert_eq!(opened[3].path(), file("café.box"));
}

#[test]
fn a_second_writer_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let first = place.open();
    first.line(SystemTime::now(), b"{\"n\":1}");
    let second = open(&place.config());
    let error = second.black_box.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(
        error.to_string().contains("another process writes"),
        "{error}"
    );
    assert!(second.last_run.is_none());
    first.line(SystemTime::now(), b"{\"n\":2}");
    let live = ops_black_box::read_here(place.file()).unwrap();
    assert_eq!(texts(&live), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(live.ending.kind, EndingKind::Running);
}

#[test]
fn a_black_box_that_was_closed_makes_room_while_its_process_goes_on() {
    let place = Place::new();
    let first = place.open();
    first.line(SystemTime::now(), b"{\"n\":1}");
    first.close();
    let second = open(&place.config());
    let last = second.last_run.unwrap();
    assert_eq!(last.reading.ending.kind, EndingKind::Clean);
    let second = second.black_box.unwrap();
    first.line(SystemTime::now(), b"{\"n\":2}");
    second.line(SystemTime::now(), b"{\"n\":3}");
    let live = ops_black_box::read_here(place.file()).unwrap();
    assert_eq!(live.ending.kind, EndingKind::Running);
    assert_eq!(texts(&live), ["{\"n\":3}"]);
    drop(first);
    assert_eq!(
        open(&place.config()).black_box.unwrap_err().kind(),
        ErrorKind::Locked
    );
}

#[test]
fn a_foreign_file_is_refused_with_the_reason_and_left_as_it_was() {
    let whole = {
        let place = Place::new();
        place.open();
        fs::read(place.file()).unwrap()
    };
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let cases: [(Vec<u8>, &str); 8] = [
        (Vec::new(), "is empty"),
        (b"OPS".to_vec(), "has 3 bytes"),
        (b"a diary\n".repeat(1000), "does not begin with OPSBBOX"),
        (vec![0; 70_000], "does not begin with OPSBBOX"),
        (whole[..4000].to_vec(), "has 4000 bytes"),
        (with(8, 9), "version 9, expected"),
        (with(24, whole[24] ^ 1), "header checksum mismatch"),
        (with(100, b'x'), "header checksum mismatch"),
    ];
    for (bytes, reason) in cases {
        let place = Place::new();
        fs::write(place.file(), &bytes).unwrap();
        let opened = open(&place.config());
        let error = opened.black_box.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Foreign);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.to_string().contains("shop.box"), "{error}");
        assert_eq!(fs::read(place.file()).unwrap(), bytes);
        assert_eq!(place.names(), ["shop.box", "shop.box.lock"]);
        assert!(
            read(&place.file())
                .unwrap_err()
                .to_string()
                .contains(reason)
        );
    }
}

#[test]
fn links_pipes_and_folders_are_no_black_boxes() {
    let place = Place::new();
    let target = place.folder.path().join("target");
    fs::write(&target, "precious").unwrap();
    symlink(&target, place.file()).unwrap();
    let error = open(&place.config()).black_box.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("symbolic links are not followed"),
        "{error}"
    );
    assert_eq!(fs::read(&target).unwrap(), b"precious");

    let place = Place::new();
    let made = std::process::Command::new("mkfifo")
        .arg(place.file())
        .status();
    assert!(made.unwrap().success());
    let error = open(&place.config()).black_box.unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    assert!(read(&place.file()).is_err());

    let place = Place::new();
    let config = Config::new(place.folder.path().join("none/shop.box"), "shop");
    let error = open(&config).black_box.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn the_last_three_runs_that_crashed_are_kept_whatever_came_after() {
    let place = Place::new();
    for number in 0..5 {
        let black_box = place.open();
        black_box.line(
            SystemTime::now(),
            format!("{{\"crash\":{number}}}").as_bytes(),
        );
    }
    for _ in 0..4 {
        place.open().close();
    }
    let kept = |ending: &str| texts(&read(&place.kept(ending)).unwrap()).join("");
    assert_eq!(
        [kept("1"), kept("2"), kept("3")],
        ["{\"crash\":4}", "{\"crash\":3}", "{\"crash\":2}"]
    );
    let names = ["", ".1", ".2", ".3", ".clean", ".lock"].map(|ending| format!("shop.box{ending}"));
    assert_eq!(place.names(), names);
    // the verdict of the next start stays with the file, wherever it is read
    let ending = read(&place.kept("1")).unwrap().ending;
    assert!(ending.how.contains("ended abruptly"), "{ending:?}");
}

#[test]
fn a_truncated_file_gives_what_is_left_of_it() {
    let place = Place::new();
    let black_box = place.open();
    for number in 0..800 {
        black_box.line(
            SystemTime::now(),
            format!("{{\"number\":{number}}}").as_bytes(),
        );
    }
    drop(black_box);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.file())
        .unwrap();
    file.set_len(4096 + 20_000).unwrap();
    let last = place.next_start().reading;
    assert_eq!(last.missing_bytes, 64 * 1024 - 20_000);
    assert_eq!(last.records.len(), 20_000 / 40);
    assert_eq!(last.torn, 1);
}

#[test]
fn what_a_killed_start_left_is_cleared_away_and_a_foreign_draft_is_not() {
    let place = Place::new();
    place.open().close();
    let begun = fs::read(place.file()).unwrap();
    for left in [&begun[..0], &begun[..4096], &begun[..10_000]] {
        fs::write(place.kept("new"), left).unwrap();
        place.open();
        assert!(!place.kept("new").exists());
    }
    fs::write(place.kept("new"), "my notes").unwrap();
    let error = open(&place.config()).black_box.unwrap_err();
    assert!(error.to_string().contains("in the way"), "{error}");
    assert_eq!(fs::read(place.kept("new")).unwrap(), b"my notes");
}

#[test]
fn a_file_of_zeros_is_what_a_power_loss_left_and_makes_room_for_the_next_one() {
    let place = Place::new();
    let zeros = vec![0; 4096 + 64 * 1024];
    fs::write(place.file(), &zeros).unwrap();
    fs::write(place.kept("new"), &zeros[..5000]).unwrap();
    let error = read(&place.file()).unwrap_err();
    assert!(error.to_string().contains("but with zeros"), "{error}");
    let last = place.next_start();
    assert_eq!(last.reading.ending.kind, EndingKind::Unknown);
    let how = &last.reading.ending.how;
    assert!(how.contains("unreadable: all zeros"), "{how}");
    assert_eq!(last.reading.service, "shop");
    assert_eq!(last.kept, place.kept("1"));
    assert_eq!(fs::read(&last.kept).unwrap(), zeros);
    for _ in 0..4 {
        // it is rotated like all others
        let last = place.next_start();
        assert!(last.reading.ending.how.contains("ended abruptly"));
    }
    assert!(read(&place.kept("3")).is_ok());
    // with any content it belongs to somebody
    let mut other = zeros;
    other[50_000] = 1;
    fs::write(place.file(), &other).unwrap();
    assert!(open(&place.config()).black_box.is_err());
    assert_eq!(fs::read(place.file()).unwrap(), other);
}

#[test]
fn foreign_files_at_kept_names_stay_and_the_last_run_is_reported() {
    for ending in ["clean", "1", "2", "3"] {
        let place = Place::new();
        for _ in 0..3 {
            place.open();
        }
        let black_box = place.open();
        black_box.line(SystemTime::now(), b"{\"event\":\"last words\"}");
        if ending == "clean" {
            black_box.close();
        }
        drop(black_box);
        fs::write(place.kept(ending), "my notes").unwrap();
        let names = place.names();
        let opened = open(&place.config());
        let error = opened.black_box.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Foreign);
        assert_eq!(error.path(), place.kept(ending));
        assert!(error.to_string().contains("in the way"), "{error}");
        let last = opened.last_run.unwrap();
        assert_eq!(texts(&last.reading), ["{\"event\":\"last words\"}"]);
        assert_eq!(last.kept, place.file(), "it has its name still");
        assert_eq!(fs::read(place.kept(ending)).unwrap(), b"my notes");
        assert_eq!(place.names(), names);
        fs::remove_file(place.kept(ending)).unwrap();
        assert_eq!(texts(&place.next_start().reading).len(), 1);
    }
    let place = Place::new();
    place.open();
    symlink(place.folder.path().join("nothing"), place.kept("1")).unwrap();
    let opened = open(&place.config());
    assert!(
        opened
            .black_box
            .unwrap_err()
            .to_string()
            .contains("symbolic links are not followed")
    );
    assert!(opened.last_run.is_some());
}

#[test]
fn deleted_or_renamed_while_it_is_written_it_harms_nothing() {
    let place = Place::new();
    let mut child = child::start(&place, "load");
    child::wait_for_lines(&place, &mut child, 20);
    fs::rename(place.file(), place.kept("elsewhere")).unwrap();
    // not their number: a full ring has no more than before
    let newest = || {
        let records = read(&place.kept("elsewhere")).unwrap().records;
        records.iter().map(|one| one.position).max()
    };
    let before = newest();
    while newest() <= before {
        assert!(child.try_wait().unwrap().is_none());
    }
    fs::remove_file(place.kept("elsewhere")).unwrap();
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(open(&place.config()).last_run.is_none());
    let _ = std::io::stderr().flush();
}
