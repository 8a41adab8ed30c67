//! The catalogue of known secrets, and the rules for what it may say.
#![cfg_attr(
    not(feature = "yaml"),
    expect(dead_code, unused_imports, reason = "nothing reads a catalogue")
)]

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::SecretError;
use crate::cache::slot::Slot;

/// A larger catalogue file is refused.
pub const MAX_CATALOGUE_BYTES: usize = 1024 * 1024;
/// More entries are refused.
pub const MAX_CATALOGUE_ENTRIES: usize = 10_000;
/// The longest accepted `aws_path`, in bytes; neither service takes longer names.
const MAX_PATH_BYTES: usize = 2048;
/// The longest accepted secret name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The known secrets, each under its name and its variable.
#[derive(Default)]
pub(crate) struct Catalogue {
    entries: Vec<Arc<Entry>>,
    index: HashMap<String, Arc<Entry>, foldhash::fast::RandomState>,
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
        Self::build(file.secrets.0).map_err(|(name, problem)| {
            let at = line_of(text, &name).map_or(String::new(), |line| format!("line {line}: "));
            SecretError::config(format!("{origin}: {at}{problem}"))
        })
    }

    /// The name in an error is the entry that it is about.
    fn build(listed: Vec<(String, Raw)>) -> Result<Self, (String, String)> {
        if listed.len() > MAX_CATALOGUE_ENTRIES {
            let count = listed.len();
            let problem = format!("{count} entries; at most {MAX_CATALOGUE_ENTRIES} are read");
            return Err((String::new(), problem));
        }
        let mut catalogue = Self::default();
        let mut names = HashSet::new();
        for (name, raw) in listed {
            let about = name.clone();
            if !names.insert(name.clone()) {
                return Err((about, format!("the secret `{name}` is there twice")));
            }
            Entry::build(name, raw)
                .and_then(|entry| catalogue.add(entry))
                .map_err(|problem| (about, problem))?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let entry = Arc::new(entry);
        for key in [&entry.name, &entry.env_var] {
            if let Some(before) = self.index.insert(key.clone(), Arc::clone(&entry))
                && !Arc::ptr_eq(&before, &entry)
            {
                return Err(format!(
                    "`{key}` names both `{}` and `{}`: names and env_vars are unique",
                    before.name, entry.name
                ));
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.index.get(name)
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
            Some(_) => {
                return Err(
                    "a `:` is for the prefixes `ssm:` and `sm:` only; versions and ARNs are not supported".into(),
                );
            }
            None => (Pin::Both, text),
        };
        let (path, member) = match rest.split_once('#') {
            Some((_, "")) => return Err("nothing follows the `#`".into()),
            Some((path, member)) => (path, Some(member.to_owned())),
            None => (rest, None),
        };
        let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
        let long = path.len() > MAX_PATH_BYTES;
        if path.trim_matches('/').is_empty() || long || !path.bytes().all(accepted) {
            return Err(format!(
                "expected a path like /service/stage/name, of at most {MAX_PATH_BYTES} letters, digits and /_+=.@-!"
            ));
        }
        if pin == Pin::Ssm && !possible_at_ssm(path) {
            return Err(
                "Parameter Store takes letters, digits and /_.- only, and a `/` at the start if there is one at all"
                    .into(),
            );
        }
        Ok(Self {
            path: path.to_owned(),
            pin,
            member,
        })
    }

    /// The name at Parameter Store: as written, where a parameter can have such a name.
    pub(crate) fn ssm_name(&self) -> Option<&str> {
        (self.pin != Pin::SecretsManager && possible_at_ssm(&self.path))
            .then_some(self.path.as_str())
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

fn possible_at_ssm(path: &str) -> bool {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    (path.starts_with('/') || !path.contains('/')) && path.bytes().all(accepted)
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

/// The last line of that key in block style; the reader does not keep places.
#[cfg(feature = "yaml")]
fn line_of(text: &str, name: &str) -> Option<usize> {
    let is_key = |line: &str| {
        let key = line.trim().trim_start_matches(['"', '\'']);
        let rest = key.strip_prefix(name).filter(|_| !name.is_empty());
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
    };
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().rposition(|line| is_key(line)).map(|at| at + 1)
}

/// YAML 1.1 readers take an unquoted `no` for false and `0123` for 83. Ours would not, but the file is not ours alone.
#[cfg(feature = "yaml")]
fn unquoted_default(text: &str, origin: &str) -> Result<(), SecretError> {
    for (at, line) in text.lines().enumerate() {
        let Some(word) = default_of(line) else {
            continue;
        };
        let octal = word.len() > 1 && word.starts_with('0');
        let number = octal && word.bytes().all(|byte| byte.is_ascii_digit());
        let truth = ["no", "yes", "on", "off", "y", "n"];
        if number || truth.contains(&word.to_ascii_lowercase().as_str()) {
            let what = if number { "a number" } else { word };
            return Err(SecretError::config(format!(
                "{origin}: line {}: default: write {what} in quotes if that text is meant",
                at + 1
            )));
        }
    }
    Ok(())
}

/// The word after `default:`, in block or flow style.
#[cfg(feature = "yaml")]
fn default_of(line: &str) -> Option<&str> {
    let (before, value) = line.split_once("default:")?;
    let is_key = before.is_empty() || before.ends_with([' ', '{', ',', '\t']);
    let comment = before.trim_start().starts_with('#');
    let word = value.split([',', '}']).next()?.split(" #").next()?;
    (is_key && !comment).then(|| word.trim())
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
