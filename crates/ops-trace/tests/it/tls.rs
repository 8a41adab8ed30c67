//! Collectors with TLS, with certificates made here, and proxies.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

use ops_trace::testing::Collector;
use ops_trace::{Config, Tracer, span};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::lines::lines_of;
use crate::{SOON, assert_balanced, flush_all};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Creates a certificate of this authority for `localhost`, with its key.
fn certificate(authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// Files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Terminates TLS in front of a collector, and forwards each request.
struct Front {
    collector: Collector,
    port: u16,
    /// Number of accepted connections, with TLS or not.
    connections: Arc<AtomicUsize>,
}

impl Front {
    /// Starts the front; `clients` is the authority of the client certificates it requires.
    fn start(server: &Authority, clients: Option<&Authority>) -> Self {
        let (certificate, key) = certificate(server);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap();
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let collector = Collector::start().unwrap();
        let address = collector.endpoint().replace("http://", "");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let port = listen(move |stream| {
            count.fetch_add(1, SeqCst);
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            pass_on(StreamOwned::new(connection, stream), &address)
        });
        Self {
            collector,
            port,
            connections,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

/// Listens on a free port until the process ends, with a thread for each connection.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // some tests expect a failed handshake
            std::thread::spawn(move || drop(serve(stream)));
        }
    });
    port
}

fn pass_on(tls: impl Read + Write, collector: &str) -> io::Result<()> {
    let mut client = BufReader::new(tls);
    let mut upstream = BufReader::new(TcpStream::connect(collector)?);
    while let Some(request) = message(&mut client)? {
        upstream.get_mut().write_all(&request)?;
        let Some(answer) = message(&mut upstream)? else {
            return Ok(());
        };
        client.get_mut().write_all(&answer)?;
    }
    Ok(())
}

/// Returns head and body of a request or response with a length; `None` at the end.
fn message(stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let (mut text, mut length) = (Vec::new(), 0);
    loop {
        let before = text.len();
        if stream.read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&text[before..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            let head = text.len();
            text.resize(head + length, 0);
            stream.read_exact(&mut text[head..])?;
            return Ok(Some(text));
        }
    }
}

/// Returns how many of three spans arrive, and the lines logged at the start.
fn exported(url: &str, variables: &[(&str, &str)]) -> (u64, Vec<String>) {
    let config = Config::new("tls").endpoint(url);
    let config = config.environment(variables.iter().copied());
    let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
    for _ in 0..3 {
        drop(span!(tracer: tracer, "a"));
    }
    flush_all(&tracer);
    let stats = tracer.stats();
    assert_balanced(&stats);
    (stats.exported, lines)
}

#[test]
fn a_private_ca_is_trusted_by_either_variable() {
    let (ca, other, files) = (authority(), authority(), Files::new());
    let front = Front::start(&ca, None);
    let (ca, other) = (
        files.put("ca.pem", ca.pem()),
        files.put("other.pem", other.pem()),
    );
    let both = files.put(
        "both.pem",
        [fs::read(&other).unwrap(), fs::read(&ca).unwrap()].concat(),
    );
    let general = "OTEL_EXPORTER_OTLP_CERTIFICATE";
    let special = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE";
    for (variables, arrive) in [
        (vec![], 0),
        (vec![(general, &*ca)], 3),
        (vec![(special, &*ca)], 3),
        (vec![(special, &*ca), (general, &*other)], 3),
        (vec![(special, &*other), (general, &*ca)], 0),
        (vec![("SSL_CERT_FILE", &*ca)], 3),
        (vec![(general, &*other), ("SSL_CERT_FILE", &*ca)], 3),
        (vec![(general, &*ca), ("SSL_CERT_FILE", &*other)], 3),
        (vec![(general, &*both)], 3),
        (vec![("SSL_CERT_FILE", &*other)], 0),
    ] {
        let (exported, lines) = exported(&front.url(), &variables);
        assert_eq!(exported, arrive, "{variables:?}");
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }
    assert_eq!(front.collector.spans().len(), 21);
}

#[test]
fn a_certificate_that_is_not_trusted_is_not_tried_again() {
    let front = Front::start(&authority(), None);
    let (sent, _) = exported(&front.url(), &[]);
    assert_eq!((sent, front.connections.load(SeqCst)), (0, 1));
}

/// Returns the cause of the failure of one batch.
fn failure(url: &str, variables: &[(&str, &str)]) -> String {
    let config = Config::new("tls").endpoint(url).export_timeout(SOON);
    let tracer = Tracer::new(config.environment(variables.iter().copied())).unwrap();
    drop(span!(tracer: tracer, "a"));
    flush_all(&tracer);
    tracer.export_health().last_failure.unwrap()
}

#[test]
fn the_cause_of_a_failed_handshake_says_where_to_look() {
    let (ca, files) = (authority(), Files::new());
    let trusted = files.put("ca.pem", ca.pem());
    let trust = ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*trusted);
    let open = Front::start(&ca, None);
    let closed = Front::start(&ca, Some(&authority()));
    let by_address = format!("https://127.0.0.1:{}", open.port);
    let plain = listen(|mut stream| {
        stream.read_exact(&mut [0; 100])?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let plain = format!("https://localhost:{plain}");
    let proxied = [trust, ("HTTPS_PROXY", "http://127.0.0.1:9")];
    for (url, variables, says) in [
        (
            open.url(),
            &[][..],
            "check that OTEL_EXPORTER_OTLP_CERTIFICATE contains the collector's CA",
        ),
        (
            closed.url(),
            &[trust],
            "set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE to a certificate that the collector accepts",
        ),
        (
            plain,
            &[trust],
            "check that the collector uses TLS on that port",
        ),
        (
            open.url(),
            &proxied,
            "check that the proxy in HTTPS_PROXY is reachable",
        ),
    ] {
        let cause = failure(&url, variables);
        assert!(cause.ends_with(says), "{cause}");
    }
    let cause = failure(&by_address, &[trust]);
    assert!(
        cause.contains("not valid for name") && !cause.contains("OTEL_"),
        "{cause}"
    );
}

#[test]
fn a_client_certificate_is_shown() {
    let (server, clients, files) = (authority(), authority(), Files::new());
    let front = Front::start(&server, Some(&clients));
    let server = files.put("server.pem", server.pem());
    let (certificate, key) = certificate(&clients);
    let certificate = files.put("client.pem", certificate.pem());
    let key = files.put("client.key", key.serialize_pem());
    let trust = ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*server);
    let (without, _) = exported(&front.url(), &[trust]);
    assert_eq!(without, 0);
    for prefix in ["OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"] {
        let names = ["CLIENT_CERTIFICATE", "CLIENT_KEY"].map(|name| format!("{prefix}{name}"));
        let (with, lines) = exported(
            &front.url(),
            &[trust, (&names[0], &certificate), (&names[1], &key)],
        );
        assert_eq!((with, lines.len()), (3, 1), "{lines:#?}");
    }
    assert_eq!(front.collector.spans().len(), 6);
}

#[test]
fn a_file_that_cannot_be_used_is_logged_at_the_start_and_nothing_panics() {
    let (ca, files) = (authority(), Files::new());
    let front = Front::start(&ca, None);
    let (certificate, key) = certificate(&ca);
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    let certificate = files.put("c.pem", certificate.pem());
    let key = files.put("c.key", key.serialize_pem());
    let ca = files.put("ca.pem", ca.pem());
    let (missing, folder) = ("/does/not/exist.pem", files.0.path().to_str().unwrap());
    let empty = files.put("empty.pem", "");
    let junk = files.put(
        "junk.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let binary = files.put("binary.pem", [0, 159, 146, 150]);
    let other_key = files.put("other.key", other_key);
    let trust = "OTEL_EXPORTER_OTLP_CERTIFICATE";
    let (chain, private) = (
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    );
    for path in [missing, folder, &empty, &junk, &binary, &key] {
        for variable in [trust, "SSL_CERT_FILE"] {
            let (sent, lines) = exported(&front.url(), &[(variable, path)]);
            assert_eq!((sent, lines.len()), (0, 2), "{variable} {path}: {lines:#?}");
            let start =
                format!("WARN ops_trace variable_not_usable variable={variable} value={path}");
            assert!(lines[0].starts_with(&start), "{lines:#?}");
        }
    }
    // the remaining settings work: the server asks for no client certificate
    for (variables, wrong) in [
        (vec![(chain, &*certificate)], chain),
        (vec![(private, &*key)], private),
        (vec![(chain, missing), (private, &*key)], chain),
        (vec![(chain, &*certificate), (private, missing)], private),
        (
            vec![(chain, &*certificate), (private, &*other_key)],
            private,
        ),
        (
            vec![(chain, &*certificate), (private, &*certificate)],
            private,
        ),
        (vec![(chain, &*key), (private, &*key)], chain),
        (vec![("SSL_CERT_FILE", &*empty)], "SSL_CERT_FILE"),
    ] {
        let variables: Vec<_> = [(trust, &*ca)].into_iter().chain(variables).collect();
        let (sent, lines) = exported(&front.url(), &variables);
        assert_eq!((sent, lines.len()), (3, 2), "{variables:?}: {lines:#?}");
        assert!(
            lines[0].contains(&format!("variable={wrong} ")),
            "{lines:#?}"
        );
    }
    let (_, lines) = exported("http://127.0.0.1:9", &[(trust, missing)]);
    assert_eq!(lines.len(), 1, "of no concern without TLS: {lines:#?}");
}

#[test]
fn an_error_in_a_file_is_logged_without_a_part_of_a_key() {
    let (ca, files) = (authority(), Files::new());
    let (certificate, key) = certificate(&ca);
    let certificate = files.put("c.pem", certificate.pem());
    let key = key.serialize_pem();
    let part = key.lines().nth(1).unwrap();
    let numbers = format!("{:?}", &part.as_bytes()[..16]);
    let numbers = numbers.trim_matches(['[', ']']);
    let line_breaks = "check the line breaks";
    let encrypted = "the key is encrypted; expected a key without a passphrase";
    for (text, says) in [
        (key.replace('\n', "\\n"), line_breaks),
        (key.trim().replace('\n', "\\n"), line_breaks),
        (key.trim().replace('\n', " "), line_breaks),
        (key.replace("-----END", "----END"), line_breaks),
        (key.replace("PRIVATE", "ENCRYPTED PRIVATE"), encrypted),
        (
            key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n\n", 1),
            encrypted,
        ),
        (
            key.replacen(part, &format!("!{part}"), 1),
            "not valid base64",
        ),
        (format!("\"{key}\""), "no private key found"),
        (String::new(), "no private key found"),
    ] {
        let file = files.put("client.key", &text);
        let (chain, private) = (
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &*certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &*file),
        );
        let in_place_of_another = ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*file);
        let config = Config::new("tls").endpoint("https://localhost:1");
        let config = config.environment([chain, private, in_place_of_another]);
        let (_tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
        assert_eq!(lines.len(), 3, "{lines:#?}");
        for line in &lines {
            assert!(!line.contains(part) && !line.contains(numbers), "{line}");
        }
        assert!(
            lines.iter().any(|line| line.contains(says)),
            "{says}: {lines:#?}"
        );
    }
}

/// A proxy that responds to `CONNECT`, for any host, with a tunnel to this port; it counts and stores the requests.
struct Proxy {
    port: u16,
    asked: Arc<parking_lot::Mutex<Vec<String>>>,
}

impl Proxy {
    fn to(port: u16) -> Self {
        let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        let port = listen(move |stream| {
            let mut client = BufReader::new(stream);
            let head = message(&mut client)?.unwrap_or_default();
            seen.lock().push(String::from_utf8(head).unwrap());
            let upstream = TcpStream::connect(target)?;
            client.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            let (mut from, mut to) = (upstream.try_clone()?, client.get_ref().try_clone()?);
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
            });
            let mut upstream = upstream;
            io::copy(&mut client, &mut upstream).map(drop)
        });
        Self { port, asked }
    }
}

#[test]
fn https_goes_through_a_proxy_unless_no_proxy_names_the_host() {
    let (ca, files) = (authority(), Files::new());
    let front = Front::start(&ca, None);
    let proxy = Proxy::to(front.port);
    let ca = files.put("ca.pem", ca.pem());
    let trust = ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ca);
    let url = format!("http://user:pa%20ss@127.0.0.1:{}", proxy.port);
    let plain = format!("127.0.0.1:{}", proxy.port);
    let (port, other_port) = (format!("localhost:{}", front.port), "localhost:1");
    for (variables, through) in [
        (vec![("HTTPS_PROXY", &*url)], true),
        (
            vec![
                ("https_proxy", &*url),
                ("HTTPS_PROXY", "http://127.0.0.1:9"),
            ],
            true,
        ),
        (vec![("HTTPS_PROXY", &*plain)], true),
        (vec![("HTTP_PROXY", &*url)], false),
        (
            vec![
                ("HTTPS_PROXY", &*url),
                ("NO_PROXY", "example.com, 10.0.0.0/8"),
            ],
            true,
        ),
        (
            vec![
                ("HTTPS_PROXY", &*url),
                ("NO_PROXY", "xlocalhost,ocalhost,host"),
            ],
            true,
        ),
        (vec![("HTTPS_PROXY", &*url), ("NO_PROXY", other_port)], true),
        (
            vec![
                ("HTTPS_PROXY", &*url),
                ("NO_PROXY", "example.com, LOCALHOST"),
            ],
            false,
        ),
        (
            vec![
                ("HTTPS_PROXY", &*url),
                ("no_proxy", "localhost"),
                ("NO_PROXY", "x"),
            ],
            false,
        ),
        (
            vec![("HTTPS_PROXY", &*url), ("NO_PROXY", ".localhost")],
            false,
        ),
        (vec![("HTTPS_PROXY", &*url), ("NO_PROXY", "*")], false),
        (vec![("HTTPS_PROXY", &*url), ("NO_PROXY", &*port)], false),
    ] {
        let (before, connections) = (proxy.asked.lock().len(), front.connections.load(SeqCst));
        let all: Vec<_> = [trust].into_iter().chain(variables).collect();
        let (sent, lines) = exported(&front.url(), &all);
        assert_eq!((sent, lines.len()), (3, 1), "{all:?}: {lines:#?}");
        assert_eq!(
            proxy.asked.lock().len() - before,
            usize::from(through),
            "{all:?}"
        );
        assert_eq!(front.connections.load(SeqCst) - connections, 1, "{all:?}");
    }
    let asked = proxy.asked.lock()[0].clone();
    assert!(
        asked.starts_with(&format!("CONNECT localhost:{} ", front.port)),
        "{asked}"
    );
    assert!(asked.contains("Basic dXNlcjpwYSBzcw=="), "{asked}");
}

#[test]
fn networks_and_addresses_are_exceptions_of_a_proxy_too() {
    for (entry, through) in [
        ("127.0.0.1", false),
        ("127.0.0.0/8", false),
        ("127.0.0.2", true),
        ("10.0.0.0/8", true),
        ("0.0.0.0/0", false),
        ("::1", true),
    ] {
        // neither speaks TLS: only the contacted address matters
        let (ask, asked) = mpsc::channel();
        let listen = |is_proxy| {
            let ask = ask.clone();
            listen(move |_| {
                let _ = ask.send(is_proxy);
                Ok(())
            })
        };
        let (none, proxy) = (listen(false), listen(true));
        let proxy = format!("http://127.0.0.1:{proxy}");
        let variables = [
            ("HTTPS_PROXY", &*proxy),
            ("NO_PROXY", entry),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "90"), // no retry
        ];
        let (sent, _) = exported(&format!("https://127.0.0.1:{none}"), &variables);
        assert_eq!(sent, 0);
        // the connection may be accepted after the client has timed out
        assert_eq!(asked.recv_timeout(SOON), Ok(through), "{entry}");
        assert!(asked.try_iter().all(|proxy| proxy == through), "{entry}");
    }
}

#[test]
fn an_invalid_proxy_is_logged_without_its_password() {
    for proxy in [
        "socks5://user:hunter2@proxy:1080",
        "ftp://user:hunter2@proxy",
        "http://user:hunter2@:x",
        "http://user:a#hunter2@proxy:1",
    ] {
        let (_, lines) = exported("https://127.0.0.1:9", &[("HTTPS_PROXY", proxy)]);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("variable=HTTPS_PROXY"), "{lines:#?}");
        assert!(!lines[0].contains("hunter2"), "{lines:#?}");
    }
}
