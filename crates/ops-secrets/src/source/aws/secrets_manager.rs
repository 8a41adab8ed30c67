//! AWS Secrets Manager.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use zeroize::Zeroizing;

use crate::error::ErrorKind;
use crate::source::aws::client::{Shared, chunked, kind_of};
use crate::source::{Backend, BoxFuture, Fault, Fetched};

/// What one BatchGetSecretValue takes.
const BULK: usize = 20;

#[derive(Clone)]
pub(crate) struct SecretsManager {
    shared: Arc<Shared>,
}

impl SecretsManager {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn client(&self) -> Result<Client, Fault> {
        Ok(Client::new(self.shared.sdk().await?))
    }

    async fn one(&self, name: &str) -> Fetched {
        let asked = self
            .client()
            .await?
            .get_secret_value()
            .secret_id(name)
            .send()
            .await;
        text(
            asked
                .map_err(|error| self.shared.classify(error, absent))?
                .secret_string,
        )
    }

    /// A policy may allow GetSecretValue alone: then one by one.
    async fn many(self, names: Vec<String>) -> Vec<Fetched> {
        if let [name] = names.as_slice() {
            return vec![self.one(name).await];
        }
        match self.bulk(&names).await {
            Ok(mut found) => names
                .iter()
                .map(|name| found.remove(name).unwrap_or(Err(Fault::Absent)))
                .collect(),
            Err(Fault::Failed(kind, _)) if kind.is_about_one_name() => {
                chunked(&names, 1, |name| {
                    let source = self.clone();
                    async move { vec![source.one(&name.concat()).await] }
                })
                .await
            }
            Err(fault) => vec![Err(fault); names.len()],
        }
    }

    async fn bulk(&self, names: &[String]) -> Result<HashMap<String, Fetched>, Fault> {
        let client = self.client().await?;
        let mut found = HashMap::new();
        let mut page = None;
        loop {
            let request = client
                .batch_get_secret_value()
                .set_secret_id_list(Some(names.to_vec()))
                .set_next_token(page);
            let answer = request
                .send()
                .await
                .map_err(|error| self.shared.classify(error, absent))?;
            for secret in answer.secret_values.unwrap_or_default() {
                if let Some(name) = secret.name {
                    found.insert(name, text(secret.secret_string));
                }
            }
            for error in answer.errors.unwrap_or_default() {
                let (code, message) = (
                    error.error_code.unwrap_or_default(),
                    error.message.unwrap_or_default(),
                );
                let fault = if absent(&code, &message) {
                    Fault::Absent
                } else {
                    Fault::Failed(kind_of(&code, 0), code)
                };
                found.insert(error.secret_id.unwrap_or_default(), Err(fault));
            }
            page = answer.next_token;
            if page.is_none() {
                return Ok(found);
            }
        }
    }
}

impl Backend for SecretsManager {
    fn fetch(&self, names: Vec<String>) -> BoxFuture<'_, Vec<Fetched>> {
        Box::pin(async move { chunked(&names, BULK, |chunk| self.clone().many(chunk)).await })
    }
}

fn text(secret: Option<String>) -> Fetched {
    let binary = || {
        Fault::Failed(
            ErrorKind::Malformed,
            "the secret is binary, not text".into(),
        )
    };
    secret.map(Zeroizing::new).ok_or_else(binary)
}

/// AWS says "marked for deletion", moto "marked deleted".
fn absent(code: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    code == "ResourceNotFoundException"
        || (code == "InvalidRequestException"
            && message.contains("marked")
            && message.contains("delet"))
}
