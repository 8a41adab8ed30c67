use std::net::TcpListener;
use std::time::{Duration, Instant};

use ops_secrets::{AwsMode, ErrorKind, SecretSource, Secrets};

use crate::{SOON, assert_within, config};

#[test]
fn fifty_names_without_any_hint_at_aws_send_no_packet_and_take_under_fifty_milliseconds() {
    let metadata = TcpListener::bind("127.0.0.1:0").unwrap();
    metadata.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", metadata.local_addr().unwrap());
    let lines = (0..50)
        .map(|n| format!("  s{n}: {{aws_path: /a/s{n}}}\n"))
        .collect::<String>();
    let config = config().catalog_text(format!("secrets:\n{lines}"));
    let config = config.metadata_endpoint(&endpoint).endpoint_url(&endpoint);
    assert_within(Duration::from_millis(50), || {
        let secrets = Secrets::new(config.clone()).unwrap();
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
        assert!(secrets.report().aws.contains("not queried"));
        took
    });
    assert_eq!(
        metadata.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
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
    let config = config.endpoint_url(&endpoint);
    assert_within(Duration::from_secs(2), || {
        let secrets = Secrets::new(config.clone()).unwrap();
        let start = Instant::now();
        for name in ["mapbox_token", "registry_api_key", "mapbox_token"] {
            assert_eq!(
                secrets.get(name).or("local").blocking().unwrap().source(),
                SecretSource::Default
            );
        }
        start.elapsed()
    });
}

#[test]
fn switched_on_fifty_names_behind_silent_metadata_cost_one_wait_and_no_more() {
    let metadata = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", metadata.local_addr().unwrap());
    let lines = (0..50).map(|n| format!("  s{n}: {{aws_path: /a/s{n}}}\n"));
    let catalog = format!("secrets:\n{}", lines.collect::<String>());
    let config = config().catalog_text(catalog).aws(AwsMode::On);
    let config = config.region("us-east-1").metadata_endpoint(&endpoint);
    let config = config.endpoint_url(&endpoint);
    assert_within(ops_secrets::DEFAULT_DEADLINE, || {
        // far later than a response on a busy machine
        let secrets = Secrets::new(config.clone().deadline(SOON)).unwrap();
        let start = Instant::now();
        for n in 0..50 {
            let error = secrets
                .get(&format!("s{n}"))
                .or("never")
                .blocking()
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        assert_eq!(secrets.stats().ssm_lookups, 1);
        start.elapsed()
    });
}

#[test]
fn a_missing_region_is_named_in_the_error() {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let secrets = Secrets::new(config().aws(AwsMode::On).environment(keys)).unwrap();
    let error = secrets
        .get("mapbox_token")
        .or("never")
        .blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("AWS_REGION"), "{error}");
}

#[test]
fn hints_enable_aws_and_their_absence_or_off_disables_it() {
    let credentials = tempfile::NamedTempFile::new().unwrap();
    let file = credentials.path().to_str().unwrap();
    let open = [
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "half of a pair"),
        ("AWS_PROFILE", "dev"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"),
        ("AWS_SHARED_CREDENTIALS_FILE", file),
        ("AWS_CONFIG_FILE", file),
    ];
    let asked = |name: &str, value: &str, mode| {
        let config = config().environment([(name, value)]).aws(mode);
        Secrets::new(config)
            .unwrap()
            .report()
            .aws
            .starts_with("queried")
    };
    for (name, value) in open {
        assert!(asked(name, value, AwsMode::Auto), "{name}");
        assert!(!asked(name, value, AwsMode::Off), "{name}");
        assert!(!asked(name, " ", AwsMode::Auto), "{name} is blank");
    }
    let vendor = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(vendor.path(), "Amazon EC2\n").unwrap();
    let ec2 = |variables: &[(&str, &str)]| {
        let config = config()
            .dmi_path(vendor.path())
            .environment(variables.iter().copied());
        Secrets::new(config)
            .unwrap()
            .report()
            .aws
            .starts_with("queried")
    };
    assert!(ec2(&[]));
    assert!(!ec2(&[("AWS_EC2_METADATA_DISABLED", "true")]));
}

#[test]
fn a_refused_connection_is_an_error_where_aws_is_on_and_passed_over_in_automatic_mode() {
    let (closed, _listener, _held) = crate::reach::closed();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    for mode in [AwsMode::Auto, AwsMode::On] {
        let config = config().aws(mode).region("us-east-1").environment(keys);
        let secrets = Secrets::new(config.endpoint_url(&closed)).unwrap();
        for _ in 0..3 {
            let asked = secrets.get("mapbox_token").or("local").blocking();
            match mode {
                AwsMode::Auto => assert_eq!(asked.unwrap().source(), SecretSource::Default),
                _ => assert_eq!(asked.unwrap_err().kind(), ErrorKind::Transient),
            }
        }
        assert_eq!(secrets.stats().ssm_lookups, 1, "{mode:?}");
    }
}
