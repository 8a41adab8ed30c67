//! Catalog of known secrets, and its validation rules.
#![cfg_attr(
    not(feature = "yaml"),
    expect(dead_code, reason = "nothing reads a catalog")
)]

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::SecretError;
#[cfg(feature = "yaml")]
use crate::setup::yaml_marks::Marks;
use crate::source::target::AwsPath;

/// Maximum size of a catalog file; a larger one is refused.
pub const MAX_CATALOG_BYTES: usize = 1024 * 1024;
/// Maximum number of entries; a larger catalog is refused.
pub const MAX_CATALOG_ENTRIES: usize = 10_000;
/// Maximum length of a secret name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// Maximum length of a `path` at a custom source, in bytes.
const MAX_PATH_BYTES: usize = 2048;

/// Known secrets, in the order of the file.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) entries: Vec<Entry>,
}

/// Configuration of one secret.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) env_var: String,
    pub(crate) description: String,
    pub(crate) required: bool,
    pub(crate) sensitive: bool,
    pub(crate) default: Option<String>,
    pub(crate) aws: Option<AwsPath>,
    /// Name at sources other than AWS.
    pub(crate) path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with the key `secrets`")]
struct File {
    #[serde(default)]
    secrets: Listed,
}

/// Entries in order, with duplicates, which a map type would hide.
#[derive(Default)]
struct Listed(Vec<(String, Raw)>);

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "env_var, description and the other keys of a secret"
)]
struct Raw {
    env_var: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    required: bool,
    #[serde(default = "yes")]
    sensitive: bool,
    aws_path: Option<String>,
    path: Option<String>,
    default: Option<Text>,
}

/// String in quotes; other scalar types are refused.
struct Text(String);

fn yes() -> bool {
    true
}

impl Catalog {
    /// Parses the text of a catalog file; `origin` names it in errors.
    #[cfg(feature = "yaml")]
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self, SecretError> {
        if text.len() > MAX_CATALOG_BYTES {
            return Err(SecretError::config(format!(
                "{origin}: exceeds the limit of {MAX_CATALOG_BYTES} bytes"
            )));
        }
        let marks = Marks::read(text);
        if let Some((line, word)) = &marks.unquoted_default {
            let what = if word.contains(|letter: char| letter.is_ascii_digit()) {
                "a number or a date".to_owned()
            } else {
                format!("`{word}`")
            };
            return Err(SecretError::config(format!(
                "{origin}: line {line}: default: put {what} in quotes to use it as text"
            )));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |error: serde_yaml::Error| {
            let problem = without_values(error.to_string());
            // the parser does not name the very start of a text
            let is_of_start =
                !problem.contains(" at line ") && problem.starts_with("unknown field `");
            let at = if is_of_start { "line 1: " } else { "" };
            SecretError::config(format!("{origin}: {at}{problem}"))
        };
        let file: File = serde_yaml::from_str(text).map_err(wrong)?;
        Self::build(file.secrets.0).map_err(|(name, problem)| {
            let line = marks.lines.get(&name);
            let at = line.map_or(String::new(), |line| format!("line {line}: "));
            SecretError::config(format!("{origin}: {at}{problem}"))
        })
    }

    /// Adds a secret that is defined in code.
    pub(crate) fn add(&mut self, name: &str, aws_path: &str) -> Result<(), SecretError> {
        let raw = Raw {
            env_var: None,
            description: String::new(),
            required: false,
            sensitive: true,
            aws_path: Some(aws_path.to_owned()),
            path: None,
            default: None,
        };
        let entry = Entry::build(name, raw).map_err(SecretError::config)?;
        let mut others = self.entries.iter();
        let other = others.find(|other| {
            let keys = [&other.name, &other.env_var];
            keys.contains(&&entry.name) || keys.contains(&&entry.env_var)
        });
        if let Some(other) = other {
            let (name, known) = (&entry.name, &other.name);
            return Err(SecretError::config(format!(
                "`{name}` conflicts with `{known}`: names and env_vars must be unique"
            )));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Builds the catalog. An error contains the name of the entry it is about.
    fn build(listed: Vec<(String, Raw)>) -> Result<Self, (String, String)> {
        if listed.len() > MAX_CATALOG_ENTRIES {
            let count = listed.len();
            let problem = format!("{count} entries exceed the limit of {MAX_CATALOG_ENTRIES}");
            return Err((String::new(), problem));
        }
        let (mut entries, mut names) = (Vec::new(), HashSet::new());
        let mut owners: HashMap<String, String> = HashMap::new();
        for (name, raw) in listed {
            let about = |problem| (name.clone(), problem);
            if !names.insert(name.clone()) {
                return Err(about(format!("duplicate secret `{name}`")));
            }
            let entry = Entry::build(&name, raw).map_err(about)?;
            for key in [&entry.name, &entry.env_var] {
                let before = owners.insert(key.clone(), name.clone());
                if let Some(before) = before.filter(|before| *before != name) {
                    return Err(about(format!(
                        "`{key}` names both `{before}` and `{name}`: names and env_vars must be unique"
                    )));
                }
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }
}

impl Entry {
    fn build(name: &str, raw: Raw) -> Result<Self, String> {
        check_name(name)?;
        let env_var = raw
            .env_var
            .unwrap_or_else(|| name.to_ascii_uppercase().replace(['.', '-'], "_"));
        check_name(&env_var).map_err(|problem| format!("`{name}`: env_var: {problem}"))?;
        let aws = raw.aws_path.map(|path| AwsPath::parse(&path)).transpose();
        if let Some(path) = &raw.path {
            check_path(path).map_err(|problem| format!("`{name}`: path: {problem}"))?;
        }
        Ok(Self {
            aws: aws.map_err(|problem| format!("`{name}`: aws_path: {problem}"))?,
            name: name.to_owned(),
            env_var,
            description: raw.description,
            required: raw.required,
            sensitive: raw.sensitive,
            default: raw.default.map(|text| text.0),
            path: raw.path,
        })
    }
}

fn check_path(path: &str) -> Result<(), String> {
    let expected = || {
        Err(format!(
            "expected 1 to {MAX_PATH_BYTES} bytes of printable text"
        ))
    };
    match path.len() {
        1..=MAX_PATH_BYTES if !path.contains(|letter: char| letter.is_control()) => Ok(()),
        _ => expected(),
    }
}

/// Checks a name. An invalid one may be a secret value in the wrong place, so the error does not repeat it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() {
        return Err("the secret name is empty".into());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!(
            "the secret name has {} bytes; expected at most {MAX_NAME_BYTES}",
            name.len()
        ));
    }
    match name.bytes().position(|byte| !accepted(byte)) {
        None => Ok(()),
        Some(at) => Err(format!(
            "the secret name has an unexpected byte at {at}; expected letters, digits and _.-"
        )),
    }
}

/// Removes values from a parser message. The parser repeats a scalar of the
/// wrong type, which may be a secret that was written in place of its settings.
#[cfg(feature = "yaml")]
fn without_values(message: String) -> String {
    let found = message
        .find("invalid type: ")
        .or_else(|| message.find("invalid value: "));
    match (found, message.rfind(", expected")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}invalid type{}", &message[..from], &message[to..])
        }
        _ => message,
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Listed;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of secret names to their settings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
                let mut listed = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    listed.push((name, map.next_value()?));
                }
                Ok(Listed(listed))
            }
            fn visit_unit<E>(self) -> Result<Listed, E> {
                Ok(Listed::default())
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quoted string")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            // the message does not repeat the value
            fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Text, E> {
                Err(E::custom(
                    "default: put a boolean in quotes to use it as text",
                ))
            }
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Text, E> {
                Err(E::custom(
                    "default: put a number in quotes to use it as text",
                ))
            }
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Text, E> {
                self.visit_u64(0)
            }
            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Text, E> {
                self.visit_u64(0)
            }
        }
        deserializer.deserialize_any(Quoted)
    }
}
