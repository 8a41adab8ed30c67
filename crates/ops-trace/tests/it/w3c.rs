//! The headers of W3C trace context, levels 1 and 2, through the service of the
//! W3C suite: headers of a request, and headers of the requests that it causes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use ops_trace::{Config, Tracer};
use parking_lot::Mutex;
use tokio::net::TcpListener;

#[path = "../../examples/w3c_service.rs"]
#[expect(dead_code, reason = "its main is not run")]
mod service;

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// The service, and the address that it calls back.
struct Suite {
    service: SocketAddr,
    callback: SocketAddr,
    called: Arc<Mutex<Vec<HeaderMap>>>,
    _tracer: Tracer,
}

impl Suite {
    async fn start() -> Self {
        let config = Config::new("w3c").environment([("OTEL_TRACES_EXPORTER", "none")]);
        let tracer = Tracer::new(config).unwrap();
        let called = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&called);
        let callback = Router::new().route(
            "/{n}",
            post(move |headers: HeaderMap| async move { seen.lock().push(headers) }),
        );
        Self {
            service: serve(service::app(tracer.handle())).await,
            callback: serve(callback).await,
            called,
            _tracer: tracer,
        }
    }

    /// Sends these headers, and returns `traceparent` and `tracestate` of each of the callbacks.
    async fn calls(&self, headers: &[(&str, &str)], calls: usize) -> Vec<(String, String)> {
        let urls: Vec<String> = (0..calls)
            .map(|n| {
                format!(
                    r#"{{"url": "http://{}/{n}", "arguments": []}}"#,
                    self.callback
                )
            })
            .collect();
        let body = format!("[{}]", urls.join(", "));
        let mut text = format!(
            "POST /test HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let (text, address) = (format!("{text}\r\n{body}"), self.service);
        let exchange = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let answer = tokio::task::spawn_blocking(exchange).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let called = std::mem::take(&mut *self.called.lock());
        assert_eq!(called.len(), calls);
        called.iter().map(contexts).collect()
    }

    async fn call(&self, headers: &[(&str, &str)]) -> (String, String) {
        self.calls(headers, 1).await.remove(0)
    }
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn contexts(headers: &HeaderMap) -> (String, String) {
    let text = |name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} is sent once: {headers:?}");
        value.to_owned()
    };
    let (parent, state) = (text("traceparent"), text("tracestate"));
    let parts: Vec<&str> = parent.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    assert_eq!(lengths, [2, 32, 16, 2], "{parent}");
    assert_eq!(parts[0], "00");
    assert!(
        parent
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
    );
    assert!(parts[1] != "0".repeat(32) && parts[2] != "0".repeat(16) && parts[2] != PARENT);
    (parent, state)
}

fn goes_on(parent: &str) -> bool {
    parent[3..35] == *TRACE
}

#[tokio::test]
async fn a_traceparent_that_is_valid_goes_on_and_any_other_begins_a_new_trace() {
    let suite = Suite::start().await;
    let valid = format!("00-{TRACE}-{PARENT}-01");
    let with = |version: &str, trace: &str, parent: &str, flags: &str| {
        format!("{version}-{trace}-{parent}-{flags}")
    };
    for (value, continues) in [
        (valid.clone(), true),
        (with("00", TRACE, PARENT, "00"), true),
        // optional white space
        (format!(" {valid}"), true),
        (format!("\t{valid}"), true),
        (format!("{valid} "), true),
        (format!("{valid}\t"), true),
        (format!("\t {valid} \t"), true),
        // version 00 ends after the flags; later versions may continue after a `-`
        (format!("{valid}."), false),
        (format!("{valid}-what-the-future-will-be-like"), false),
        (with("cc", TRACE, PARENT, "01"), true),
        (
            with("cc", TRACE, PARENT, "01-what-the-future-will-be-like"),
            true,
        ),
        (
            with("cc", TRACE, PARENT, "01.what-the-future-will-be-like"),
            false,
        ),
        (with("ff", TRACE, PARENT, "01"), false),
        // each field: characters, length, zeros
        (with(".0", TRACE, PARENT, "01"), false),
        (with("0.", TRACE, PARENT, "01"), false),
        (with("000", TRACE, PARENT, "01"), false),
        (with("0000", TRACE, PARENT, "01"), false),
        (with("0", TRACE, PARENT, "01"), false),
        (with("00", &"0".repeat(32), PARENT, "01"), false),
        (
            with("00", &format!(".{}", &TRACE[1..]), PARENT, "01"),
            false,
        ),
        (
            with("00", &format!("{}.", &TRACE[..31]), PARENT, "01"),
            false,
        ),
        (with("00", &format!("{TRACE}3"), PARENT, "01"), false),
        (with("00", &TRACE[..31], PARENT, "01"), false),
        (with("00", TRACE, &"0".repeat(16), "01"), false),
        (
            with("00", TRACE, &format!(".{}", &PARENT[1..]), "01"),
            false,
        ),
        (
            with("00", TRACE, &format!("{}.", &PARENT[..15]), "01"),
            false,
        ),
        (with("00", TRACE, &format!("{PARENT}7"), "01"), false),
        (with("00", TRACE, &PARENT[..15], "01"), false),
        (with("00", TRACE, PARENT, ".0"), false),
        (with("00", TRACE, PARENT, "0."), false),
        (with("00", TRACE, PARENT, "001"), false),
        (with("00", TRACE, PARENT, "1"), false),
    ] {
        let (parent, _) = suite.call(&[("traceparent", &value)]).await;
        assert_eq!(goes_on(&parent), continues, "{value:?}: {parent}");
    }
    for name in ["traceparent", "TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        assert!(goes_on(&suite.call(&[(name, &valid)]).await.0), "{name}");
    }
    for name in ["trace-parent", "trace.parent"] {
        assert!(!goes_on(&suite.call(&[(name, &valid)]).await.0), "{name}");
    }
    let other = valid.replace("12345678901234567890123456789012", &"5".repeat(32));
    let (parent, _) = suite
        .call(&[("traceparent", &valid), ("traceparent", &other)])
        .await;
    assert!(!goes_on(&parent) && !parent.contains(&"5".repeat(32)));
    suite.call(&[]).await;
}

#[tokio::test]
async fn sampled_and_random_flags_go_on_and_unknown_ones_are_cleared() {
    let suite = Suite::start().await;
    for (given, sent) in [
        ("00", "00"),
        ("01", "01"),
        ("02", "02"),
        ("03", "03"),
        ("04", "00"),
        ("0b", "03"),
        ("fe", "02"),
        ("ff", "03"),
    ] {
        let value = format!("00-{TRACE}-{PARENT}-{given}");
        let (parent, _) = suite.call(&[("traceparent", &value)]).await;
        assert!(goes_on(&parent), "{parent}");
        assert_eq!(&parent[53..], sent, "{given}");
        let later = format!("cc-{TRACE}-{PARENT}-{given}-more");
        let (parent, _) = suite.call(&[("traceparent", &later)]).await;
        assert_eq!(&parent[53..], sent, "{given}");
    }
}

/// Returns `tracestate` headers of a request, each with the outgoing header; `None` if the list is dropped.
fn states() -> Vec<(Vec<String>, Option<String>)> {
    let one = |state: &str| vec![state.to_owned()];
    let same = |state: &str| (one(state), Some(state.to_owned()));
    let dropped = |state: &str| (one(state), None);
    let members = |n: usize| {
        let members: Vec<String> = (1..=n).map(|n| format!("bar{n:02}={n:02}")).collect();
        members.join(",")
    };
    let (z256, z257) = ("z".repeat(256), "z".repeat(257));
    let (t241, t242, v14, v15) = (
        "t".repeat(241),
        "t".repeat(242),
        "v".repeat(14),
        "v".repeat(15),
    );
    let plain = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let printable: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
    vec![
        same("foo=1,bar=2"),
        // several headers are one list
        (
            vec![
                "foo=1,bar=2".into(),
                "rojo=1,congo=2".into(),
                "baz=3".into(),
            ],
            Some("foo=1,bar=2,rojo=1,congo=2,baz=3".into()),
        ),
        // empty headers and members
        (one(""), None),
        (vec!["foo=1".into(), String::new()], Some("foo=1".into())),
        (vec![String::new(), "foo=1".into()], Some("foo=1".into())),
        (one("foo=1,,bar=2,"), Some("foo=1,bar=2".into())),
        // the first member of a key, which is the newest, is kept
        (one("foo=1,foo=1"), Some("foo=1".into())),
        (one("foo=1,bar=2,foo=2"), Some("foo=1,bar=2".into())),
        (vec!["foo=1".into(), "foo=2".into()], Some("foo=1".into())),
        // all allowed characters
        same(&format!("{plain}={printable}")),
        same(&format!("{plain}@a-z0-9_-*/={printable}")),
        // white space around members
        (
            one("foo=1 \t , \t bar=2, \t baz=3"),
            Some("foo=1,bar=2,baz=3".into()),
        ),
        (
            one("foo=1\t \t,\t \tbar=2,\t \tbaz=3"),
            Some("foo=1,bar=2,baz=3".into()),
        ),
        (one(" foo=1"), Some("foo=1".into())),
        (one("\tfoo=1"), Some("foo=1".into())),
        (one("foo=1 "), Some("foo=1".into())),
        (one("foo=1\t"), Some("foo=1".into())),
        (one("\t foo=1 \t"), Some("foo=1".into())),
        // keys
        dropped("foo =1"),
        dropped("FOO=1"),
        dropped("foo.bar=1"),
        dropped("foo@=1,bar=2"),
        dropped("@foo=1,bar=2"),
        dropped("foo@@bar=1,bar=2"),
        dropped("foo@bar@baz=1,bar=2"),
        dropped("=1,bar=2"),
        dropped("0foo=1,bar=2"), // level 1: without a tenant the first one is a letter
        dropped("foo@0bar=1,bar=2"), // and so it is after the `@`
        same("0foo@bar=1,bar=2"),
        (
            vec!["foo=1".into(), format!("{z256}=1")],
            Some(format!("foo=1,{z256}=1")),
        ),
        (vec!["foo=1".into(), format!("{z257}=1")], None),
        (
            vec!["foo=1".into(), format!("{t241}@{v14}=1")],
            Some(format!("foo=1,{t241}@{v14}=1")),
        ),
        same("t@vvvvvvvvvvvvvv=1"),
        (vec!["foo=1".into(), format!("{t242}@v=1")], None),
        (vec!["foo=1".into(), format!("t@{v15}=1")], None),
        // values
        dropped("foo"),
        dropped("foo=bar=baz"),
        dropped("foo=,bar=3"),
        dropped("foo= ,bar=3"),
        dropped("foo=b\tar"),
        same(&format!("foo={}", "v".repeat(256))),
        dropped(&format!("foo={}", "v".repeat(257))),
        // number and length
        same(&members(32)),
        dropped(&members(33)),
        (
            vec![members(20), "more=1,and=2".into()],
            Some(format!("{},more=1,and=2", members(20))),
        ),
        (
            vec![
                format!("a={}", "v".repeat(254)),
                format!("b={}", "v".repeat(253)),
            ],
            {
                let (a, b) = ("v".repeat(254), "v".repeat(253));
                Some(format!("a={a},b={b}")) // 512 bytes
            },
        ),
        (
            vec![
                format!("a={}", "v".repeat(254)),
                format!("b={}", "v".repeat(254)),
            ],
            None,
        ),
    ]
}

#[tokio::test]
async fn a_tracestate_goes_on_as_a_whole_or_not_at_all() {
    let suite = Suite::start().await;
    for flags in ["00", "01"] {
        let parent = format!("00-{TRACE}-{PARENT}-{flags}");
        for (given, expected) in states() {
            let mut headers = vec![("traceparent", parent.as_str())];
            headers.extend(given.iter().map(|state| ("tracestate", state.as_str())));
            let (sent, state) = suite.call(&headers).await;
            assert!(goes_on(&sent), "the trace goes on in any case: {given:?}");
            assert_eq!(state, expected.unwrap_or_default(), "{given:?}");
        }
    }
    let parent = format!("00-{TRACE}-{PARENT}-00");
    for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
        let (_, state) = suite
            .call(&[("traceparent", &parent), (name, "foo=1")])
            .await;
        assert_eq!(state, "foo=1");
    }
    for name in ["trace-state", "trace.state"] {
        let (_, state) = suite
            .call(&[("traceparent", &parent), (name, "foo=1")])
            .await;
        assert_eq!(state, "");
    }
    let (_, state) = suite.call(&[("tracestate", "foo=1,bar=2")]).await;
    assert_eq!(state, "", "it belongs to a traceparent");
}

#[tokio::test]
async fn each_call_has_a_parent_of_its_own() {
    let suite = Suite::start().await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let zeros = format!("00-{}-{PARENT}-01", "0".repeat(32));
    for (headers, continues) in [
        (vec![("traceparent", parent.as_str())], true),
        (vec![], false),
        (vec![("traceparent", zeros.as_str())], false),
    ] {
        let calls = suite.calls(&headers, 3).await;
        let mut parents: Vec<&str> = calls.iter().map(|(parent, _)| &parent[36..52]).collect();
        parents.sort_unstable();
        parents.dedup();
        assert_eq!(parents.len(), 3);
        assert!(calls.iter().all(|(parent, _)| goes_on(parent) == continues));
        assert!(
            calls
                .iter()
                .all(|(parent, _)| parent[3..35] == calls[0].0[3..35])
        );
    }
}
