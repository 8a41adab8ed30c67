//! A tonic service and its client. The messages are defined here rather than in a `.proto` file, so that no protobuf
//! compiler is needed. `ops.serve` speaks HTTP/2, so a tonic service is a route like any other.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{Request as HttpRequest, Response as HttpResponse, Uri};
use axum::routing::post;
use ops_layer::Ops;
use ops_layer::http::{ClientService, Route};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Layer;

const METHOD: &str = "/shop.Prices/Of";

#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = "1")]
    item: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Price {
    #[prost(uint64, tag = "1")]
    cents: u64,
}

pub async fn run(ops: Ops) -> Result<(), Box<dyn Error>> {
    let router = Router::new().route(METHOD, post(serve));
    Ok(ops.serve(router).await?)
}

async fn serve(request: HttpRequest<Body>) -> HttpResponse<tonic::body::Body> {
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<Price, Ask>::default());
    grpc.unary(tower::service_fn(price), request).await
}

async fn price(request: Request<Ask>) -> Result<Response<Price>, Status> {
    let item = request.into_inner().item;
    ops_layer::log::info!("priced", item = item.as_str());
    match item.as_str() {
        "tea" => Ok(Response::new(Price { cents: 450 })),
        _ => Err(Status::not_found("no such item")),
    }
}

/// Client of the service. Each call is a CLIENT span.
#[derive(Clone)]
pub struct Prices {
    channel: ClientService<Channel, ops_layer::ClientObservers>,
    origin: Uri,
}

impl Prices {
    pub fn new(ops: &Ops, url: &str) -> Result<Self, Box<dyn Error>> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect_lazy();
        Ok(Self {
            channel: ops.http_client().layer(channel),
            origin: url.parse()?,
        })
    }

    pub async fn of(&self, item: &str) -> Result<u64, Status> {
        let mut grpc = tonic::client::Grpc::with_origin(self.channel.clone(), self.origin.clone());
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut ask = Request::new(Ask {
            item: item.to_owned(),
        });
        // the route in the span's name; without it the name is only the HTTP method
        ask.extensions_mut().insert(Route::new(METHOD));
        let path = PathAndQuery::from_static(METHOD);
        let codec = ProstCodec::<Ask, Price>::default();
        let price = grpc.unary(ask, path, codec).await?;
        Ok(price.into_inner().cents)
    }
}
