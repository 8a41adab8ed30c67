//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tower_service::Service;

use super::activity::Limits;
use super::connections::{Phase, Slot};
use super::stream::Stream;

/// Maximum number of response bytes that are handed to HTTP/2 at once.
const PIECE_BYTES: usize = 64 << 10;

/// HTTP/1.1 and HTTP/2, distinguished by the first bytes of a client.
pub(super) type Http = auto::Builder<TokioExecutor>;

pub(super) fn http() -> Http {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // off: hyper's limit would also count the idle time between requests; `Activity` applies its own
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None);
    http.http2().timer(TokioTimer::new());
    http
}

enum Event {
    /// The client left, or the last response was sent.
    Ended,
    /// Closing loses nothing.
    Quiet,
    /// A limit may have been reached.
    Alarm,
}

/// Serves one client until it leaves, reaches a limit, or is asked to leave.
pub(super) async fn serve(
    tcp: TcpStream,
    peer: SocketAddr,
    app: Router,
    http: Arc<Http>,
    limits: Limits,
    mut phase: tokio::sync::watch::Receiver<Phase>,
    slot: Arc<Slot>,
) {
    let service = {
        let slot = slot.clone();
        service_fn(move |request| answer(app.clone(), request, peer, slot.clone()))
    };
    let stream = TokioIo::new(Stream::new(tcp, slot.clone()));
    let mut connection = pin!(http.serve_connection_with_upgrades(stream, service));
    let mut alarm = pin!(tokio::time::sleep_until(
        (Instant::now() + limits.head).into()
    ));
    loop {
        let now_in = *phase.borrow_and_update();
        let event = poll_fn(|cx| {
            loop {
                // the spans and lines of its requests show how it ended
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Ended);
                }
                let mut activity = slot.activity();
                if activity.leaving.is_none() && sends_goaway(now_in, &activity) {
                    activity.leaving = Some(Instant::now());
                    drop(activity);
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                if now_in == Phase::Closing && !activity.is_http2() && activity.may_close() {
                    return Poll::Ready(Event::Quiet);
                }
                let deadline = activity.deadline(&limits);
                drop(activity);
                if let Some(deadline) = deadline.map(Into::into)
                    && deadline < alarm.deadline()
                {
                    alarm.as_mut().reset(deadline);
                }
                return alarm.as_mut().poll(cx).map(|()| Event::Alarm);
            }
        });
        tokio::select! {
            event = event => match event {
                Event::Ended | Event::Quiet => break,
                Event::Alarm => {
                    let now = Instant::now();
                    let mut activity = slot.activity();
                    match activity.deadline(&limits) {
                        Some(deadline) if deadline > now => alarm.as_mut().reset(deadline.into()),
                        None => alarm.as_mut().reset((now + limits.head).into()),
                        // an HTTP/2 client is notified before its connection
                        // is closed, and its other requests are answered
                        Some(_) if activity.is_http2() && activity.leaving.is_none() => {
                            activity.leaving = Some(now);
                            drop(activity);
                            connection.as_mut().graceful_shutdown();
                            alarm.as_mut().reset((now + limits.write).into());
                        }
                        Some(_) => {
                            slot.abandon();
                            break;
                        }
                    }
                }
            },
            changed = phase.changed() => if changed.is_err() { break },
            () = slot.evicted() => if slot.quiet_since().is_some() {
                slot.abandon();
                break;
            },
        }
    }
    slot.upgraded();
}

/// Returns whether to ask the client to leave by GOAWAY, which is for
/// HTTP/2. An HTTP/1.1 client is asked by the header of its next response.
fn sends_goaway(phase: Phase, activity: &super::activity::Activity) -> bool {
    activity.is_http2()
        && match phase {
            Phase::Serving => false,
            // a client that just connected gets its first response
            Phase::Draining => activity.requests() > 0,
            Phase::Closing => true,
        }
}

async fn answer(
    mut app: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    slot: Arc<Slot>,
) -> Result<Response<Tracked>, Infallible> {
    let has_body = !request.body().is_end_stream();
    let in_flight = InFlight::begin(slot.clone(), has_body);
    let version = request.version();
    let mut request = match has_body && version < Version::HTTP_2 {
        true => request.map(|body| {
            let slot = slot.clone();
            Body::new(Arriving { body, slot })
        }),
        false => request.map(Body::new),
    };
    request.extensions_mut().insert(ConnectInfo(peer));
    let answered = Answered {
        inner: Some(app.call(request)),
        slot: &in_flight.slot,
    };
    let Ok(mut response) = answered.await;
    let keeps_protocol = response.status() != StatusCode::SWITCHING_PROTOCOLS;
    if version < Version::HTTP_2 && keeps_protocol && slot.is_draining() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    if version == Version::HTTP_2 {
        in_flight.waits_for_client();
    }
    Ok(response.map(|body| Tracked {
        body,
        rest: Bytes::new(),
        is_http2: version == Version::HTTP_2,
        in_flight,
    }))
}

pin_project_lite::pin_project! {
    /// Running handler, whose end is recorded as cut off if it is dropped for that reason.
    struct Answered<'a, F> {
        #[pin]
        inner: Option<F>,
        slot: &'a Slot,
    }

    impl<F> PinnedDrop for Answered<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.slot.is_cut_off() {
                ops_http::cut_off(|| this.inner.set(None));
            }
        }
    }
}

impl<F: Future> Future for Answered<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => Poll::Pending,
        }
    }
}

pin_project_lite::pin_project! {
    /// HTTP/1 request body that records when all of it has arrived.
    struct Arriving {
        #[pin]
        body: Incoming,
        slot: Arc<Slot>,
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut this = self.project();
        let polled = this.body.as_mut().poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || this.body.is_end_stream() {
            this.slot.activity().body_arrived();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Request whose response has not ended.
struct InFlight {
    slot: Arc<Slot>,
    request: u64,
}

impl InFlight {
    fn begin(slot: Arc<Slot>, has_body: bool) -> Self {
        let request = slot.activity().began(has_body);
        Self { slot, request }
    }

    fn waits_for_client(&self) {
        let mut activity = self.slot.activity();
        activity.waits_for_client(self.request, Instant::now());
    }

    fn waits_for_handler(&self) {
        self.slot.activity().waits_for_handler(self.request);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut activity = self.slot.activity();
        activity.ended(self.request, Instant::now());
    }
}

pin_project_lite::pin_project! {
    /// Response body that keeps its request in flight.
    struct Tracked {
        #[pin]
        body: Body,
        // rest of an HTTP/2 frame that is handed over in pieces
        rest: Bytes,
        is_http2: bool,
        in_flight: InFlight,
    }

    impl PinnedDrop for Tracked {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.in_flight.slot.is_cut_off() {
                ops_http::cut_off(|| this.body.set(Body::empty()));
            }
        }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let mut polled = match this.rest.is_empty() {
            true => this.body.poll_frame(cx),
            false => Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.rest))))),
        };
        // in pieces: of data that hyper has as a whole, the part taken by the client is unknown
        if *this.is_http2
            && let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(data) = frame.data_mut()
            && data.len() > PIECE_BYTES
        {
            *this.rest = data.split_off(PIECE_BYTES);
        }
        // hyper polls for more once the client's window has room;
        // for HTTP/1, the socket shows what the client does not take
        if *this.is_http2 {
            match polled {
                Poll::Ready(_) => this.in_flight.waits_for_client(),
                Poll::Pending => this.in_flight.waits_for_handler(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
