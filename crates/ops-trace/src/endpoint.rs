use crate::Error;

pub(crate) const DEFAULT: &str = "http://localhost:4318";
const PATH: &str = "/v1/traces";
const ACCEPTED: &str =
    "accepted is http://host:4318 or https://host/path, without user or password";

/// The URL that spans are posted to: `/v1/traces` is appended unless it is there.
pub(crate) fn traces_url(endpoint: &str) -> Result<String, Error> {
    let endpoint = endpoint.trim();
    let invalid = |hint| Error::InvalidEndpoint {
        endpoint: without_userinfo(endpoint),
        hint,
    };
    if !endpoint.contains("://") {
        return Err(invalid(
            "the scheme is missing; write http://localhost:4318 rather than localhost:4318",
        ));
    }
    let uri: http::Uri = endpoint.parse().map_err(|_| invalid(ACCEPTED))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(invalid(ACCEPTED));
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    if uri.host().is_none_or(str::is_empty) || authority.contains('@') || uri.query().is_some() {
        return Err(invalid(ACCEPTED));
    }
    let base = endpoint.trim_end_matches('/');
    if base.ends_with(PATH) {
        return Ok(base.to_owned());
    }
    Ok(format!("{base}{PATH}"))
}

fn without_userinfo(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (None, Some((_, host))) => format!("***@{host}"),
        _ => endpoint.to_owned(),
    }
}
