//! Names in a text, and the words that may be names.

use std::borrow::Cow;

use crate::redact::deny::DenyList;
use crate::redact::encoding::Decoded;

/// Maximum length of a field name or key that is checked in a text, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 64;
/// Last words of the names of parameters that sign a URL; such a signature is a credential.
const SIGNATURES: [&str; 3] = ["sig", "signature", "SharedAccessSignature"];

/// Returns the name at the end of the text; empty if there is none.
pub(super) fn last_name(text: &[u8]) -> &[u8] {
    let is_part =
        |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte) || !byte.is_ascii();
    let len = text
        .iter()
        .rev()
        .take(MAX_NAME_BYTES)
        .take_while(is_part)
        .count();
    &text[text.len() - len..]
}

/// Returns the text without white space at its end, which may be escaped.
pub(super) fn without_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_end();
        match text {
            [before @ .., b'\\', b'n' | b't'] => text = without_slashes(before),
            _ => return text,
        }
    }
}

/// Returns the text without backslashes at its end.
pub(super) fn without_slashes(text: &[u8]) -> &[u8] {
    let slashes = text.iter().rev().take_while(|byte| **byte == b'\\');
    &text[..text.len() - slashes.count()]
}

/// Returns `true` for characters that end the words of a text.
pub(super) fn is_end_of_word(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\' | '`')
}

/// Returns `true` if the value of a parameter with this name is a credential.
pub(super) fn is_denied(name: &str, deny: &DenyList) -> bool {
    let last_word = name.rsplit(['-', '_']).next().unwrap_or(name);
    let mut signatures = SIGNATURES.iter();
    deny.has(name.as_bytes()) || signatures.any(|known| known.eq_ignore_ascii_case(last_word))
}

/// Decodes one level of percent-encoding; invalid UTF-8 is replaced.
pub(super) fn percent_decoded(text: &str) -> Cow<'_, str> {
    match Decoded::new(text.as_bytes(), b'%').and_then(|text| text.next()) {
        Some(decoded) => Cow::Owned(String::from_utf8_lossy(&decoded.bytes).into_owned()),
        None => Cow::Borrowed(text),
    }
}
