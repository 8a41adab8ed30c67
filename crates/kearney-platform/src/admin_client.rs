//! HTTP client with a time limit for the admin page and the API, and the token of the admin page.

use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// Maximum length of a response; a healthy platform never sends more.
const MAX_BYTES: u64 = 32 << 20;

/// Outcome of a request.
pub enum Answer {
    Http {
        status: u16,
        body: String,
    },
    /// The connection was refused.
    Refused(String),
    /// The connection was accepted, but there was no response.
    Silent(Duration),
    /// Any other failure: not HTTP, too long, connection reset.
    Other(String),
}

impl Answer {
    pub fn describe(&self) -> String {
        match self {
            Self::Http { status, body } => format!("status {status}, {} bytes", body.len()),
            Self::Refused(why) => format!("cannot connect: {why}"),
            Self::Silent(limit) => format!("no response within {:.0} s", limit.as_secs_f64()),
            Self::Other(why) => why.clone(),
        }
    }
}

/// Sends a GET request without a proxy, as the address is on this machine or network.
pub fn get(url: &str, token: Option<&str>, limit: Duration) -> Answer {
    if has_invalid_port(url) {
        return Answer::Other(INVALID_PORT.to_owned());
    }
    let request = authorized(agent(limit).get(url), token);
    read_response(request.call(), limit)
}

/// Sends a change as JSON to the admin page.
pub fn post(url: &str, token: Option<&str>, json: &str, limit: Duration) -> Answer {
    if has_invalid_port(url) {
        return Answer::Other(INVALID_PORT.to_owned());
    }
    let request = agent(limit)
        .post(url)
        .header("content-type", "application/json")
        .header("x-ops-admin", "1");
    read_response(authorized(request, token).send(json), limit)
}

/// Error for a URL whose port is invalid.
const INVALID_PORT: &str = "invalid port; expected a number from 1 to 65535";

/// Returns `true` if the URL has an invalid port: the client would send the request, with the token, to port 80
/// instead.
fn has_invalid_port(url: &str) -> bool {
    let Ok(url) = url.parse::<ureq::http::Uri>() else {
        return false; // rejected by the client
    };
    let Some(authority) = url.authority() else {
        return false;
    };
    let address = authority.as_str().rsplit('@').next();
    let behind = address.and_then(|address| address.strip_prefix(authority.host()));
    let port = behind.and_then(|port| port.strip_prefix(':'));
    port.is_some_and(|port| port.parse::<NonZeroU16>().is_err())
}

fn authorized<B>(request: ureq::RequestBuilder<B>, token: Option<&str>) -> ureq::RequestBuilder<B> {
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

fn agent(limit: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(limit))
        .build()
        .into()
}

type Response = ureq::http::Response<ureq::Body>;

fn read_response(response: std::result::Result<Response, ureq::Error>, limit: Duration) -> Answer {
    let read = response.and_then(|mut response| {
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_BYTES);
        Ok((status, body.lossy_utf8(true).read_to_string()?))
    });
    match read {
        Ok((status, body)) => Answer::Http { status, body },
        Err(ureq::Error::Timeout(_)) => Answer::Silent(limit),
        Err(error @ (ureq::Error::ConnectionFailed | ureq::Error::HostNotFound)) => {
            Answer::Refused(error.to_string())
        }
        Err(ureq::Error::Io(error)) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Answer::Silent(limit),
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => Answer::Refused(error.to_string()),
            _ => Answer::Other(error.to_string()),
        },
        Err(error) => Answer::Other(error.to_string()),
    }
}

/// Returns the address of an admin page as a URL without a trailing slash.
pub fn url(address: &str) -> String {
    let address = address.trim_end_matches('/');
    match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    }
}

/// Returns the token of the admin page: `OPS_ADMIN_TOKEN`, or the content of the file `OPS_ADMIN_TOKEN_FILE`.
pub fn token() -> Result<Option<String>> {
    if let Some(token) = std::env::var_os("OPS_ADMIN_TOKEN").filter(|token| !token.is_empty()) {
        let token = token.into_string();
        return token
            .map(|token| Some(token.trim().to_owned()))
            .map_err(|_| Error::new(Kind::Config, "OPS_ADMIN_TOKEN: not valid UTF-8"));
    }
    match std::env::var_os("OPS_ADMIN_TOKEN_FILE").filter(|path| !path.is_empty()) {
        None => Ok(None),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => {
                let path = Path::new(&path).display();
                let attempted = format!("OPS_ADMIN_TOKEN_FILE: cannot read {path}");
                Err(Error::new(Kind::File, attempted).because(error))
            }
        },
    }
}
