//! Refused tokens, and responses of intermediaries. The server stands in
//! for OpenBao and Vault: it responds as their API documentation describes.

#[cfg(target_os = "linux")]
use std::io::ErrorKind::TimedOut;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ops_secrets::{ErrorKind, SecretError, Secrets, VaultSource};

use crate::{SOON, config};

const CATALOG: &str = "secrets:
  password: {path: 'db/login#password'}
  other: {path: other/secret}
";
const LOGIN: &str = "/v1/auth/approle/login";
const LOOKUP: &str = "/v1/auth/token/lookup-self";
const RENEW: &str = "/v1/auth/token/renew-self";
const READABLE: &str = r#"{"data":{"data":{"password":"value-of-it"}}}"#;
const DENIED: (u16, &str) = (403, r#"{"errors":["permission denied"]}"#);
const SPENT: (u16, &str) = (400, r#"{"errors":["invalid secret id"]}"#);

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server that serves `db/login` and denies other secrets. `answer` handles the other
    /// paths; it gets the number of such requests before. Status 0 closes the connection instead.
    fn start(answer: impl Fn(&str, usize) -> (u16, &'static str) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, noted) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                std::thread::spawn(move || serve(&client, &*answer, &noted));
            }
        });
        Self { url, seen }
    }

    fn count(&self, path: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| *seen == path).count()
    }

    fn secrets(&self, log_in: impl FnOnce(VaultSource) -> VaultSource) -> Secrets {
        let source = log_in(VaultSource::new(self.url.clone()).unwrap());
        let config = config().catalog_text(CATALOG).deadline(SOON);
        Secrets::new(config.source(source)).unwrap()
    }
}

fn serve(
    mut client: &TcpStream,
    answer: &dyn Fn(&str, usize) -> (u16, &'static str),
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(client);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let before = {
            let mut seen = seen.lock().unwrap();
            let before = seen.iter().filter(|seen| **seen == path).count();
            seen.push(path.clone());
            before
        };
        let (status, body) = match path.as_str() {
            "/v1/secret/data/db/login" => (200, READABLE),
            "/v1/secret/data/other/secret" => DENIED,
            path => answer(path, before),
        };
        if status == 0 {
            return None;
        }
        let length = body.len();
        let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n\r\n");
        client.write_all((head + body).as_bytes()).ok()?;
    }
}

fn role(source: VaultSource) -> VaultSource {
    source.app_role("a-role", "a-secret-id")
}

fn read(secrets: &Secrets, name: &str) -> Result<String, SecretError> {
    let secret = secrets.get(name).ttl_seconds(0.0).blocking()?;
    Ok(secret.expose().to_owned())
}

/// Returns a token for the first login; after that, the secret id is used up.
fn one_login(lease: &'static str, before: usize) -> (u16, &'static str) {
    match before {
        0 => (200, lease),
        _ => SPENT,
    }
}

const LONG: &str =
    r#"{"auth":{"client_token":"the-token","lease_duration":3600,"renewable":true}}"#;

#[test]
fn a_secret_that_is_denied_costs_neither_a_login_nor_the_other_secrets() {
    let server = Server::start(|path, before| match path {
        LOGIN => one_login(LONG, before),
        LOOKUP => (200, r#"{"data":{"ttl":3000,"renewable":true}}"#),
        _ => DENIED,
    });
    let secrets = server.secrets(role);
    assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
    for _ in 0..2 {
        let denied = read(&secrets, "other").unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::AccessDenied, "{denied}");
        assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
    }
    assert_eq!(server.count(LOGIN), 1);
}

#[test]
fn a_login_that_fails_after_a_refusal_leaves_the_token_that_was_there() {
    let server = Server::start(|path, before| match path {
        LOGIN => one_login(LONG, before),
        _ => DENIED,
    });
    let secrets = server.secrets(role);
    assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
    let refused = read(&secrets, "other").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{refused}");
    for part in ["permission denied", "invalid secret id"] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
    assert_eq!(server.count(LOGIN), 2);
}

#[test]
fn a_token_that_may_not_look_itself_up_reads_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "the-token").unwrap();
    let server = Server::start(|_, _| DENIED);
    let ways: [&dyn Fn(VaultSource) -> VaultSource; 2] =
        [&|source| source.token("the-token"), &|source| {
            source.token_file(&file)
        }];
    for way in ways {
        let secrets = server.secrets(way);
        assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
        let refused = read(&secrets, "other").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{refused}");
        assert!(
            refused.to_string().contains("or to look itself up"),
            "{refused}"
        );
        assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
    }
    assert_eq!(server.count(RENEW), 0, "nobody knows its lease");
}

#[test]
fn a_token_that_can_be_neither_renewed_nor_replaced_lives_to_the_end_of_its_lease() {
    // on a busy machine a renewal may come too late
    assert!((0..5).any(|_| outlives_its_renewal()));
}

/// Returns whether a secret is read with a token that is due and cannot be replaced.
fn outlives_its_renewal() -> bool {
    const SHORT: &str =
        r#"{"auth":{"client_token":"the-token","lease_duration":5,"renewable":true}}"#;
    let server = Server::start(|path, before| match path {
        LOGIN => one_login(SHORT, before),
        _ => DENIED,
    });
    let secrets = server.secrets(role);
    assert_eq!(read(&secrets, "password").unwrap(), "value-of-it");
    let start = Instant::now();
    while server.count(LOGIN) < 2 {
        assert!(start.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let (refused, before) = (Instant::now(), server.count(LOGIN));
    let lives = read(&secrets, "password").is_ok_and(|value| value == "value-of-it");
    for _ in 0..5 {
        // on a busy machine the lease may end here
        let _ = read(&secrets, "password");
    }
    // the refused login is not repeated for each read
    let seconds = refused.elapsed().as_secs() as usize;
    assert!(server.count(LOGIN) <= before + seconds + 1);
    lives
}

#[test]
fn a_login_that_is_refused_is_sent_once_for_all_who_wait() {
    let server = Server::start(|_, _| SPENT);
    let secrets = server.secrets(role);
    let start = Instant::now();
    secrets.warm_up_blocking();
    for name in ["password", "other"] {
        let refused = secrets.get(name).blocking().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
        assert!(
            refused.to_string().contains("invalid secret id"),
            "{refused}"
        );
    }
    let seconds = start.elapsed().as_secs() as usize;
    assert!(server.count(LOGIN) <= 1 + seconds, "one each second");
}

#[test]
fn a_login_that_is_refused_after_a_token_was_revoked_is_sent_once_for_all_paths() {
    let server = Server::start(|path, before| match path {
        LOGIN => one_login(LONG, before),
        _ => DENIED,
    });
    let names = ["one", "two", "three"];
    let catalog = names.map(|name| format!("  {name}: {{}}\n")).concat();
    let source = role(VaultSource::new(server.url.clone()).unwrap());
    let catalog = format!("secrets:\n{catalog}");
    let config = config().catalog_text(catalog).deadline(SOON);
    let secrets = Secrets::new(config.source(source)).unwrap();
    let start = Instant::now();
    secrets.warm_up_blocking();
    for name in names {
        let refused = secrets.get(name).blocking().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
        for part in ["the token was refused", "invalid secret id"] {
            assert!(refused.to_string().contains(part), "{refused}");
        }
    }
    // one for the token, then one per second to replace it
    let (logins, seconds) = (server.count(LOGIN), start.elapsed().as_secs() as usize);
    assert!((2..=2 + seconds).contains(&logins), "{logins}");
}

#[test]
fn a_read_that_fails_for_a_moment_is_sent_once_more() {
    let failing = [0, 500, 502, 504];
    let server = Server::start(move |path, before| {
        if path == LOOKUP {
            return DENIED;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        match (name.strip_prefix("twice-").unwrap_or(name).parse(), before) {
            (Ok(status), 0) => (status, ""),
            (Ok(status), 1) if name.starts_with("twice-") => (status, ""),
            _ => (200, READABLE),
        }
    });
    let entry = |status: u16| {
        format!(
            "  s{status}: {{path: '{status}#password'}}\n  t{status}: {{path: 'twice-{status}#password'}}\n"
        )
    };
    let catalog = format!("secrets:\n{}", failing.map(entry).concat());
    let source = VaultSource::new(server.url.clone())
        .unwrap()
        .token("the-token");
    let config = config().catalog_text(catalog).deadline(SOON);
    let secrets = Secrets::new(config.source(source)).unwrap();
    for status in failing {
        assert_eq!(
            read(&secrets, &format!("s{status}")).unwrap(),
            "value-of-it"
        );
        let failed = read(&secrets, &format!("t{status}")).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Transient, "{failed}");
        assert_eq!(server.count(&format!("/v1/secret/data/twice-{status}")), 2);
    }
}

#[test]
fn a_404_from_a_proxy_is_not_an_absent_secret() {
    const NOTHING: &str = r#"{"errors":[]}"#;
    const DELETED: &str = r#"{"data":{"data":null,"metadata":{"destroyed":false}}}"#;
    let server = Server::start(|path, _| match path {
        "/v1/secret/data/absent" => (404, NOTHING),
        "/v1/secret/data/deleted" => (404, DELETED),
        "/v1/secret/data/page" => (404, "<h1>default backend - 404</h1>"),
        "/v1/secret/data/json" => (404, r#"{"message":"no Route matched"}"#),
        "/v1/secret/data/nothing" => (404, ""),
        "/v1/secret/data/moved" => (307, ""),
        _ => DENIED,
    });
    let source = VaultSource::new(server.url.clone()).unwrap();
    let names = ["absent", "deleted", "page", "json", "nothing", "moved"];
    let catalog = names.map(|name| format!("  {name}: {{default: built-in}}\n"));
    let catalog = format!("secrets:\n{}", catalog.concat());
    let config = config().catalog_text(catalog).deadline(SOON);
    let secrets = Secrets::new(config.source(source.token("the-token"))).unwrap();
    for name in ["absent", "deleted"] {
        assert_eq!(read(&secrets, name).unwrap(), "built-in");
    }
    for name in ["page", "json", "nothing", "moved"] {
        let failed = read(&secrets, name).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Transient, "{failed}");
    }
    let failed = read(&secrets, "page").unwrap_err().to_string();
    assert!(failed.contains("check the address"), "{failed}");
    let moved = read(&secrets, "moved").unwrap_err().to_string();
    assert!(moved.contains("307: redirects are not followed"), "{moved}");
}

/// Fills the queue of a listener, which then drops packets as a
/// firewall does, and returns the connections; `None` if it drops none.
#[cfg(target_os = "linux")]
fn fill(listener: &TcpListener) -> Option<Vec<TcpStream>> {
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let mut within = Duration::from_millis(50);
    while held.len() < 10_000 {
        match TcpStream::connect_timeout(&address, within) {
            Ok(stream) => {
                held.push(stream);
                within = Duration::from_millis(50);
            }
            // the packets of the longer attempt did not arrive either, and there were two
            Err(error) if error.kind() == TimedOut && within > Duration::from_secs(1) => {
                return Some(held);
            }
            Err(error) if error.kind() == TimedOut => within = Duration::from_millis(1500),
            Err(_) => return None,
        }
    }
    None
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_nothing_reaches_is_unavailable_and_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(held) = fill(&listener) else { return };
    let address = listener.local_addr().unwrap();
    let short = match cfg!(feature = "vault-tls") {
        true => "https",
        false => "http",
    };
    for (scheme, deadline) in [("http", 5), (short, 1)] {
        let source = VaultSource::new(format!("{scheme}://{address}")).unwrap();
        let deadline = Duration::from_secs(deadline);
        let config = config().catalog_text(CATALOG).deadline(deadline);
        let secrets = Secrets::new(config.source(source.token("the-token"))).unwrap();
        for (name, what) in [
            ("password", "connection timed out"),
            ("other", "not retried yet"),
        ] {
            let failed = read(&secrets, name).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
            assert!(failed.to_string().contains(what), "{failed}");
        }
    }
    drop((held, listener));
}

/// Checks a server whose connections the kernel accepts, but which never responds: it is not unreachable.
#[cfg(feature = "vault-tls")]
#[test]
fn a_server_that_is_slow_at_tls_is_not_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let source = VaultSource::new(format!("https://{address}")).unwrap();
    let deadline = Duration::from_secs(3);
    let config = config().catalog_text(CATALOG).deadline(deadline);
    let secrets = Secrets::new(config.source(source.token("the-token"))).unwrap();
    let failed = read(&secrets, "password").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Transient, "{failed}");
}

#[test]
fn a_404_from_a_proxy_is_not_a_refused_login() {
    let server = Server::start(|path, _| match path {
        LOGIN => (404, "<h1>default backend - 404</h1>"),
        "/v1/auth/elsewhere/login" => (404, r#"{"errors":["no handler for route"]}"#),
        _ => DENIED,
    });
    let failed = read(&server.secrets(role), "password").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Transient, "{failed}");
    assert!(failed.to_string().contains("check the address"), "{failed}");
    let elsewhere = server.secrets(|source| role(source).login_mount("elsewhere"));
    let refused = read(&elsewhere, "password").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{refused}");
    assert!(
        refused.to_string().contains("no handler for route"),
        "{refused}"
    );
}
