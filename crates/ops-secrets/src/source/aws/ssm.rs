//! AWS Systems Manager Parameter Store.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_ssm::Client;
use zeroize::Zeroizing;

use crate::source::aws::client::{Shared, chunked};
use crate::source::{Backend, BoxFuture, Fault, Fetched};

/// What one GetParameters takes.
const BULK: usize = 10;

#[derive(Clone)]
pub(crate) struct Ssm {
    shared: Arc<Shared>,
}

impl Ssm {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The SDK's clients share connections through the configuration, so making one is cheap.
    async fn client(&self) -> Result<Client, Fault> {
        Ok(Client::new(self.shared.sdk().await?))
    }

    async fn one(&self, name: &str) -> Fetched {
        let asked = self
            .client()
            .await?
            .get_parameter()
            .name(name)
            .with_decryption(true)
            .send()
            .await;
        let answer = asked.map_err(|error| self.shared.classify(error, absent))?;
        answer
            .parameter
            .and_then(|parameter| parameter.value)
            .map(Zeroizing::new)
            .ok_or(Fault::Absent)
    }

    /// One denied name fails a bulk as a whole, and a policy may allow GetParameter alone: then one by one.
    async fn many(self, names: Vec<String>) -> Vec<Fetched> {
        if let [name] = names.as_slice() {
            return vec![self.one(name).await];
        }
        match self.bulk(&names).await {
            Ok(mut found) => names
                .iter()
                .map(|name| found.remove(name).ok_or(Fault::Absent))
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

    async fn bulk(&self, names: &[String]) -> Result<HashMap<String, Zeroizing<String>>, Fault> {
        let request = self
            .client()
            .await?
            .get_parameters()
            .set_names(Some(names.to_vec()))
            .with_decryption(true);
        let answer = request
            .send()
            .await
            .map_err(|error| self.shared.classify(error, absent))?;
        let pairs = answer.parameters.unwrap_or_default().into_iter();
        Ok(pairs
            .filter_map(|parameter| Some((parameter.name?, Zeroizing::new(parameter.value?))))
            .collect())
    }
}

impl Backend for Ssm {
    fn fetch(&self, names: Vec<String>) -> BoxFuture<'_, Vec<Fetched>> {
        Box::pin(async move { chunked(&names, BULK, |chunk| self.clone().many(chunk)).await })
    }
}

fn absent(code: &str, _: &str) -> bool {
    matches!(code, "ParameterNotFound" | "ParameterVersionNotFound")
}
