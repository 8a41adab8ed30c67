//! A server on its own port, with hyper as in a service, and clients.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::Service;

/// Stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepts: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

impl Server {
    pub(crate) async fn start(router: Router) -> Self {
        Self::start_service(router).await
    }

    /// Speaks HTTP/1.1 or HTTP/2, depending on the client.
    pub(crate) async fn start_service<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepts = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, accepts }
    }

    pub(crate) async fn connect(&self, http2: bool) -> Client {
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        if http2 {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
            let (sender, connection) = handshake.await.unwrap();
            let connection = tokio::spawn(async { drop(connection.await) });
            Client {
                sender: Sender::Http2(sender),
                connection,
            }
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            let connection = tokio::spawn(async { drop(connection.await) });
            Client {
                sender: Sender::Http1(sender),
                connection,
            }
        }
    }
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Empty<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Empty<Bytes>>),
}

/// Connection that is closed when dropped, whatever was read.
pub(crate) struct Client {
    sender: Sender,
    connection: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub(crate) async fn send(
        &mut self,
        request: http::request::Builder,
    ) -> hyper::Result<Response<Incoming>> {
        let request = request
            .header("host", "localhost")
            .header("te", "trailers")
            .body(Empty::new())
            .unwrap();
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// A request in process.
pub(crate) fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}
