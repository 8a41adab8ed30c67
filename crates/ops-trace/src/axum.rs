//! Support for axum: a router whose requests are traced.

use std::net::{IpAddr, SocketAddr};

use ::axum::Router;
use ::axum::extract::ConnectInfo;
use ::http::Extensions;
use ops_http::ObserveLayer;

use crate::http::ServerSpans;

/// Traces each request of this router with the defaults of [`ServerSpans::new`], and with the peer's address from axum.
///
/// Call it last, after all routes have been added. Serve the router with
/// `into_make_service_with_connect_info::<SocketAddr>()`: without it the peer is
/// unknown and no trace context is trusted, which is logged once.
pub fn instrument_axum<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    instrument_axum_with(router, ServerSpans::new().peer(peer))
}

/// Traces each request of this router with the given observer; see [`instrument_axum`].
pub fn instrument_axum_with<S>(router: Router<S>, spans: ServerSpans) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(ObserveLayer::new(spans))
}

/// Returns the address of axum's `ConnectInfo<SocketAddr>`, for [`ServerSpans::peer`].
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let info = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(info.0.ip())
}
