//! AWS through an agent on this machine: the AWS Secrets Manager Agent, or the AWS Parameters and Secrets Lambda Extension.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::{Request, StatusCode};
use zeroize::Zeroizing;

use crate::error::ErrorKind;
use crate::source::aws::codes::{is_absent_parameter, is_absent_secret, kind_of};
use crate::source::chain::SourceChain;
use crate::source::env::Environment;
use crate::source::http::{self, HttpClient};
use crate::source::target::Pinned;
use crate::source::{
    FetchError, FetchResult, Source, SourceFuture, SourceValue, concurrent, shortened,
};

/// Header that proves to the agent that a request is not forged.
const TOKEN_HEADER: &str = "X-Aws-Parameters-Secrets-Token";
/// Variables that the agents read their token from, in their order.
const TOKEN_VARIABLES: [&str; 3] = [
    "AWS_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];
/// Prefix of a token value that names a file.
const FILE: &str = "file://";

/// Agent in the role of one of the two services.
struct Agent {
    service: Service,
    endpoint: Arc<Endpoint>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    ParameterStore,
    SecretsManager,
}

struct Endpoint {
    http: HttpClient,
    address: String,
    environment: Environment,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "Parameter")]
    parameter: ParameterValue,
}

#[derive(Deserialize)]
struct ParameterValue {
    #[serde(rename = "Value")]
    value: String,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "SecretString")]
    text: Option<String>,
    #[serde(rename = "SecretBinary")]
    binary: Option<String>,
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(rename = "__type", alias = "code", alias = "Code", default)]
    code: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// Checks the address of an agent: `http://`, a host name or address of this machine, a port.
///
/// # Errors
/// Fails with a message that names what is accepted.
pub(crate) fn check(address: &str) -> Result<(), String> {
    let authority = address.strip_prefix("http://").unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or_default();
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_here = match in_brackets {
        Some(host) => host.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback()),
        None => host == "localhost" || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback()),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    if is_here && is_number && port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(());
    }
    Err(format!(
        "{address:?}; expected http:// with a loopback host and a port, as in http://localhost:2773 (`Config::aws_agent`, `OPS_SECRETS_AWS_AGENT`)"
    ))
}

/// Adds both services, served by the agent at this address, which must have been checked.
pub(crate) fn add_to(chain: &mut SourceChain, address: &str, environment: &Environment) {
    let endpoint = Arc::new(Endpoint {
        http: HttpClient::new(http::settings()),
        address: address.to_owned(),
        environment: environment.clone(),
    });
    let source = |service| {
        Arc::new(Agent {
            service,
            endpoint: Arc::clone(&endpoint),
        })
    };
    chain.add_ssm(source(Service::ParameterStore));
    chain.add_secrets_manager(source(Service::SecretsManager));
}

impl Source for Agent {
    fn name(&self) -> &'static str {
        match self.service {
            Service::ParameterStore => "aws_ssm",
            Service::SecretsManager => "aws_secrets_manager",
        }
    }

    fn fetch<'a>(&'a self, names: &'a [String], deadline: Instant) -> SourceFuture<'a> {
        Box::pin(async move {
            let mut results = vec![Err(concurrent::late()); names.len()];
            let ask = |at: &usize| {
                let (endpoint, service) = (Arc::clone(&self.endpoint), self.service);
                let name = names.get(*at).cloned().unwrap_or_default();
                async move { endpoint.ask(service, &name, deadline).await }
            };
            for (at, result) in concurrent::fetch(0..names.len(), deadline, ask).await {
                results[at] = result;
            }
            results
        })
    }
}

impl Endpoint {
    async fn ask(&self, service: Service, name: &str, until: Instant) -> FetchResult {
        let url = format!("{}{}", self.address, service.target(&Pinned::of(name)));
        let mut request = Request::get(url);
        if let Some(token) = self.token()? {
            request = request.header(TOKEN_HEADER, token.as_str());
        }
        let unusable = |_| {
            FetchError::failed(
                ErrorKind::Config,
                "the agent token is not a valid header value",
            )
        };
        let request = request.body(()).map_err(unusable)?;
        let (status, body) = http::exchange(&self.http, request, None, until).await?;
        match status {
            StatusCode::OK => service.value(&body),
            _ => Err(service.refusal(status, &body)),
        }
    }

    /// Returns the current token of the agent: the file is replaced whenever the agent starts.
    fn token(&self) -> Result<Option<Zeroizing<String>>, FetchError> {
        for variable in TOKEN_VARIABLES {
            let wrong = |why: String| FetchError::failed(ErrorKind::Config, why);
            let Some(text) = self.environment.exact(variable).map_err(wrong)? else {
                continue;
            };
            let text = Zeroizing::new(text);
            let Some(path) = text.strip_prefix(FILE) else {
                return Ok(Some(text));
            };
            let read = fs::read_to_string(Path::new(path)).map(Zeroizing::new);
            let unread = |error| wrong(format!("{variable}: {path}: {error}"));
            let token = read.map_err(unread)?;
            return Ok(Some(Zeroizing::new(token.trim().to_owned())));
        }
        Ok(None)
    }
}

impl Service {
    /// Returns the path and query of a request.
    fn target(self, name: &Pinned<'_>) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let id = encoded(name.id);
        let mut target = match self {
            Self::ParameterStore => {
                format!("/systemsmanager/parameters/get?name={id}&withDecryption=true")
            }
            Self::SecretsManager => format!("/secretsmanager/get?secretId={id}"),
        };
        if let Some((kind, value)) = name.version {
            let kind = match (self, kind) {
                (Self::SecretsManager, "stage") => "versionStage",
                (Self::SecretsManager, _) => "versionId",
                (Self::ParameterStore, kind) => kind,
            };
            target += &format!("&{kind}={}", encoded(value));
        }
        target
    }

    fn value(self, body: &[u8]) -> FetchResult {
        // omits serde's reason, which may quote the value
        let unreadable = || {
            let detail = "cannot parse the response as a secret";
            FetchError::failed(ErrorKind::Malformed, detail)
        };
        if self == Self::ParameterStore {
            let answer: Parameter = serde_json::from_slice(body).map_err(|_| unreadable())?;
            return Ok(SourceValue::new(answer.parameter.value));
        }
        let answer: Secret = serde_json::from_slice(body).map_err(|_| unreadable())?;
        match (answer.text, answer.binary) {
            (Some(text), _) => Ok(SourceValue::new(text)),
            (None, Some(binary)) => {
                let bytes = BASE64_STANDARD.decode(Zeroizing::new(binary).as_bytes());
                Ok(SourceValue::binary(bytes.map_err(|_| unreadable())?))
            }
            (None, None) => Err(FetchError::failed(
                ErrorKind::Malformed,
                "the secret has neither text nor bytes",
            )),
        }
    }

    /// Classifies a response without a value: JSON of the service, or text of the agent.
    fn refusal(self, status: StatusCode, body: &[u8]) -> FetchError {
        let text = String::from_utf8_lossy(body);
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let code = match problem.code.rsplit_once('#') {
            Some((_, code)) => code.to_owned(),
            None if problem.code.is_empty() => code_in(&text).to_owned(),
            None => problem.code,
        };
        let message = match problem.message.as_str() {
            "" => text.as_ref(),
            message => message,
        };
        let is_absent = match self {
            Self::ParameterStore => is_absent_parameter(&code, message),
            Self::SecretsManager => is_absent_secret(&code, message),
        };
        if is_absent {
            return FetchError::Absent;
        }
        let status = status.as_u16();
        if self == Self::ParameterStore && status == 404 && code.is_empty() {
            let detail = "this agent does not serve parameters: prefix the name of a Secrets Manager secret with `sm:`";
            return FetchError::failed(ErrorKind::Config, detail);
        }
        let detail = format!("HTTP {status}: {}", shortened(message.trim()));
        if message.contains("not ready to serve traffic") {
            return FetchError::unreachable(ErrorKind::Unavailable, detail);
        }
        FetchError::failed(kind_of(&code, message, status), detail)
    }
}

/// Returns the first word that is an AWS error code, or an empty text.
fn code_in(text: &str) -> &str {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut codes = words.filter(|word| {
        let named = [
            "ParameterNotFound",
            "ParameterVersionNotFound",
            "DecryptionFailure",
        ];
        (word.ends_with("Exception") && word.len() > "Exception".len()) || named.contains(word)
    });
    codes.next().unwrap_or_default()
}
