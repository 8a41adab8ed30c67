//! Keeps pages from elsewhere out: no foreign host name (DNS rebinding), no write without our header.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use crate::Admin;

pub(crate) async fn check(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if !is_known_host(request.headers(), admin.hosts()) {
        let why = "this host name is not answered; use the loopback address\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    check_change(request, next).await
}

/// Refuses a change without our header, which a page from elsewhere cannot send.
pub(crate) async fn check_change(request: Request, next: Next) -> Response {
    if !request.method().is_safe() && !request.headers().contains_key("x-ops-admin") {
        let why = "a change needs the header x-ops-admin: 1\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

fn is_known_host(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
    else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
        || allowed.iter().any(|known| known.eq_ignore_ascii_case(name))
}
