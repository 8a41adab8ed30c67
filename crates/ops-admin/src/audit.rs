use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::Extensions;
use tracing::{Level, event_enabled};

use crate::text::redacted;

/// Maximum length of a text in characters; the rest is cut off.
const TEXT_MAX: usize = 200;
const TARGET: &str = "ops_admin";
/// Name of a person who gives none.
const UNNAMED: &str = "admin";

/// Person who makes the request, and the reason.
pub(crate) struct AuditedRequest {
    pub(crate) who: String,
    pub(crate) why: String,
    peer: String,
}

impl AuditedRequest {
    /// Creates the request of a person. Fails without a reason; the message names what is accepted.
    #[cfg_attr(
        not(any(feature = "cache", feature = "log", feature = "trace")),
        expect(dead_code, reason = "for changes, of which there are none")
    )]
    pub(crate) fn new(
        extensions: &Extensions,
        who: Option<&str>,
        why: &str,
    ) -> Result<Self, &'static str> {
        if why.trim().is_empty() {
            return Err("why must not be empty\n");
        }
        Ok(Self::without_reason(extensions, who, why))
    }

    /// Creates a request that needs no reason: the end of a change, or a question.
    pub(crate) fn without_reason(extensions: &Extensions, who: Option<&str>, why: &str) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        Self {
            who: redacted_excerpt(who.filter(|who| !who.trim().is_empty()).unwrap_or(UNNAMED)),
            why: redacted_excerpt(why),
            peer: peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string()),
        }
    }

    /// Logs what was done, at the first level that is written: the person has to be known whatever the level is.
    pub(crate) fn report(&self, action: &'static str, change: &str, outcome: &str) {
        let Self { who, why, peer } = self;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(target: TARGET, action, change, outcome, who, why, peer, "admin_action")
            };
        }
        if event_enabled!(target: TARGET, Level::INFO) {
            line!(info);
        } else if event_enabled!(target: TARGET, Level::WARN) {
            line!(warn);
        } else {
            line!(error);
        }
    }
}

/// Returns the start of a text, with secrets redacted before it is cut: a secret that is cut is not recognized.
pub(crate) fn redacted_excerpt(text: &str) -> String {
    cut(&redacted(text))
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
