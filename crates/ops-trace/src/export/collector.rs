use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use parking_lot::Mutex;

use super::batch::Part;
use super::client::Client;
use super::encode::{self, EncodedResource};
use super::response::PROTOBUF;
use crate::Error;
use crate::config::otlp::Otlp;

/// Bytes that the buffer keeps after a request; a larger buffer is freed.
const KEPT_BYTES: usize = 1024 * 1024;

/// User agent of the exporter, in the form that collectors know.
const AGENT: HeaderValue = HeaderValue::from_static("OTel-OTLP-Exporter-Rust/0.33.1");

/// A collector that receives spans by OTLP over HTTP.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) url: String,
    client: Client,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
    resource: EncodedResource,
    /// Buffer for the body of each request.
    buffer: Mutex<Vec<u8>>,
}

impl Collector {
    /// Creates a collector that receives spans from this client.
    ///
    /// # Errors
    /// Fails if the URL is invalid.
    pub(crate) fn new(settings: &Otlp, client: Client, resource: &Resource) -> Result<Self, Error> {
        let uri = settings
            .url
            .parse()
            .map_err(|source: http::uri::InvalidUri| Error::Exporter {
                source: source.into(),
            })?;
        Ok(Self {
            url: settings.url.clone(),
            client,
            uri,
            headers: headers(settings),
            gzip: settings.gzip,
            resource: EncodedResource::new(resource),
            buffer: Mutex::default(),
        })
    }

    /// Sends a part of a batch; its brief spans have this scope.
    /// Blocks until the collector responded, or the time is up.
    ///
    /// # Errors
    /// Fails if the collector did not accept it.
    pub(crate) fn send(&self, part: &Part<'_>, scope: &InstrumentationScope) -> Result<(), String> {
        let mut buffer = self.buffer.lock();
        buffer.clear();
        let briefs = (scope, part.briefs);
        encode::request(&mut buffer, &self.resource, part.spans, briefs);
        let sent = if self.gzip {
            self.client.post(self.request(&gzipped(&buffer)))
        } else {
            self.client.post(self.request(&buffer))
        };
        if buffer.capacity() > KEPT_BYTES {
            *buffer = Vec::new();
        }
        sent
    }

    fn request<'b>(&self, body: &'b [u8]) -> Request<&'b [u8]> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers);
        request
    }
}

/// Returns the headers of each request, except length and host, which the client sets.
pub(crate) fn headers(settings: &Otlp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    if settings.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(USER_AGENT, AGENT);
    headers.extend(settings.headers.clone());
    headers
}

#[cfg(feature = "gzip")]
pub(crate) fn gzipped(body: &[u8]) -> Vec<u8> {
    use std::io::Write;

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // writing to a vector does not fail
    let _ = gzip.write_all(body);
    gzip.finish().unwrap_or_default()
}

/// Never called: without the feature, the configuration does not enable compression.
#[cfg(not(feature = "gzip"))]
pub(crate) fn gzipped(body: &[u8]) -> Vec<u8> {
    body.to_vec()
}
