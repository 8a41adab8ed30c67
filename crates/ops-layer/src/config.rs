use std::path::PathBuf;

/// Settings of the operations layer. Everything but the service name has a default.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) service_name: String,
    pub(crate) logger: Option<String>,
    pub(crate) build: Option<[&'static str; 3]>,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) propagate_to: Vec<String>,
    pub(crate) stdout: bool,
    pub(crate) secrets_yaml: Option<Document>,
    pub(crate) cache_yaml: Option<Document>,
    pub(crate) cache_dir: PathBuf,
}

/// A configuration file that was read: its name for messages, and its text.
#[cfg_attr(
    not(any(feature = "secrets", feature = "cache")),
    expect(dead_code, reason = "read by the parts that have a file")
)]
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Config {
    /// For the service of this name, as traces carry it.
    pub fn new(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            logger: None,
            build: None,
            log_file: None,
            propagate_to: Vec::new(),
            stdout: true,
            secrets_yaml: None,
            cache_yaml: None,
            cache_dir: PathBuf::from("data/cache"),
        }
    }

    /// The name of the root logger, as lines carry it; the service name unless set.
    #[must_use]
    pub fn logger(mut self, name: impl Into<String>) -> Self {
        self.logger = Some(name.into());
        self
    }

    /// Sets the build that runs, for `build_info{version,git_sha,rustc}`.
    #[must_use]
    pub fn build_info(
        mut self,
        version: &'static str,
        git_sha: &'static str,
        rustc: &'static str,
    ) -> Self {
        self.build = Some([version, git_sha, rustc]);
        self
    }

    /// Writes JSON lines to this file too.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log_file = Some(path.into());
        self
    }

    /// Adds a host that requests of [`Ops::http_client`](crate::Ops::http_client) carry the trace context to, such as
    /// `orders.internal` or `*.internal`; no other host sees it.
    #[must_use]
    pub fn propagate_to(mut self, host: impl Into<String>) -> Self {
        self.propagate_to.push(host.into());
        self
    }

    /// Set to `false` for a command whose standard output is its answer: lines go to the log file alone.
    #[must_use]
    pub fn stdout(mut self, stdout: bool) -> Self {
        self.stdout = stdout;
        self
    }

    /// The text of secrets.yaml, and its name for messages.
    #[must_use]
    pub fn secrets_yaml(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.secrets_yaml = Some(Document {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// The text of cache.yaml, and its name for messages.
    #[must_use]
    pub fn cache_yaml(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.cache_yaml = Some(Document {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// Sets the directory of query results; `data/cache` unless set.
    #[must_use]
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = dir.into();
        self
    }
}
