//! AWS behind a connection that cannot be opened, or that ends too early.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use ops_secrets::{AwsMode, Config, ErrorKind, SecretSource, Secrets};

use crate::moto::aws;

const FAR: &str = "arn:aws:ssm:eu-central-1:123456789012:parameter/far";

/// Returns an address at which nothing listens as long as both sockets are held.
pub(crate) fn closed() -> (String, TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = format!("http://{}", held.local_addr().unwrap());
    (address, listener, held)
}

fn automatic(url: &str) -> Config {
    aws(url).aws(AwsMode::Auto).catalog_text("")
}

#[test]
fn another_region_that_is_not_reached_costs_the_others_nothing() {
    let (url, _listener, _held) = closed();
    let secrets = Secrets::new(
        automatic(&url)
            .secret("far", FAR)
            .secret("near", "ssm:/near"),
    );
    let secrets = secrets.unwrap();
    // the default would hide that the region is unreachable
    let error = secrets.get("far").or("never").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error.to_string().contains("cannot connect to eu-central-1"),
        "{error}"
    );
    // the own region is still queried: the service is not treated as unreachable
    let near = secrets.get("near").or("local").blocking().unwrap();
    assert_eq!(near.source(), SecretSource::Default);
    assert_eq!(secrets.stats().ssm_lookups, 2);
    secrets.invalidate("near");
    let near = secrets.get("near").or("local").blocking().unwrap();
    assert_eq!(near.source(), SecretSource::Default);
    assert_eq!(secrets.stats().ssm_lookups, 2, "that one was");
}

#[test]
fn a_connection_that_is_reset_after_it_was_made_is_not_an_unreachable_service() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // closing with unread bytes causes a reset
            let _ = stream.read(&mut [0]);
        }
    });
    let config = automatic(&url).secret("a", "ssm:/a").secret("b", "ssm:/b");
    let secrets = Secrets::new(config).unwrap();
    for (name, lookups) in [("a", 1), ("b", 2)] {
        let error = secrets.get(name).or("never").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        assert!(error.to_string().contains("connection was lost"), "{error}");
        assert_eq!(secrets.stats().ssm_lookups, lookups);
    }
}
