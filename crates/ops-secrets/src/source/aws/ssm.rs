//! AWS Systems Manager Parameter Store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::{Builder, Region};

use crate::source::aws::bulk::{BulkApi, look_up};
use crate::source::aws::classify::{Refused, classify};
use crate::source::aws::codes::is_absent_parameter;
use crate::source::aws::session::{Connect, Connection, Open, Session};
use crate::source::target::Pinned;
use crate::source::{FetchError, FetchResult, Source, SourceFuture, SourceValue};

/// Parameter Store as a source.
pub(crate) struct Ssm {
    session: Arc<Session>,
    connection: Connection<Client>,
}

/// Calls of the service, with their client.
struct Api {
    session: Arc<Session>,
    client: Client,
}

impl Ssm {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            connection: Connection::new(),
        }
    }
}

impl Connect for Client {
    const ENDPOINT_VARIABLE: &'static str = "AWS_ENDPOINT_URL_SSM";

    fn connect(sdk: &SdkConfig, endpoint: Option<String>) -> Self {
        let mut config = Builder::from(sdk);
        if endpoint.is_some() {
            config.set_endpoint_url(endpoint);
        }
        Self::from_conf(config.build())
    }
}

impl Source for Ssm {
    fn name(&self) -> &'static str {
        "aws_ssm"
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

impl BulkApi for Api {
    const SIZE: usize = 10;

    /// Returns `true` for versions and ARNs: a bulk response would have to be matched to them by its parts.
    fn is_single(&self, name: &str) -> bool {
        let name = Pinned::of(name);
        name.version.is_some() || name.region.is_some()
    }

    async fn fetch_one(&self, name: &str) -> Result<SourceValue, Refused> {
        let name = Pinned::of(name);
        let id = match name.version {
            Some((_, version)) => format!("{}:{version}", name.id),
            None => name.id.to_owned(),
        };
        let request = self.client.get_parameter().name(id);
        let request = request.with_decryption(true);
        let own = self.client.config().region();
        let elsewhere = name.elsewhere(own.map(AsRef::as_ref));
        let asked = match elsewhere {
            None => request.send().await,
            Some(region) => {
                let there = Builder::new().region(Region::new(region.to_owned()));
                request.customize().config_override(there).send().await
            }
        };
        let refused = |error| classify(&self.session.settings, &error, is_absent_parameter);
        let answer = asked.map_err(|error| refused(error).of_region(elsewhere))?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        Ok(value.map(SourceValue::new).ok_or(FetchError::Absent)?)
    }

    async fn fetch_many(&self, names: &[String]) -> Result<HashMap<String, FetchResult>, Refused> {
        let request = self.client.get_parameters();
        let request = request.set_names(Some(names.to_vec()));
        let asked = request.with_decryption(true).send().await;
        let answer =
            asked.map_err(|error| classify(&self.session.settings, &error, is_absent_parameter))?;
        let found = answer.parameters.unwrap_or_default().into_iter();
        let found = found.filter_map(|parameter| {
            Some((parameter.name?, Ok(SourceValue::new(parameter.value?))))
        });
        let unknown = answer.invalid_parameters.unwrap_or_default().into_iter();
        let unknown = unknown.map(|name| (name, Err(FetchError::Absent)));
        Ok(unknown.chain(found).collect())
    }
}
