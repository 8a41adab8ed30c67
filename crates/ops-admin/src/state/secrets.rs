use ops_secrets::{DotEnvReport, Health, SecretReport, SourceReport};
use serde::Serialize;

use super::dependency::Dependency;
use crate::Admin;

/// Report of the secrets, without any value or part of one.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    secrets: Vec<SecretReport>,
    secret_sources: Sources,
}

#[derive(Debug, Serialize)]
struct Sources {
    catalog: String,
    aws: String,
    aws_requests: u64,
    sources: Vec<SourceReport>,
    dotenv: DotEnvReport,
}

pub(super) fn collect(admin: &Admin) -> Option<Part> {
    let report = admin.secrets_handle()?.report();
    Some(Part {
        secrets: report.secrets,
        secret_sources: Sources {
            catalog: report.catalog,
            aws: report.aws,
            aws_requests: report.aws_requests,
            sources: report.sources,
            dotenv: report.dotenv,
        },
    })
}

/// Returns the state of each remote source.
pub(super) fn sources(part: &Part) -> Vec<Dependency> {
    let sources = part.secret_sources.sources.iter();
    sources
        .map(|source| {
            let (state, detail) = match &source.health {
                Health::Healthy => ("up", format!("{} requests", source.requests)),
                Health::Unhealthy(reason) => ("down", reason.clone()),
                _ => ("unknown", "not queried yet".to_owned()),
            };
            Dependency {
                name: format!("secrets: {}", source.source),
                state,
                detail,
            }
        })
        .collect()
}
