//! AWS Secrets Manager.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, Region};
use aws_sdk_secretsmanager::primitives::Blob;

use crate::error::ErrorKind;
use crate::source::aws::bulk::{BulkApi, look_up};
use crate::source::aws::classify::{Refused, classify, name_failure};
use crate::source::aws::codes::is_absent_secret;
use crate::source::aws::session::{Connect, Connection, Open, Session};
use crate::source::target::Pinned;
use crate::source::{FetchError, FetchResult, Source, SourceFuture, SourceValue};

/// Maximum number of pages read of one bulk response; names on further pages are requested singly.
const MAX_PAGES: usize = 100;

/// Secrets Manager as a source.
pub(crate) struct SecretsManager {
    session: Arc<Session>,
    connection: Connection<Client>,
}

/// Calls of the service, with their client.
struct Api {
    session: Arc<Session>,
    client: Client,
}

impl SecretsManager {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            connection: Connection::new(),
        }
    }
}

impl Connect for Client {
    const ENDPOINT_VARIABLE: &'static str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

    fn connect(sdk: &SdkConfig, endpoint: Option<String>) -> Self {
        let mut config = Builder::from(sdk);
        if endpoint.is_some() {
            config.set_endpoint_url(endpoint);
        }
        Self::from_conf(config.build())
    }
}

impl Source for SecretsManager {
    fn name(&self) -> &'static str {
        "aws_secrets_manager"
    }

    fn fetch<'a>(&'a self, names: &'a [String], deadline: Instant) -> SourceFuture<'a> {
        Box::pin(async move {
            let Open {
                client,
                pace,
                round,
            } = match self.connection.open(&self.session).await {
                Ok(open) => open,
                Err(error) => return vec![Err(error); names.len()],
            };
            let session = Arc::clone(&self.session);
            let api = Arc::new(Api { session, client });
            let answers = look_up(api, pace, names, deadline).await;
            self.session.learn(round, &answers);
            answers
        })
    }
}

impl Api {
    fn region(&self) -> Option<&str> {
        self.client.config().region().map(AsRef::as_ref)
    }
}

impl BulkApi for Api {
    const SIZE: usize = 20;

    /// Returns `true` for names with a version or of another region, which the bulk call does not support.
    fn is_single(&self, name: &str) -> bool {
        let name = Pinned::of(name);
        name.version.is_some() || name.elsewhere(self.region()).is_some()
    }

    async fn fetch_one(&self, name: &str) -> Result<SourceValue, Refused> {
        let name = Pinned::of(name);
        let request = self.client.get_secret_value().secret_id(name.id);
        let request = request.set_version_stage(name.version("stage").map(str::to_owned));
        let request = request.set_version_id(name.version("version").map(str::to_owned));
        let elsewhere = name.elsewhere(self.region());
        let asked = match elsewhere {
            None => request.send().await,
            Some(region) => {
                let there = Builder::new().region(Region::new(region.to_owned()));
                request.customize().config_override(there).send().await
            }
        };
        let refused = |error| classify(&self.session.settings, &error, is_absent_secret);
        let answer = asked.map_err(|error| refused(error).of_region(elsewhere))?;
        Ok(value(answer.secret_string, answer.secret_binary)?)
    }

    async fn fetch_many(&self, names: &[String]) -> Result<HashMap<String, FetchResult>, Refused> {
        let mut answers = HashMap::new();
        let mut page = None;
        for _ in 0..MAX_PAGES {
            let request = self.client.batch_get_secret_value();
            let request = request.set_secret_id_list(Some(names.to_vec()));
            let asked = request.set_next_token(page).send().await;
            let answer = asked
                .map_err(|error| classify(&self.session.settings, &error, is_absent_secret))?;
            for secret in answer.secret_values.unwrap_or_default() {
                let value = value(secret.secret_string, secret.secret_binary);
                let ids = [secret.name, secret.arn].into_iter().flatten();
                for id in ids.filter(|id| names.contains(id)) {
                    answers.insert(id, value.clone());
                }
            }
            for error in answer.errors.unwrap_or_default() {
                let code = error.error_code.unwrap_or_default();
                let message = error.message.unwrap_or_default();
                // a temporary failure is not a result: the name is requested singly
                if let (Some(name), Some(error)) = (
                    error.secret_id,
                    name_failure(&code, &message, is_absent_secret),
                ) {
                    answers.insert(name, Err(error));
                }
            }
            page = answer.next_token;
            if page.is_none() {
                break;
            }
        }
        Ok(answers)
    }
}

/// Returns the text or the bytes of a secret.
fn value(text: Option<String>, binary: Option<Blob>) -> FetchResult {
    let nothing = || {
        FetchError::failed(
            ErrorKind::Malformed,
            "the secret has neither text nor bytes",
        )
    };
    match (text, binary) {
        (Some(text), _) => Ok(SourceValue::new(text)),
        (None, Some(bytes)) => Ok(SourceValue::binary(bytes.into_inner())),
        (None, None) => Err(nothing()),
    }
}
