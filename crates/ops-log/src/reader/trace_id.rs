use std::fmt;
use std::str::FromStr;

/// Trace id: 32 hexadecimal digits, not all of them 0.
///
/// Parsed from such digits in any case, or from a whole `traceparent`.
///
/// ```
/// use ops_log::reader::TraceId;
///
/// let id: TraceId = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01".parse()?;
/// assert_eq!(id.as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!("nonsense".parse::<TraceId>().is_err());
/// # Ok::<(), ops_log::reader::ParseTraceIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceId(String);

/// Text without a valid trace id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTraceIdError {
    text: String,
}

impl TraceId {
    /// Returns the 32 digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceId {
    type Err = ParseTraceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let parts: Vec<&str> = text.split('-').collect();
        let id = match parts[..] {
            [id] => Some(id),
            // later versions may append more after the flags
            [version, id, span, flags, ..] => {
                let is_header = is_hex(version, 2) && is_hex(span, 16) && is_hex(flags, 2);
                is_header.then_some(id)
            }
            _ => None,
        };
        let is_id = |id: &&str| is_hex(id, 32) && id.bytes().any(|digit| digit != b'0');
        let id = id.filter(is_id).map(|id| Self(id.to_ascii_lowercase()));
        id.ok_or_else(|| ParseTraceIdError {
            text: text.chars().take(64).collect(),
        })
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for ParseTraceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid trace id {:?}: expected 32 hexadecimal digits, not all 0, or a whole traceparent",
            self.text
        )
    }
}

impl std::error::Error for ParseTraceIdError {}
