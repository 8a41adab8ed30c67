//! Lists of `key=value`, the format of headers and resource attributes.

use percent_encoding::percent_decode_str;

use super::environment::{Environment, Warning, is_text};

/// Reads `key=value,key=value`, percent-encoded. Invalid pairs are left out and named, each with the reason, in one
/// warning; values are never quoted, because they may be credentials.
pub(super) fn pairs<T>(
    env: &Environment,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
    read: impl Fn(&str, String) -> Result<T, Refused>,
) -> Vec<T> {
    let list = env.get(variable).unwrap_or_default();
    let items = list.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    let (mut pairs, mut refused) = (Vec::new(), Vec::new());
    for (index, item) in items.enumerate() {
        let pair = parse(item).and_then(|(key, value)| read(key, value));
        match pair {
            Ok(pair) => pairs.push(pair),
            // a pair without a name may be a part of a value that contains a comma
            Err(Refused { name: None, reason }) => {
                refused.push(format!("pair {}: {reason}", index + 1));
            }
            Err(Refused {
                name: Some(name),
                reason,
            }) => refused.push(format!("{name}: {reason}")),
        }
    }
    if !refused.is_empty() {
        warnings.push(Warning {
            variable,
            value: "***".to_owned(),
            accepted: format!("key=value,key=value; ignored: {}", refused.join("; ")),
            used: format!("{} of {} pairs", pairs.len(), pairs.len() + refused.len()),
        });
    }
    pairs
}

/// An invalid pair.
pub(super) struct Refused {
    /// `None` if the name cannot be distinguished from a value.
    pub(super) name: Option<String>,
    pub(super) reason: &'static str,
}

fn parse(item: &str) -> Result<(&str, String), Refused> {
    let unnamed = |reason| Refused { name: None, reason };
    let (key, value) = item.split_once('=').ok_or(unnamed("missing `=`"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(unnamed("the key is empty"));
    }
    let value = decoded(value).ok_or(unnamed("the value is not UTF-8"))?;
    Ok((key, value))
}

/// Decodes percent-encoding; `None` if the text is not UTF-8, before or after.
pub(super) fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    is_text(text).then(|| decoded.into_owned())
}
