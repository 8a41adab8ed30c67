//! Local sources: the environment and files before the remote sources, the `.env` file and defaults after them.

use crate::error::ErrorKind;
use crate::resolver::tracked::Place;
use crate::resolver::{Found, Request, Resolver, failed};
use crate::source::file::Refusal;
use crate::{Attempt, Secret, SecretError, SecretSource};

#[expect(
    clippy::wrong_self_convention,
    reason = "a source is named, nothing is converted"
)]
impl Resolver {
    /// Reads the variable at each call: an override takes effect at once.
    pub(super) fn from_env(&self, place: Place<'_>) -> Result<Option<Secret>, SecretError> {
        let variable = place.variable();
        let Some(value) = self.config.environment.get(variable) else {
            return Ok(None);
        };
        let mut bytes = value.into_encoded_bytes();
        let secret = self.listeners.recognize(place, &bytes, SecretSource::Env);
        crate::source::env::wipe(&mut bytes);
        secret.map(Some).map_err(|problem| {
            let tried = Attempt {
                source: SecretSource::Env,
                outcome: format!("{variable}: {problem}"),
            };
            failed(place.name, ErrorKind::Malformed, vec![tried])
        })
    }

    /// Reads the secret's file: the one named by `NAME_FILE`, or
    /// one in a mounted folder. An empty file counts as absent.
    pub(super) fn from_file(&self, place: Place<'_>) -> Result<Option<Secret>, SecretError> {
        let source = SecretSource::File;
        let refused = |Refusal { kind, outcome }| {
            let tried = vec![Attempt { source, outcome }];
            let tried = self.with_local_attempts(place, tried);
            failed(place.name, kind, tried)
        };
        let found = match place.tracked {
            Some(tracked) => self.files.get(&tracked.files),
            None => self.files.get(&self.files.names(place.name, place.name)),
        };
        let text = found.map_err(refused)?;
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let secret = self.listeners.recognize(place, text.as_bytes(), source);
        secret.map(Some).map_err(|problem| {
            let outcome = format!("the file of {}: {problem}", place.own_name());
            refused(Refusal {
                kind: ErrorKind::Malformed,
                outcome,
            })
        })
    }

    /// Queries the sources after the remote ones: the `.env` file, then the defaults.
    pub(super) fn after_remote(
        &self,
        request: &Request<'_>,
        place: Place<'_>,
        mut tried: Vec<Attempt>,
    ) -> Result<Found, SecretError> {
        let entry = place.tracked.map(|tracked| &tracked.entry);
        if let Some(aws) = entry.and_then(|entry| entry.aws.as_ref())
            && !self.aws.open
        {
            tried.push(Attempt {
                source: SecretSource::AwsSsm,
                outcome: format!("{}: not queried, {}", aws.path, self.aws.reason),
            });
        }
        tried.extend(self.not_asked(place));
        if let Some(secret) = self.from_dotenv(place, &mut tried)? {
            return Ok(Found::Secret(secret));
        }
        let default = request
            .default
            .or_else(|| entry.and_then(|entry| entry.default.as_deref()));
        let required = entry.is_some_and(|entry| entry.required);
        if let Some(text) = default
            && !(required && self.config.production)
        {
            return Ok(Found::Secret(Secret::new(text, SecretSource::Default)));
        }
        let mut tried = self.with_local_attempts(place, tried);
        match default {
            Some(_) => {
                tried.push(Attempt {
                    source: SecretSource::Default,
                    outcome: "ignored: required secrets do not use defaults in production".into(),
                });
                Err(failed(request.name, ErrorKind::Missing, tried))
            }
            None if required => Err(failed(request.name, ErrorKind::Missing, tried)),
            None => Ok(Found::Nowhere(tried)),
        }
    }

    /// Returns why no remote source was queried although there is one: often that is what needs to be fixed.
    fn not_asked(&self, place: Place<'_>) -> Option<Attempt> {
        let why = match place.tracked {
            None => "not in the catalog",
            Some(tracked) if !tracked.is_remote => "no usable aws_path in the catalog",
            Some(_) => return None,
        };
        let source = self.chain.first()?;
        let outcome = format!("{}: not queried, {why}", place.name);
        Some(Attempt { source, outcome })
    }

    fn from_dotenv(
        &self,
        place: Place<'_>,
        tried: &mut Vec<Attempt>,
    ) -> Result<Option<Secret>, SecretError> {
        let variable = place.variable();
        let file = self.dotenv.path().display();
        let source = SecretSource::DotEnv;
        let mut absent = |outcome| {
            tried.push(Attempt { source, outcome });
            Ok(None)
        };
        let (kind, outcome) = match self.dotenv.load() {
            None => return absent(format!("{file}: no such file")),
            Some(Err(unread)) => (unread.kind, format!("{file}: {}", unread.problem)),
            Some(Ok(parsed)) => match parsed.get(variable) {
                Ok(None) => {
                    let unset = unset(variable, parsed.has(variable));
                    return absent(format!("{file}: {unset}"));
                }
                Ok(Some(text)) => match self.listeners.recognize(place, text.as_bytes(), source) {
                    Ok(secret) => return Ok(Some(secret)),
                    Err(problem) => (
                        ErrorKind::Malformed,
                        format!("{file}: {variable}: {problem}"),
                    ),
                },
                Err((line, problem)) => (
                    ErrorKind::Malformed,
                    format!("{file}: line {line}: {variable}: {problem}"),
                ),
            },
        };
        tried.push(Attempt { source, outcome });
        let tried = self.with_local_attempts(place, std::mem::take(tried));
        Err(failed(place.name, kind, tried))
    }

    /// Puts the attempts at the environment and at a mounted folder
    /// before the others. Their texts are built only for failures.
    pub(super) fn with_local_attempts(
        &self,
        place: Place<'_>,
        tried: Vec<Attempt>,
    ) -> Vec<Attempt> {
        let knows_file = tried
            .iter()
            .any(|attempt| attempt.source == SecretSource::File);
        let file = match place.tracked {
            _ if knows_file => None,
            Some(tracked) => self.files.tried(&tracked.files),
            None => {
                let names = self.files.names(place.name, place.name);
                self.files.tried(&names)
            }
        };
        let variable = place.variable();
        let local = [
            Some((
                SecretSource::Env,
                unset(variable, self.config.environment.is_set(variable)),
            )),
            file.map(|outcome| (SecretSource::File, outcome)),
        ];
        let local = local.into_iter().flatten();
        let local = local.map(|(source, outcome)| Attempt { source, outcome });
        local.chain(tried).collect()
    }
}

/// Returns the outcome for a variable without a value.
fn unset(variable: &str, is_there: bool) -> String {
    match is_there {
        true => format!("{variable} is empty, which counts as unset"),
        false => format!("{variable} is not set"),
    }
}
