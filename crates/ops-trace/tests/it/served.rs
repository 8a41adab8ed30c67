//! A served axum application, and requests as bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use axum::Router;
use axum::routing::{get, post};
use ops_trace::Handle;
use ops_trace::axum::{instrument_axum_with, peer};
use ops_trace::http::ServerSpans;
use tokio::net::TcpListener;

pub(crate) struct Served {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

/// Returns the application; the handler of `/ids` responds with the current trace id.
pub(crate) fn app(spans: ServerSpans) -> Router {
    let router = Router::new()
        .route("/ids", get(|| async { ops_trace::get_current_trace_id() }))
        .route(
            "/users/{id}",
            get(|| async { "user" }).post(|| async { "made" }),
        )
        .route("/orders", post(|| async { "order" }))
        .route(
            "/fails",
            get(|| async { (axum::http::StatusCode::BAD_GATEWAY, "no") }),
        )
        .route(
            "/missing",
            get(|| async { axum::http::StatusCode::NOT_FOUND }),
        )
        .route("/panics", get(panics))
        .route(
            "/healthz",
            get(|| async { ops_trace::get_current_trace_id() }),
        )
        .nest(
            "/api",
            Router::new().route("/items/{item}", get(|| async { "item" })),
        );
    instrument_axum_with(router, spans)
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

pub(crate) fn spans(handle: Handle) -> ServerSpans {
    ServerSpans::new().peer(peer).handle(handle)
}

impl Served {
    pub(crate) async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request line and headers, and reads until the connection is closed.
    pub(crate) async fn send(&self, request: &str, headers: &[(&str, &str)]) -> String {
        let address = self.address;
        let mut text =
            format!("{request} HTTP/1.1\r\nhost: shop.example:8443\r\nconnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let exchange = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // a server that gives up may reset the connection
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap()
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
