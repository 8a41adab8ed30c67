use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::{Place, read};

#[test]
fn threads_that_write_at_the_same_time_lose_nothing_and_mix_nothing() {
    let place = Place::new();
    let config = place.config().ring_bytes(4 << 20);
    let black_box = ops_black_box::open(&config).black_box.unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let black_box = &black_box;
            scope.spawn(move || {
                for number in 0..5000 {
                    let filling = "-".repeat(number % 97);
                    let text = format!("{thread} {number} {filling}");
                    black_box.line(SystemTime::now(), text.as_bytes());
                }
            });
        }
    });
    let reading = read(&place.file()).unwrap();
    assert_eq!((reading.records.len(), reading.torn), (20_000, 0));
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &reading.records {
        let mut parts = record.text.split(' ');
        let expected = next.entry(parts.next().unwrap()).or_default();
        assert_eq!(parts.next().unwrap(), expected.to_string());
        assert_eq!(parts.next().unwrap().len(), *expected % 97);
        *expected += 1;
    }
}

#[test]
fn read_while_four_threads_write_many_laps_every_record_is_whole() {
    let place = Place::new();
    let black_box = place.open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let black_box = &black_box;
            scope.spawn(move || {
                for number in 0..20_000_usize {
                    let letter = char::from(b'a' + thread).to_string();
                    let text = format!("{number}{}", letter.repeat(number % 200));
                    black_box.line(SystemTime::now(), text.as_bytes());
                }
            });
        }
        for _ in 0..50 {
            for record in read(&place.file()).unwrap().records {
                let letters = record
                    .text
                    .trim_start_matches(|letter: char| letter.is_ascii_digit());
                let digits = &record.text[..record.text.len() - letters.len()];
                assert_eq!(letters.len(), digits.parse::<usize>().unwrap() % 200);
                assert!(
                    letters
                        .bytes()
                        .all(|letter| letter == letters.as_bytes()[0])
                );
            }
        }
    });
}
