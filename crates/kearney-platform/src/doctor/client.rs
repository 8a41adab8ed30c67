//! One GET with a time limit, and its answer in words.

use std::io::ErrorKind;
use std::time::Duration;

/// More than any answer of a platform that works.
const MAX_BYTES: u64 = 32 << 20;

/// Answer to a GET.
pub(super) enum Answer {
    Http {
        status: u16,
        body: String,
    },
    /// Nobody listens there.
    Refused(String),
    /// Somebody took the connection, and did not answer.
    Silent(Duration),
    /// Anything else: not HTTP, too long, reset.
    Other(String),
}

impl Answer {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Http { status, body } => format!("status {status}, {} bytes", body.len()),
            Self::Refused(why) => format!("no connection: {why}"),
            Self::Silent(limit) => format!("no answer within {:.0} s", limit.as_secs_f64()),
            Self::Other(why) => why.clone(),
        }
    }
}

/// Asks, past any proxy: these addresses are of this machine or network.
pub(super) fn get(url: &str, token: Option<&str>, limit: Duration) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(limit))
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answered = request.call().and_then(|mut response| {
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_BYTES);
        Ok((status, body.lossy_utf8(true).read_to_string()?))
    });
    match answered {
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
