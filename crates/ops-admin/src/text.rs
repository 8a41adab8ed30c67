//! Foreign texts: secrets and control characters are removed.

/// Returns the text with the secrets redacted that the log knows.
pub(crate) fn redacted(text: &str) -> String {
    #[cfg(feature = "log")]
    {
        ops_log::redacted(text).unwrap_or_else(|| text.to_owned())
    }
    #[cfg(not(feature = "log"))]
    {
        text.to_owned()
    }
}

/// Returns the text for a terminal: control characters, characters that
/// change the writing direction, and line breaks are replaced by `�`.
pub(crate) fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| {
        if c.is_control() || turns(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Returns the text for HTML, as content and in quoted attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}
