//! Ready for axum: a router whose requests are traced.

use std::net::{IpAddr, SocketAddr};

use ::axum::Router;
use ::axum::extract::ConnectInfo;
use ::http::Extensions;
use ops_http::ObserveLayer;

use crate::http::ServerSpans;

/// Traces each request of this router, as [`ServerSpans::new`] has it, with the peer's address from axum.
///
/// Call it last, when all routes are there. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`:
/// without that no peer is known, and the trace context of none is trusted.
pub fn instrument_axum<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    instrument_axum_with(router, ServerSpans::new().peer(peer))
}

/// [`instrument_axum`] with other settings.
pub fn instrument_axum_with<S>(router: Router<S>, spans: ServerSpans) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(ObserveLayer::new(spans))
}

/// The address that axum's `ConnectInfo<SocketAddr>` has, for [`ServerSpans::peer`].
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let info = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(info.0.ip())
}
