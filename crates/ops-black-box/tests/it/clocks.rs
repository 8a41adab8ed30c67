//! Times that do not agree: from another machine, or from a clock that was set back.

use std::fs;
use std::time::{Duration, SystemTime};

use ops_black_box::{EndingKind, Kind};

use crate::{Place, read, texts};

/// Changes the boot id in the file.
fn of_another_boot(place: &Place) {
    let mut bytes = fs::read(place.file()).unwrap();
    for byte in &mut bytes[48..64] {
        *byte ^= 0x5a;
    }
    let checksum = crc32fast::hash(&bytes[..248]);
    bytes[248..252].copy_from_slice(&checksum.to_le_bytes());
    fs::write(place.file(), bytes).unwrap();
}

/// Returns the time at which this machine was booted.
fn booted() -> Option<SystemTime> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let seconds = uptime.split_whitespace().next()?.parse().ok()?;
    Some(SystemTime::now() - Duration::from_secs_f64(seconds))
}

#[test]
fn a_machine_restart_is_reported_only_if_it_came_after_the_last_sign_of_life() {
    let Some(booted) = booted() else {
        return;
    };
    let judged = |at: SystemTime| {
        let place = Place::new();
        place.open().line(at, b"{}");
        of_another_boot(&place);
        place.next_start().reading.ending
    };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let ending = judged(booted - minutes(1));
    assert_eq!(ending.kind, EndingKind::MachineRestarted, "{ending:?}");
    // the clock was wrong by some seconds
    let ending = judged(booted + minutes(1) / 2);
    assert_eq!(ending.kind, EndingKind::MachineRestarted, "{ending:?}");
    let ending = judged(booted - minutes(20));
    assert_eq!(ending.kind, EndingKind::Unknown, "{ending:?}");
    assert!(ending.how.contains("much later"), "{ending:?}");
    let ending = judged(booted + minutes(2));
    assert_eq!(ending.kind, EndingKind::Unknown, "{ending:?}");
    assert!(
        ending.how.contains("written on another machine"),
        "{ending:?}"
    );
}

#[test]
fn after_the_clock_was_set_back_the_last_records_are_still_the_last_ones() {
    let place = Place::new();
    let black_box = place.open();
    let begin = SystemTime::now();
    black_box.beat(begin + Duration::from_secs(3600), b"{\"beat\":0}");
    for second in 0..20 {
        let at = begin + Duration::from_secs(second);
        black_box.line(at, format!("{second}").as_bytes());
    }
    let mut reading = read(&place.file()).unwrap();
    assert_eq!(reading.last_seen, begin + Duration::from_secs(19));
    reading.keep_last(Duration::from_secs(10), 5);
    assert_eq!(texts(&reading), ["15", "16", "17", "18", "19"]);
}

#[test]
fn a_panic_that_cannot_be_caught_is_found_after_the_clock_was_set_back() {
    let place = Place::new();
    let black_box = place.open();
    let now = SystemTime::now();
    black_box.line(now + Duration::from_secs(3600), b"{}");
    let panic = br#"{"message":"in a destructor","location":null,"thread":null,"is_main":false,"aborts":true}"#;
    black_box.record(Kind::Panic, now, panic);
    // the panic of another thread does not hide it
    let other =
        br#"{"message":"other","location":null,"thread":null,"is_main":true,"aborts":false}"#;
    black_box.record(Kind::Panic, now, other);
    drop(black_box);
    let mut bytes = fs::read(place.file()).unwrap();
    bytes[704] = b'X';
    fs::write(place.file(), bytes).unwrap();
    let reading = place.next_start().reading;
    assert_eq!(
        reading.ending.kind,
        EndingKind::Panicked,
        "{:?}",
        reading.ending
    );
    assert!(
        reading.ending.how.ends_with("in a destructor"),
        "{:?}",
        reading.ending
    );
    assert_eq!(reading.panic.unwrap().message, "in a destructor");
}
