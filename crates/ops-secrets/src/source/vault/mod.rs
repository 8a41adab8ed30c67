//! OpenBao and HashiCorp Vault, version 2 of the key-value engine.

mod client;
mod login;
mod session;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use zeroize::Zeroizing;

use crate::SecretError;
use crate::error::ErrorKind;
use crate::source::env::Environment;
use crate::source::json_field::json_field;
use crate::source::vault::client::Client;
use crate::source::vault::login::{Login, SERVICE_ACCOUNT_TOKEN};
use crate::source::vault::session::Session;
use crate::source::{FetchError, FetchResult, Source, SourceFuture, concurrent, trusted_file};

/// Secrets of OpenBao or Vault, from a key-value engine of version 2.
///
/// The `path` of a catalog entry names a secret below the mount, and a field of it:
/// `db/login#password`. Without a field, the value is the JSON text of the whole secret,
/// for [`get_as`](crate::Secrets::get_as). Several fields of one secret take one request.
///
/// ```
/// use ops_secrets::{Config, VaultSource};
///
/// # fn main() -> Result<(), ops_secrets::SecretError> {
/// let vault = VaultSource::new("http://127.0.0.1:8200")?.app_role("a-role-id", "a-secret-id");
/// let catalog = "secrets: {db_password: {path: 'db/login#password'}}";
/// let config = Config::default().catalog_text(catalog).source(vault);
/// # drop(config);
/// # Ok(())
/// # }
/// ```
///
/// Tokens are renewed at two thirds of their lease while the source lives, and replaced by a new login if renewal
/// fails. A sealed or unreachable server counts as unavailable: the last value may be served for a limited time.
pub struct VaultSource {
    client: Client,
    login: Login,
    session: OnceLock<Arc<Session>>,
}

impl VaultSource {
    /// Creates a source for the server at an address such as
    /// `https://vault.internal:8200`, with the mount `secret` and no credentials.
    ///
    /// # Errors
    /// Fails if the address is invalid, or has `https` without the feature `vault-tls`.
    pub fn new(address: impl Into<String>) -> Result<Self, SecretError> {
        Ok(Self {
            client: Client::new(address.into())?,
            login: Login::None,
            session: OnceLock::new(),
        })
    }

    /// Creates a source from the variables of the server's command line: `BAO_ADDR`,
    /// `BAO_TOKEN`, `BAO_NAMESPACE`, `BAO_CACERT`, or the same with `VAULT_`.
    ///
    /// # Errors
    /// Fails as [`new`](Self::new) does, if no address is set, if a value is not UTF-8, and if the certificates cannot be read.
    pub fn from_env() -> Result<Self, SecretError> {
        let variable = |name: &str| {
            for prefix in ["BAO", "VAULT"] {
                let text = Environment::Process.exact(&format!("{prefix}_{name}"));
                if let Some(text) = text.map_err(SecretError::config)? {
                    return Ok(Some(text.trim().to_owned()));
                }
            }
            Ok::<_, SecretError>(None)
        };
        let missing = || SecretError::config("neither BAO_ADDR nor VAULT_ADDR is set");
        let mut source = Self::new(variable("ADDR")?.ok_or_else(missing)?)?;
        if let Some(token) = variable("TOKEN")? {
            source = source.token(token);
        }
        if let Some(namespace) = variable("NAMESPACE")? {
            source = source.namespace(namespace);
        }
        match Environment::Process
            .path("BAO_CACERT")
            .or_else(|| Environment::Process.path("VAULT_CACERT"))
        {
            Some(path) => source.ca_file(path),
            None => Ok(source),
        }
    }

    /// Sets the mount of the key-value engine; the default is `secret`.
    #[must_use]
    pub fn mount(mut self, mount: impl AsRef<str>) -> Self {
        self.client.mount = mount.as_ref().trim_matches('/').to_owned();
        self
    }

    /// Sets the namespace of all requests.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.client.namespace = Some(namespace.into());
        self
    }

    /// Trusts the certificates of a PEM file instead of those of public authorities.
    ///
    /// # Errors
    /// Fails if the file cannot be read or holds no certificate, and without the feature `vault-tls`.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Result<Self, SecretError> {
        self.client.trust(&path.into())?;
        Ok(self)
    }

    /// Uses this token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(Zeroizing::new(token.into()));
        self
    }

    /// Uses the token in a file that an agent keeps up to date; the file is read again when the token is refused.
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.login = Login::TokenFile(trusted_file::anchored(&path.into()));
        self
    }

    /// Logs in as a role of the method `approle`.
    #[must_use]
    pub fn app_role(mut self, role_id: impl Into<String>, secret_id: impl Into<String>) -> Self {
        self.login = Login::AppRole {
            mount: "approle".to_owned(),
            role_id: role_id.into(),
            secret_id: Zeroizing::new(secret_id.into()),
        };
        self
    }

    /// Logs in as a role of the method `kubernetes`, with the service account of the pod.
    #[must_use]
    pub fn kubernetes(mut self, role: impl Into<String>) -> Self {
        self.login = Login::Kubernetes {
            mount: "kubernetes".to_owned(),
            role: role.into(),
            token: SERVICE_ACCOUNT_TOKEN.into(),
        };
        self
    }

    /// Sets the file of the service account's token. Call it after
    /// [`kubernetes`](Self::kubernetes); an earlier call is ignored.
    #[must_use]
    pub fn service_account_token(mut self, path: impl Into<PathBuf>) -> Self {
        if let Login::Kubernetes { token, .. } = &mut self.login {
            *token = trusted_file::anchored(&path.into());
        }
        self
    }

    /// Sets the mount of the login method, instead of `approle` or `kubernetes`. Call it after
    /// [`app_role`](Self::app_role) or [`kubernetes`](Self::kubernetes); an earlier call is ignored.
    #[must_use]
    pub fn login_mount(mut self, at: impl AsRef<str>) -> Self {
        if let Login::AppRole { mount, .. } | Login::Kubernetes { mount, .. } = &mut self.login {
            *mount = at.as_ref().trim_matches('/').to_owned();
        }
        self
    }

    fn session(&self) -> &Arc<Session> {
        let session = || Arc::new(Session::new(self.client.clone(), self.login.clone()));
        self.session.get_or_init(session)
    }
}

impl Source for VaultSource {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn fetch<'a>(&'a self, names: &'a [String], deadline: Instant) -> SourceFuture<'a> {
        Box::pin(async move {
            let mut by_path: BTreeMap<&str, Vec<(usize, Option<&str>)>> = BTreeMap::new();
            for (at, name) in names.iter().enumerate() {
                let (path, field) = match name.split_once('#') {
                    Some((path, field)) => (path, Some(field)),
                    None => (name.as_str(), None),
                };
                by_path.entry(path).or_default().push((at, field));
            }
            let read = |path: &&str| {
                let (session, path) = (Arc::clone(self.session()), (*path).to_owned());
                async move { session.read(&path, deadline).await }
            };
            let mut results = vec![Err(concurrent::late()); names.len()];
            for (path, read) in concurrent::fetch(by_path.keys().copied(), deadline, read).await {
                for (at, field) in by_path.get(path).into_iter().flatten() {
                    results[*at] = field_of(&read, *field);
                }
            }
            results
        })
    }
}

fn field_of(read: &FetchResult, field: Option<&str>) -> FetchResult {
    let malformed = |why| FetchError::failed(ErrorKind::Malformed, why);
    json_field(read.as_ref().map_err(Clone::clone)?, field).map_err(malformed)
}

impl std::fmt::Debug for VaultSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VaultSource({})", self.client.address)
    }
}
