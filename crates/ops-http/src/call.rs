//! One gRPC call, from its request to its end.

use std::time::Duration;

use http::{HeaderMap, request, response};

use crate::grpc::{
    RefusedCall, SentStatus, grpc_method, has_answered, is_grpc, is_route, record_call, timeout,
};
use crate::{Ending, GrpcCode, GrpcEnd, Outcome};

/// Share of the timeout, as 1/n: a call that ends within it before the deadline
/// counts as ended by the deadline, because the client's clock started earlier.
const DEADLINE_SLACK: u32 = 20;

/// A call under observation.
#[derive(Debug)]
pub(crate) struct Call {
    name: Box<str>,
    timeout: Option<Duration>,
    in_head: Option<SentStatus>,
    in_trailers: Option<SentStatus>,
    is_outgoing: bool,
    /// Set once a head announced messages, so that the method is accepted even if the client leaves before the status.
    is_accepted: bool,
    /// Set if HTTP refused the request with a 4xx status.
    is_refused: bool,
}

impl Call {
    pub(crate) fn served(request: &request::Parts) -> Option<Box<Self>> {
        Self::start(request, false)
    }

    pub(crate) fn sent(request: &request::Parts) -> Option<Box<Self>> {
        Self::start(request, true)
    }

    fn start(request: &request::Parts, is_outgoing: bool) -> Option<Box<Self>> {
        let name = grpc_method(request)?.into();
        Some(Box::new(Self {
            name,
            timeout: timeout(&request.headers),
            in_head: None,
            in_trailers: None,
            is_outgoing,
            is_accepted: false,
            is_refused: false,
        }))
    }

    pub(crate) fn head(&mut self, parts: &response::Parts) {
        self.in_head = SentStatus::parse(&parts.headers);
        self.is_accepted = self.in_head.is_none() && is_grpc(&parts.headers);
        self.is_refused = match self.in_head {
            Some(_) => parts.extensions.get::<RefusedCall>().is_some(),
            None => parts.status.is_client_error(),
        };
    }

    pub(crate) fn trailers(&mut self, headers: &HeaderMap) {
        self.in_trailers = SentStatus::parse(headers);
    }

    pub(crate) fn end(self, outcome: &Outcome) -> GrpcEnd {
        let in_head = self.in_head.filter(|_| outcome.body_bytes == 0);
        let sent = self.in_trailers.or(in_head);
        let sent = sent.filter(|_| outcome.ending != Ending::Panicked);
        let (code, cause) = match &sent {
            Some(sent) => (sent.code, None),
            None => inferred(outcome, self.timeout, self.is_outgoing),
        };
        let is_answer = sent.is_some() || outcome.ending == Ending::Panicked || self.is_accepted;
        let message = sent.and_then(|sent| sent.message);
        let is_bare = code == GrpcCode::Unimplemented && message.is_none();
        let is_known = self.is_outgoing
            || is_route(outcome.route.as_ref(), &self.name)
            || has_answered(&self.name)
            || is_answer && !is_bare && {
                let answered = code == GrpcCode::Ok || outcome.body_bytes > 0;
                record_call(&self.name, answered)
            };
        let failed = match self.is_outgoing {
            true => code != GrpcCode::Ok,
            false if outcome.sent_status.is_some_and(|status| status >= 500) => true,
            // as with HTTP, a missing method or a refused request is not a failure of the server
            false if code == GrpcCode::Unimplemented && !is_known => false,
            false if self.is_refused && outcome.ending == Ending::Complete => false,
            false => code.is_server_error(),
        };
        GrpcEnd {
            code,
            message,
            error_type: failed.then(|| cause.unwrap_or(code.name())),
            name: self.name,
            is_known,
        }
    }
}

/// Returns the status of a call for which none was sent, and the cause if the status does not imply it.
fn inferred(
    outcome: &Outcome,
    timeout: Option<Duration>,
    is_outgoing: bool,
) -> (GrpcCode, Option<&'static str>) {
    let is_over = timeout
        .is_some_and(|timeout| outcome.elapsed.saturating_add(timeout / DEADLINE_SLACK) >= timeout);
    let cause = outcome.error_type();
    match outcome.ending {
        Ending::Aborted | Ending::CutOff | Ending::Failed if is_over => {
            (GrpcCode::DeadlineExceeded, None)
        }
        Ending::Aborted => (GrpcCode::Cancelled, None),
        Ending::CutOff => (GrpcCode::Unavailable, cause),
        Ending::Failed if is_outgoing && outcome.sent_status.is_none() => {
            (GrpcCode::Unavailable, cause)
        }
        Ending::Failed | Ending::Panicked => (GrpcCode::Unknown, cause),
        Ending::Complete => {
            let code = GrpcCode::of_http(outcome.sent_status.unwrap_or(outcome.status));
            (code, Some("missing_status"))
        }
    }
}
