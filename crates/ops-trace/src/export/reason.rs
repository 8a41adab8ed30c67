use std::cmp::Reverse;
use std::fmt;
use std::io::Read;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::export::response::{self, PROTOBUF};
use crate::limits::cut;

/// Maximum bytes of the body of a failure that are read.
const MAX_READ_BYTES: u64 = 4096;
/// Maximum bytes of a reason.
const MAX_SHOWN_BYTES: usize = 256;
/// Minimum bytes of a credential; a shorter part of a header may be any word.
const MIN_CREDENTIAL_BYTES: usize = 6;
/// Scheme of a credential: as long as a credential, but a word of many messages.
const SCHEME: &str = "bearer";

/// Reads the reason why a collector rejected a batch, or a part of it.
///
/// Such a text may repeat parts of the request: the values of the configured headers are removed.
pub(crate) struct Reasons {
    credentials: Vec<String>,
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reasons").finish_non_exhaustive()
    }
}

impl Reasons {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let mut credentials = Vec::new();
        for value in headers.values() {
            // a value may contain bytes beyond ASCII
            let value = String::from_utf8_lossy(value.as_bytes());
            // a text may quote a part of the value, or escape the characters between two parts
            let pieces = value.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c));
            let parts = value.split_whitespace().chain(pieces).filter(|part| {
                part.len() >= MIN_CREDENTIAL_BYTES && !part.eq_ignore_ascii_case(SCHEME)
            });
            credentials.extend(parts.map(str::to_owned));
        }
        // longest first: a credential may be the prefix of another one, whose rest would remain
        credentials.sort_by_key(|credential| Reverse(credential.len()));
        Self { credentials }
    }

    /// Returns the text with `***` for each part of a credential.
    pub(crate) fn without_credentials(&self, text: String) -> String {
        self.credentials.iter().fold(text, |text, credential| {
            text.replace(credential.as_str(), "***")
        })
    }

    /// Returns the message of a response, on one line; `None` if it has no readable message.
    ///
    /// A message of 401 or 403 is about credentials, and may contain a part of one. A body of unknown length may not
    /// end before the connection is closed, which would delay the next batch.
    pub(crate) fn read(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: impl Read,
    ) -> Option<String> {
        let is_about_credentials =
            matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if is_about_credentials || headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)?;
        let kind = kind.split(|byte| *byte == b';').next()?.trim_ascii();
        let is = |of: &str| kind.eq_ignore_ascii_case(of.as_bytes());
        let is_protobuf = is(PROTOBUF);
        if !is_protobuf && !is("text/plain") && !is("application/json") {
            return None;
        }
        let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
        let length: u64 = length.trim().parse().ok()?;
        let mut bytes = Vec::new();
        // the part before a broken connection is better than nothing
        let _ = body
            .take(length.min(MAX_READ_BYTES))
            .read_to_end(&mut bytes);
        let text = match is_protobuf {
            true => response::message_of_status(&bytes)?.to_owned(),
            false => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let text = self.without_credentials(text);
        let printable = text.split(|c: char| c.is_whitespace() || c.is_control());
        let words: Vec<&str> = printable.filter(|word| !word.is_empty()).collect();
        (!words.is_empty()).then(|| cut(words.join(" "), MAX_SHOWN_BYTES))
    }
}
