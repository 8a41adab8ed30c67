use std::collections::HashMap;
use std::io::Read;

use crate::client::{Answer, connect, exchange, parse, request};
use crate::process::{Process, Start};

const TOKEN: &str = "a-token-of-16-chars-or-more";
const AUTHORIZED: &str = "Authorization: Bearer a-token-of-16-chars-or-more\r\n";
/// Nanoseconds of a profile from which on it is not by chance which function uses most: five samples.
const ENOUGH: u64 = 50_000_000;
const SECOND: &str = "/debug/pprof/profile?seconds=1";

fn served(profile: &str) -> Process {
    Start::new("serve")
        .env("OPS_ADMIN_TOKEN", TOKEN)
        .env("OPS_ADMIN_PROFILE", profile)
        .env("SPIN", "1")
        .serve()
}

fn ask(service: &Process, path: &str) -> Answer {
    request(service.admin, "GET", path, AUTHORIZED, b"")
}

/// A value of protobuf's wire format: a number or bytes.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// Reads the fields of a message, with their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(value)
            }
            kind => panic!("wire type {kind}"),
        };
        found.push((key >> 3, value));
    }
    found
}

fn number(message: &[u8], field: u64) -> u64 {
    let mut all = fields(message).into_iter();
    all.find_map(|(key, value)| match value {
        Wire::Number(number) if key == field => Some(number),
        _ => None,
    })
    .unwrap_or(0)
}

fn packed(message: &[u8], field: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (key, value) in fields(message) {
        if let (true, Wire::Bytes(mut bytes)) = (key == field, value) {
            while !bytes.is_empty() {
                numbers.push(varint(&mut bytes));
            }
        }
    }
    numbers
}

fn messages(message: &[u8], field: u64) -> Vec<&[u8]> {
    let all = fields(message).into_iter();
    all.filter_map(|(key, value)| match value {
        Wire::Bytes(bytes) if key == field => Some(bytes),
        _ => None,
    })
    .collect()
}

/// Returns the nanoseconds below each function, and of the whole profile, read by the field numbers of `profile.proto`.
fn by_function(profile: &[u8]) -> (HashMap<String, u64>, u64) {
    let texts = messages(profile, 6);
    let text = |id: u64| String::from_utf8_lossy(texts[usize::try_from(id).unwrap()]).into_owned();
    let names = messages(profile, 5).into_iter();
    let names: HashMap<u64, String> = names
        .map(|function| (number(function, 1), text(number(function, 2))))
        .collect();
    let places = messages(profile, 4).into_iter();
    let places: HashMap<u64, Vec<String>> = places
        .map(|place| {
            let lines = messages(place, 4).into_iter();
            let functions = lines.map(|line| names[&number(line, 1)].clone());
            (number(place, 1), functions.collect())
        })
        .collect();
    let (mut spent, mut total) = (HashMap::new(), 0);
    for sample in messages(profile, 2) {
        let nanoseconds = packed(sample, 2)[1];
        total += nanoseconds;
        let stack = packed(sample, 1);
        let functions = stack.iter().flat_map(|place| &places[place]);
        let functions: std::collections::HashSet<_> = functions.collect();
        for function in functions {
            *spent.entry(function.clone()).or_default() += nanoseconds;
        }
    }
    (spent, total)
}

/// Takes a profile of a second; returns it without its compression.
fn profile(service: &Process) -> Vec<u8> {
    let answer = exchange(service.admin, "GET", SECOND, AUTHORIZED, b"");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.unwrap() + 4);
    let head = parse(&String::from_utf8_lossy(head));
    assert_eq!(head.status, 200, "{}", head.head);
    assert_eq!(head.header("content-type"), "application/octet-stream");
    let mut profile = Vec::new();
    flate2::read::GzDecoder::new(body)
        .read_to_end(&mut profile)
        .unwrap();
    profile
}

#[test]
fn a_profile_names_the_function_that_uses_the_processor() {
    let service = served("on");
    // on a busy machine, a process may get too little processor time in a second for samples
    let mut taken = (0..30).map(|_| profile(&service));
    let taken = taken.find(|profile| by_function(profile).1 >= ENOUGH);
    let profile = taken.expect("a profile with samples");
    let (spent, total) = by_function(&profile);
    let spin = spent
        .iter()
        .find(|(name, _)| name.contains("spin_for_the_profile"));
    let (_, spin) = spin.unwrap_or_else(|| panic!("{spent:?}"));
    assert!(spin * 2 > total, "{spin} of {total}: {spent:?}");
    // the period of 99 samples a second
    assert_eq!(number(&profile, 12), 10_101_010);
    assert!(number(&profile, 10) >= 1_000_000_000);
    // no value of the environment is included
    assert!(!String::from_utf8_lossy(&profile).contains(TOKEN));
    assert!(service.log().contains("take_profile"), "{}", service.log());
    assert!(service.stop().0.success());
}

#[test]
fn one_profile_is_taken_at_a_time_and_a_client_that_leaves_ends_its_own() {
    use std::io::Write;
    let service = served("on");
    let mut leaves = connect(service.admin);
    let long = "/debug/pprof/profile?seconds=30";
    write!(
        leaves,
        "GET {long} HTTP/1.1\r\nHost: localhost\r\n{AUTHORIZED}\r\n"
    )
    .unwrap();
    let busy = crate::client::until(|| ask(&service, SECOND), |answer| answer.status == 409);
    assert!(
        busy.body.contains("only one runs at a time"),
        "{}",
        busy.body
    );
    drop(leaves);
    crate::client::until(|| ask(&service, SECOND), |answer| answer.status == 200);
    assert!(service.stop().0.success());
}

#[test]
fn a_profile_has_to_be_switched_on_and_needs_a_token() {
    let off = served("off");
    let answer = ask(&off, SECOND);
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("OPS_ADMIN_PROFILE=on"),
        "{}",
        answer.body
    );
    let open = Start::new("serve").env("OPS_ADMIN_PROFILE", "on").serve();
    let answer = ask(&open, SECOND);
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("OPS_ADMIN_TOKEN"), "{}", answer.body);
    let reason = Start::new("serve")
        .env("OPS_ADMIN_PROFILE", "yes")
        .refused();
    assert!(
        reason.contains("OPS_ADMIN_PROFILE") && reason.contains("on or off"),
        "{reason}"
    );
}

#[test]
fn a_profile_takes_1_to_30_seconds() {
    let service = served("on");
    for wrong in ["0", "31", "-1", "1.5", "ten", "99999999999999999999"] {
        let answer = ask(&service, &format!("/debug/pprof/profile?seconds={wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
        assert!(answer.body.contains("seconds must be"), "{}", answer.body);
    }
    let answer = ask(&service, "/debug/pprof/profile?hz=1000");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("seconds"), "{}", answer.body);
    let unknown = request(service.admin, "GET", SECOND, "", b"");
    assert_eq!(unknown.status, 401);
}
