//! Query parameters, parsed strictly: unknown, duplicate and out-of-range ones are errors.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use crate::problem::Problem;

/// Query parameters that have not been taken yet.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(error) => Err(Problem::parameter(
                "query",
                error.body_text(),
                "name=value pairs joined by &",
            )),
        }
    }
}

impl Params {
    /// Takes the text of a parameter, if it was given.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = None;
        while let Some(at) = self.0.iter().position(|(key, _)| key == name) {
            if found.replace(self.0.swap_remove(at).1).is_some() {
                return Err(Problem::parameter(
                    name,
                    "parameter given more than once",
                    "one value",
                ));
            }
        }
        Ok(found)
    }

    /// Takes a parameter, which must parse and pass a check.
    pub fn parse<T: FromStr>(
        &mut self,
        name: &str,
        accepts: &str,
        valid: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) if valid(&value) => Ok(Some(value)),
            _ => Err(invalid(name, &text, accepts)),
        }
    }

    /// Fails if there is any parameter.
    pub fn none(self) -> Result<(), Problem> {
        self.finish("no parameters")
    }

    /// Fails if a parameter is left.
    pub fn finish(self, known: &str) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::parameter(name, "unknown parameter", known)),
        }
    }
}

/// Returns the problem of a parameter with this text.
pub fn invalid(name: &str, text: &str, accepts: &str) -> Problem {
    let shown: String = text.chars().take(40).collect();
    Problem::parameter(name, format!("expected {accepts}, got {shown:?}"), accepts)
}
