//! Tonic service of these tests, and its client. The messages are
//! defined here, so that no compiler for `.proto` files is needed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, Response as HttpResponse};
use http_body_util::{BodyExt, Full, combinators::WithTrailers};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::tokio_stream::{self, StreamExt};
use tonic::codegen::{Service, http::uri::PathAndQuery};
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ask {
    /// Number of messages that are sent before the status.
    #[prost(int32, tag = "1")]
    pub(crate) messages: i32,
    #[prost(int32, tag = "2")]
    pub(crate) code: i32,
    #[prost(string, tag = "3")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Told {
    #[prost(int32, tag = "1")]
    pub(crate) number: i32,
}

impl Ask {
    pub(crate) fn new(messages: i32, code: Code, text: &str) -> Self {
        let text = text.to_owned();
        Self {
            messages,
            code: code as i32,
            text,
        }
    }

    fn status(&self) -> Result<(), Status> {
        match Code::from_i32(self.code) {
            Code::Ok => Ok(()),
            code => Err(Status::new(code, self.text.clone())),
        }
    }
}

/// `test.Calls`, with the methods One, Many, Sum, Hang, Panic, PanicLater and Raw.
#[derive(Clone, Copy)]
pub(crate) struct Calls;

impl NamedService for Calls {
    const NAME: &'static str = "test.Calls";
}

type Answered = Pin<Box<dyn Future<Output = Result<HttpResponse<Body>, Infallible>> + Send>>;
type Server = tonic::server::Grpc<ProstCodec<Told, Ask>>;

impl Service<HttpRequest<Body>> for Calls {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Answered {
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        Box::pin(async move {
            let mut server = Server::new(ProstCodec::default());
            Ok(match method.as_str() {
                "One" => server.unary(service_fn(one), request).await,
                "Many" => server.server_streaming(service_fn(many), request).await,
                "Sum" => server.client_streaming(service_fn(sum), request).await,
                "Hang" => std::future::pending().await,
                "Panic" => panic!("on purpose"),
                "PanicLater" => {
                    server
                        .server_streaming(service_fn(panic_later), request)
                        .await
                }
                "Raw" => raw(request.headers()),
                // like the code that tonic generates
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

async fn one(ask: Request<Ask>) -> Result<Response<Told>, Status> {
    ask.into_inner().status()?;
    Ok(Response::new(Told { number: 1 }))
}

type Stream = Pin<Box<dyn tokio_stream::Stream<Item = Result<Told, Status>> + Send>>;

async fn many(ask: Request<Ask>) -> Result<Response<Stream>, Status> {
    let ask = ask.into_inner();
    let end = ask.status().err();
    let messages = (1..=ask.messages).map(|number| Ok(Told { number }));
    // a message after the failure, which no client may see
    let after = end.is_some().then_some(Ok(Told { number: -1 }));
    let all: Vec<_> = messages.chain(end.map(Err)).chain(after).collect();
    let all = tokio_stream::iter(all);
    if ask.text == "then waits" {
        return Ok(Response::new(Box::pin(all.chain(tokio_stream::pending()))));
    }
    Ok(Response::new(Box::pin(all)))
}

async fn panic_later(_: Request<Ask>) -> Result<Response<Stream>, Status> {
    let stream = tokio_stream::iter(0..2).map(|number| match number {
        0 => Ok(Told { number }),
        _ => panic!("on purpose"),
    });
    Ok(Response::new(Box::pin(stream)))
}

async fn sum(asks: Request<Streaming<Ask>>) -> Result<Response<Told>, Status> {
    let mut asks = asks.into_inner();
    let mut number = 0;
    while let Some(ask) = asks.message().await? {
        ask.status()?;
        number += ask.messages;
    }
    Ok(Response::new(Told { number }))
}

/// Responds with the trailers that the request contains, after an empty message.
fn raw(asked: &HeaderMap) -> HttpResponse<Body> {
    let mut trailers = HeaderMap::new();
    for (from, to) in [("x-status", "grpc-status"), ("x-message", "grpc-message")] {
        if let Some(value) = asked.get(from) {
            trailers.insert(to, value.clone());
        }
    }
    let message = Full::new(axum::body::Bytes::from_static(&[0; 5]));
    let body: WithTrailers<_, _> = message.with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = HttpResponse::new(Body::new(body));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

/// Client of the service over any channel.
pub(crate) struct Client<C>(Grpc<C>);

impl Client<Channel> {
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        Self::new(endpoint.connect().await.unwrap())
    }
}

pub(crate) type Numbers = Result<Vec<i32>, (Vec<i32>, Status)>;

impl<C> Client<C>
where
    C: tonic::client::GrpcService<Body>,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::ResponseBody: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    <C::ResponseBody as axum::body::HttpBody>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) fn new(channel: C) -> Self {
        Self(Grpc::new(channel))
    }

    pub(crate) fn to(channel: C, address: std::net::SocketAddr) -> Self {
        let origin = format!("http://{address}").parse().unwrap();
        Self(Grpc::with_origin(channel, origin))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))
    }

    pub(crate) async fn unary(
        &mut self,
        method: &str,
        ask: Ask,
        headers: &[(&'static str, &str)],
        timeout: Option<Duration>,
    ) -> Result<i32, Status> {
        self.ready().await?;
        let mut request = Request::new(ask);
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let codec = ProstCodec::<Ask, Told>::default();
        let logged = self.0.unary(request, path(method), codec).await?;
        Ok(logged.into_inner().number)
    }

    /// Calls a method of another service.
    pub(crate) async fn of(
        &mut self,
        service: &str,
        method: &str,
        ask: Ask,
    ) -> Result<i32, Status> {
        self.ready().await?;
        let path = format!("/{service}/{method}").parse().unwrap();
        let codec = ProstCodec::<Ask, Told>::default();
        let logged = self.0.unary(Request::new(ask), path, codec).await?;
        Ok(logged.into_inner().number)
    }

    pub(crate) async fn one(&mut self, method: &str, ask: Ask) -> Result<i32, Status> {
        self.unary(method, ask, &[], None).await
    }

    pub(crate) async fn stream(
        &mut self,
        method: &str,
        ask: Ask,
    ) -> Result<Streaming<Told>, Status> {
        self.ready().await?;
        let codec = ProstCodec::<Ask, Told>::default();
        let logged = self
            .0
            .server_streaming(Request::new(ask), path(method), codec);
        Ok(logged.await?.into_inner())
    }

    /// Reads a stream to its end.
    pub(crate) async fn many(&mut self, method: &str, ask: Ask) -> Numbers {
        let mut numbers = Vec::new();
        let stream = self.stream(method, ask).await;
        let mut stream = stream.map_err(|status| (Vec::new(), status))?;
        loop {
            match stream.message().await {
                Ok(Some(logged)) => numbers.push(logged.number),
                Ok(None) => return Ok(numbers),
                Err(status) => return Err((numbers, status)),
            }
        }
    }

    pub(crate) async fn sum(&mut self, asks: Vec<Ask>, open: bool) -> Result<i32, Status> {
        self.ready().await?;
        let codec = ProstCodec::<Ask, Told>::default();
        let asks = tokio_stream::iter(asks);
        let logged = if open {
            let asks = Request::new(asks.chain(tokio_stream::pending()));
            self.0.client_streaming(asks, path("Sum"), codec).await?
        } else {
            self.0
                .client_streaming(Request::new(asks), path("Sum"), codec)
                .await?
        };
        Ok(logged.into_inner().number)
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Calls/{method}").parse().unwrap()
}
