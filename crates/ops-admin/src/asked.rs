use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::Extensions;
use tracing::{Level, event_enabled};

use crate::text::redacted;

/// Characters of a text that are kept.
const TEXT_MAX: usize = 200;
const TARGET: &str = "ops_admin";
/// Name of a person who gives none.
const SOMEBODY: &str = "admin";

/// The person who asks, and the reason.
pub(crate) struct Asked {
    pub(crate) who: String,
    pub(crate) why: String,
    peer: String,
}

impl Asked {
    /// Fails, with what is accepted, if there is no reason.
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
            return Err("why takes a text\n");
        }
        Ok(Self::without_reason(extensions, who, why))
    }

    /// For what ends a change, and for questions.
    pub(crate) fn without_reason(extensions: &Extensions, who: Option<&str>, why: &str) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        Self {
            who: said(who.filter(|who| !who.trim().is_empty()).unwrap_or(SOMEBODY)),
            why: said(why),
            peer: peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string()),
        }
    }

    /// Writes what was done into the log, at the first level that is written: who did it is asked whatever the level was.
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

/// Returns the beginning of a text without secrets: nobody would know one again that is cut.
pub(crate) fn said(text: &str) -> String {
    cut(&redacted(text))
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
