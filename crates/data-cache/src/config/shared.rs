//! Section `shared` of `cache.yaml`.

use serde::Deserialize;

/// The shortest and the longest lease in seconds.
const LEASES: std::ops::RangeInclusive<u64> = 1..=60;
/// Longest time to compute that may be asked for: an hour.
const MAX_COMPUTE_MS: u64 = 3_600_000;

/// Options for the bucket of S3 that machines share results through (feature `shared`). Region, endpoint and credentials that
/// are not set are those of `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and the like, or of the machine's role.
///
/// A file never holds the key that seals what is shared: it names the secret that does, and the program gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSettings {
    /// Name of the bucket.
    pub bucket: String,
    /// First part of the names of objects; `data-cache` unless set.
    #[serde(default)]
    pub prefix: Option<String>,
    /// URL of a server that speaks S3's protocol.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default)]
    pub region: Option<String>,
    /// Name of the secret with the key of the seal, at least 16 bytes, the same on all machines.
    #[serde(default)]
    pub key_secret: Option<String>,
    /// Takes objects that anybody who can write to the bucket may have written: they decide what is answered.
    #[serde(default)]
    pub unauthenticated: bool,
    /// Milliseconds that computing must take for the result to be shared; 200 unless set.
    #[serde(default)]
    pub min_compute_ms: Option<u64>,
    /// Seconds for which a machine that died while it computed keeps others waiting; 5 unless set.
    #[serde(default)]
    pub lease_seconds: Option<u64>,
    /// Shares also what `set`, `get_or_compute` and cached functions keep.
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
            (Some(_), true) => Err("shared: both key_secret and unauthenticated; accepted is one of them".to_owned()),
            (None, false) => Err("shared: neither key_secret nor unauthenticated; name the secret with a key of at least 16 bytes, or \
                                  take objects of anybody who can write to the bucket with `unauthenticated: true`".to_owned()),
            _ if is_empty(&self.key_secret) => Err("shared: key_secret is empty; accepted is the name of a secret".to_owned()),
            _ => Ok(()),
        }?;
        if self
            .prefix
            .as_ref()
            .is_some_and(|prefix| prefix.trim_matches('/').is_empty())
        {
            return Err(
                "shared: prefix is empty; accepted is a name, such as data-cache".to_owned(),
            );
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
                "shared: lease_seconds: {lease}; accepted are 1 to 60"
            )),
            (_, Some(least)) if least > MAX_COMPUTE_MS => Err(format!(
                "shared: min_compute_ms: {least} is more than an hour ({MAX_COMPUTE_MS})"
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses what can stand in no address of a bucket. Servers other than AWS take capitals, underscores and `TENANT:BUCKET`.
pub(crate) fn check_bucket(name: &str) -> Result<(), String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() {
        return Err("the name of the bucket is empty".to_owned());
    }
    if !name.chars().all(is_of_name) || name == "." || name == ".." {
        return Err(format!(
            "{name:?} is no name of a bucket; accepted are letters, digits, '-', '.' and '_'"
        ));
    }
    Ok(())
}

/// Removes user, password, query and fragment of a URL, for messages.
pub(crate) fn without_secrets(url: &str) -> String {
    let scheme = url.find("://").map_or("", |at| &url[..at + 3]);
    let (before, more) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    // a password may have a mark of queries in it
    if more.contains('@') {
        return format!("{scheme}[REDACTED]");
    }
    let hidden = if more.is_empty() { "" } else { "?[REDACTED]" };
    match before.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}[REDACTED]@{host}{hidden}"),
        None => format!("{before}{hidden}"),
    }
}
