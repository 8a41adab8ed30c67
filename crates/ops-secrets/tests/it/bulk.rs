//! Bulk calls at limits and with bad names in them: each name gets its own result.

use std::time::{Duration, Instant};

use ops_secrets::{DEFAULT_DEADLINE, ErrorKind, SecretSource, Secrets};
use serde_json::{Value, json};

use crate::moto::{Moto, aws};
use crate::proxy::{Fault, Proxy, Rule};
use crate::{SOON, assert_within};

/// Both services: every name has the value `value-of-<name>`. A call with a
/// name that contains a word of `bad` fails as a whole with that word's code.
fn service(bad: &'static [(&'static str, &'static str)]) -> impl Fn(&str, &Value) -> (u16, String) {
    refusing(bad, |_| "no".to_owned())
}

/// Same, with a separate message about the names of a call.
fn refusing(
    bad: &'static [(&'static str, &'static str)],
    message: impl Fn(&str) -> String,
) -> impl Fn(&str, &Value) -> (u16, String) {
    move |operation, body| {
        let text = body.to_string();
        if let Some((_, code)) = bad.iter().find(|(word, _)| text.contains(word)) {
            let body = json!({"__type": code, "message": message(&text)});
            return (400, body.to_string());
        }
        let value = |name: &str| format!("value-of-{name}");
        let answer = match operation {
            "GetParameter" => {
                let name = body["Name"].as_str().unwrap();
                json!({"Parameter": {"Name": name, "Value": value(name)}})
            }
            "GetParameters" => {
                let names = body["Names"].as_array().unwrap().iter();
                let names = names.map(|name| name.as_str().unwrap());
                let found: Vec<_> = names
                    .map(|name| json!({"Name": name, "Value": value(name)}))
                    .collect();
                json!({"Parameters": found, "InvalidParameters": []})
            }
            "GetSecretValue" => {
                let name = body["SecretId"].as_str().unwrap();
                json!({"Name": name, "SecretString": value(name)})
            }
            _ => {
                let names = body["SecretIdList"].as_array().unwrap().iter();
                let names = names.map(|name| name.as_str().unwrap());
                let found: Vec<_> = names
                    .map(|name| json!({"Name": name, "SecretString": value(name)}))
                    .collect();
                json!({"SecretValues": found, "Errors": []})
            }
        };
        (200, answer.to_string())
    }
}

/// Returns a denial as AWS words it: it names the first resource that the caller may not read.
fn denial(body: &str) -> String {
    let bad = body.split('"').find(|name| name.ends_with("-bad"));
    format!(
        "User: arn:aws:sts::123456789012:assumed-role/api/i-0 is not authorized to perform: ssm:GetParameters on resource: \
         arn:aws:ssm:us-east-1:123456789012:parameter{} because no identity-based policy allows it",
        bad.unwrap_or_default()
    )
}

/// Creates a catalog of `count` required secrets at one service. One
/// in `bad_every` is called `bad`, at a different position each time.
fn required(count: usize, prefix: &str, bad_every: Option<usize>) -> String {
    let lines = (0..count).map(|n| {
        let word = match bad_every {
            Some(every) if n % every == n / every * 3 % every => "bad",
            _ => "good",
        };
        format!("  s{n:04}: {{aws_path: '{prefix}x/n{n:04}-{word}', required: true}}\n")
    });
    format!("secrets:\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn a_secret_without_a_value_does_not_cost_the_others_of_its_bulk() {
    let Some(moto) = Moto::start() else { return };
    moto.fill(2).await;
    let catalog = "secrets:
  a: {aws_path: 'sm:bulk/s0', default: never}
  b: {aws_path: 'sm:bulk/s1', default: never}
  c: {aws_path: 'sm:empty', default: in-its-place}
";
    let proxy = Proxy::new(Some(&moto.url), Vec::new());
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
    secrets.validate().await.unwrap();
    assert!(proxy.seen().contains(&"BatchGetSecretValue".to_owned()));
    assert_eq!(secrets.get("a").await.unwrap().expose(), "secret-0");
    assert_eq!(secrets.get("b").await.unwrap().expose(), "secret-1");
    let empty = secrets.get("c").await.unwrap();
    assert_eq!(empty.source(), SecretSource::Default);
}

#[test]
fn no_error_of_a_bulk_is_taken_for_the_answer_of_each_name() {
    let rows = [
        ("ssm:/", "ParameterNotFound", None),
        ("ssm:/", "ParameterVersionNotFound", None),
        (
            "ssm:/",
            "AccessDeniedException",
            Some(ErrorKind::AccessDenied),
        ),
        ("ssm:/", "ValidationException", Some(ErrorKind::Config)),
        ("ssm:/", "InternalServerError", Some(ErrorKind::Transient)),
        ("sm:", "ResourceNotFoundException", None),
        ("sm:", "DecryptionFailure", Some(ErrorKind::Decrypt)),
        (
            "sm:",
            "AccessDeniedException",
            Some(ErrorKind::AccessDenied),
        ),
        ("sm:", "SomethingNew", Some(ErrorKind::Transient)),
    ];
    std::thread::scope(|scope| {
        for (prefix, code, kind) in rows {
            scope.spawn(move || {
                let answer = service(Box::leak(Box::new([("bad", code)])));
                let proxy = Proxy::answering(None, answer);
                // one bad name among 24
                let catalog = required(24, prefix, Some(24)).replace("true", "false, default: d");
                let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
                secrets.warm_up_blocking();
                for n in 1..24 {
                    let secret = secrets.get(&format!("s{n:04}")).blocking().unwrap();
                    assert!(secret.expose().starts_with("value-of-"), "{code}: s{n:04}");
                }
                let bad = secrets.get("s0000").blocking();
                assert_eq!(
                    bad.as_ref().err().map(|error| error.kind()),
                    kind,
                    "{code}: {bad:?}"
                );
            });
        }
    });
}

#[test]
fn names_that_a_bulk_answer_does_not_mention_are_asked_for_singly() {
    let proxy = Proxy::answering(None, |operation, body| match operation {
        "GetParameters" | "BatchGetSecretValue" => (200, "{}".into()),
        operation => service(&[])(operation, body),
    });
    let catalog = "secrets: {a: {aws_path: 'ssm:/a', default: d}, b: {aws_path: 'ssm:/b', default: d}, c: {aws_path: 'sm:c', default: d}, d: {aws_path: 'sm:d', default: d}}";
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
    secrets.warm_up_blocking();
    for (name, value) in [("a", "/a"), ("b", "/b"), ("c", "c"), ("d", "d")] {
        let secret = secrets.get(name).blocking().unwrap();
        assert_eq!(secret.expose(), format!("value-of-{value}"));
    }
}

#[test]
fn one_denied_one_deleted_and_one_throttled_name_change_no_other_answer() {
    let proxy = Proxy::answering(
        None,
        service(&[
            ("n0003", "AccessDeniedException"),
            ("n0011", "ParameterNotFound"),
            ("n0017", "ThrottlingException"),
        ]),
    );
    let catalog = required(40, "ssm:/", None);
    let config = aws(&proxy.url).catalog_text(catalog);
    // the throttled name is requested until then
    let secrets = Secrets::new(config.deadline(Duration::from_secs(6))).unwrap();
    secrets.warm_up_blocking();
    for n in 0..40 {
        let asked = secrets.get(&format!("s{n:04}")).blocking();
        let kind = asked.as_ref().err().map(|error| error.kind());
        let expected = match n {
            3 => Some(ErrorKind::AccessDenied),
            11 => Some(ErrorKind::Missing),
            17 => Some(ErrorKind::Throttled),
            _ => None,
        };
        assert_eq!(kind, expected, "{n}: {asked:?}");
    }
}

#[test]
fn hundreds_of_secrets_resolve_at_forty_requests_a_second() {
    let long = std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1");
    // the bucket holds the requests of one second, and the calls outlast it
    let rows: &[(usize, f64)] = if long {
        &[(500, 40.0), (1000, 40.0)]
    } else {
        &[(300, 20.0)]
    };
    for (count, per_second) in rows {
        assert_within(DEFAULT_DEADLINE, || {
            let proxy = Proxy::answering(Some(*per_second), service(&[]));
            let catalog = required(*count, "ssm:/", None);
            let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
            let start = Instant::now();
            secrets.validate_blocking().unwrap();
            let (took, requests) = (start.elapsed(), proxy.seen().len());
            println!("{count} secrets: {took:?}, {requests} requests");
            took
        });
    }
}

#[test]
fn a_bad_name_in_each_bulk_at_forty_requests_a_second_costs_requests_and_no_secret() {
    let long = std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1");
    let rows: &[(usize, &str, usize)] = if long {
        &[(1000, "ssm:/", 10), (1000, "sm:", 20), (500, "ssm:/", 10)]
    } else {
        &[(60, "ssm:/", 10)]
    };
    for (count, prefix, every) in rows {
        let proxy = Proxy::answering(Some(40.0), service(&[("bad", "AccessDeniedException")]));
        let catalog = required(*count, prefix, Some(*every));
        let config = aws(&proxy.url).catalog_text(catalog);
        let secrets = Secrets::new(config.deadline(SOON)).unwrap();
        let start = Instant::now();
        let error = secrets.validate_blocking().unwrap_err();
        println!(
            "{count} at {prefix}: {:?}, {} requests",
            start.elapsed(),
            proxy.seen().len()
        );
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
        let bad = count / every;
        assert!(
            error
                .to_string()
                .contains(&format!("{bad} required secrets")),
            "{error}"
        );
    }
}

/// Counts the requests with one bad name in each bulk, and no other failures.
#[test]
fn a_bad_name_is_found_with_few_requests() {
    const BAD: &[(&str, &str)] = &[("bad", "AccessDeniedException")];
    let requests = |proxy: Proxy, prefix: &str, every: usize| {
        let catalog = required(20 * every, prefix, Some(every));
        let config = aws(&proxy.url).catalog_text(catalog);
        let secrets = Secrets::new(config.deadline(SOON)).unwrap();
        let error = secrets.validate_blocking().unwrap_err();
        assert!(error.to_string().contains("20 required secrets"), "{error}");
        proxy.seen().len()
    };
    // twenty bulks: splitting in halves, and requesting each, took 152 and 192 requests on average
    for (prefix, every, at_most) in [("ssm:/", 10, 135), ("sm:", 20, 165)] {
        let counted = requests(Proxy::answering(None, service(BAD)), prefix, every);
        println!("20 bulks of {every} at {prefix}, one bad name in each: {counted} requests");
        assert!(counted <= at_most, "{prefix}: {counted}");
    }
    // the bulk, the name in the denial, and the nine others
    let proxy = Proxy::answering(None, refusing(BAD, denial));
    assert_eq!(requests(proxy, "ssm:/", 10), 60);
}

#[test]
fn a_bulk_call_that_the_policy_denies_is_not_repeated() {
    let proxy = Proxy::answering(None, |operation, body| match operation {
        "GetParameters" => {
            let first = body["Names"][0].as_str().unwrap();
            let message = denial(&format!("\"{first}-bad\"")).replace("-bad", "");
            let body = json!({"__type": "AccessDeniedException", "message": message});
            (400, body.to_string())
        }
        operation => service(&[])(operation, body),
    });
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(required(100, "ssm:/", None)));
    secrets.unwrap().validate_blocking().unwrap();
    assert_eq!(proxy.count("GetParameter"), 100);
    assert!(proxy.count("GetParameters") <= 20, "{:?}", proxy.seen());
}

#[test]
fn cold_lookups_that_begin_together_share_their_requests() {
    let proxy = Proxy::answering(None, service(&[]));
    let catalog = required(50, "ssm:/", None);
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let names: Vec<String> = (0..50).map(|n| format!("s{n:04}")).collect();
        let asked = names.into_iter().map(|name| {
            let secrets = secrets.clone();
            tokio::spawn(async move { secrets.get(&name).await.unwrap() })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert!(asked.await.unwrap().expose().starts_with("value-of-"));
        }
    });
    // at best five bulk calls; on a busy machine the callers may be spread over more
    assert!(proxy.seen().len() <= 20, "{:?}", proxy.seen());
}

#[test]
fn a_connection_that_breaks_once_is_tried_again() {
    for operation in ["GetParameters", "GetParameter"] {
        let first = std::sync::atomic::AtomicBool::new(true);
        let proxy = Proxy::answering(None, move |operation, body| {
            match first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                true => (503, "{}".into()),
                false => service(&[])(operation, body),
            }
        });
        let count = if operation == "GetParameters" { 10 } else { 1 };
        let catalog = required(count, "ssm:/", None);
        let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
        secrets.validate_blocking().unwrap();
        assert_eq!(proxy.seen(), [operation, operation]);
    }
    let rule = Rule {
        operation: "",
        text: "",
        fault: Fault::HangUp,
    };
    let proxy = Proxy::new(None, vec![rule]);
    let secrets = Secrets::new(aws(&proxy.url)).unwrap();
    secrets.get("mapbox_token").blocking().unwrap_err();
    assert_eq!(proxy.seen().len(), 2);
}

/// Fills a listener's queue, so that it drops the first packet, which Linux resends after one second.
#[test]
fn a_lost_first_packet_is_waited_for() {
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let short = Duration::from_millis(50);
    // fills the queue of unaccepted connections, until packets are dropped; a busy machine may exceed the time once
    let (mut held, mut dropped) = (Vec::new(), 0);
    while dropped < 3 {
        match TcpStream::connect_timeout(&address, short) {
            Ok(stream) => {
                held.push(stream);
                dropped = 0;
            }
            Err(_) => dropped += 1,
        }
        if held.len() > 10_000 {
            return; // no packet is dropped here
        }
    }
    std::thread::spawn(move || {
        wait_for_a_lost_packet(address.port());
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_late(stream));
        }
    });
    let catalog = "secrets: {a: {aws_path: 'ssm:/a'}}";
    let config = aws(&format!("http://{address}")).deadline(DEFAULT_DEADLINE);
    let secrets = Secrets::new(config.catalog_text(catalog)).unwrap();
    let asked = secrets.get("a").blocking();
    drop(held);
    assert_eq!(asked.unwrap().expose(), "late");
}

fn answer_late(mut stream: std::net::TcpStream) {
    use std::io::{Read, Write};
    let mut seen = [0_u8; 4096];
    if stream.read(&mut seen).is_ok_and(|read| read > 0) {
        let answer = "{\"Parameter\":{\"Name\":\"/a\",\"Value\":\"late\"}}";
        let length = answer.len();
        let head = "content-type: application/x-amz-json-1.1\r\nconnection: close";
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\ncontent-length: {length}\r\n\r\n");
        let _ = stream.write_all((head + answer).as_bytes());
    }
}

/// Returns once a connection to this port has sent its first packet without a response.
fn wait_for_a_lost_packet(port: u16) {
    let place = format!(":{port:04X} 02 ");
    crate::wait_until(|| {
        std::fs::read_to_string("/proc/net/tcp").is_ok_and(|table| table.contains(&place))
    });
}
