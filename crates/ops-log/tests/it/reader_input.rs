//! Input from crashes, other systems and other programs: everything readable is read.

use std::fs;

use ops_log::reader::{Lines, MAX_STORED_LINE_BYTES, StoredLine, Tail, with_rotated};
use proptest::prelude::*;

/// Input that returns a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.min(self.0.len()).min(out.len());
        let (now, later) = self.0.split_at(len);
        out[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}

fn lines_of(input: &[u8], piece: usize) -> Vec<String> {
    let mut lines = Lines::new(Slow(input, piece));
    std::iter::from_fn(|| lines.next_line().unwrap()).collect()
}

#[test]
fn lines_behind_nuls_marks_and_returns_are_read() {
    for (input, right) in [
        (&b""[..], &[][..]),
        (b"one\ntwo", &["one", "two"]),
        (b"one\r\ntwo\r\n", &["one", "two"]),
        (b"one\rtwo\r", &["one", "two"]),
        (b"one\n\ntwo\r\n\r\n", &["one", "", "two", ""]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", &["one", "two"]),
        (b"on\0\0\0\0two\n", &["on", "two"]),
        (b"\0\0\0one\n\0\0two\0\0\0", &["one", "two"]),
        (b"\0\0\0", &[]),
        (b"\0\xef\xbb\xbfone\0\n", &["one"]),
        (b"\xff\xfe", &["\u{fffd}\u{fffd}"]),
    ] {
        for piece in [1, 2, 3, 100] {
            assert_eq!(lines_of(input, piece), right, "{input:?} by {piece}");
        }
    }
    for start in ["\u{feff}", "\0\0\0", "\0\u{feff}"] {
        let line = StoredLine::parse(&format!("{start}{{\"event\":\"e\"}}")).unwrap();
        assert_eq!(line.event(), "e");
    }
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_they_arrive(
        input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0_u8), Just(b'a')], 0..40),
        piece in 1_usize..8,
    ) {
        prop_assert_eq!(lines_of(&input, piece), lines_of(&input, 1000));
    }
}

#[test]
fn lines_that_are_too_long_are_cut_and_counted() {
    let longest = "x".repeat(MAX_STORED_LINE_BYTES);
    let input = format!("{longest}\nab\n{longest}y\nnext\n{longest}{longest}");
    let mut lines = Lines::new(input.as_bytes());
    let mut next = || lines.next_line().unwrap().unwrap();
    assert_eq!(next(), longest);
    assert_eq!(next(), "ab");
    assert_eq!(next(), longest);
    assert_eq!(next(), "next");
    assert_eq!(next(), longest);
    assert_eq!(lines.next_line().unwrap(), None);
    assert_eq!(lines.cut_lines(), 2);
    // the longest line written by this crate is shorter: 256 fields of 16 KiB
    const { assert!(MAX_STORED_LINE_BYTES > 256 * (16 * 1024 + 256)) };
}

#[test]
fn whatever_is_in_memory_is_known_without_waiting() {
    for input in [
        "one\ntwo\n",
        "one\r\ntwo\r\n",
        "\0one\0\0two\0\0",
        "one\ntwo\nrest",
    ] {
        let mut lines = Lines::new(input.as_bytes());
        assert!(!lines.has_line());
        lines.next_line().unwrap();
        assert!(lines.has_line(), "{input:?}");
        lines.next_line().unwrap();
        assert!(!lines.has_line(), "{input:?}");
    }
}

#[test]
fn a_directory_and_missing_numbers_hide_no_file_of_a_rotated_log() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    for file in [
        "app.log",
        "app.log.1",
        "app.log.3",
        "app.log.6",
        "app.log.10",
    ] {
        fs::write(name(file), format!("{file}\n")).unwrap();
    }
    fs::create_dir(name("app.log.4")).unwrap();
    // from 7 on, three are missing
    let right = ["app.log.6", "app.log.3", "app.log.1", "app.log"].map(name);
    assert_eq!(with_rotated(&name("app.log")), right);
    let mut tail = Tail::open(name("app.log")).unwrap();
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("app.log"));
    assert_eq!(tail.next_line().unwrap(), None);
    assert!(tail.can_grow().unwrap());
    assert_eq!(tail.path(), name("app.log"));
}

#[test]
fn values_that_are_json_are_shown_whatever_their_size() {
    let text = format!(
        "{{\"event\":\"e\",\"n\":1e400,\"list\":[1e400,\"\u{202e}\"],\"deep\":{}{}}}",
        "[".repeat(120),
        "]".repeat(120)
    );
    let shown = StoredLine::parse(&text).unwrap().to_string();
    let (start, deep) = shown.split_once(" deep=").unwrap();
    assert_eq!(start, " [         ] e  n=1e400 list=[1e400,\"\\u202e\"]");
    assert_eq!(deep, format!("{}{}", "[".repeat(120), "]".repeat(120)));
}
