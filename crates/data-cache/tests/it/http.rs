use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use data_cache::Config;
use data_cache::http::{CacheLayer, CachedBody};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

const YAML: &str = "http_cache:
  stable_endpoints:
    - path: /api/viz/palette
      max_age: 86400
";

type Answer = Response<CachedBody<Full<Bytes>>>;

async fn send(request: Request<()>, answer: Response<Full<Bytes>>) -> Answer {
    send_with(YAML, request, answer).await
}

async fn send_with(yaml: &str, request: Request<()>, answer: Response<Full<Bytes>>) -> Answer {
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", yaml).unwrap());
    let handler = service_fn(move |_: Request<()>| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer) }
    });
    layer.layer(handler).oneshot(request).await.unwrap()
}

fn get(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

fn with(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn ok(headers: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let mut response = Response::builder();
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from("body")).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Returns the bytes of the whole body.
async fn bytes<B: Body<Error: std::fmt::Debug>>(answer: Response<B>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

const PALETTE: &str = "/api/viz/palette";

#[tokio::test]
async fn a_stable_endpoint_answers_as_the_overview_shows() {
    let answer = send(get(PALETTE), ok(&[])).await;
    assert_eq!(
        header(answer.headers(), "cache-control"),
        "public, max-age=86400"
    );
    let etag = header(answer.headers(), "etag").to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let again = send(
        with(PALETTE, &[("if-none-match", &etag)]),
        ok(&[("content-type", "application/json")]),
    )
    .await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(
        header(again.headers(), "cache-control"),
        "public, max-age=86400"
    );
    assert_eq!(header(again.headers(), "etag"), etag);
    assert!(!again.headers().contains_key("content-type"));
    assert!(bytes(again).await.is_empty());
}

#[tokio::test]
async fn only_the_exact_path_and_only_a_200_to_a_read_is_stable() {
    for path in [
        "/api/viz/palette/",
        "/api/viz/palette-private",
        "/api/viz",
        "/API/viz/palette",
    ] {
        let answer = send(get(path), ok(&[])).await;
        assert_eq!(header(answer.headers(), "cache-control"), "", "{path}");
    }
    let post = Request::post(PALETTE)
        .header("if-none-match", "*")
        .body(())
        .unwrap();
    let answer = send(post, ok(&[("etag", "\"x\"")])).await;
    assert_eq!(
        (answer.status(), header(answer.headers(), "cache-control")),
        (StatusCode::OK, "")
    );
    for status in [404, 500] {
        let mut error = ok(&[("etag", "\"x\"")]);
        *error.status_mut() = StatusCode::from_u16(status).unwrap();
        let answer = send(with(PALETTE, &[("if-none-match", "*")]), error).await;
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(header(answer.headers(), "cache-control"), "no-store");
    }
}

#[tokio::test]
async fn what_may_be_personal_is_private() {
    for name in ["authorization", "cookie"] {
        let answer = send(
            with(PALETTE, &[(name, "x=1")]),
            ok(&[("vary", "accept-encoding")]),
        )
        .await;
        assert_eq!(
            header(answer.headers(), "cache-control"),
            "private, max-age=86400"
        );
        let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert_eq!(vary.len(), 2, "{vary:?}");
    }
    let named = format!("{YAML}  session_cookies: [sid, 'express:sess', 'user[id]']\n");
    for (cookie, whose) in [
        ("theme=dark", "public"),
        ("theme=dark; sid=1", "private"),
        ("xsid=1", "public"),
        ("express:sess=1", "private"),
        ("theme=dark; user[id]=1", "private"),
    ] {
        let answer = send_with(&named, with(PALETTE, &[("cookie", cookie)]), ok(&[])).await;
        let control = header(answer.headers(), "cache-control");
        assert!(control.starts_with(whose), "{cookie}: {control}");
    }
    let answer = send(get(PALETTE), ok(&[("set-cookie", "sid=1")])).await;
    assert_eq!(header(answer.headers(), "cache-control"), "no-store");
    assert!(!answer.headers().contains_key("etag"));
}

#[tokio::test]
async fn what_a_handler_set_stays() {
    let answer = send(
        get(PALETTE),
        ok(&[("cache-control", "no-cache"), ("etag", "\"mine\"")]),
    )
    .await;
    assert_eq!(header(answer.headers(), "cache-control"), "no-cache");
    assert_eq!(header(answer.headers(), "etag"), "\"mine\"");
    let answer = send(get("/other"), ok(&[("cache-control", "no-store")])).await;
    assert!(!answer.headers().contains_key("etag"));
}

#[tokio::test]
async fn static_files_are_cached_for_long_and_pages_are_not() {
    let answer = send(get("/static/app.js"), ok(&[])).await;
    assert_eq!(
        header(answer.headers(), "cache-control"),
        "public, max-age=31536000"
    );
    let answer = send(get("/static/index.html"), ok(&[])).await;
    assert_eq!(header(answer.headers(), "cache-control"), "no-cache");
    let answer = send(get("/static/../secret"), ok(&[])).await;
    assert_eq!(header(answer.headers(), "cache-control"), "");
}

#[tokio::test]
async fn if_none_match_is_read_as_the_rfc_says() {
    let tag = "W/\"a,b\"";
    for (lines, matches) in [
        (vec!["W/\"a,b\""], true),
        (vec!["\"a,b\""], true),
        (vec!["\"x\", \"a,b\""], true),
        (vec!["\"x\"", "W/\"a,b\""], true),
        (vec!["*"], true),
        (vec![" * "], true),
        (vec![", \"x\",, \"a,b\" ,"], true),
        (vec!["\"a\", \"b\""], false),
        (vec!["a,b"], false),
        (vec!["w/\"a,b\""], false),
        (vec!["W\"a,b\""], false),
        (vec!["*, \"a,b\""], false),
        (vec!["\"a,b"], false),
        (vec!["\"a,b\" \"x\""], false),
        (vec![""], false),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("if-none-match", *line)).collect();
        let answer = send(with(PALETTE, &headers), ok(&[("etag", tag)])).await;
        let expected = if matches {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        assert_eq!(answer.status(), expected, "{lines:?}");
    }
    let many = vec!["\"x\""; 70].join(",") + ",\"a,b\"";
    let answer = send(
        with(PALETTE, &[("if-none-match", &many)]),
        ok(&[("etag", tag)]),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let long = format!("\"{}\", \"a,b\"", "x".repeat(9000));
    let answer = send(
        with(PALETTE, &[("if-none-match", &long)]),
        ok(&[("etag", tag)]),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_304_carries_what_the_200_would() {
    let kept = [
        ("cache-control", "max-age=5"),
        ("content-location", "/x"),
        ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
        ("etag", "\"x\""),
        ("expires", "Tue, 15 Nov 1994 08:12:31 GMT"),
        ("vary", "accept"),
        ("x-request-id", "7"),
    ];
    let dropped = [
        ("content-length", "4"),
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
    ];
    let all: Vec<_> = kept.iter().chain(&dropped).copied().collect();
    let answer = send(with("/any", &[("if-none-match", "\"x\"")]), ok(&all)).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    for (name, value) in kept {
        assert_eq!(header(answer.headers(), name), value);
    }
    for (name, _) in dropped {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_response_with_expires_gets_no_max_age() {
    for expires in [
        "0",
        "Tue, 15 Nov 1994 08:12:31 GMT",
        "Wed, 18 May 2033 03:33:20 GMT",
    ] {
        for (path, cookie, control) in [
            (PALETTE, None, ""),
            (PALETTE, Some("sid=1"), "private"),
            ("/static/app.js", None, ""),
            ("/static/app.js", Some("sid=1"), "private"),
            ("/static/index.html", None, "no-cache"),
            ("/static/index.html", Some("sid=1"), "no-cache"),
        ] {
            let request = with(path, cookie.map(|cookie| ("cookie", cookie)).as_slice());
            let answer = send(request, ok(&[("expires", expires)])).await;
            let found = header(answer.headers(), "cache-control");
            assert_eq!(found, control, "{path} {cookie:?}");
            assert!(header(answer.headers(), "vary").contains("cookie"));
            assert_eq!(header(answer.headers(), "expires"), expires);
            assert!(header(answer.headers(), "etag").starts_with("W/"));
        }
        let session = ok(&[("expires", expires), ("set-cookie", "sid=1")]);
        let answer = send(get(PALETTE), session).await;
        assert_eq!(header(answer.headers(), "cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_304_from_the_handler_gets_cache_control() {
    let mut answer = ok(&[("etag", "\"x\"")]);
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    let answer = send(get(PALETTE), answer).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(
        header(answer.headers(), "cache-control"),
        "public, max-age=86400"
    );
}

#[tokio::test]
async fn responses_that_set_a_cookie_are_not_public() {
    for path in [PALETTE, "/static/app.js", "/api/other"] {
        for status in [200, 203, 206, 301, 302, 304, 308] {
            let headers = [("set-cookie", "sid=1"), ("content-type", "text/javascript")];
            let mut answer = ok(&headers);
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            let answer = send(get(path), answer).await;
            let control = header(answer.headers(), "cache-control");
            assert_eq!(control, "no-store", "{path} {status}");
        }
    }
    let mut redirect = ok(&[("location", "/login")]);
    *redirect.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let answer = send(get(PALETTE), redirect).await;
    assert!(!answer.headers().contains_key("cache-control"));
}

#[tokio::test]
async fn a_part_of_an_answer_is_kept_for_as_long_as_the_whole() {
    let part = |media_type: &str| {
        let mut answer = ok(&[
            ("content-type", media_type),
            ("content-range", "bytes 0-3/9"),
        ]);
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        answer
    };
    for (path, media_type, expected) in [
        (PALETTE, "application/json", "public, max-age=86400"),
        ("/static/a.mp4", "video/mp4", "public, max-age=31536000"),
        ("/static/a", "text/html", "no-cache"),
        // the type of the stored resource is unknown: it may be a page
        ("/static/a", "multipart/byteranges; boundary=a", ""),
        ("/api/other", "application/json", ""),
    ] {
        let answer = send(with(path, &[("range", "bytes=0-3")]), part(media_type)).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        let headers = answer.headers();
        assert_eq!(header(headers, "cache-control"), expected, "{path}");
        let varies = header(headers, "vary").contains("cookie");
        assert_eq!(varies, !expected.is_empty(), "{path}");
        assert!(!headers.contains_key("etag"));
    }
    let request = with(PALETTE, &[("range", "bytes=0-3"), ("x-api-key", "a")]);
    let answer = send(request, part("application/json")).await;
    let control = header(answer.headers(), "cache-control");
    assert_eq!(control, "private, max-age=86400");
}

#[tokio::test]
async fn a_304_that_may_be_for_a_page_gets_no_max_age() {
    let not_modified = |headers: &[(&str, &str)]| {
        let mut answer = ok(headers);
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    };
    let whole = "public, max-age=31536000";
    for (path, headers, expected) in [
        ("/static/docs/", [].as_slice(), ""),
        ("/static/app.js", &[], ""),
        ("/static/index.html", &[], "no-cache"),
        ("/static/app", &[("content-type", "text/html")], "no-cache"),
        ("/static/app", &[("content-type", "text/css")], whole),
    ] {
        let answer = send(get(path), not_modified(headers)).await;
        let control = header(answer.headers(), "cache-control");
        assert_eq!(control, expected, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn head_asks_for_no_range_and_names_no_length_of_what_has_no_body() {
    let head = || Request::builder().method(Method::HEAD).uri(PALETTE);
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let handler = service_fn(|request: Request<()>| async move {
        let status = match request.headers().contains_key("range") {
            true => StatusCode::PARTIAL_CONTENT,
            false => StatusCode::OK,
        };
        let mut answer = ok(&[]);
        *answer.status_mut() = status;
        Ok::<_, Infallible>(answer)
    });
    let ranged = head()
        .header("range", "bytes=0-1")
        .header("if-range", "\"x\"");
    let answer = layer
        .layer(handler)
        .oneshot(ranged.body(()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(answer.headers(), "content-length"), "4");
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        let mut empty = Response::new(Full::default());
        *empty.status_mut() = status;
        let answer = send(head().body(()).unwrap(), empty).await;
        assert_eq!(header(answer.headers(), "content-length"), "", "{status}");
    }
}

/// A server that knows the length of a body sends it: the empty
/// body of a response to HEAD must not set the length of GET.
#[tokio::test]
async fn the_body_of_a_response_to_head_has_no_exact_size() {
    let head = || Request::builder().method(Method::HEAD).uri(PALETTE);
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let stream = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Stream { frames: 0 }))
    });
    let answer = layer.layer(stream).oneshot(head().body(()).unwrap());
    let answer = answer.await.unwrap();
    assert_eq!(header(answer.headers(), "content-length"), "");
    assert_eq!(answer.body().size_hint().exact(), None);
    assert!(answer.body().is_end_stream());

    let known = head().header("if-none-match", "*").body(()).unwrap();
    let answer = send(known, ok(&[])).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(answer.body().size_hint().exact(), None);
    assert!(bytes(answer).await.is_empty());

    let answer = send(head().body(()).unwrap(), ok(&[])).await;
    assert_eq!(header(answer.headers(), "content-length"), "4");
    assert!(bytes(answer).await.is_empty());
}

#[tokio::test]
async fn head_is_answered_like_get() {
    let request = |condition: &str| {
        let request = Request::builder().method(Method::HEAD).uri(PALETTE);
        request.header("if-none-match", condition).body(()).unwrap()
    };
    let mut empty = ok(&[("etag", "\"x\""), ("content-length", "4")]);
    *empty.body_mut() = Full::default();
    let answer = send(request("\"y\""), empty.clone()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(answer.headers(), "content-length"), "4");
    assert_eq!(
        header(answer.headers(), "cache-control"),
        "public, max-age=86400"
    );
    let answer = send(request("\"x\""), empty).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
}

/// A body of unknown length, which fails the test if it is read before it is sent.
struct Stream {
    frames: usize,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames += 1;
        Poll::Ready((self.frames <= 3).then(|| Ok(Frame::data(Bytes::from("data: x\n\n")))))
    }
}

/// A body of four bytes.
struct Trailing(VecDeque<Frame<Bytes>>);

impl Body for Trailing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(4)
    }
}

#[tokio::test]
async fn a_stream_is_passed_on_frame_by_frame() {
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let handler = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Stream { frames: 0 }))
    });
    let answer = layer.layer(handler).oneshot(get(PALETTE)).await.unwrap();
    assert!(!answer.headers().contains_key("etag"));
    let mut body = answer.into_body();
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        assert_eq!(frame.unwrap().into_data().unwrap(), "data: x\n\n");
        frames += 1;
    }
    assert_eq!(frames, 3);
}

#[tokio::test]
async fn trailers_are_passed_on() {
    let trailers = HeaderMap::from_iter([(
        "server-timing".parse().unwrap(),
        "db;dur=5".parse().unwrap(),
    )]);
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let layered = layer.layer(service_fn(|_: Request<()>| {
        let data = ["bo", "dy"].map(|data| Frame::data(Bytes::from(data)));
        let frames = data.into_iter().chain([Frame::trailers(trailers.clone())]);
        let body = Trailing(frames.collect());
        async { Ok::<_, Infallible>(Response::new(body)) }
    }));
    for path in [PALETTE, "/other"] {
        let answer = layered.clone().oneshot(get(path)).await.unwrap();
        let etag = header(answer.headers(), "etag").to_owned();
        assert_eq!(etag, data_cache::compute_etag("body"));
        assert_eq!(answer.body().size_hint().exact(), Some(4));
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), "body");
        let request = with(path, &[("if-none-match", &etag)]);
        let answer = layered.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer.into_body().collect().await.unwrap().trailers(), None);
    }
}

#[tokio::test]
async fn a_disabled_layer_touches_nothing() {
    let answer = send_with(
        "http_cache: {enabled: false}",
        with(PALETTE, &[("if-none-match", "*")]),
        ok(&[("etag", "\"x\"")]),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key("cache-control"));
}

#[tokio::test]
async fn a_large_body_is_not_read_for_its_tag() {
    let large = Response::new(Full::from(vec![b'x'; (1 << 20) + 1]));
    let answer = send(get(PALETTE), large).await;
    assert!(!answer.headers().contains_key("etag"));
    assert_eq!(bytes(answer).await.len(), (1 << 20) + 1);
}

#[tokio::test]
async fn a_page_that_answers_for_a_file_is_not_kept_like_one() {
    for (path, media_type, expected) in [
        ("/static/app.js", "text/html; charset=utf-8", "no-cache"),
        ("/assets/deep/app.js", "TEXT/HTML", "no-cache"),
        ("/static/x", "application/xhtml+xml", "no-cache"),
        ("/static/index.html", "text/html", "no-cache"),
        (
            "/static/app.js",
            "text/javascript",
            "public, max-age=31536000",
        ),
        (
            "/static/a..b/app.js",
            "text/css",
            "public, max-age=31536000",
        ),
        ("/static/a%20b.css", "text/css", "public, max-age=31536000"),
        ("/static/%2e%2e/api/me", "application/json", ""),
        ("/static/%2E./api/me", "application/json", ""),
        ("/static/.%2e/api/me", "application/json", ""),
        ("/static/..%2fapi/me", "application/json", ""),
        ("/static/%252e%252e/api/me", "application/json", ""),
        ("/static/..%5capi/me", "application/json", ""),
        ("/static/./x", "application/json", ""),
    ] {
        let answer = send(get(path), ok(&[("content-type", media_type)])).await;
        assert_eq!(
            header(answer.headers(), "cache-control"),
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_public_and_the_private_answer_vary_with_the_same_headers() {
    let mut seen = Vec::new();
    for (name, whose) in [
        ("accept", "public"),
        ("cookie", "private"),
        ("authorization", "private"),
        ("x-api-key", "private"),
        ("X-Auth-Token", "private"),
        ("proxy-authorization", "private"),
    ] {
        let answer = send(with(PALETTE, &[(name, "x=1")]), ok(&[])).await;
        let control = header(answer.headers(), "cache-control");
        assert!(control.starts_with(whose), "{name}: {control}");
        seen.push(header(answer.headers(), "vary").to_owned());
    }
    assert!(seen.iter().all(|vary| *vary == seen[0]), "{seen:?}");
    for name in ["cookie", "authorization", "x-api-key"] {
        assert!(seen[0].split(", ").any(|part| part == name), "{seen:?}");
    }
    let own = format!("{YAML}  credential_headers: [X-Tenant-Key]\n");
    for (name, whose) in [("x-tenant-key", "private"), ("x-api-key", "public")] {
        let answer = send_with(&own, with(PALETTE, &[(name, "1")]), ok(&[])).await;
        assert!(
            header(answer.headers(), "cache-control").starts_with(whose),
            "{name}"
        );
        assert_eq!(
            header(answer.headers(), "vary"),
            "authorization, cookie, x-tenant-key"
        );
    }
    for (value, whose) in [("", "private"), ("~", "private"), ("[]", "public")] {
        let yaml = format!("{YAML}  credential_headers: {value}\n");
        let answer = send_with(&yaml, with(PALETTE, &[("x-api-key", "1")]), ok(&[])).await;
        let control = header(answer.headers(), "cache-control");
        assert!(control.starts_with(whose), "{value:?}: {control}");
    }
    let wrong = Config::from_yaml("c", "http_cache: {credential_headers: ['x key']}").unwrap_err();
    assert!(wrong.to_string().contains("x key"), "{wrong}");
}

#[tokio::test]
async fn head_has_the_tag_and_the_length_of_get() {
    let whole = send(get(PALETTE), ok(&[])).await;
    let etag = header(whole.headers(), "etag").to_owned();
    assert_eq!(etag, data_cache::compute_etag("body"));
    let head = |condition: &str| {
        let request = Request::builder().method(Method::HEAD).uri(PALETTE);
        request.header("if-none-match", condition).body(()).unwrap()
    };
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let handler = service_fn(|request: Request<()>| async move {
        assert_eq!(request.method(), Method::GET, "a body is made for the tag");
        Ok::<_, Infallible>(ok(&[]))
    });
    let answer = layer
        .layer(handler)
        .oneshot(head("\"other\""))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(answer.headers(), "etag"), etag);
    assert_eq!(header(answer.headers(), "content-length"), "4");
    assert!(bytes(answer).await.is_empty());
    let answer = send(head(&etag), ok(&[])).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert!(bytes(answer).await.is_empty());
    // a stream is not read, and its length is not guessed
    let handler = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Stream { frames: 0 }))
    });
    let answer = layer.layer(handler).oneshot(head("\"x\"")).await.unwrap();
    assert!(!answer.headers().contains_key("content-length"));
    assert!(bytes(answer).await.is_empty());
}

#[tokio::test]
async fn no_store_is_recognized_in_any_letter_case() {
    for control in ["No-Store", "private, NO-STORE", "max-age=0,no-Store"] {
        let answer = send(get("/other"), ok(&[("cache-control", control)])).await;
        assert!(!answer.headers().contains_key("etag"), "{control}");
    }
}

/// A body of known length that fails.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("broken")))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(10)
    }
}

#[tokio::test]
async fn a_broken_body_is_a_500_that_nobody_keeps() {
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Broken)) });
    let answer = layer.layer(handler).oneshot(get(PALETTE)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(answer.headers(), "cache-control"), "no-store");
    assert!(!answer.headers().contains_key("etag"));
}

#[tokio::test]
async fn a_tag_comes_before_a_date_and_before_a_range() {
    const DATE: (&str, &str) = ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
    // a handler that supports dates only: the tag is set by the layer
    let handler = service_fn(|request: Request<()>| async move {
        let mut answer = ok(&[]);
        if request.headers().contains_key(DATE.0) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        Ok::<_, Infallible>(answer)
    });
    let layer = CacheLayer::new(&Config::from_yaml("cache.yaml", YAML).unwrap());
    let ask = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = with(PALETTE, headers);
        *request.method_mut() = method;
        let answer = layer.layer(handler).oneshot(request).await.unwrap();
        let tag = header(answer.headers(), "etag").to_owned();
        (answer.status().as_u16(), tag)
    };
    let (_, tag) = ask(Method::GET, &[]).await;
    for method in [Method::GET, Method::HEAD] {
        for (headers, status) in [
            (&[DATE][..], 304),
            (&[DATE, ("if-none-match", "W/\"another\"")], 200),
            (&[DATE, ("if-none-match", &tag)], 304),
            (&[DATE, ("if-none-match", "not a tag")], 200),
        ] {
            let found = ask(method.clone(), headers).await;
            assert_eq!(found.0, status, "{method} {headers:?}");
        }
    }
    // a range of a response that the client already has
    for (tag, status) in [("\"v1\"", 304), ("\"v2\"", 206)] {
        let mut part = ok(&[("etag", "\"v1\""), ("content-range", "bytes 0-3/9")]);
        *part.status_mut() = StatusCode::PARTIAL_CONTENT;
        let request = with(PALETTE, &[("range", "bytes=0-3"), ("if-none-match", tag)]);
        let answer = send(request, part).await;
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(
            answer.headers().contains_key("content-range"),
            status == 206
        );
        assert_eq!(bytes(answer).await.is_empty(), status == 304);
    }
}
