//! Following a log: no line is read twice, and lost lines are reported.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ops_log::reader::{StoredLine, Tail};
use ops_log::{Config, Output, Pipeline, Rotation, info};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

fn rest(tail: &mut Tail) -> Vec<String> {
    std::iter::from_fn(|| tail.next_line().unwrap()).collect()
}

/// Returns a log of three files, of which the newest was read.
fn followed() -> (Folder, Tail) {
    let folder = Folder::new();
    folder.write("app.log.2", "a\n");
    folder.write("app.log.1", "b\n");
    folder.write("app.log", "c\n");
    let mut tail = Tail::open(folder.path("app.log")).unwrap();
    assert_eq!(rest(&mut tail), ["c"]);
    (folder, tail)
}

#[test]
fn a_file_that_was_removed_or_moved_away_brings_no_older_line_again() {
    let remove = |folder: &Folder| fs::remove_file(folder.path("app.log")).unwrap();
    let move_away = |folder: &Folder| {
        fs::create_dir(folder.path("elsewhere")).unwrap();
        folder.rename("app.log", "elsewhere/app.log");
    };
    for act in [&remove as &dyn Fn(&Folder), &move_away] {
        let (folder, mut tail) = followed();
        act(&folder);
        assert_eq!(rest(&mut tail), [""; 0]);
        folder.write("app.log", "new\n");
        assert_eq!(rest(&mut tail), ["new"]);
        // rotation continues from there
        folder.rename("app.log.2", "app.log.3");
        folder.rename("app.log.1", "app.log.2");
        folder.rename("app.log", "app.log.1");
        assert_eq!(rest(&mut tail), [""; 0]);
        folder.write("app.log", "newer\n");
        assert_eq!(rest(&mut tail), ["newer"]);
        act_again(&folder, &mut tail);
        assert_eq!(tail.gaps(), 0);
    }
}

/// Removes the file, while all newer files are rotated before the next read.
fn act_again(folder: &Folder, tail: &mut Tail) {
    fs::remove_file(folder.path("app.log")).unwrap();
    folder.rename("app.log.1", "app.log.2");
    folder.write("app.log.1", "newest\n");
    folder.write("app.log", "last\n");
    assert_eq!(rest(tail), ["newest", "last"]);
}

#[test]
fn lines_that_were_written_before_the_move_are_read() {
    let (folder, mut tail) = followed();
    let mut file = File::options()
        .append(true)
        .open(folder.path("app.log"))
        .unwrap();
    file.write_all(b"late\nhalf").unwrap();
    fs::remove_file(folder.path("app.log")).unwrap();
    folder.write("app.log", "new\n");
    assert_eq!(rest(&mut tail), ["late", "half", "new"]);
    assert_eq!(tail.gaps(), 0);
}

#[test]
fn files_that_a_rotation_removed_before_they_were_read_are_a_gap() {
    let (folder, mut tail) = followed();
    for name in ["app.log.2", "app.log.1", "app.log"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    folder.write("app.log.2", "x\n");
    folder.write("app.log.1", "y\n");
    folder.write("app.log", "z\n");
    assert_eq!(rest(&mut tail), ["x", "y", "z"]);
    assert_eq!(tail.gaps(), 1);
    assert_eq!(rest(&mut tail), [""; 0]);
    // truncated, as in a rotation without older files
    folder.write("app.log", "");
    assert_eq!(rest(&mut tail), [""; 0]);
    assert_eq!(tail.gaps(), 2);
}

#[test]
fn a_file_that_was_emptied_and_has_grown_since_is_read_from_its_beginning() {
    let long = |name: &str| format!("{}\n", name.repeat(300_000));
    let rows = [
        ("one 1\none 2\n", "two 1\ntwo 2\n"),
        ("one 1\none 2\n", "two 1\ntwo 2\ntwo 3\n"),
        ("one 1\nhalf", "two 1\ntwo 2\n"),
        ("one 1\n", "\0\0\0\0\0\0two 1\n"),
        (&long("a"), &long("b")),
        (&format!("{}x\n", long("a")), &format!("{}yy\n", long("a"))),
    ];
    for (before, after) in rows {
        let folder = Folder::new();
        folder.write("app.log", before);
        let mut tail = Tail::open(folder.path("app.log")).unwrap();
        let whole = before.matches('\n').count();
        assert_eq!(
            rest(&mut tail),
            before.split('\n').collect::<Vec<_>>()[..whole]
        );
        assert_eq!((rest(&mut tail), tail.gaps()), (vec![], 0));
        // the file keeps its inode
        folder.write("app.log", after);
        let lines: Vec<_> = after.trim_start_matches('\0').lines().collect();
        assert_eq!(rest(&mut tail), lines);
        assert_eq!(tail.gaps(), 1);
        let file = File::options().append(true).open(folder.path("app.log"));
        file.unwrap().write_all(b"last\n").unwrap();
        assert_eq!((rest(&mut tail), tail.gaps()), (vec!["last".to_owned()], 1));
    }
}

#[test]
fn files_that_were_seen_cannot_be_removed_by_a_rotation() {
    let (folder, mut tail) = followed();
    for text in ["d\n", "e\n"] {
        folder.rename("app.log.1", "app.log.2");
        folder.rename("app.log", "app.log.1");
        folder.write("app.log", text);
    }
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("d"));
    for name in ["app.log.2", "app.log.1", "app.log"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    folder.write("app.log.1", "x\n");
    folder.write("app.log", "y\n");
    assert_eq!(rest(&mut tail), ["e", "x", "y"]);
    // there may have been another line between e and x
    assert_eq!(tail.gaps(), 1);
}

/// Returns the number of the line.
fn number(line: &str) -> u64 {
    let line = StoredLine::parse(line).unwrap();
    line.field("number").unwrap().parse().unwrap()
}

/// Writes bursts to a log of six files of 2 KiB, and reads after each; returns the numbers read, and the gaps.
fn burst(path: &Path, lines: u64) -> (Vec<u64>, u64) {
    let config = Config::new().stdout(false).output(
        Output::file(path)
            .json(true)
            .rotation(Rotation::new(2048, 6)),
    );
    let pipeline = Pipeline::new(config).unwrap();
    let log = pipeline.root();
    let mut tail = Tail::open(path).unwrap();
    let mut read = Vec::new();
    for round in 0..10 {
        for at in 0..lines {
            info!(log, "line", number = round * lines + at);
        }
        read.extend(rest(&mut tail).iter().map(|line| number(line)));
    }
    (read, tail.gaps())
}

#[test]
fn a_quick_rotation_loses_no_line_without_a_gap() {
    let folder = Folder::new();
    // within the kept files
    let (read, gaps) = burst(&folder.path("kept.log"), 100);
    assert_eq!((read, gaps), ((0..1000).collect(), 0));
    // several times as many: each burst removes the file that was read
    let (read, gaps) = burst(&folder.path("swept.log"), 1000);
    assert_eq!(gaps, 10);
    assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "{read:?}");
    assert_eq!(read.last(), Some(&9999));
    let holes = read.windows(2).filter(|pair| pair[0] + 1 != pair[1]);
    assert_eq!(holes.count() + usize::from(read[0] != 0), 10);
}

#[test]
fn a_writer_that_rotates_meanwhile_brings_no_line_twice_and_no_gap_is_silent() {
    let folder = Folder::new();
    let path = folder.path("app.log");
    let config = Config::new().stdout(false).output(
        Output::file(&path)
            .json(true)
            .rotation(Rotation::new(2048, 6)),
    );
    let pipeline = Pipeline::new(config).unwrap();
    let log = pipeline.root();
    let mut tail = Tail::open(&path).unwrap();
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..5000_u64 {
                info!(log, "line", number = number);
            }
        });
        while !writer.is_finished() {
            read.extend(rest(&mut tail).iter().map(|line| number(line)));
        }
    });
    read.extend(rest(&mut tail).iter().map(|line| number(line)));
    assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "{read:?}");
    assert_eq!(read.last(), Some(&4999));
    let holes = read.windows(2).filter(|pair| pair[0] + 1 != pair[1]);
    let holes = holes.count() as u64 + u64::from(read[0] != 0);
    assert!(holes <= tail.gaps(), "{holes} holes, {} gaps", tail.gaps());
}
