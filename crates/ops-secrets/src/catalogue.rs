//! The catalogue of known secrets, and the rules for what it may say.
#![cfg_attr(
    not(feature = "yaml"),
    expect(dead_code, unused_imports, reason = "nothing reads a catalogue")
)]

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::SecretError;
use crate::slot::Slot;

/// A larger catalogue file is refused.
pub const MAX_CATALOGUE_BYTES: usize = 1024 * 1024;
/// More entries are refused.
pub const MAX_CATALOGUE_ENTRIES: usize = 10_000;
/// The longest accepted secret name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The known secrets, each under its name and its variable.
#[derive(Default)]
pub(crate) struct Catalogue {
    entries: Vec<Arc<Entry>>,
    index: HashMap<String, usize>,
}

/// One secret of the catalogue, with what is known of its remote value.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) env_var: String,
    pub(crate) description: String,
    pub(crate) required: bool,
    pub(crate) sensitive: bool,
    pub(crate) default: Option<String>,
    pub(crate) target: Option<Target>,
    pub(crate) slot: Slot,
}

/// Where to ask at AWS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) path: String,
    pub(crate) pin: Pin,
    pub(crate) member: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pin {
    Both,
    Ssm,
    SecretsManager,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    secrets: Listed,
}

/// Keeps order and repetitions, which a map type would hide.
#[derive(Default)]
struct Listed(Vec<(String, Raw)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    env_var: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    required: bool,
    #[serde(default = "yes")]
    sensitive: bool,
    aws_path: Option<String>,
    default: Option<Text>,
}

/// A string and nothing that merely looks like one.
struct Text(String);

fn yes() -> bool {
    true
}

impl Catalogue {
    /// Reads the text of a catalogue file; `origin` names it in errors.
    #[cfg(feature = "yaml")]
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self, SecretError> {
        if text.len() > MAX_CATALOGUE_BYTES {
            let size = text.len();
            return Err(SecretError::config(format!(
                "{origin}: {size} bytes; at most {MAX_CATALOGUE_BYTES} are read"
            )));
        }
        unquoted_default(text, origin)?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |error: serde_yaml::Error| {
            SecretError::config(format!("{origin}: {}", without_values(error.to_string())))
        };
        let file: File = serde_yaml::from_str(text).map_err(wrong)?;
        Self::build(file.secrets.0)
            .map_err(|problem| SecretError::config(format!("{origin}: {problem}")))
    }

    fn build(listed: Vec<(String, Raw)>) -> Result<Self, String> {
        if listed.len() > MAX_CATALOGUE_ENTRIES {
            return Err(format!(
                "{} entries; at most {MAX_CATALOGUE_ENTRIES} are read",
                listed.len()
            ));
        }
        let mut catalogue = Self::default();
        for (name, raw) in listed {
            let entry = Entry::build(name, raw)?;
            catalogue.add(entry)?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let at = self.entries.len();
        for key in [&entry.name, &entry.env_var] {
            if let Some(before) = self.index.insert(key.clone(), at)
                && before != at
            {
                let other = &self.entries[before].name;
                return Err(format!(
                    "`{key}` names both `{other}` and `{}`: names and env_vars are unique",
                    entry.name
                ));
            }
        }
        self.entries.push(Arc::new(entry));
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.index.get(name).and_then(|at| self.entries.get(*at))
    }

    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }
}

impl Entry {
    fn build(name: String, raw: Raw) -> Result<Self, String> {
        check_name(&name)?;
        let env_var = raw
            .env_var
            .unwrap_or_else(|| name.to_ascii_uppercase().replace(['.', '-'], "_"));
        check_name(&env_var).map_err(|problem| format!("`{name}`: env_var: {problem}"))?;
        let target = raw.aws_path.map(|path| Target::parse(&path)).transpose();
        Ok(Self {
            target: target.map_err(|problem| format!("`{name}`: aws_path: {problem}"))?,
            name,
            env_var,
            description: raw.description,
            required: raw.required,
            sensitive: raw.sensitive,
            default: raw.default.map(|text| text.0),
            slot: Slot::default(),
        })
    }
}

impl Target {
    /// `[ssm:|sm:]path[#json.key]`
    fn parse(text: &str) -> Result<Self, String> {
        let (pin, rest) = match text.split_once(':') {
            Some(("ssm", rest)) => (Pin::Ssm, rest),
            Some(("sm", rest)) => (Pin::SecretsManager, rest),
            Some(_) => return Err("the prefix is neither `ssm:` nor `sm:`".into()),
            None => (Pin::Both, text),
        };
        let (path, member) = match rest.split_once('#') {
            Some((_, "")) => return Err("nothing follows the `#`".into()),
            Some((path, member)) => (path, Some(member.to_owned())),
            None => (rest, None),
        };
        let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
        if path.trim_matches('/').is_empty() || path.len() > 2048 || !path.bytes().all(accepted) {
            return Err(
                "expected a path like /service/stage/name, of letters, digits and /_+=.@-!".into(),
            );
        }
        Ok(Self {
            path: path.to_owned(),
            pin,
            member,
        })
    }

    /// The name at Parameter Store: as written. A path with slashes must start with one there.
    pub(crate) fn ssm_name(&self) -> Option<&str> {
        let possible = self.path.starts_with('/') || !self.path.contains('/');
        (self.pin != Pin::SecretsManager && possible).then_some(self.path.as_str())
    }

    /// The name at Secrets Manager: first without the leading slash.
    pub(crate) fn sm_name(&self) -> Option<&str> {
        (self.pin != Pin::Ssm).then(|| self.path.trim_start_matches('/'))
    }

    /// The second name at Secrets Manager: as written, where that differs.
    pub(crate) fn sm_name_as_written(&self) -> Option<&str> {
        (self.pin != Pin::Ssm && self.path.starts_with('/')).then_some(self.path.as_str())
    }
}

/// A wrong name may be a value that ended up in the wrong place, so it is described and not repeated.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() {
        return Err("the secret name is empty".into());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!(
            "the secret name has {} bytes; at most {MAX_NAME_BYTES} are accepted",
            name.len()
        ));
    }
    match name.bytes().position(|byte| !accepted(byte)) {
        None => Ok(()),
        Some(at) => Err(format!(
            "the secret name has an unexpected byte at {at}; accepted are letters, digits and _.-"
        )),
    }
}

/// The reader repeats a scalar of the wrong type, which may be a secret that was written in the place of its settings.
#[cfg(feature = "yaml")]
fn without_values(told: String) -> String {
    let found = told
        .find("invalid type: ")
        .or_else(|| told.find("invalid value: "));
    match (found, told.rfind(", expected")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}invalid type{}", &told[..from], &told[to..])
        }
        _ => told,
    }
}

/// YAML 1.1 readers take an unquoted `no` for false. Ours would not, but the file is not ours alone.
#[cfg(feature = "yaml")]
fn unquoted_default(text: &str, origin: &str) -> Result<(), SecretError> {
    for (at, line) in text.lines().enumerate() {
        let Some(value) = line.trim().strip_prefix("default:") else {
            continue;
        };
        let word = value.split(" #").next().unwrap_or_default().trim();
        if word.len() > 1 && word.starts_with('0') && word.bytes().all(|byte| byte.is_ascii_digit())
        {
            let problem = format!(
                "{origin}: line {}: default: write a number in quotes if that text is meant",
                at + 1
            );
            return Err(SecretError::config(problem));
        }
        if ["no", "yes", "on", "off", "y", "n"].contains(&word.to_ascii_lowercase().as_str()) {
            let problem = format!(
                "{origin}: line {}: default: write {word} in quotes if that text is meant",
                at + 1
            );
            return Err(SecretError::config(problem));
        }
    }
    Ok(())
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
                    if listed.iter().any(|(before, _)| *before == name) {
                        return Err(serde::de::Error::custom(format!(
                            "the secret `{name}` is there twice"
                        )));
                    }
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
                f.write_str("a string in quotes")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            // the value is not repeated in the message
            fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Text, E> {
                Err(E::custom(
                    "default: a truth value; write it in quotes if that text is meant",
                ))
            }
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Text, E> {
                Err(E::custom(
                    "default: a number; write it in quotes if that text is meant",
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
