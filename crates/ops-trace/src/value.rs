use arc_swap::ArcSwapOption;
use std::sync::Arc;

const MAX_VALUE_BYTES: usize = 4096;

type Filter = Box<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

static FILTER: ArcSwapOption<Filter> = ArcSwapOption::const_empty();

/// The value of an attribute. Text beyond 4,096 bytes is cut; a float that is no number becomes text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
}

/// Lets this function see each text of an attribute (key, value) and replace it: for secrets.
pub fn set_attribute_filter(filter: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) {
    FILTER.store(Some(Arc::new(Box::new(filter))));
}

impl Value {
    pub(crate) fn into_otel(self, key: &str) -> opentelemetry::Value {
        match self {
            Self::Bool(b) => b.into(),
            Self::Int(i) => i.into(),
            Self::Float(f) if f.is_finite() => f.into(),
            Self::Float(f) => f.to_string().into(),
            Self::Text(text) => bounded(filtered(key, text)).into(),
        }
    }
}

fn filtered(key: &str, text: String) -> String {
    match FILTER.load().as_deref() {
        Some(filter) => filter(key, &text).unwrap_or(text),
        None => text,
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_VALUE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_VALUE_BYTES));
        text.push_str("...(truncated)");
    }
    text
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $to:expr;)+) => {$(
        impl From<$from> for Value {
            fn from($v: $from) -> Self {
                $to
            }
        }
    )+};
}

value_from! {
    bool => |v| Self::Bool(v);
    i32 => |v| Self::Int(v.into());
    u32 => |v| Self::Int(v.into());
    u16 => |v| Self::Int(v.into());
    i64 => |v| Self::Int(v);
    u64 => |v| i64::try_from(v).map_or_else(|_| Self::Text(v.to_string()), Self::Int);
    usize => |v| i64::try_from(v).map_or_else(|_| Self::Text(v.to_string()), Self::Int);
    f64 => |v| Self::Float(v);
    &str => |v| Self::Text(v.to_owned());
    String => |v| Self::Text(v);
    &String => |v| Self::Text(v.clone());
}
