//! Start of a line: time, level, logger and event.

use std::fmt;

use crate::redact::deny::DenyList;
use crate::redact::scrub::has_url;
use crate::{Level, escape};

/// Positions in a line that the console form needs.
#[derive(Clone, Copy)]
pub(crate) struct EventSpan {
    /// Text of the event, escaped.
    pub(crate) event: (usize, usize),
    pub(crate) head_end: usize,
}

/// Level, logger and event of a line.
pub(crate) struct RecordMeta<'a> {
    pub(crate) level: Level,
    pub(crate) logger: Option<&'a str>,
    pub(crate) event: &'a dyn Event,
    /// Module of the call, which filters check too.
    pub(crate) module: Option<&'a str>,
    /// File and line of the call.
    pub(crate) location: Option<(&'a str, u32)>,
    /// Set for lines that every output gets, whatever its filter.
    pub(crate) always: bool,
}

impl<'a> RecordMeta<'a> {
    /// Returns the metadata of a warning by this crate, which every output gets.
    pub(crate) fn own_warning(event: &'a dyn Event) -> Self {
        Self {
            level: Level::Warning,
            logger: Some("ops_log"),
            event,
            module: None,
            location: None,
            always: true,
        }
    }
}

/// Text of an event: known, or to be formatted.
pub(crate) trait Event {
    fn known(&self) -> Option<&str>;
    fn arguments(&self) -> fmt::Arguments<'_>;

    /// Returns the name by which lines of this event are rate-limited.
    fn limited(&self) -> Option<&str> {
        self.known()
    }
}

impl Event for &str {
    fn known(&self) -> Option<&str> {
        Some(self)
    }

    fn arguments(&self) -> fmt::Arguments<'_> {
        format_args!("")
    }
}

impl Event for fmt::Arguments<'_> {
    #[inline]
    fn known(&self) -> Option<&str> {
        self.as_str()
    }

    fn arguments(&self) -> fmt::Arguments<'_> {
        *self
    }
}

/// Settings of a configuration for the form of its lines.
pub(crate) struct LineFormat {
    /// `","level":"info","logger":"api","event":`, for each level.
    pub(crate) root_heads: [Vec<u8>; 6],
    /// Set if the service's name may contain a URL or a query.
    pub(crate) root_has_url: bool,
    pub(crate) deny: DenyList,
    pub(crate) span_id: bool,
}

impl LineFormat {
    pub(crate) fn new(service: &str, deny: DenyList, span_id: bool) -> Self {
        let root_heads = LEVELS.map(|level| {
            let mut head = level.as_bytes().to_vec();
            escape::json(service, &mut head);
            head.extend_from_slice(EVENT);
            head
        });
        Self {
            root_heads,
            root_has_url: has_url(service.as_bytes()),
            deny,
            span_id,
        }
    }
}

/// Text from the end of the timestamp to the logger's name, such as `","level":"info","logger":"`.
pub(crate) const LEVELS: [&str; 6] = [
    r#"","level":"trace","logger":""#,
    r#"","level":"debug","logger":""#,
    r#"","level":"info","logger":""#,
    r#"","level":"warning","logger":""#,
    r#"","level":"error","logger":""#,
    r#"","level":"critical","logger":""#,
];

/// Text between the logger's name and the event.
pub(crate) const EVENT: &[u8] = b"\",\"event\":";
