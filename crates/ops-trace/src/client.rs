use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::shared::Shared;

const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;

/// Posts on the export thread: blocking, without a runtime, proxies or redirects.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    timeout: Duration,
    shared: Arc<Shared>,
}

impl Client {
    pub(crate) fn new(timeout: Duration, shared: Arc<Shared>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
            timeout,
            shared,
        }
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let left = self.shared.left().unwrap_or(self.timeout);
        let timeout = left.min(self.timeout).max(Duration::from_millis(1));
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.to_vec());
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .build();
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        let body = body.with_config().limit(MAX_RESPONSE_BYTES).read_to_vec()?;
        if parts.status.is_success() {
            let reply = ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default();
            let rejected = reply.partial_success.map_or(0, |p| p.rejected_spans.max(0));
            self.shared
                .rejected_now
                .store(rejected.unsigned_abs(), Relaxed);
        }
        Ok(Response::from_parts(parts, Bytes::from(body)))
    }
}

impl HttpClient for Client {
    // what #[async_trait] makes of `async fn send_bytes`
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(self.post(request)))
    }
}
