//! AWS Security Token Service: identity of the credentials.

use std::sync::Arc;
use std::time::Instant;

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::Builder;

use crate::error::ErrorKind;
use crate::source::aws::classify::classify;
use crate::source::aws::session::{Connect, Connection, Open, Session};
use crate::source::{FetchError, FetchResult, Source, SourceFuture, SourceValue};

/// Identity of the credentials as a source: its ARN, for any name.
pub(crate) struct Sts {
    session: Arc<Session>,
    connection: Connection<Client>,
}

impl Sts {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            connection: Connection::new(),
        }
    }

    async fn identity(&self) -> FetchResult {
        let Open { client, round, .. } = self.connection.open(&self.session).await?;
        let asked = client.get_caller_identity().send().await;
        let settings = &self.session.settings;
        let answer = asked.map_err(|error| {
            let error = classify(settings, &error, |_, _| false).error;
            self.session.learn(round, &[Err(error.clone())]);
            error
        })?;
        let nobody = || FetchError::failed(ErrorKind::Malformed, "the response has no ARN");
        answer.arn.map(SourceValue::new).ok_or_else(nobody)
    }
}

impl Connect for Client {
    const ENDPOINT_VARIABLE: &'static str = "AWS_ENDPOINT_URL_STS";

    fn connect(sdk: &SdkConfig, endpoint: Option<String>) -> Self {
        let mut config = Builder::from(sdk);
        if endpoint.is_some() {
            config.set_endpoint_url(endpoint);
        }
        Self::from_conf(config.build())
    }
}

impl Source for Sts {
    fn name(&self) -> &'static str {
        "aws_sts"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        Box::pin(async move { vec![self.identity().await; names.len()] })
    }
}
