//! Settings that are checked when a file is read, while the deserializer still knows their line.

use std::fmt;

use serde::de::{Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

use crate::setup::config::MAX_TTL;
#[cfg(feature = "aws-agent")]
pub(super) use crate::source::aws::agent::check as check_agent;
use crate::source::aws::detection::is_region;

#[cfg(not(feature = "aws-agent"))]
pub(super) fn check_agent(_: &str) -> Result<(), String> {
    Err("is set (`Config::aws_agent`, `OPS_SECRETS_AWS_AGENT`), but this program is built without the feature `aws-agent`".into())
}

pub(super) fn check_region(region: &str) -> Result<(), String> {
    match is_region(region) {
        true => Ok(()),
        false => Err(format!(
            "{region:?}; expected letters, digits and `-`, as in us-east-1 (`Config::region`, `OPS_AWS_REGION`)"
        )),
    }
}

pub(super) fn check_ttl(seconds: &u64) -> Result<(), String> {
    let limit = MAX_TTL.as_secs();
    match (1..=limit).contains(seconds) {
        true => Ok(()),
        false => Err(format!("{seconds}; expected 1 to {limit}")),
    }
}

pub(super) fn check_max_stale(seconds: &u64) -> Result<(), String> {
    let limit = MAX_TTL.as_secs();
    match *seconds <= limit {
        true => Ok(()),
        false => Err(format!("{seconds}; expected 0 to {limit}")),
    }
}

pub(super) fn check_deadline(seconds: &f64) -> Result<(), String> {
    match (0.01..=60.0).contains(seconds) {
        true => Ok(()),
        false => Err(format!("{seconds}; expected 0.01 to 60")),
    }
}

pub(super) fn ttl<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_u64(Checked(check_ttl, "a whole number of seconds"))
}

pub(super) fn max_stale<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_u64(Checked(check_max_stale, "a whole number of seconds"))
}

pub(super) fn deadline<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    from.deserialize_f64(Checked(check_deadline, "a number of seconds"))
}

pub(super) fn agent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let check = |address: &String| check_agent(address);
    from.deserialize_option(Optional(Checked(check, "an address")))
}

pub(super) fn region<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let check = |region: &String| check_region(region);
    from.deserialize_option(Optional(Checked(check, "a region")))
}

/// Reads a value, named for errors, and checks it.
struct Checked<T>(fn(&T) -> Result<(), String>, &'static str);

impl<'de, T: Deserialize<'de>> Checked<T> {
    fn value<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        let value = T::deserialize(from)?;
        self.0(&value).map_err(Error::custom).map(|()| value)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Checked<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.value(number.into_deserializer())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.value(number.into_deserializer())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.value(number.into_deserializer())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.value(text.into_deserializer())
    }
}

/// Reads a text that may be left out.
struct Optional(Checked<String>);

impl<'de> Visitor<'de> for Optional {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self.0).map(Some)
    }
}
