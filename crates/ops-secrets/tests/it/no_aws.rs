use std::net::TcpListener;
use std::time::{Duration, Instant};

use ops_secrets::{AwsMode, ErrorKind, SecretSource, Secrets};

use crate::config;

#[test]
fn fifty_names_without_any_hint_at_aws_send_no_packet_and_take_under_fifty_milliseconds() {
    let metadata = TcpListener::bind("127.0.0.1:0").unwrap();
    metadata.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", metadata.local_addr().unwrap());
    let lines = (0..50)
        .map(|n| format!("  s{n}: {{aws_path: /a/s{n}}}\n"))
        .collect::<String>();
    let config = config().catalogue_text(format!("secrets:\n{lines}"));
    let secrets =
        Secrets::new(config.metadata_endpoint(&endpoint).endpoint_url(&endpoint)).unwrap();
    let start = Instant::now();
    for n in 0..50 {
        let secret = secrets
            .get(&format!("s{n}"))
            .or("local")
            .blocking()
            .unwrap();
        assert_eq!(secret.source(), SecretSource::Default);
    }
    let took = start.elapsed();
    assert!(took < Duration::from_millis(50), "{took:?}");
    assert_eq!(
        metadata.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    assert!(secrets.report().aws.contains("not asked"));
}

#[test]
fn a_machine_that_says_ec2_but_whose_metadata_never_answers_costs_one_short_wait() {
    let metadata = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", metadata.local_addr().unwrap());
    let vendor = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(vendor.path(), "Amazon EC2\n").unwrap();
    let config = config()
        .dmi_path(vendor.path())
        .region("us-east-1")
        .metadata_endpoint(&endpoint);
    let secrets = Secrets::new(config.endpoint_url(&endpoint)).unwrap();
    let start = Instant::now();
    for name in ["mapbox_token", "registry_api_key", "mapbox_token"] {
        assert_eq!(
            secrets.get(name).or("local").blocking().unwrap().source(),
            SecretSource::Default
        );
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn switched_on_an_unreachable_aws_is_an_error() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let config = config()
        .aws(AwsMode::On)
        .region("us-east-1")
        .environment(keys);
    let secrets = Secrets::new(config.endpoint_url(format!("http://{closed}"))).unwrap();
    let error = secrets
        .get("mapbox_token")
        .or("local")
        .blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}
