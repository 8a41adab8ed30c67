use std::fmt;

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    UInt(u64),
    /// A number; what is not finite is written as `null`.
    Float(f64),
    /// Text.
    Text(String),
}

macro_rules! from {
    ($($kind:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

from!(bool => Bool, i8 => Int, i16 => Int, i32 => Int, i64 => Int, u8 => UInt, u16 => UInt, u32 => UInt,
    u64 => UInt, f32 => Float, f64 => Float, &str => Text, String => Text, &String => Text);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::UInt(value as u64)
    }
}

impl Value {
    pub(crate) fn json(&self, out: &mut String) {
        match self {
            Self::Float(value) if !value.is_finite() => out.push_str("null"),
            Self::Text(text) => json_text(text, out),
            plain => plain.push_plain(out),
        }
    }

    /// Bare where it is one plain word, else quoted.
    pub(crate) fn console(&self, out: &mut String) {
        match self {
            Self::Text(text)
                if text.is_empty()
                    || !text.bytes().all(|b| {
                        b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'=' | b'\\')
                    }) =>
            {
                json_text(text, out);
            }
            plain => plain.push_plain(out),
        }
    }

    fn push_plain(&self, out: &mut String) {
        use fmt::Write;
        // writing to a String cannot fail
        let _ = match self {
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::UInt(value) => write!(out, "{value}"),
            Self::Float(value) => write!(out, "{value:?}"),
            Self::Text(text) => write!(out, "{text}"),
        };
    }
}

/// A JSON string: control characters, line separators and text direction marks are escaped.
pub(crate) fn json_text(text: &str, out: &mut String) {
    use fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
