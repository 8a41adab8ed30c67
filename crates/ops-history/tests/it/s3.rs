//! Histories in a bucket of a local S3 server, if `cargo xtask setup` could install it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime};

use dev::moto::Moto;
use ops_history::s3::{Prefix, Wanted, fetch};
use ops_history::sql::{Limits, query, tables_of};
use ops_history::{ErrorKind, Table};

use crate::{LONG, Place, at, number, numbers, wait_for};

fn prefix(moto: &Moto, path: &str) -> Prefix {
    let prefix = Prefix::parse(&format!("s3://{path}")).unwrap();
    let prefix = prefix.endpoint(&moto.url).region("us-east-1");
    prefix.credentials("test", "test")
}

/// Writes these numbers in a run of their own, one line every six minutes.
fn write(place: &Place, from: u64, to: u64) {
    let history = place.open();
    for n in from..to {
        number(&history, n * 360, n);
        if n % 7 == 0 {
            assert!(history.flush(LONG));
        }
    }
    assert!(history.close(LONG));
}

fn export(prefix: &Prefix, place: &Place) -> u64 {
    let ever = (SystemTime::UNIX_EPOCH, at(1_000_000));
    let copied = prefix.export(&[place.dir()], ever.0, ever.1, LONG);
    copied.unwrap().files
}

#[test]
fn rows_of_a_bucket_and_of_directories_count_once() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("once");
    let (one, two, three) = (Place::new(), Place::new(), Place::new());
    write(&one, 0, 30);
    write(&two, 30, 50);
    write(&three, 50, 60);
    let (shop, replica) = (prefix(&moto, "once/shop"), prefix(&moto, "once/shop/two"));
    assert!(export(&shop, &one) > 0 && export(&replica, &two) > 0);
    assert_eq!(export(&shop, &one), 0, "they are there already");
    // another object in the folder is not a history file
    moto.write("once", "shop/logs/readme.txt", b"not ours");
    let copy = shop.fetch(&Wanted::default()).unwrap();
    let dir = copy.dir().to_owned();
    let dirs = [dir.clone(), one.dir(), three.dir()];
    assert_eq!(numbers(&dirs), (0..60).collect::<Vec<_>>());
    assert_eq!(numbers(&[&dir]), (0..50).collect::<Vec<_>>());
    let names = moto.names("once");
    assert_eq!(copy.files(), names.len() as u64 - 1, "{names:?}");
    assert!(copy.skipped().is_empty(), "{:?}", copy.skipped());
    drop(copy);
    assert!(!dir.exists());
}

/// Returns the address of a proxy to this server that calls `happens` before it forwards the first PUT of an object.
fn before_the_first_object(url: &str, happens: impl Fn() + Send + Sync + 'static) -> String {
    let server = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let once = Arc::new((Once::new(), happens));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (once, mut server) = (once.clone(), TcpStream::connect(&server).unwrap());
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(bytes @ 1..) = client.read(&mut piece) {
                    if piece.starts_with(b"PUT ") {
                        once.0.call_once(|| once.1());
                    }
                    server.write_all(&piece[..bytes]).unwrap();
                }
            });
        }
    });
    address
}

#[test]
fn an_export_to_a_bucket_during_a_merge_copies_the_merged_file() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("merged");
    let place = Arc::new(Place::new());
    let history = place.open();
    for n in 0..3 {
        number(&history, n, n);
        assert!(history.flush(LONG));
    }
    assert!(history.close(LONG));
    drop(history);
    let merged = place.clone();
    let address = before_the_first_object(&moto.url, move || {
        let history = merged.open();
        wait_for("the merge", || merged.names("logs").len() == 1);
        assert!(history.close(LONG));
    });
    let shop = prefix(&moto, "merged/shop");
    assert_eq!(export(&shop.clone().endpoint(address), &place), 2);
    let copy = shop.fetch(&Wanted::default()).unwrap();
    assert_eq!((copy.files(), numbers(&[copy.dir()])), (1, vec![0, 1, 2]));
}

#[test]
fn only_the_hours_and_tables_of_a_question_are_copied_and_no_more_than_the_limit() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("hours");
    let place = Place::new();
    write(&place, 0, 50);
    let shop = prefix(&moto, "hours/shop");
    let all = export(&shop, &place);
    let mut wanted = Wanted::default();
    // numbers 10 to 29: ten per hour, and the first hour starts with the first number
    (wanted.since, wanted.until) = (Some(at(3600)), Some(at(3 * 3600)));
    let copy = shop.fetch(&wanted).unwrap();
    assert!(copy.files() < all, "{} of {all}", copy.files());
    assert_eq!(numbers(&[copy.dir()]), (10..30).collect::<Vec<_>>());
    // a statement selects the same hours of a directory
    let mut limits = Limits::default();
    (limits.since, limits.until) = (wanted.since, wanted.until);
    let counted = query(&[place.dir()], "SELECT count(*) FROM logs", &limits).unwrap();
    assert_eq!(counted.rows, [["20"]]);

    let asked = "SELECT count(*) FROM spans";
    assert_eq!(tables_of(asked), [Table::Spans]);
    assert_eq!(
        tables_of("SELECT max(duration_ms) FROM Requests"),
        [Table::Logs]
    );
    wanted.tables = tables_of(asked);
    let copy = shop.fetch(&wanted).unwrap();
    assert_eq!(copy.files(), 0);
    let none = query(&[copy.dir()], asked, &Limits::default()).unwrap();
    assert_eq!(none.rows, [["0"]]);

    let mut wanted = Wanted::default();
    wanted.bytes = 1000;
    let refused = shop.fetch(&wanted).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Bucket);
    assert!(
        refused
            .to_string()
            .contains("exceed the limit of 1000 bytes"),
        "{refused}"
    );
}

#[test]
fn the_limit_holds_for_all_prefixes_of_a_question_together_before_the_first_byte() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("together");
    let (one, two) = (Place::new(), Place::new());
    write(&one, 0, 30);
    write(&two, 30, 50);
    let prefixes = [prefix(&moto, "together/one"), prefix(&moto, "together/two")];
    export(&prefixes[0], &one);
    export(&prefixes[1], &two);
    let copies = fetch(&prefixes, &Wanted::default()).unwrap();
    let dirs: Vec<_> = copies.iter().map(|copy| copy.dir().to_owned()).collect();
    assert_eq!(numbers(&dirs[..1]), (0..30).collect::<Vec<_>>());
    assert_eq!(numbers(&dirs), (0..50).collect::<Vec<_>>());
    let sum = |of: fn(&ops_history::s3::LocalCopy) -> u64| copies.iter().map(of).sum::<u64>();
    let (files, bytes) = (sum(|copy| copy.files()), sum(|copy| copy.bytes()));

    let mut wanted = Wanted::default();
    wanted.bytes = bytes;
    assert_eq!(fetch(&prefixes, &wanted).unwrap().len(), 2);
    // each prefix alone is within the limit
    wanted.bytes = bytes - 1;
    for prefix in &prefixes {
        prefix.fetch(&wanted).unwrap();
    }
    let refused = fetch(&prefixes, &wanted).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Bucket);
    let message = refused.to_string();
    let asked = format!(
        "{files} files with {bytes} bytes exceed the limit of {} bytes",
        bytes - 1
    );
    assert!(
        message.contains("s3://together/one, s3://together/two"),
        "{message}"
    );
    assert!(message.contains(&asked), "{message}");
    assert!(fetch(&[], &wanted).unwrap().is_empty());
}

#[test]
fn a_damaged_file_of_a_bucket_is_left_out_and_what_it_covered_is_copied() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("damaged");
    let place = Place::new();
    let history = place.open();
    for n in 0..4 {
        number(&history, n, n);
        assert!(history.flush(LONG));
    }
    assert!(history.close(LONG));
    let shop = prefix(&moto, "damaged/shop");
    assert_eq!(export(&shop, &place), 4);
    // a merged file that was never complete
    let names = place.names("logs");
    let merged = names[0].replace("-00000001.parquet", "-00000002.parquet");
    assert_ne!(merged, names[0]);
    let mut bytes = fs::read(place.first_file("logs")).unwrap();
    bytes[10] ^= 1;
    moto.write("damaged", &format!("shop/logs/{merged}"), &bytes);
    let copy = shop.fetch(&Wanted::default()).unwrap();
    assert_eq!(numbers(&[copy.dir()]), [0, 1, 2, 3]);
    let url = format!("s3://damaged/shop/logs/{merged}: checksum mismatch");
    assert_eq!(copy.skipped(), [url]);
}

/// Starts a server that rejects every request, and returns the receiver of the request heads.
fn refusing() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, heads) = channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut piece = [0; 16 * 1024];
            let bytes = client.read(&mut piece).unwrap_or(0);
            let _ = send.send(String::from_utf8_lossy(&piece[..bytes]).to_ascii_lowercase());
            let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (address, heads)
}

/// Variables belong to a process: the test program is run again for each case.
#[test]
fn settings_override_variables_and_empty_variables_count_as_unset() {
    const CHILD: &str = "PLACE_OF_CHILD";
    let (address, heads) = refusing();
    let Some(place) = std::env::var_os(CHILD) else {
        let (url, s3) = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3");
        let elsewhere = "http://127.0.0.1:1";
        for (place, variables) in [
            (
                "set",
                [
                    (url, elsewhere),
                    (s3, elsewhere),
                    ("AWS_SESSION_TOKEN", "x"),
                ],
            ),
            ("set", [(url, ""), (s3, ""), ("AWS_REGION", "")]),
            ("variable", [(url, &address), (s3, ""), ("AWS_REGION", "")]),
            (
                "refused",
                [(url, "127.0.0.1:1"), (s3, ""), ("AWS_REGION", "")],
            ),
            (
                "refused",
                [(url, "http://127.0.0.1:port"), (s3, ""), ("AWS_REGION", "")],
            ),
            (
                "refused",
                [(url, "http://1.2.3.999"), (s3, ""), ("AWS_REGION", "")],
            ),
            (
                "refused",
                [(url, elsewhere), (s3, "http://"), ("AWS_REGION", "")],
            ),
        ] {
            let name = "s3::settings_override_variables_and_empty_variables_count_as_unset";
            let mut command = Command::new(std::env::current_exe().unwrap());
            let command = command.args(["--exact", name, "--nocapture"]);
            let command = command.env(CHILD, place).envs(variables);
            let command = command.env_remove("AWS_ACCESS_KEY_ID");
            assert!(command.status().unwrap().success(), "{variables:?}");
            assert_eq!(heads.try_recv().is_ok(), place == "variable");
        }
        return;
    };
    let mut shop = Prefix::parse("s3://shop/history").unwrap();
    if place == "set" {
        shop = shop.endpoint(address);
    }
    let refused = shop.credentials("test", "test").fetch(&Wanted::default());
    let message = refused.unwrap_err().to_string();
    assert_eq!(
        message.contains("is not a valid server URL"),
        place == "refused",
        "{message}"
    );
    assert!(!message.contains("panicked"), "{message}");
    if place == "set" {
        let head = heads.recv_timeout(LONG).unwrap();
        assert!(
            head.contains("/us-east-1/") && !head.contains("token"),
            "{head}"
        );
    }
}

/// The session token of the environment is used only with credentials that equal those of the environment.
#[test]
fn a_session_token_is_used_only_with_its_credentials() {
    const CHILD: &str = "ID_OF_CHILD";
    let (address, heads) = refusing();
    let Ok(id) = std::env::var(CHILD) else {
        for id in ["own", "another"] {
            let name = "s3::a_session_token_is_used_only_with_its_credentials";
            let mut command = Command::new(std::env::current_exe().unwrap());
            let command = command.args(["--exact", name]).env(CHILD, id);
            let command = command
                .env("AWS_ACCESS_KEY_ID", "own\n")
                .env("AWS_SESSION_TOKEN", "canary");
            assert!(command.status().unwrap().success(), "{id}");
        }
        return;
    };
    let shop = Prefix::parse("s3://shop/history").unwrap();
    let shop = shop.endpoint(address).credentials(&id, "test");
    assert!(shop.fetch(&Wanted::default()).is_err());
    let head = heads.recv_timeout(LONG).unwrap();
    assert_eq!(head.contains("canary"), id == "own", "{head}");
}

#[test]
fn values_that_are_invalid_in_headers_are_rejected_and_not_shown() {
    let shop = Prefix::parse("s3://shop/history").unwrap();
    for (prefix, what) in [
        (
            shop.clone().credentials("canary\n", "test"),
            "access key id",
        ),
        (
            shop.clone()
                .credentials("test", "test")
                .region("canary\r\n"),
            "region",
        ),
    ] {
        let message = prefix.fetch(&Wanted::default()).unwrap_err().to_string();
        assert!(
            message.contains(what) && message.contains("line break"),
            "{message}"
        );
        assert!(!message.contains("canary"), "{message}");
    }
    let message = shop.region("eu west").fetch(&Wanted::default());
    let message = message.unwrap_err().to_string();
    assert!(message.contains("region \"eu west\""), "{message}");
}

#[test]
fn users_and_passwords_of_addresses_are_not_shown() {
    let shop = Prefix::parse("s3://shop/history").unwrap();
    for endpoint in [
        "http://reader:canary@127.0.0.1:port",
        "http://reader:canary@127.0.0.1:1",
        "reader:canary@127.0.0.1:1",
        "http://127.0.0.1:1/?token=canary",
    ] {
        let shop = shop.clone().endpoint(endpoint).credentials("test", "test");
        let message = shop.fetch(&Wanted::default()).unwrap_err().to_string();
        assert!(message.contains("[REDACTED]"), "{message}");
        let shown = format!("{shop:?}");
        assert!(!(message + &shown).contains("canary"), "{shown}");
    }
    for url in ["http://reader:canary@shop/a", "s3://reader:canary@shop/a"] {
        let error = Prefix::parse(url).unwrap_err();
        let message = format!("{error} {error:?}");
        assert!(message.contains("[REDACTED]@shop/a"), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn a_bucket_that_is_not_there_or_does_not_answer_is_an_error_in_time() {
    for url in [
        "http://shop",
        "s3://",
        "s3:///logs",
        "s3://a b/c",
        "s3://../c",
    ] {
        let refused = Prefix::parse(url).unwrap_err();
        assert!(
            refused.to_string().contains("s3://BUCKET/PREFIX"),
            "{refused}"
        );
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let silent_bucket = Prefix::parse("s3://shop/history").unwrap();
    let silent_bucket = silent_bucket.endpoint(address).credentials("test", "test");
    let mut wanted = Wanted::default();
    wanted.time = Duration::from_millis(300);
    let started = Instant::now();
    let late = silent_bucket.fetch(&wanted).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
    assert!(started.elapsed() < Duration::from_secs(20));

    let Some(moto) = Moto::shared() else { return };
    let missing = prefix(&moto, "nowhere/shop").fetch(&Wanted::default());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Bucket);
    moto.bucket("empty");
    let empty = prefix(&moto, "empty/shop").fetch(&Wanted::default());
    let empty = empty.unwrap_err().to_string();
    assert!(empty.contains("no history files"), "{empty}");
    let nowhere: [PathBuf; 1] = [PathBuf::from("/nowhere")];
    let refused = prefix(&moto, "empty/shop").export(&nowhere, at(0), at(1), LONG);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io);
}
