//! Requests to the server, and the meaning of its responses.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use ureq::http::{StatusCode, Uri};
use zeroize::Zeroizing;

use crate::SecretError;
use crate::error::ErrorKind;
use crate::source::http::{self, HttpClient};
use crate::source::{FetchError, FetchResult, SourceValue, shortened};

/// Characters to encode in a path.
const ENCODED_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Pause before a request is repeated.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(super) struct Client {
    http: HttpClient,
    pub(super) address: String,
    pub(super) mount: String,
    pub(super) namespace: Option<String>,
}

/// Response of the server, with any status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

#[derive(serde::Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    data: Option<Version<'a>>,
}

#[derive(serde::Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

/// Returns whether paths can be appended to an address.
fn accepts_paths(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else {
        return false;
    };
    let has_host = uri.authority().is_some_and(|authority| {
        let is_alone = authority.as_str() == authority.host();
        !authority.host().is_empty() && (is_alone || authority.port_u16().is_some())
    });
    has_host && !address.contains(['?', '#'])
}

impl Client {
    pub(super) fn new(address: String) -> Result<Self, SecretError> {
        let address = address.trim().trim_end_matches('/').to_owned();
        let (scheme, host) = address.split_once("://").unwrap_or_default();
        let known = matches!(scheme, "http" | "https");
        if !known || host.contains('@') || !accepts_paths(&address) {
            let message = "vault address: expected http:// or https:// with a host, as in https://vault.internal:8200, without user, query or fragment";
            return Err(SecretError::config(message));
        }
        if scheme == "https" && !cfg!(feature = "vault-tls") {
            let message = "vault address: https requires the feature `vault-tls`";
            return Err(SecretError::config(message));
        }
        Ok(Self {
            http: HttpClient::new(http::settings()),
            address,
            mount: "secret".to_owned(),
            namespace: None,
        })
    }

    #[cfg(not(feature = "vault-tls"))]
    pub(super) fn trust(&mut self, path: &Path) -> Result<(), SecretError> {
        let message = format!(
            "{}: CA certificates require the feature `vault-tls`",
            path.display()
        );
        Err(SecretError::config(message))
    }

    #[cfg(feature = "vault-tls")]
    pub(super) fn trust(&mut self, path: &Path) -> Result<(), SecretError> {
        use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
        let wrong = |why: String| SecretError::config(format!("{}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|error| wrong(error.to_string()))?
            {
                certificates.push(certificate);
            }
        }
        if certificates.is_empty() {
            return Err(wrong("no certificate found".to_owned()));
        }
        let roots = RootCerts::new_with_certs(&certificates);
        let tls = TlsConfig::builder().root_certs(roots).build();
        self.http = HttpClient::new(http::settings().tls_config(tls));
        Ok(())
    }

    /// Reads the newest version of a secret, as JSON.
    pub(super) async fn read(
        &self,
        token: &str,
        path: &str,
        until: Instant,
    ) -> Result<Answer, FetchError> {
        let path = format!("{}/data/{}", self.mount, path.trim_matches('/'));
        self.get(token, &path, until).await
    }

    /// Sends a GET request, once more after a temporary failure if there is time: reading changes nothing.
    pub(super) async fn get(
        &self,
        token: &str,
        path: &str,
        until: Instant,
    ) -> Result<Answer, FetchError> {
        let first = self.send(Some(token), path, None, until).await;
        let is_temporary = match &first {
            Ok(answer) => matches!(answer.status.as_u16(), 500 | 502 | 504),
            Err(FetchError::Failed { kind, .. }) => *kind == ErrorKind::Transient,
            Err(_) => false,
        };
        if !is_temporary || Instant::now() + PAUSE >= until {
            return first;
        }
        tokio::time::sleep(PAUSE).await;
        self.send(Some(token), path, None, until).await
    }

    pub(super) async fn post(
        &self,
        token: Option<&str>,
        path: &str,
        body: Zeroizing<String>,
        until: Instant,
    ) -> Result<Answer, FetchError> {
        self.send(token, path, Some(body), until).await
    }

    /// Sends a request from a thread that may block, within the time left until the deadline.
    async fn send(
        &self,
        token: Option<&str>,
        path: &str,
        body: Option<Zeroizing<String>>,
        until: Instant,
    ) -> Result<Answer, FetchError> {
        let path = utf8_percent_encode(path, ENCODED_IN_PATH);
        let url = format!("{}/v1/{path}", self.address);
        let mut request = ureq::http::Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(url)
            // an agent in front of the server may require it
            .header("X-Vault-Request", "true");
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let unusable = |_| {
            FetchError::failed(
                ErrorKind::Config,
                "the path, token or namespace is not valid in a request",
            )
        };
        let request = request.body(()).map_err(unusable)?;
        let (status, body) = http::exchange(&self.http, request, body, until).await?;
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// Returns the secret in the response. A deleted version is absent, and so is a
    /// path that never existed. An unknown mount is an error, and so is a 404 that
    /// is not the server's own, such as that of a proxy without a server behind it.
    pub(super) fn secret(&self) -> FetchResult {
        if self.status == StatusCode::NOT_FOUND && self.is_from_server() {
            return match self.message() {
                None => Err(FetchError::Absent),
                Some(message) => Err(FetchError::failed(ErrorKind::Config, message)),
            };
        }
        self.accepted()?;
        let unreadable = || {
            FetchError::failed(
                ErrorKind::Transient,
                "cannot parse the response as a secret",
            )
        };
        let read: Read<'_> = serde_json::from_slice(&self.body).map_err(|_| unreadable())?;
        match read.data.ok_or_else(unreadable)?.data {
            Some(data) if data.get() != "null" => Ok(SourceValue::new(data.get())),
            _ => Err(FetchError::Absent),
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, FetchError> {
        self.accepted()?;
        let unreadable = |_| FetchError::failed(ErrorKind::Transient, "cannot parse the response");
        serde_json::from_slice(&self.body).map_err(unreadable)
    }

    /// Fails if the status shows that the server did not carry out the request.
    fn accepted(&self) -> Result<(), FetchError> {
        let message = || match self.message() {
            Some(message) => format!("http status {}: {message}", self.status.as_u16()),
            None => format!("http status {}", self.status.as_u16()),
        };
        match self.status.as_u16() {
            200..300 => Ok(()),
            400 => Err(FetchError::failed(ErrorKind::Config, message())),
            401 | 403 => Err(FetchError::failed(ErrorKind::AccessDenied, message())),
            404 if !self.is_from_server() => Err(FetchError::failed(
                ErrorKind::Transient,
                "http status 404, but not from a Vault or OpenBao server: check the address",
            )),
            429 => Err(FetchError::failed(ErrorKind::Throttled, message())),
            // sealed, or not the active node of its cluster
            472 | 473 | 503 => Err(FetchError::unreachable(ErrorKind::Unavailable, message())),
            300..400 => {
                let what = message();
                let detail = format!("{what}: redirects are not followed");
                Err(FetchError::failed(ErrorKind::Transient, detail))
            }
            _ => Err(FetchError::failed(ErrorKind::Transient, message())),
        }
    }

    /// Returns whether the body of a 404 is the server's own: its errors, or the data of a deleted version.
    fn is_from_server(&self) -> bool {
        let body: Result<HashMap<Cow<'_, str>, &RawValue>, _> = serde_json::from_slice(&self.body);
        body.is_ok_and(|body| body.contains_key("errors") || body.contains_key("data"))
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.status.as_u16(), 401 | 403)
    }

    /// Returns whether a login was refused; this includes a method, role or secret id that the server does not know.
    pub(super) fn is_refused_login(&self) -> bool {
        match self.status.as_u16() {
            404 => self.is_from_server(),
            status => matches!(status, 400 | 401 | 403),
        }
    }

    /// Returns the errors of the server, in its own words.
    pub(super) fn message(&self) -> Option<String> {
        let refusal: Refusal = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = shortened(refusal.errors.join("; ").trim());
        (!message.is_empty()).then_some(message)
    }
}
