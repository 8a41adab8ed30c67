use std::fs;
use std::time::{Duration, SystemTime};

use ops_black_box::{Kind, MAX_RECORD_BYTES, MAX_RING_BYTES};
use proptest::prelude::*;

use crate::{Place, child, is_full, read, texts};

/// Offset of the ring.
const RING: usize = 4096;

#[test]
fn a_record_that_is_torn_at_any_byte_is_skipped_and_those_before_it_are_whole() {
    let place = Place::new();
    let black_box = place.open();
    let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_763_000_000_123_456_789);
    black_box.line(at, br#"{"event":"one"}"#);
    black_box.record(Kind::Span, at, br#"{"name":"two"}"#);
    let before = fs::read(place.file()).unwrap();
    black_box.line(at, br#"{"event":"the last words"}"#);
    let after = fs::read(place.file()).unwrap();
    let whole = read(&place.file()).unwrap();
    assert_eq!(texts(&whole).len(), 3);
    assert_eq!(whole.records[0].at, at);
    assert_eq!(
        (whole.records[1].kind, whole.records[1].position),
        (Kind::Span, 40)
    );

    let record = RING + 80..RING + 80 + 24 + 32;
    let torn = place.folder.path().join("torn");
    for cut in record.clone() {
        // the bytes arrived up to here, in file order and in reverse order
        for (from, with) in [(&before, &after), (&after, &before)] {
            let mut bytes = after.clone();
            bytes[record.clone()].copy_from_slice(&from[record.clone()]);
            bytes[record.start..cut].copy_from_slice(&with[record.start..cut]);
            fs::write(&torn, &bytes).unwrap();
            let reading = read(&torn).unwrap();
            let found = texts(&reading);
            let is_whole = bytes[record.clone()] == after[record.clone()];
            assert_eq!(found.len(), if is_whole { 3 } else { 2 }, "cut at {cut}");
            assert_eq!(reading.torn, usize::from(!is_whole), "cut at {cut}");
            assert_eq!(found[..2], [r#"{"event":"one"}"#, r#"{"name":"two"}"#]);
        }
    }
    for at in record {
        for bit in 0..8 {
            let mut bytes = after.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&torn, &bytes).unwrap();
            let reading = read(&torn).unwrap();
            // padding of the text to a word is not part of it
            let is_filling = at >= RING + 80 + 24 + 26;
            assert_eq!(
                reading.records.len(),
                2 + usize::from(is_filling),
                "{at} {bit}"
            );
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_cut_and_leaves_room_for_others() {
    let place = Place::new();
    let black_box = place.open();
    black_box.line(SystemTime::now(), b"{}");
    black_box.line(SystemTime::now(), &vec![b'x'; 2 * MAX_RECORD_BYTES]);
    let reading = read(&place.file()).unwrap();
    assert_eq!(reading.records[0].text, "{}");
    assert_eq!(reading.records[1].text.len(), 16 * 1024);
    black_box.line(SystemTime::now(), b"");
    assert_eq!(read(&place.file()).unwrap().records[2].text, "");
}

#[test]
fn the_last_ten_seconds_are_kept_and_no_more_records_than_wanted() {
    let place = Place::new();
    let black_box = place.open();
    for second in 0..30 {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_000_000 + second);
        black_box.line(at, format!("{second}").as_bytes());
    }
    let mut reading = read(&place.file()).unwrap();
    reading.keep_last(Duration::from_secs(10), 1000);
    assert_eq!(texts(&reading)[0], "19");
    assert_eq!((reading.records.len(), reading.left_out), (11, 19));
    reading.keep_last(Duration::from_secs(10), 3);
    assert_eq!(texts(&reading), ["27", "28", "29"]);
    assert_eq!(reading.left_out, 27);
}

#[test]
fn a_forged_ring_that_would_take_long_to_check_is_refused() {
    let place = Place::new();
    drop(place.open());
    let mut bytes = fs::read(place.file()).unwrap();
    let ring = bytes.len() - RING;
    for at in (0..ring).step_by(16) {
        let second = 16_384_u64 | 1 << 24;
        bytes[RING + at..RING + at + 8].copy_from_slice(&(at as u64).to_le_bytes());
        bytes[RING + at + 8..RING + at + 16].copy_from_slice(&second.to_le_bytes());
    }
    fs::write(place.file(), &bytes).unwrap();
    let error = read(&place.file()).unwrap_err();
    assert!(
        error.to_string().contains("too many invalid records"),
        "{error}"
    );
    assert!(ops_black_box::open(&place.config()).black_box.is_err());
    assert_eq!(fs::read(place.file()).unwrap(), bytes);
}

#[test]
fn a_head_that_names_a_large_ring_takes_no_more_memory_than_the_file_has_bytes() {
    let place = Place::new();
    drop(place.open());
    let mut bytes = fs::read(place.file()).unwrap();
    bytes.truncate(RING + 100);
    bytes[16..24].copy_from_slice(&MAX_RING_BYTES.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..248]);
    bytes[248..252].copy_from_slice(&checksum.to_le_bytes());
    fs::write(place.file(), &bytes).unwrap();
    let reading = read(&place.file()).unwrap();
    assert_eq!(reading.missing_bytes, MAX_RING_BYTES - 100);
    assert_eq!((reading.records.len(), reading.torn), (0, 0));
    // the next start has less memory than such a ring
    assert!(child::run_in(&place, "stop", MAX_RING_BYTES as usize / 1024).success());
    assert!(place.kept("1").exists());
}

#[test]
fn no_more_than_a_million_records_are_read() {
    if !is_full() {
        return;
    }
    let place = Place::new();
    let config = place.config().ring_bytes(64 << 20);
    let black_box = ops_black_box::open(&config).black_box.unwrap();
    let all = (64 << 20) / 24;
    for _ in 0..all {
        black_box.line(SystemTime::now(), b"");
    }
    let reading = read(&place.file()).unwrap();
    assert_eq!(reading.records.len(), 1 << 20);
    assert_eq!(reading.left_out, all - (1 << 20));
    assert_eq!(
        reading.records.last().unwrap().position,
        24 * (all as u64 - 1)
    );
    drop(black_box);
    let last = place.next_start().reading;
    assert_eq!((last.records.len(), last.left_out), (1000, all - 1000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Texts of any length, many laps: the records read are the last ones written, in order and byte for byte.
    #[test]
    fn the_last_records_written_are_read(lengths in prop::collection::vec(0_usize..3000, 1..400)) {
        let place = Place::new();
        let black_box = place.open();
        let text = |number: usize, length: usize| format!("{number}:{}", "z".repeat(length));
        let all: Vec<_> = lengths.iter().enumerate().map(|(n, length)| text(n, *length)).collect();
        for text in &all {
            black_box.line(SystemTime::now(), text.as_bytes());
        }
        let reading = read(&place.file()).unwrap();
        let found = texts(&reading);
        prop_assert_eq!(&found[..], &all[all.len() - found.len()..]);
        prop_assert_eq!(reading.torn, 0);
        let size = |text: &String| 24 + text.len().next_multiple_of(8);
        let kept: usize = all[all.len() - found.len()..].iter().map(size).sum();
        let one_more = all.len().checked_sub(found.len() + 1).map_or(usize::MAX, |n| kept + size(&all[n]));
        prop_assert!(kept <= 64 * 1024 && one_more > 64 * 1024);
    }

    /// Damage may lose records, but never produces a wrong one.
    #[test]
    fn damage_loses_records_but_creates_none(
        places in prop::collection::vec((0_usize..64 * 1024, any::<u8>()), 1..200),
        words in prop::collection::vec((512_usize..1100, any::<u8>()), 0..20),
    ) {
        let place = Place::new();
        let black_box = place.open();
        let all: Vec<_> = (0..1500).map(|number| format!("{{\"number\":{number}}}")).collect();
        for text in &all {
            black_box.line(SystemTime::now(), text.as_bytes());
        }
        let mut bytes = fs::read(place.file()).unwrap();
        for (at, byte) in places {
            bytes[RING + at] = byte;
        }
        for (at, byte) in words {
            bytes[at] = byte;
        }
        let damaged = place.folder.path().join("damaged");
        fs::write(&damaged, &bytes).unwrap();
        let reading = read(&damaged).unwrap();
        let mut rest = all.iter();
        for text in texts(&reading) {
            prop_assert!(rest.any(|one| one == text), "{} was not written, or not in this order", text);
        }
    }
}
