//! Section `shared` of `cache.yaml`.

use serde::Deserialize;

/// Accepted range of a lease in seconds.
const LEASES: std::ops::RangeInclusive<u64> = 1..=60;
/// Maximum of `min_compute_ms`: one hour.
const MAX_COMPUTE_MS: u64 = 3_600_000;

/// Options for the S3 bucket through which machines share results (feature `shared`). Region,
/// endpoint and credentials that are unset come from `AWS_REGION`, `AWS_ENDPOINT_URL`,
/// `AWS_ACCESS_KEY_ID` and the like, or from the machine's role.
///
/// The file never contains the key that authenticates shared results: it
/// names the secret that holds the key, and the program reads that secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSettings {
    /// Name of the bucket.
    pub bucket: String,
    /// First part of object names; default `data-cache`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// URL of an S3-compatible server.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default)]
    pub region: Option<String>,
    /// Name of the secret with the authentication key: at least 16 bytes, the same on all machines.
    #[serde(default)]
    pub key_secret: Option<String>,
    /// Accepts objects without authentication: anyone who can write to the bucket decides which results are returned.
    #[serde(default)]
    pub unauthenticated: bool,
    /// Minimum compute time in milliseconds of a shared result; default 200.
    #[serde(default)]
    pub min_compute_ms: Option<u64>,
    /// Seconds that other machines wait for a machine that died during a computation; default 5.
    #[serde(default)]
    pub lease_seconds: Option<u64>,
    /// Also shares results of `set`, `get_or_compute` and cached functions.
    #[serde(default)]
    pub computed: bool,
}

impl SharedSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        if cfg!(not(feature = "shared")) {
            return Err("shared: this program was built without the feature `shared`".to_owned());
        }
        check_bucket(&self.bucket).map_err(|problem| format!("shared: {problem}"))?;
        let is_empty = |name: &Option<String>| name.as_ref().is_some_and(String::is_empty);
        match (&self.key_secret, self.unauthenticated) {
            (Some(_), true) => Err("shared: both key_secret and unauthenticated are set; expected one of them".to_owned()),
            (None, false) => Err("shared: neither key_secret nor unauthenticated is set; name the secret with a key of at least 16 bytes, or \
                                  accept objects from anyone who can write to the bucket with `unauthenticated: true`".to_owned()),
            _ if is_empty(&self.key_secret) => Err("shared: key_secret is empty; expected the name of a secret".to_owned()),
            _ => Ok(()),
        }?;
        if self
            .prefix
            .as_ref()
            .is_some_and(|prefix| prefix.trim_matches('/').is_empty())
        {
            return Err("shared: prefix is empty; expected a name such as data-cache".to_owned());
        }
        if let Some(endpoint) = &self.endpoint
            && !["http://", "https://"]
                .iter()
                .any(|start| endpoint.starts_with(start))
        {
            let shown = without_secrets(endpoint);
            return Err(format!(
                "shared: endpoint {shown:?} must start with http:// or https://"
            ));
        }
        match (self.lease_seconds, self.min_compute_ms) {
            (Some(lease), _) if !LEASES.contains(&lease) => Err(format!(
                "shared: lease_seconds: must be between 1 and 60 s, got {lease}"
            )),
            (_, Some(least)) if least > MAX_COMPUTE_MS => Err(format!(
                "shared: min_compute_ms: {least} exceeds the limit of {MAX_COMPUTE_MS} (one hour)"
            )),
            _ => Ok(()),
        }
    }
}

/// Rejects names that cannot be part of a bucket's address. Servers
/// other than AWS accept capitals, underscores and `TENANT:BUCKET`.
pub(crate) fn check_bucket(name: &str) -> Result<(), String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() {
        return Err("the bucket name is empty".to_owned());
    }
    if !name.chars().all(is_of_name) || name == "." || name == ".." {
        return Err(format!(
            "{name:?} is not a valid bucket name; expected letters, digits, '-', '.', '_' and ':'"
        ));
    }
    Ok(())
}

/// Redacts user, password, query and fragment of a URL, for messages.
pub(crate) fn without_secrets(url: &str) -> String {
    let scheme = url.find("://").map_or("", |at| &url[..at + 3]);
    let (before, more) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    // a password may contain `?` or `#`
    if more.contains('@') {
        return format!("{scheme}[REDACTED]");
    }
    let hidden = if more.is_empty() { "" } else { "?[REDACTED]" };
    match before.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}[REDACTED]@{host}{hidden}"),
        None => format!("{before}{hidden}"),
    }
}
